//! Adds up what the flows count: per point, per caller, per dependent. Pure state, no I/O.
//!
//! Who is counted where:
//!
//! - a flow whose sockets a point holds is that point's load, on the side that its role says;
//! - an outgoing flow to an address of a point is what that point's callers see of it;
//! - a flow that a point accepted is its dependent's: the workload at the other end, or, for a proxy that listens inside
//!   the workload's network namespace, the workload of that namespace;
//! - a failed connection to a point is its caller's. The failures that the point's own sockets show are counted there;
//!   a handshake that came to nothing shows only at the caller, and is taken from there. No failure is counted twice.

mod delta;
mod dependents;
mod histogram;
mod load;

pub use dependents::{Counts, Share};
pub use histogram::Histogram;
pub use load::{AcceptQueue, Called, PointLoad, Side};

use crate::{
    identity::{Binding, Identity, Peer, Resolver, Workload},
    points::{Kind, Mesh, Point},
};
use agent_common::{Flow, FlowKey, ListenerSample, Reason, Role};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// A point as its callers know it: by name, not by instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalledPoint {
    /// `<namespace>/<name>`.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Whose it is.
    pub mesh: Mesh,
}

impl From<&Point> for CalledPoint {
    fn from(point: &Point) -> Self {
        Self {
            name: point.name.clone(),
            kind: point.kind,
            mesh: point.mesh,
        }
    }
}

/// Which end of a connection an identity was looked for at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The end on this node, whose socket was seen.
    Local,
    /// The other end.
    Remote,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Found {
    /// A workload.
    Workload,
    /// A point.
    Point,
    /// This node.
    Node,
    /// An address outside.
    External,
    /// Nothing.
    Unknown,
}

/// Bounds and windows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Dependents of a point in detail.
    pub dependents: usize,
    /// Points.
    pub points: usize,
    /// How long traffic makes a dependent.
    pub window: Duration,
}

struct Known {
    last: Flow,
    binding: Binding,
    /// Connections that ended and had never been seen to begin: they were open, but in no file table, at the start.
    unseen: u64,
}

/// The sums so far.
pub struct Model {
    bounds: Bounds,
    flows: HashMap<FlowKey, Known>,
    points: BTreeMap<Arc<Point>, PointLoad>,
    called: BTreeMap<CalledPoint, Called>,
    attributed: BTreeMap<(End, Found), u64>,
    local_names: HashSet<String>,
    turned_away: HashSet<Arc<Point>>,
    unseen: u64,
    deficits: Vec<FlowKey>,
}

