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
//!
//! In a cluster, who somebody is may become known late, and an address may have changed hands. So what a flow counted is held
//! back: a point's own load only until its cgroup is known, and what concerns the other end until both ends are known and news
//! about them would have come; at the longest for a bounded time, and then it counts as unknown.

mod delta;
mod dependents;
mod histogram;
mod load;

pub use dependents::{Counts, Share};
pub use histogram::Histogram;
pub use load::{AcceptQueue, Called, PointLoad, Side};

use crate::{
    identity::{Binding, Party, Resolver, Span, Workload},
    points::{Kind, Mesh, Point},
};
use agent_common::{Flow, FlowKey, ListenerSample, Reason, Role};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
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

impl From<&Party> for Found {
    fn from(party: &Party) -> Self {
        match party {
            Party::Workload(_) => Self::Workload,
            Party::Point(_) => Self::Point,
            Party::Node => Self::Node,
            Party::External => Self::External,
            Party::Unknown => Self::Unknown,
        }
    }
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
    /// How long a count waits for the identities of both ends.
    pub wait: Duration,
    /// How long news about an address may be late.
    pub settle: Duration,
    /// Counts that may wait at a time.
    pub waiting: usize,
}

/// The moment of a reading.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub at: Instant,
    /// The time since the reading before, in which everything that is read now happened.
    pub span: Span,
}

struct Known {
    last: Flow,
    /// Connections that ended and had never been seen to begin: they were open, but in no file table, at the start.
    unseen: u64,
    /// Connections that are open, by who they were counted under; the oldest first.
    open: VecDeque<Open>,
    /// What is not counted yet.
    held: Vec<Held>,
    /// It will not come again.
    gone: bool,
}

/// Open connections that were counted under the same ends.
struct Open {
    binding: Binding,
    connections: u64,
    /// When they began.
    span: Span,
}

