//! The mesh of the demo: who is in it, and who calls whom.

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

/// The cgroup below which everything of the demo lives.
pub(super) const TOP: &str = "narrows-demo";

/// Someone with an address in the mesh.
pub(super) struct Member {
    /// Its name, also that of its namespace, cgroup and service account.
    pub(super) name: &'static str,
    /// The Kubernetes namespace that it plays in.
    pub(super) namespace: &'static str,
    /// The last number of its addresses.
    pub(super) number: u8,
}

impl Member {
    /// Its IPv4 address.
    pub(super) fn ip(&self) -> IpAddr {
        Ipv4Addr::new(10, 90, 0, self.number).into()
    }

    /// Its IPv6 address, as text.
    pub(super) fn ip6(&self) -> String {
        format!("fd00:90::{}", self.number)
    }
}

/// Those who call.
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

/// Those who answer.
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

/// The one through whom they do.
pub(super) const WAYPOINT: Member = Member {
    name: "waypoint",
    namespace: "shop",
    number: 2,
};

/// Its port for tunnelled connections.
const TUNNEL_PORT: u16 = 15008;

/// A port of the waypoint on which nobody listens, and which the ztunnel leaves alone: whoever calls it is refused.
const CLOSED_PORT: u16 = 15099;

/// Where servers listen.
const SERVICE_PORT: u16 = 8080;

/// Who calls whom, how often a second, and how many milliseconds a connection is kept.
const CALLS: [(&str, &str, f64, u64); 6] = [
    ("checkout", "catalog", 12.0, 50),
    ("checkout", "orders", 6.0, 200),
    ("cart", "catalog", 9.0, 20),
    ("search", "catalog", 20.0, 10),
    ("payments", "orders", 5.0, 400),
    ("payments", "closed port", 1.0, 0),
];

/// What everyone says of their own part.
pub(super) struct Tallies {
    /// All clients together. Only the waypoint's closed port refuses them: anything else the ztunnel accepts first.
    pub(super) clients: ClientTally,
    /// The ztunnel.
    pub(super) ztunnel: ZtunnelTally,
    /// Both servers together.
    pub(super) servers: ServerTally,
    /// Whether the waypoint lived to the end.
    pub(super) waypoint_lives: bool,
}

/// The running mesh. What depends on something is declared before it, and so dropped first.
pub(super) struct Mesh {
    clients: Vec<(&'static str, Actor<ClientTally>)>,
    /// What billing/payments opens beside that.
    neighbour: Vec<Actor<ClientTally>>,
    /// What clients did that have ended.
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
    /// Makes everything but the load.
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

    /// Lets the clients call.
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

    /// Ends the calls, and returns when the last connection of every client has ended.
    pub(super) fn stop_load(&mut self) -> Result<()> {
        for (_, client) in self.clients.drain(..) {
            self.done += client.stop()?;
        }
        Ok(())
    }

    /// Limits the waypoint to a part of a processor.
    pub(super) fn limit_waypoint(&mut self, processors: f64) -> Result<()> {
        let limits = Limits::new(&of(&self.workloads, WAYPOINT.name)?.cgroup, Some(processors), None)?;
        if let Some(envoy) = &self.envoy {
            limits.take_in(envoy.pid())?;
        }
        self.limits = Some(limits);
        Ok(())
    }

    /// Lets billing/payments open so many connections a second more.
    pub(super) fn add_neighbour(&mut self, rate: f64) -> Result<()> {
        let target = SERVERS
            .iter()
            .find(|member| member.name == "catalog")
            .context("no catalog")?;
        let plan = Plan {
            rate,
            count: None,
            // Enough that none has to wait for another one's answer.
            workers: 64,
            ..Plan::burst(service(target), 0)
        };
        let neighbour = Actor::client(of(&self.workloads, "payments")?, &plan)?;
        self.neighbour.push(neighbour);
        Ok(())
    }

    /// Ends that at once, whatever is under way.
    pub(super) fn stop_neighbour(&mut self) {
        self.neighbour.clear();
    }

    /// Requests of shop/cart and shop/search that came to nothing. What they call never fails by itself.
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

    /// Kills Envoy.
    pub(super) fn kill_waypoint(&mut self) -> Result<()> {
        self.envoy.take().map_or(Ok(()), Envoy::kill)
    }

    /// What everyone says of their own part; complete after the load has stopped.
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