impl Model {
    /// Nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            flows: HashMap::new(),
            points: BTreeMap::new(),
            called: BTreeMap::new(),
            attributed: BTreeMap::new(),
            local_names: HashSet::new(),
            turned_away: HashSet::new(),
            unseen: 0,
            deficits: Vec::new(),
        }
    }

    /// Takes in a flow as it stands now; `gone` when it will not come again.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow, gone: bool, resolver: &mut Resolver, at: Instant) {
        let mut known = self.flows.remove(key).unwrap_or_else(|| Known {
            last: Flow::ZERO,
            binding: resolver.bind(key),
            unseen: 0,
        });
        if known.binding.incomplete() && known.binding.generation != resolver.generation() {
            let better = resolver.bind(key);
            self.move_open(key, &known, &better, at);
            known.binding = better;
        }
        let delta = delta::advance(&mut known.last, now);
        let begun = known.last.opened + known.last.adopted + known.unseen;
        if known.last.closed > begun && Role::from_u8(key.role) != Some(Role::Listener) {
            self.deficits.push(*key);
        }
        self.add(key, &delta, &known.binding, at);
        if !gone {
            self.flows.insert(*key, known);
        }
    }

    /// Looks at the flows of this tick that ended more connections than they had begun. While every flow has had its place
    /// in the kernel's table (`detail`), these were open, but in no file table, at the start. Without, their beginning may
    /// have been counted under their owner alone.
    pub fn unseen_flows(&mut self, detail: bool, at: Instant) {
        for key in std::mem::take(&mut self.deficits) {
            let Some(known) = self.flows.get_mut(&key).filter(|_| detail) else {
                continue;
            };
            let unseen = (known.last.closed).saturating_sub(known.last.opened + known.last.adopted + known.unseen);
            known.unseen += unseen;
            self.unseen += unseen;
            let binding = known.binding.clone();
            let adopted = Flow {
                adopted: unseen,
                ..Flow::ZERO
            };
            self.add(&key, &adopted, &binding, at);
        }
    }

    /// The identity of a flow's ends became known: its open connections now count there.
    fn move_open(&mut self, key: &FlowKey, known: &Known, better: &Binding, at: Instant) {
        let open = known.last.open();
        if open > 0 {
            self.add(
                key,
                &Flow {
                    closed: open,
                    ..Flow::ZERO
                },
                &known.binding,
                at,
            );
            self.add(
                key,
                &Flow {
                    adopted: open,
                    ..Flow::ZERO
                },
                better,
                at,
            );
            // The connections did not end.
            if let Some(side) = known.binding.point().and_then(|point| self.side(point, key.role)) {
                side.closed -= open;
            }
        }
    }

    fn side(&mut self, point: &Arc<Point>, role: u8) -> Option<&mut Side> {
        let load = self.points.get_mut(point)?;
        match Role::from_u8(role)? {
            Role::Client => Some(&mut load.upstream),
            Role::Server => Some(&mut load.downstream),
            Role::Listener => None,
        }
    }

    fn add(&mut self, key: &FlowKey, delta: &Flow, binding: &Binding, at: Instant) {
        let Some(role) = Role::from_u8(key.role) else { return };
        if role == Role::Listener {
            if let Some(load) = binding.point().cloned().and_then(|point| self.load(&point)) {
                load.queues.entry(key.port).or_default().drops += delta.drops;
            }
            return;
        }
        self.attribute(delta, binding);
        if let Some(point) = binding.point().cloned()
            && let Some(load) = self.load(&point)
        {
            let side = if role == Role::Server {
                &mut load.downstream
            } else {
                &mut load.upstream
            };
            side.add(delta);
            if let Some((who, share)) = own_share(role, delta, binding) {
                load.dependents.add(who, &share, at);
            }
        }
        if role == Role::Client
            && let Peer::Point(called) = &binding.peer
        {
            self.called.entry(CalledPoint::from(&**called)).or_default().add(delta);
            // Its own sockets do not show these: the calls that never became a connection of its.
            let who = binding.workload().cloned();
            let share = if self.local_names.contains(&called.name) {
                Share {
                    failures: handshake_failures(delta),
                    ..Share::default()
                }
            } else {
                share(delta)
            };
            let called = called.clone();
            if share != Share::default()
                && let Some(load) = self.load(&called)
            {
                load.dependents.add(who.as_ref(), &share, at);
            }
        }
    }

    fn attribute(&mut self, delta: &Flow, binding: &Binding) {
        let n = delta.opened;
        if n == 0 {
            return;
        }
        let local = match (&binding.holder, &binding.place) {
            (Some(Identity::Point(_)), _) => Found::Point,
            (Some(Identity::Workload(_)), _) | (None, Some(_)) => Found::Workload,
            (None, None) => Found::Unknown,
        };
        let remote = match binding.peer {
            Peer::Workload(_) => Found::Workload,
            Peer::Point(_) => Found::Point,
            Peer::Node => Found::Node,
            Peer::External => Found::External,
            Peer::Unknown => Found::Unknown,
        };
        *self.attributed.entry((End::Local, local)).or_default() += n;
        *self.attributed.entry((End::Remote, remote)).or_default() += n;
    }

    fn load(&mut self, point: &Arc<Point>) -> Option<&mut PointLoad> {
        if !self.points.contains_key(point) {
            if self.points.len() >= self.bounds.points {
                // Bounded as the points themselves are.
                if self.turned_away.len() < self.bounds.points {
                    self.turned_away.insert(point.clone());
                }
                return None;
            }
            self.points.insert(
                point.clone(),
                PointLoad::new(point.clone(), self.bounds.dependents, Instant::now()),
            );
        }
        self.points.get_mut(point)
    }

    /// The points that have a process on this node. Called before the flows of a tick.
    pub fn local_points<'a>(&mut self, points: impl Iterator<Item = &'a Arc<Point>>, now: Instant) {
        for point in points {
            self.local_names.insert(point.name.clone());
            // A point without traffic is shown, too.
            if let Some(load) = self.load(point) {
                load.local = true;
                load.seen = now;
            }
        }
    }

    /// Takes in the listening sockets as they are now.
    pub fn listeners(&mut self, samples: &[ListenerSample], resolver: &mut Resolver) {
        for load in self.points.values_mut() {
            for queue in load.queues.values_mut() {
                *queue = AcceptQueue {
                    drops: queue.drops,
                    ..AcceptQueue::default()
                };
            }
        }
        for sample in samples {
            let key = FlowKey {
                cgroup: sample.cgroup,
                netns: sample.netns,
                ..FlowKey::default()
            };
            if let Some(point) = resolver.bind(&key).point().cloned()
                && let Some(load) = self.load(&point)
            {
                load.queues.entry(sample.port).or_default().add(sample);
            }
        }
    }

    /// Forgets what is older than the window: dependents, and points that are gone.
    pub fn expire(&mut self, now: Instant) {
        let window = self.bounds.window;
        for load in self.points.values_mut() {
            load.dependents.expire(window, now);
        }
        self.points
            .retain(|_, load| now - load.seen <= window || load.dependents.counts(window, now).workloads > 0);
        let points = &self.points;
        self.local_names
            .retain(|name| points.values().any(|load| load.local && load.point.name == *name));
    }

    /// Loads by point.
    pub fn points(&self) -> impl Iterator<Item = &PointLoad> {
        self.points.values()
    }

    /// What callers on this node see, by point.
    pub fn called(&self) -> &BTreeMap<CalledPoint, Called> {
        &self.called
    }

    /// Connections by what was found at each end.
    pub fn attributed(&self) -> &BTreeMap<(End, Found), u64> {
        &self.attributed
    }

    /// Flows known.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Flows among them that stand for what found no place in the flow table.
    pub fn overflow_flows(&self) -> usize {
        self.flows
            .keys()
            .filter(|key| key.peer == [0; 4] && key.role != Role::Listener as u8)
            .count()
    }

    /// Points that are not counted because of the bound.
    pub fn points_turned_away(&self) -> u64 {
        self.turned_away.len() as u64
    }

    /// Connections that ended and had never been seen to begin.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    /// The window for dependents.
    pub fn window(&self) -> Duration {
        self.bounds.window
    }
}