/// What a flow has counted, and nobody knows yet for whom.
struct Held {
    delta: Flow,
    when: Moment,
    /// The point whose sockets they are has it already.
    point_has_it: bool,
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
    /// Flows with something held back, and how much there is of it altogether.
    waiting: HashSet<FlowKey>,
    /// Flows with open connections that were counted as somebody unknown's.
    unknown: HashSet<FlowKey>,
    held: usize,
    hurried: u64,
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
            waiting: HashSet::new(),
            unknown: HashSet::new(),
            held: 0,
            hurried: 0,
        }
    }

    /// Takes in a flow as it stands now; `gone` when it will not come again.
    pub fn flow(&mut self, key: &FlowKey, now: &Flow, gone: bool, resolver: &mut Resolver, when: Moment) {
        let mut known = self.flows.remove(key).unwrap_or_else(|| Known {
            last: Flow::ZERO,
            unseen: 0,
            open: VecDeque::new(),
            held: Vec::new(),
            gone,
        });
        known.gone = gone;
        self.move_open(key, &mut known, resolver, when.at);
        let delta = delta::advance(&mut known.last, now);
        let begun = known.last.opened + known.last.adopted + known.unseen;
        if known.last.closed > begun && Role::from_u8(key.role) != Some(Role::Listener) {
            self.deficits.push(*key);
        }
        self.submit(key, &mut known, delta, resolver, when);
        self.keep(*key, known);
    }

    /// Looks at the flows of this tick that ended more connections than they had begun. While every flow has had its place
    /// in the kernel's table (`detail`), these were open, but in no file table, at the start. Without, their beginning may
    /// have been counted under their owner alone.
    pub fn unseen_flows(&mut self, detail: bool, resolver: &mut Resolver, when: Moment) {
        for key in std::mem::take(&mut self.deficits) {
            let Some(mut known) = detail.then(|| self.flows.remove(&key)).flatten() else {
                continue;
            };
            let unseen = (known.last.closed).saturating_sub(known.last.opened + known.last.adopted + known.unseen);
            known.unseen += unseen;
            self.unseen += unseen;
            let adopted = Flow {
                adopted: unseen,
                ..Flow::ZERO
            };
            self.submit(&key, &mut known, adopted, resolver, when);
            self.keep(key, known);
        }
    }

    fn keep(&mut self, key: FlowKey, known: Known) {
        if known.open.iter().any(|open| open.binding.incomplete()) {
            self.unknown.insert(key);
        } else {
            self.unknown.remove(&key);
        }
        if known.held.is_empty() {
            self.waiting.remove(&key);
            if known.gone {
                self.unknown.remove(&key);
                return;
            }
        } else {
            self.waiting.insert(key);
        }
        self.flows.insert(key, known);
    }

    /// Counts what has waited long enough, or is known by now.
    pub fn settle(&mut self, resolver: &mut Resolver, at: Instant) {
        let unknown: Vec<_> = self.unknown.iter().copied().collect();
        for key in unknown {
            if let Some(mut known) = self.flows.remove(&key) {
                self.move_open(&key, &mut known, resolver, at);
                self.keep(key, known);
            }
        }
        let waiting: Vec<_> = self.waiting.iter().copied().collect();
        for key in waiting {
            let Some(mut known) = self.flows.remove(&key) else {
                self.waiting.remove(&key);
                continue;
            };
            let mut held = std::mem::take(&mut known.held);
            let before = held.len();
            held.retain_mut(|held| !self.count(&key, &mut known, held, resolver, at, false));
            self.held -= before - held.len();
            known.held = held;
            self.keep(key, known);
        }
    }

    /// Counts what a flow has counted, or holds it back.
    fn submit(&mut self, key: &FlowKey, known: &mut Known, delta: Flow, resolver: &mut Resolver, when: Moment) {
        if delta == Flow::ZERO {
            return;
        }
        let mut held = Held {
            delta,
            when,
            point_has_it: false,
        };
        if self.count(key, known, &mut held, resolver, when.at, false) {
            return;
        }
        if self.held >= self.bounds.waiting {
            self.hurried += delta.opened;
            self.count(key, known, &mut held, resolver, when.at, true);
            return;
        }
        self.held += 1;
        known.held.push(held);
    }

    /// Counts it if both ends are known for certain, if it has waited for long, or if it must not wait (`at_once`).
    fn count(
        &mut self,
        key: &FlowKey,
        known: &mut Known,
        held: &mut Held,
        resolver: &mut Resolver,
        at: Instant,
        at_once: bool,
    ) -> bool {
        let Some(role) = Role::from_u8(key.role) else {
            return true;
        };
        let binding = resolver.bind(key, held.when.span);
        if !held.point_has_it
            && let Some(point) = binding.point().cloned()
            && let Some(load) = self.load(&point)
        {
            held.point_has_it = true;
            match role {
                Role::Client => load.upstream.add(&held.delta),
                Role::Server => load.downstream.add(&held.delta),
                Role::Listener => load.queues.entry(key.port).or_default().drops += held.delta.drops,
            }
        }
        let waited = at.duration_since(held.when.at);
        let is_known = match role {
            Role::Listener => binding.knows_local(),
            _ => !binding.incomplete() && (binding.sure || waited >= self.bounds.settle),
        };
        if !is_known && waited < self.bounds.wait && !at_once {
            return false;
        }
        if role != Role::Listener {
            self.count_ends(key, known, &held.delta, &binding, Moment { at, ..held.when });
        }
        true
    }

    /// Counts for whoever is at both ends. Connections that end are taken off whom they were counted under when they began:
    /// the other end's address may have changed hands since. The oldest end first, which is approximate: those of a former
    /// holder cannot outlive it for long.
    fn count_ends(&mut self, key: &FlowKey, known: &mut Known, delta: &Flow, binding: &Binding, when: Moment) {
        let mut delta = *delta;
        let begun = delta.opened + delta.adopted;
        if begun > 0 {
            match known.open.back_mut() {
                Some(last) if last.binding.same_ends(binding) => {
                    last.connections += begun;
                    last.span.to = when.span.to;
                }
                _ => known.open.push_back(Open {
                    binding: binding.clone(),
                    connections: begun,
                    span: when.span,
                }),
            }
        }
        let mut closed = delta.closed;
        while closed > 0
            && let Some(earlier) = known.open.front_mut()
        {
            let ended = closed.min(earlier.connections);
            earlier.connections -= ended;
            closed -= ended;
            if !earlier.binding.same_ends(binding) {
                delta.closed -= ended;
                let earlier = earlier.binding.clone();
                let ended = Flow {
                    closed: ended,
                    ..Flow::ZERO
                };
                self.add(key, &ended, &earlier, when.at);
            }
            if known.open.front().is_some_and(|open| open.connections == 0) {
                known.open.pop_front();
            }
        }
        self.add(key, &delta, binding, when.at);
    }

    /// The identity of a flow's ends became known after it was counted: its open connections now count there.
    fn move_open(&mut self, key: &FlowKey, known: &mut Known, resolver: &mut Resolver, at: Instant) {
        let generation = resolver.generation();
        for open in &mut known.open {
            let binding = &open.binding;
            if !binding.incomplete() || binding.generation == generation {
                continue;
            }
            let better = resolver.bind(key, open.span);
            if !better.same_ends(binding) {
                let one = |closed, adopted| Flow {
                    closed,
                    adopted,
                    ..Flow::ZERO
                };
                self.add(key, &one(open.connections, 0), binding, at);
                self.add(key, &one(0, open.connections), &better, at);
                // For the point, the connections neither ended nor began.
                let n = i64::try_from(open.connections).unwrap_or(i64::MAX);
                for (who, change) in [(binding.point(), -n), (better.point(), n)] {
                    if let Some(side) = who.and_then(|point| self.side(point, key.role)) {
                        side.active += change;
                    }
                }
            }
            open.binding = better;
        }
    }

    fn side(&mut self, point: &Arc<Point>, role: u8) -> Option<&mut Side> {
        let load = self.load(point)?;
        match Role::from_u8(role)? {
            Role::Client => Some(&mut load.upstream),
            Role::Server => Some(&mut load.downstream),
            Role::Listener => None,
        }
    }

    fn add(&mut self, key: &FlowKey, delta: &Flow, binding: &Binding, at: Instant) {
        let Some(role) = Role::from_u8(key.role) else { return };
        self.attribute(delta, binding);
        if let Some(point) = binding.point().cloned()
            && let Some((who, share)) = own_share(role, delta, binding)
            && let Some(load) = self.load(&point)
        {
            load.dependents.add(who, &share, at);
        }
        if role == Role::Client
            && let Party::Point(called) = &binding.peer
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
        let local = match (Found::from(&binding.holder), &binding.place) {
            (Found::Unknown, Some(_)) => Found::Workload,
            (found, _) => found,
        };
        let remote = Found::from(&binding.peer);
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
    pub fn listeners(&mut self, samples: &[ListenerSample], resolver: &mut Resolver, span: Span) {
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
            if let Some(point) = resolver.bind(&key, span).point().cloned()
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

    /// Counts that wait for an identity, how many may, and the connections that could not wait because of that bound.
    pub fn waiting(&self) -> (usize, usize, u64) {
        (self.held, self.bounds.waiting, self.hurried)
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
        Party::Workload(workload) => Some(workload),
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
