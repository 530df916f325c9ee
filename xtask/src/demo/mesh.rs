//! The mesh of the demo: its members, and their calls.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use narrows_testbed::actor::Actor;
use narrows_testbed::cgroup::Cgroup;
use narrows_testbed::envoy::{Envoy, Listener, Route};
use narrows_testbed::limits::Limits;
use narrows_testbed::load::{Behaviour, ClientTally, Plan, ServerTally};
use narrows_testbed::netns::{Fabric, Netns};
use narrows_testbed::workload::Workload;
use narrows_testbed::ztunnel::{Ztunnel, ZtunnelTally, exempt};

/// The parent of all cgroups of the demo.
pub(super) const TOP: &str = "narrows-demo";

/// A workload or point with an address in the mesh.
pub(super) struct Member {
    /// Its name, which is also that of its network namespace, cgroup and service account.
    pub(super) name: &'static str,
    /// Its Kubernetes namespace.
    pub(super) namespace: &'static str,
    /// The last part of its addresses.
    pub(super) number: u8,
}

impl Member {
    /// Its IPv4 address on the fabric.
    pub(super) fn ip(&self) -> IpAddr {
        Ipv4Addr::new(10, 90, 0, self.number).into()
    }

    /// Its IPv6 address, as text.
    pub(super) fn ip6(&self) -> String {
        format!("fd00:90::{}", self.number)
    }
}

/// The calling workloads.
pub(super) const CLIENTS: [Member; 4] = [
    Member {
        name: "checkout",
        namespace: "shop",
        number: 11,
    },
    Member {
        name: "cart",
        namespace: "shop",
        number: 12,
    },
    Member {
        name: "search",
        namespace: "shop",
        number: 13,
    },
    Member {
        name: "payments",
        namespace: "billing",
        number: 14,
    },
];

/// The called workloads.
pub(super) const SERVERS: [Member; 2] = [
    Member {
        name: "catalog",
        namespace: "shop",
        number: 21,
    },
    Member {
        name: "orders",
        namespace: "shop",
        number: 22,
    },
];

/// The waypoint between them.
pub(super) const WAYPOINT: Member = Member {
    name: "waypoint",
    namespace: "shop",
    number: 2,
};

/// The waypoint, as the agent names it.
pub(super) const WAYPOINT_NAME: &str = "shop/waypoint";

/// Its port for tunnelled connections.
const TUNNEL_PORT: u16 = 15008;

/// A port of the waypoint without a listener, which is exempt from capture by the ztunnel: connections to it are refused.
const CLOSED_PORT: u16 = 15099;

/// The port on which servers listen.
const SERVICE_PORT: u16 = 8080;

/// Caller, target, connections per second, and how long a connection is kept, in milliseconds.
const CALLS: [(&str, &str, f64, u64); 6] = [
    ("checkout", "catalog", 12.0, 50),
    ("checkout", "orders", 6.0, 200),
    ("cart", "catalog", 9.0, 20),
    ("search", "catalog", 20.0, 10),
    ("payments", "orders", 5.0, 400),
    ("payments", "closed port", 1.0, 0),
];

/// The tallies of all members.
pub(super) struct Tallies {
    /// The sum of all clients. Only the waypoint's closed port refuses connections: all others are accepted by the ztunnel first.
    pub(super) clients: ClientTally,
    /// The tally of the ztunnel.
    pub(super) ztunnel: ZtunnelTally,
    /// The sum of both servers.
    pub(super) servers: ServerTally,
    /// Whether the waypoint was still running at the end.
    pub(super) waypoint_lives: bool,
}

