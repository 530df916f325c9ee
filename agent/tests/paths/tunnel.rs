//! A ztunnel's namespaces say for whom it opens connections, and the addresses of its deliveries from whom.

use super::{
    common::{
        World,
        delivery::{connect_as, lead_back},
        inventory, start, v4,
    },
    shop::{CALLERS, DESTINATIONS, Matrix, recorded},
};
use narrows_testbed::{
    agent::Agent,
    cgroup::Cgroup,
    load::{Behaviour, Plan, Server},
    netns::Netns,
    scrape::Metrics,
    workload::Workload,
    ztunnel::{Config, Ztunnel},
};
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

const CONNECTIONS: Matrix = [[9, 4, 7], [1, 16, 0], [5, 0, 11], [2, 3, 13]];

/// The destination where nobody listens.
const CLOSED: usize = 1;

struct Ambient {
    agent: Agent,
    callers: Vec<Workload>,
    destinations: Vec<Workload>,
    ztunnel: Cgroup,
    _world: World,
}

impl Ambient {
    fn new() -> Self {
        let world = World::new();
        let people = |names: &[&str], first: u8| -> Vec<Workload> {
            let all = (first..).zip(names);
            all.map(|(address, name)| world.workload(name, address)).collect()
        };
        let (callers, destinations) = (people(&CALLERS, 11), people(&DESTINATIONS, 21));
        let ztunnel = Cgroup::new(&format!("{}/ztunnel", world.top)).expect("a cgroup");
        let workloads: Vec<_> = callers.iter().chain(&destinations).collect();
        let mut text = inventory(&workloads, &[]);
        write!(
            text,
            "points:\n  - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: {} }}\n",
            ztunnel.path()
        )
        .expect("written");
        let agent = start(&text);
        agent.settle();
        Self {
            agent,
            callers,
            destinations,
            ztunnel,
            _world: world,
        }
    }

    /// All destinations but [`CLOSED`] listen.
    fn serve(&self) -> Vec<Server> {
        let all = self.destinations.iter().enumerate().filter(|(n, _)| *n != CLOSED);
        all.map(|(n, who)| {
            who.run(|| Server::start(address(n), Behaviour::default()))
                .expect("it listens")
        })
        .collect()
    }

    /// Everything is certain: the connections of those that listen, and the refusals of the one that does not.
    fn expect_all(&self) {
        let of = |caller: usize, destination: usize, metrics: &Metrics, name: &str| {
            let labels = [
                ("point", "istio-system/ztunnel"),
                ("source_workload", CALLERS[caller]),
                ("destination_workload", DESTINATIONS[destination]),
                ("certainty", "certain"),
            ];
            metrics.sum(name, &labels) as u64
        };
        let connections = CONNECTIONS.map(|row| [row[0], 0, row[2]]);
        let failures = CONNECTIONS.map(|row| [0, row[CLOSED], 0]);
        let total = |matrix: &Matrix| matrix.iter().flatten().sum::<u64>() as f64;
        let metrics = self.agent.wait_for("all paths", |m| {
            m.sum("narrows_path_connections_total", &[]) >= total(&connections)
                && m.sum("narrows_path_failures_total", &[]) >= total(&failures)
        });
        for (name, expected) in [
            ("narrows_path_connections_total", connections),
            ("narrows_path_failures_total", failures),
        ] {
            let mut found = Matrix::default();
            for (caller, row) in found.iter_mut().enumerate() {
                for (destination, cell) in row.iter_mut().enumerate() {
                    *cell = of(caller, destination, &metrics, name);
                }
            }
            assert_eq!(found, expected, "{name}\n{}", metrics.listing("narrows_path"));
            assert_eq!(metrics.sum(name, &[]), total(&expected));
        }
        // Failures are recorded up to a limit a second, each for the caller that it hurts.
        let records = recorded(&self.agent, "istio-system/ztunnel", "");
        assert!(!records.is_empty());
        for (name, n) in records {
            let caller = CALLERS.iter().position(|caller| name == format!("shop/{caller}"));
            let failed = failures[caller.expect("one of the callers")][CLOSED];
            assert!(n as u64 <= failed, "{n} of {name}, of which {failed} were refused");
        }
    }
}

fn address(destination: usize) -> SocketAddr {
    v4(21 + u8::try_from(destination).expect("small"), 8080)
}

#[test]
fn its_callers_are_those_whose_namespaces_it_calls_from() {
    let mesh = Ambient::new();
    let _servers = mesh.serve();
    let namespaces: Vec<&Netns> = mesh.callers.iter().map(|who| &who.netns).collect();
    let config = Config {
        netns: namespaces.iter().map(|netns| netns.path().to_owned()).collect(),
        waypoint: None,
        raw: false,
    };
    let _ztunnel = Ztunnel::start_with(&mesh.ztunnel, &namespaces, &config).expect("a ztunnel");
    for (caller, row) in mesh.callers.iter().zip(CONNECTIONS) {
        for (destination, times) in row.into_iter().enumerate() {
            if times > 0 {
                let tally = caller.run(|| Plan::burst(address(destination), times).run());
                let ok = if destination == CLOSED { 0 } else { times };
                assert_eq!((tally.attempts, tally.ok), (times, ok));
            }
        }
    }
    mesh.expect_all();
}

#[test]
fn its_deliveries_are_for_those_from_whose_addresses_they_come() {
    let mesh = Ambient::new();
    let _servers = mesh.serve();
    for who in &mesh.destinations {
        lead_back(&who.netns);
    }
    for (caller, row) in mesh.callers.iter().zip(CONNECTIONS) {
        let Some(IpAddr::V4(from)) = caller.addresses.iter().find(|address| address.is_ipv4()) else {
            panic!("{:?}", caller.addresses)
        };
        for (destination, times) in row.into_iter().enumerate() {
            let (who, to) = (&mesh.destinations[destination], address(destination));
            for _ in 0..times {
                let delivered = mesh.ztunnel.enter(|| who.netns.run(|| connect_as(*from, to)));
                assert_eq!(delivered.is_ok(), destination != CLOSED, "{delivered:?}");
            }
        }
    }
    mesh.expect_all();
}
