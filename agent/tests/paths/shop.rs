//! Four callers and three destinations, with a proxy between them; and what the agent says of the paths between.

use super::common::{World, inventory, start_with, v4};
use narrows::failures::{End, Failure};
use narrows_testbed::{
    agent::Agent,
    load::{Behaviour, Server},
    scrape::Metrics,
    workload::Workload,
};
use std::{collections::BTreeMap, fmt::Write as _};

pub const CALLERS: [&str; 4] = ["web", "cart", "checkout", "admin"];
pub const DESTINATIONS: [&str; 3] = ["catalog", "orders", "stock"];

/// How often each caller calls each destination. Every second pair does not occur, so that a wrong caller shows.
pub type Matrix = [[u64; DESTINATIONS.len()]; CALLERS.len()];

/// The last part of the proxy's address.
pub const PROXY: u8 = 2;

/// Where destination `n` listens.
pub fn destination(n: usize) -> std::net::SocketAddr {
    v4(21 + u8::try_from(n).expect("small"), 8080)
}

/// Everybody, with an agent that watches.
pub struct Shop {
    /// `None` while none runs.
    agent: Option<Agent>,
    /// Who is who.
    inventory: String,
    pub callers: Vec<Workload>,
    pub destinations: Vec<Workload>,
    pub proxy: Workload,
    _world: World,
}

impl Shop {
    pub fn new() -> Self {
        Self::watched_with(&[])
    }

    /// The agent is started with these arguments.
    pub fn watched_with(arguments: &[&str]) -> Self {
        let world = World::new();
        let people = |names: &[&str], first: u8| -> Vec<Workload> {
            (first..)
                .zip(names)
                .map(|(address, name)| world.workload(name, address))
                .collect()
        };
        let (callers, destinations) = (people(&CALLERS, 11), people(&DESTINATIONS, 21));
        let proxy = world.workload("waypoint", PROXY);
        let workloads: Vec<_> = callers.iter().chain(&destinations).collect();
        let inventory = inventory(&workloads, &[&proxy]);
        Self {
            agent: Some(start_with(&inventory, arguments)),
            inventory,
            callers,
            destinations,
            proxy,
            _world: world,
        }
    }

    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("it runs")
    }

    /// From now on no agent runs.
    pub fn kill_agent(&mut self) {
        let killed = self.agent.take().map(Agent::kill);
        killed.expect("it ran").expect("it ends");
    }

    /// Another agent follows.
    pub fn start_agent(&mut self, arguments: &[&str]) {
        self.agent = Some(start_with(&self.inventory, arguments));
    }

    /// Destination `n` listens.
    pub fn serve(&self, n: usize, behaviour: Behaviour) -> Server {
        let who = &self.destinations[n];
        who.run(|| Server::start(destination(n), behaviour))
            .expect("it listens")
    }
}

/// The labels of a path of the proxy.
pub fn path(caller: usize, destination: usize) -> [(&'static str, &'static str); 3] {
    [
        ("point", "shop/waypoint"),
        ("source_workload", CALLERS[caller]),
        ("destination_workload", DESTINATIONS[destination]),
    ]
}

/// What a metric of paths says, by pair: in all, and the certain part.
pub fn found(metrics: &Metrics, name: &str) -> (Matrix, Matrix) {
    let read = |more: &[(&str, &str)]| {
        let mut matrix = Matrix::default();
        for (caller, row) in matrix.iter_mut().enumerate() {
            for (destination, cell) in row.iter_mut().enumerate() {
                let labels = [&path(caller, destination), more].concat();
                *cell = metrics.sum(name, &labels) as u64;
            }
        }
        matrix
    };
    (read(&[]), read(&[("certainty", "certain")]))
}

/// All that a metric of paths says, whoever called.
pub fn sum(metrics: &Metrics, name: &str) -> u64 {
    metrics.sum(name, &[("point", "shop/waypoint")]) as u64
}

/// The sum over all pairs.
pub fn total(matrix: &Matrix) -> u64 {
    matrix.iter().flatten().sum()
}

/// How many were counted for another pair than their own.
pub fn wrong(found: &Matrix, expected: &Matrix) -> u64 {
    let cells = found.iter().flatten().zip(expected.iter().flatten());
    cells.map(|(found, expected)| found.saturating_sub(*expected)).sum()
}

/// The callers of the records of a point's refused connections, with their number; `more` of the question.
pub fn recorded(agent: &Agent, point: &str, more: &str) -> BTreeMap<String, usize> {
    let answer = agent.get_json(&format!("/api/v1/failures?point={point}&reason=refused{more}"));
    let records: Vec<Failure> = serde_json::from_value(answer["failures"].clone()).expect("failures");
    let mut callers = BTreeMap::new();
    for record in records {
        let caller = match record.caller {
            Some(End::Workload(caller)) => caller,
            None => continue,
            other => panic!("{other:?}"),
        };
        *callers.entry(caller.name).or_default() += 1;
    }
    callers
}

/// All paths, for messages.
pub fn listing(metrics: &Metrics) -> String {
    let mut text = metrics.listing("narrows_path");
    let _infallible = write!(text, "{}", metrics.listing("narrows_lost_total"));
    text
}