/// The running mesh. Fields are declared before those that they depend on, so that they are dropped first.
pub(super) struct Mesh {
    clients: Vec<(&'static str, Actor<ClientTally>)>,
    /// The additional clients of billing/payments.
    neighbour: Vec<Actor<ClientTally>>,
    /// The sum of the clients that have ended.
    done: ClientTally,
    ztunnel: Ztunnel,
    envoy: Option<Envoy>,
    limits: Option<Limits>,
    servers: Vec<Actor<ServerTally>>,
    workloads: Vec<(&'static str, Workload)>,
    _ztunnel_cgroup: Cgroup,
    _fabric: Fabric,
}

impl Mesh {
    /// Creates everything but the load.
    pub(super) fn build() -> Result<Self> {
        let fabric = Fabric::new("fabric")?;
        let mut workloads = Vec::new();
        for member in CLIENTS.iter().chain(&SERVERS).chain([&WAYPOINT]) {
            let addresses = [format!("{}/24", member.ip()), format!("{}/64", member.ip6())];
            let addresses = addresses.each_ref().map(String::as_str);
            workloads.push((member.name, Workload::new(&fabric, TOP, member.name, &addresses)?));
        }
        let mut servers = Vec::new();
        for member in &SERVERS {
            let reset_every = (member.name == "orders").then_some(25);
            let behaviour = Behaviour {
                reset_every,
                delay_ms: 2,
            };
            servers.push(Actor::server(of(&workloads, member.name)?, service(member), behaviour)?);
        }
        let tunnel = SocketAddr::new(WAYPOINT.ip(), TUNNEL_PORT);
        let listener = Listener {
            address: tunnel,
            route: Route::AsAsked,
        };
        let envoy = Envoy::start(of(&workloads, WAYPOINT.name)?, &[listener], 2)?;
        let ztunnel_cgroup = Cgroup::new(&format!("{TOP}/ztunnel"))?;
        let pods = CLIENTS.iter().map(|member| Ok(&of(&workloads, member.name)?.netns));
        let pods = pods.collect::<Result<Vec<&Netns>>>()?;
        let ztunnel = Ztunnel::start(&ztunnel_cgroup, &pods, tunnel)?;
        for pod in pods {
            exempt(pod, CLOSED_PORT)?;
        }
        Ok(Self {
            clients: Vec::new(),
            neighbour: Vec::new(),
            done: ClientTally::default(),
            ztunnel,
            envoy: Some(envoy),
            limits: None,
            servers,
            workloads,
            _ztunnel_cgroup: ztunnel_cgroup,
            _fabric: fabric,
        })
    }

    /// Starts the clients.
    pub(super) fn start_load(&mut self) -> Result<()> {
        for (caller, called, rate, hold_ms) in CALLS {
            let server = SERVERS.iter().find(|member| member.name == called);
            let target = server.map_or(SocketAddr::new(WAYPOINT.ip(), CLOSED_PORT), service);
            let plan = Plan {
                rate,
                hold_ms,
                count: None,
                workers: 8,
                ..Plan::burst(target, 0)
            };
            let client = Actor::client(of(&self.workloads, caller)?, &plan)?;
            self.clients.push((caller, client));
        }
        Ok(())
    }

    /// Stops the clients, and returns when the last connection of each has ended.
    pub(super) fn stop_load(&mut self) -> Result<()> {
        for (_, client) in self.clients.drain(..) {
            self.done += client.stop()?;
        }
        Ok(())
    }

    /// Limits the waypoint to a part of a CPU.
    pub(super) fn limit_waypoint(&mut self, processors: f64) -> Result<()> {
        let limits = Limits::new(&of(&self.workloads, WAYPOINT.name)?.cgroup, Some(processors), None)?;
        if let Some(envoy) = &self.envoy {
            limits.take_in(envoy.pid())?;
        }
        self.limits = Some(limits);
        Ok(())
    }

    /// Lets billing/payments open `rate` more connections per second.
    pub(super) fn add_neighbour(&mut self, rate: f64) -> Result<()> {
        let target = SERVERS
            .iter()
            .find(|member| member.name == "catalog")
            .context("no catalog")?;
        let plan = Plan {
            rate,
            count: None,
            // Enough workers, so that none has to wait for the answer of another one.
            workers: 64,
            ..Plan::burst(service(target), 0)
        };
        let neighbour = Actor::client(of(&self.workloads, "payments")?, &plan)?;
        self.neighbour.push(neighbour);
        Ok(())
    }

    /// Stops these clients at once, with all their connections.
    pub(super) fn stop_neighbour(&mut self) {
        self.neighbour.clear();
    }

    /// Failed requests of shop/cart and shop/search. Their targets do not fail by themselves.
    pub(super) fn others_failed(&mut self) -> Result<u64> {
        let mut failed = 0;
        for (caller, client) in &mut self.clients {
            if matches!(*caller, "cart" | "search") {
                let tally = client.tally()?;
                failed += tally.refused + tally.reset + tally.timed_out + tally.cut_short + tally.failed;
            }
        }
        Ok(failed)
    }

    /// Kills the waypoint (Envoy).
    pub(super) fn kill_waypoint(&mut self) -> Result<()> {
        self.envoy.take().map_or(Ok(()), Envoy::kill)
    }

    /// The tallies of all members; complete after the load has stopped.
    pub(super) fn tallies(&mut self) -> Result<Tallies> {
        let mut servers = ServerTally::default();
        for server in &mut self.servers {
            servers += server.tally()?;
        }
        Ok(Tallies {
            clients: self.done,
            ztunnel: self.ztunnel.tally()?,
            servers,
            waypoint_lives: self.envoy.is_some(),
        })
    }
}

fn service(member: &Member) -> SocketAddr {
    SocketAddr::new(member.ip(), SERVICE_PORT)
}

fn of<'a>(workloads: &'a [(&str, Workload)], name: &str) -> Result<&'a Workload> {
    let found = workloads.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, workload)| workload)
        .with_context(|| format!("no workload {name} in the mesh"))
}
