//! The stream of events over HTTP.

use super::{Mesh, PATIENCE, awaits, common::v4, wait};
use narrows::{
    api::Problem,
    failures::{Failure, Start},
};
use narrows_testbed::{http, load::Plan};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
};

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub id: Option<u64>,
    pub name: String,
    pub data: String,
}

/// A reader of the stream.
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Asks, with these lines more in the head. In HTTP/1.0, so that the body comes as it is.
    pub fn open(address: SocketAddr, query: &str, head: &str) -> Self {
        Self::over(TcpStream::connect(address).expect("connected"), query, head)
    }

    /// One whose end of the connection holds next to nothing.
    pub fn narrow(address: SocketAddr, query: &str) -> Self {
        let SocketAddr::V4(address) = address else {
            panic!("an IPv4 address")
        };
        let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        socket::setsockopt(&fd, sockopt::RcvBuf, &4096).expect("set");
        socket::connect(fd.as_raw_fd(), &SockaddrIn::from(address)).expect("connected");
        Self::over(TcpStream::from(fd), query, "Accept: text/event-stream\r\n")
    }

    fn over(mut stream: TcpStream, query: &str, head: &str) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "GET /api/v1/failures?{query} HTTP/1.0\r\n{head}\r\n").expect("asked");
        let mut this = Self(BufReader::new(stream));
        let status = this.line();
        let mut line = status.clone();
        while !line.is_empty() {
            line = this.line();
        }
        assert!(status.contains(" 200 "), "{status}");
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("in time");
        line.trim_end().to_owned()
    }

    /// The next event; comments are none.
    pub fn next(&mut self) -> Event {
        let mut event = Event::default();
        for _ in 0..1000 {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.parse().expect("a number")),
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = data.to_owned(),
                _ if line.is_empty() && !event.data.is_empty() => return event,
                _ => {}
            }
        }
        panic!("no event in a thousand lines");
    }

    /// The next failure, with its number.
    fn failure(&mut self) -> (u64, Failure) {
        for _ in 0..1000 {
            let event = self.next();
            if event.name == "failure" {
                let failure: Failure = serde_json::from_str(&event.data).expect("a failure");
                assert_eq!(event.id, Some(failure.seq));
                return (failure.seq, failure);
            }
        }
        panic!("no failure in a thousand events");
    }

    /// The first event.
    fn start(&mut self) -> Start {
        let event = self.next();
        assert_eq!(event.name, "start", "{event:?}");
        let start: Start = serde_json::from_str(&event.data).expect("a start");
        assert_eq!(event.id, Some(start.next - 1));
        start
    }
}

const EVENTS: &str = "Accept: text/event-stream\r\n";
const OURS: &str = "workload=shop/checkout";

#[test]
fn new_ones_come_as_they_happen_and_old_ones_when_asked_for() {
    // Nothing comes by a tick.
    let mesh = Mesh::new(&["--interval", "60"]);
    let address = mesh.agent.address();
    let call = || assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), 1).run()).refused, 1);
    call();
    let old = awaits(&mesh.agent, OURS, 1).remove(0);

    let mut by_header = Stream::open(address, OURS, EVENTS);
    let mut by_parameter = Stream::open(address, &format!("follow=true&{OURS}"), "");
    let mut with_old = Stream::open(address, &format!("{OURS}&since=1h"), EVENTS);
    let mut others = Stream::open(address, "workload=shop/cart", EVENTS);
    let starts = [&mut by_header, &mut by_parameter, &mut with_old, &mut others].map(Stream::start);
    assert!(starts.iter().all(|start| start.run == starts[0].run));
    assert_eq!(with_old.failure().1, old);

    call();
    let new = awaits(&mesh.agent, OURS, 2).remove(1);
    for stream in [&mut by_header, &mut by_parameter, &mut with_old] {
        assert_eq!(stream.failure().1, new);
    }
}

#[test]
fn a_stream_goes_on_where_it_was() {
    let mesh = Mesh::new(&["--interval", "60"]);
    let address = mesh.agent.address();
    let call = |n| assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), n).run()).refused, n);
    let mut first = Stream::open(address, OURS, EVENTS);
    let Start { run, .. } = first.start();
    call(3);
    let seen = first.failure().0;
    drop(first);
    call(2);
    let all = awaits(&mesh.agent, OURS, 5);
    let again = |query: &str, last: u64| {
        let head = format!("{EVENTS}Last-Event-ID: {last}\r\n");
        let mut stream = Stream::open(address, &format!("{OURS}&{query}"), &head);
        let next = stream.start().next;
        let found: Vec<_> = (next..)
            .zip(all.iter().filter(|failure| failure.seq >= next))
            .map(|_| stream.failure().1)
            .collect();
        (next, found)
    };
    let (next, found) = again("", seen);
    assert_eq!((next, &found[..]), (seen + 1, &all[1..]));
    // Also when it asks for those of a certain age, as it did at first.
    assert_eq!(again("since=0s", seen).1, all[1..]);
    assert_eq!(again(&format!("run={run}"), seen).1, all[1..]);
    // The number is one of another run.
    assert_eq!(again(&format!("run={}", run - 1), seen), (1, all.clone()));
    assert_eq!(again("", 1_000_000), (1, all));
}

#[test]
fn followers_are_bounded_and_leave_their_place() {
    let mesh = Mesh::new(&[]);
    let address = mesh.agent.address();
    let status = || {
        http::get(address, "/api/v1/failures?follow=true&since=5", "*/*")
            .expect("an answer")
            .status
    };
    let mut streams: Vec<_> = (0..32).map(|_| Stream::open(address, "", EVENTS)).collect();
    for stream in &mut streams {
        stream.start();
    }
    let answer = http::get(address, "/api/v1/failures", "text/event-stream").expect("an answer");
    let problem: Problem = serde_json::from_str(&answer.body).expect("a problem");
    assert_eq!(
        (answer.status, problem.error.as_str(), problem.message.as_str()),
        (
            503,
            "too_many_followers",
            "32 clients follow already, and there may be no more; try again later"
        )
    );
    assert_eq!(status(), 400, "a bad question is one all the same");
    streams.pop();
    let mut stream = wait::until("a place", PATIENCE, || {
        let probe = TcpStream::connect(address).expect("connected");
        let mut probe = BufReader::new(probe);
        probe.get_ref().set_read_timeout(Some(PATIENCE)).expect("set");
        write!(probe.get_mut(), "GET /api/v1/failures HTTP/1.0\r\n{EVENTS}\r\n").expect("asked");
        let mut line = String::new();
        probe.read_line(&mut line).expect("an answer");
        line.contains(" 200 ").then_some(probe)
    })
    .expect("one has left");
    let mut line = String::new();
    while !line.starts_with("event: start") {
        line.clear();
        assert!(stream.read_line(&mut line).expect("in time") > 0, "it ended");
    }
    // The others hear all the same.
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), 1).run()).refused, 1);
    for stream in &mut streams {
        stream.failure();
    }
}