/// Everything a flow counts, as a share.
fn share(delta: &Flow) -> Share {
    Share {
        connections: delta.opened,
        bytes: delta.received + delta.sent,
        failures: delta.failures,
        active: load::change(delta),
    }
}

fn handshake_failures(delta: &Flow) -> [u64; agent_common::REASONS] {
    let mut failures = delta.failures;
    for reason in Reason::ALL {
        if reason.phase() == "established" {
            failures[reason as usize] = 0;
        }
    }
    failures
}

/// Whose share a flow of a point's own sockets is, and how much of it: `Some(None)` when it is nobody's known.
fn own_share<'a>(role: Role, delta: &Flow, binding: &'a Binding) -> Option<(Option<&'a Arc<Workload>>, Share)> {
    let peer = match &binding.peer {
        Peer::Workload(workload) => Some(workload),
        _ => None,
    };
    match role {
        // Accepted: whoever called.
        Role::Server => Some((peer, share(delta))),
        // Opened in a workload's namespace: in its name, unless it is a delivery to that workload itself. Its connections
        // were counted when they were accepted.
        Role::Client => {
            let place = binding.place.as_ref()?;
            if peer == Some(place) || delta.failures.iter().all(|n| *n == 0) {
                return None;
            }
            Some((
                Some(place),
                Share {
                    failures: delta.failures,
                    ..Share::default()
                },
            ))
        }
        Role::Listener => None,
    }
}
