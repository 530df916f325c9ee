//! Orders of reads and writes that a proxy takes now and then: a test says each step.

use super::shop::{CALLERS, PROXY, Shop, destination, listing, path};
use crate::common::v4;
use narrows_testbed::{
    actor::Actor,
    scrape::Metrics,
    steps::Step::{Accept, Connect, Listen, Read, Write},
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

/// A proxy with a connection of each of two callers (0 and 1), and a pooled one to each of two destinations (2 and 3), which have
/// carried a request of caller 0 and of caller 1.
struct Pooled {
    proxy: Actor<()>,
    callers: Vec<TcpStream>,
    destinations: Vec<TcpStream>,
    shop: Shop,
}

impl Pooled {
    /// The agent is started with these arguments.
    fn watched_with(arguments: &[&str]) -> Self {
        let shop = Shop::watched_with(arguments);
        let front = v4(PROXY, 8080);
        let mut proxy = Actor::steps(&shop.proxy).expect("it starts");
        proxy.take(&[Listen(front)]).expect("it listens");
        let listen = |n: usize| {
            let bound = shop.destinations[n].run(|| TcpListener::bind(destination(n)));
            bound.expect("it listens")
        };
        let listeners = [listen(0), listen(1)];
        let mut callers = Vec::new();
        for caller in &shop.callers[..2] {
            let connected = caller.run(|| TcpStream::connect(front));
            callers.push(connected.expect("a connection"));
            proxy.take(&[Accept]).expect("it accepts");
        }
        // Its thread is known from the next tick on.
        shop.agent().settle();
        shop.agent().settle();
        let mut destinations = Vec::new();
        for (n, listener) in listeners.iter().enumerate() {
            callers[n].write_all(&[0]).expect("a request");
            let steps = [Read(n), Connect(destination(n)), Write(2 + n)];
            proxy.take(&steps).expect("it forwards it");
            destinations.push(listener.accept().expect("a connection").0);
        }
        let mut pooled = Self {
            proxy,
            callers,
            destinations,
            shop,
        };
        for n in 0..2 {
            pooled.answer(n, n);
        }
        pooled
    }

    /// A caller sends a request, which reaches the proxy.
    fn request(&mut self, caller: usize) {
        self.callers[caller].write_all(&[0]).expect("a request");
    }

    /// Destination `n` answers the request of a caller.
    fn answer(&mut self, n: usize, caller: usize) {
        self.destinations[n].read_exact(&mut [0]).expect("a request");
        self.destinations[n].write_all(&[0]).expect("an answer");
        let steps = [Read(2 + n), Write(caller)];
        self.proxy.take(&steps).expect("it forwards it");
        self.callers[caller].read_exact(&mut [0]).expect("an answer");
    }

    /// Requests of caller 0 one after the other, which go to destination 0.
    fn requests_of_the_first(&mut self, number: usize) {
        for _ in 0..number {
            self.request(0);
            self.proxy.take(&[Read(0), Write(2)]).expect("it forwards it");
            self.answer(0, 0);
        }
    }

    /// Turns on paths from each of the two callers to each of the two destinations.
    #[track_caller]
    fn expect(&self, turns: [[u64; 2]; 2]) {
        let agent = self.shop.agent();
        let of = |metrics: &Metrics| {
            [0, 1].map(|caller| [0, 1].map(|to| metrics.sum("narrows_path_turns_total", &path(caller, to)) as u64))
        };
        let all = |turns: [[u64; 2]; 2]| turns.iter().flatten().sum::<u64>();
        // Counted by a walk, and read in the tick after it.
        agent.wait_for("all turns", |metrics| all(of(metrics)) >= all(turns));
        let metrics = agent.settle();
        let found = of(&metrics);
        assert_eq!(found, turns, "{} and {}\n{}", CALLERS[0], CALLERS[1], listing(&metrics));
    }
}

#[test]
fn a_pooled_connection_that_goes_to_another_caller_leaves_its_last_ones_request() {
    let mut pooled = Pooled::watched_with(&[]);
    pooled.expect([[1, 0], [0, 1]]);
    // No walk may have counted these when the caller changes.
    pooled.requests_of_the_first(3);
    pooled.request(1);
    pooled.request(0);
    // The connection to the first destination carried caller 0 last, which has sent a request again: it waits for the other one.
    pooled
        .proxy
        .take(&[Read(1), Read(0), Write(2), Write(3)])
        .expect("it forwards both");
    pooled.answer(0, 1);
    pooled.answer(1, 0);
    pooled.expect([[4, 1], [1, 1]]);
}

/// A turn is kept with its connection until a walk over open files meets it, and counted at once where there is no walk.
#[test]
fn turns_on_open_connections_are_counted_with_and_without_walks() {
    for arguments in [&[][..], &["--off", "walk"]] {
        let mut pooled = Pooled::watched_with(arguments);
        pooled.requests_of_the_first(5);
        pooled.expect([[6, 0], [0, 1]]);
    }
}

/// Also those since the last walk.
#[test]
fn turns_of_a_connection_that_ends_are_counted() {
    let mut pooled = Pooled::watched_with(&["--interval", "3"]);
    pooled.requests_of_the_first(5);
    let Pooled {
        proxy,
        shop,
        callers,
        destinations,
    } = pooled;
    proxy.stop().expect("it ends");
    drop((callers, destinations));
    let metrics = shop.agent().settle();
    assert_eq!(
        metrics.sum("narrows_path_turns_total", &path(0, 0)),
        6.0,
        "{}",
        listing(&metrics)
    );
}
