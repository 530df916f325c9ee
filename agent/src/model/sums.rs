//! The sums so far: per point, per caller, per dependent.

use super::{
    ages::OpenAges,
    attribution::{End, Found},
    boundary::Boundary,
    bounds::Bounds,
    called::{Called, CalledPoint},
    control_plane::{Link, Links, control_plane},
    drains::Drains,
    endpoints::{Share, handshake_failures},
    exclusions::Exclusions,
    known::{Held, Known},
    load::{self, AcceptQueue, PointLoad, Side},
    moment::Moment,
    paths::WaitingPaths,
    reach::{Reach, Window},
    recall::Recall,
    recent::Clock,
    ways::Ways,
};
use crate::{
    identity::{Binding, Endpoint, Identities, Neighbourhood, Queue, Workload},
    node::resources::Reading,
    points::Point,
    signals::Inside,
};
use agent_common::{Flow, FlowKey, ListenerSample, Role};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// The counters so far, by what they are attributed to, and the counts that still wait.
pub struct Model {
    pub(super) bounds: Bounds,
    pub(super) clock: Clock,
    pub(super) flows: HashMap<FlowKey, Known>,
    pub(super) recall: Option<Recall>,
    points: BTreeMap<Arc<Point>, PointLoad>,
    reach: HashMap<Arc<Point>, Reach>,
    pub(super) ages: OpenAges,
    pub(super) drains: Drains,
    pub(super) links: Links,
    pub(super) waiting_paths: WaitingPaths,
    pub(super) ways: Ways,
    boundary: Boundary,
    /// Workloads that are known by their traffic, with the time of the last.
    workloads: HashMap<Arc<Workload>, Instant>,
    rejected_endpoints: u64,
    rejected_pairs: u64,
    called: BTreeMap<CalledPoint, Called>,
    attributed: BTreeMap<(End, Found), u64>,
    local_names: HashSet<String>,
    rejected: HashSet<Arc<Point>>,
    pub(super) unseen: u64,
    pub(super) mended: u64,
    pub(super) deficits: Vec<FlowKey>,
    /// Counts of flows that are not attributed yet.
    pub(super) waiting: Queue<FlowKey, Held>,
    /// Flows among them with something that the observer must inspect in this tick.
    pub(super) deferred: Vec<FlowKey>,
    /// Flows with open connections that were counted as unknown.
    pub(super) unknown: HashSet<FlowKey>,
    pub(super) settled_generation: u64,
    pub(super) flushed_early: u64,
}

impl Model {
    /// A model without any counts; bypasses that are excluded do not count as such.
    pub fn new(bounds: Bounds, exclusions: Exclusions) -> Self {
        Self {
            bounds,
            clock: Clock::new(bounds.window),
            flows: HashMap::new(),
            recall: None,
            points: BTreeMap::new(),
            reach: HashMap::new(),
            ages: OpenAges::default(),
            drains: Drains::default(),
            links: Links::new(bounds.dependents),
            waiting_paths: WaitingPaths::default(),
            ways: Ways::default(),
            boundary: Boundary::new(bounds.pairs, exclusions),
            workloads: HashMap::new(),
            rejected_endpoints: 0,
            rejected_pairs: 0,
            called: BTreeMap::new(),
            attributed: BTreeMap::new(),
            local_names: HashSet::new(),
            rejected: HashSet::new(),
            unseen: 0,
            mended: 0,
            deficits: Vec::new(),
            waiting: Queue::new(bounds.waiting),
            deferred: Vec::new(),
            unknown: HashSet::new(),
            settled_generation: 0,
            flushed_early: 0,
        }
    }

    /// The side of a point that a flow with this role counts on.
    pub(super) fn side(&mut self, point: &Arc<Point>, role: u8) -> Option<&mut Side> {
        let load = self.load(point)?;
        match Role::from_u8(role)? {
            Role::Client => Some(&mut load.upstream),
            Role::Server => Some(&mut load.downstream),
            Role::Listener => None,
        }
    }

    /// Adds the change of a flow's counters to what is at its ends.
    pub(super) fn add(&mut self, key: &FlowKey, delta: &Flow, binding: &Binding, when: Moment) {
        let Some(role) = Role::from_u8(key.role) else { return };
        let at = when.at;
        self.attribute(delta, binding);
        let step = self.clock.step(at);
        self.ways.add(role, delta, binding, step);
        self.boundary.add(key, role, delta, binding, at, step);
        self.notice(delta, binding, at);
        if let Some((point, control_plane)) = control_plane(role, binding)
            && self.load(point).is_some()
        {
            self.links.add(point, control_plane, delta, when);
        }
        if let Some(point) = binding.point().cloned()
            && let Some(reach) = self.reach(&point)
        {
            reach.add(role, delta, binding, at, step);
        }
        if role == Role::Client
            && let Endpoint::Point(called) = &binding.peer
        {
            self.called.entry(CalledPoint::from(&**called)).or_default().add(delta);
            // The point's own sockets do not show these: calls that never became a connection.
            let who = binding.workload().cloned();
            let share = if self.local_names.contains(&called.name) {
                Share::of_failures(handshake_failures(delta))
            } else {
                Share::of(delta)
            };
            let called = called.clone();
            if share != Share::default()
                && let Some(reach) = self.reach(&called)
            {
                if who.is_none() {
                    reach.add_unnamed(&binding.owner, share.connections);
                }
                reach.dependents.add(who.as_ref(), &share, at, step);
            }
        }
    }

    /// Remembers the workloads at both ends.
    fn notice(&mut self, delta: &Flow, binding: &Binding, at: Instant) {
        if delta.opened + delta.adopted + load::failed_attempts(&delta.failures) == 0 {
            return;
        }
        for who in [binding.workload(), binding.peer.named()].into_iter().flatten() {
            match self.workloads.get_mut(who) {
                Some(last) => *last = at,
                None => {
                    self.workloads.insert(who.clone(), at);
                }
            }
        }
    }

    /// The reach of a point; bounded like the points.
    pub(super) fn reach(&mut self, point: &Arc<Point>) -> Option<&mut Reach> {
        self.load(point)?;
        self.reach.get_mut(point)
    }

    fn attribute(&mut self, delta: &Flow, binding: &Binding) {
        let n = delta.opened;
        if n == 0 {
            return;
        }
        let local = match (Found::from(&binding.owner), &binding.place) {
            (Found::Unknown, Some(_)) => Found::Workload,
            (found, _) => found,
        };
        let remote = Found::from(&binding.peer);
        *self.attributed.entry((End::Local, local)).or_default() += n;
        *self.attributed.entry((End::Remote, remote)).or_default() += n;
    }

    /// The load of a point; `None` when it is rejected.
    pub(super) fn load(&mut self, point: &Arc<Point>) -> Option<&mut PointLoad> {
        if !self.points.contains_key(point) {
            if self.points.len() >= self.bounds.points {
                // Bounded like the points themselves.
                if self.rejected.len() < self.bounds.points {
                    self.rejected.insert(point.clone());
                }
                return None;
            }
            self.points
                .insert(point.clone(), PointLoad::new(point.clone(), Instant::now()));
            self.reach.insert(point.clone(), Reach::new(self.bounds.dependents));
        }
        self.points.get_mut(point)
    }

    /// Sets the points that have a process on this node. To be called before the flows of a tick.
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

    /// Sets how many processes of each point run on this node; `running` has those with any.
    pub fn processes(&mut self, running: &HashMap<Arc<Point>, usize>) {
        for (point, load) in &mut self.points {
            load.processes = running.get(point).copied().unwrap_or(0);
        }
    }

    /// Starts a new pass: sets the network namespaces of this node's workloads, the zone's egress, and the cgroups of this node's
    /// points.
    pub fn look_around<'a>(
        &mut self,
        neighbourhoods: Vec<(u32, Neighbourhood)>,
        egress: Option<Arc<Point>>,
        points: impl Iterator<Item = (u64, &'a Arc<Point>)>,
        now: Instant,
    ) {
        self.boundary.look(neighbourhoods, egress, now);
        self.boundary.carriers(points);
    }

    /// Updates the listening sockets. To be called before the flows of a tick: what listens in a network namespace determines what
    /// is expected of connections into it.
    pub fn listeners(&mut self, samples: &[ListenerSample], identities: &dyn Identities, when: Moment) {
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
            let Some(point) = identities.bind(&key, when.span).point().cloned() else {
                continue;
            };
            self.boundary.listens(key.netns, &point);
            if let Some(load) = self.load(&point) {
                load.queues.entry(sample.port).or_default().add(sample);
                let ports = u64::from(sample.last_port.saturating_sub(sample.first_port));
                // The range includes both ends.
                load.inside.sockets.ports = if ports == 0 { 0 } else { ports + 1 };
            }
        }
    }

    /// Starts a new pass over the measurements from inside the points that run here.
    pub fn look_inside(&mut self) {
        for load in self.points.values_mut() {
            load.inside.begin();
        }
    }

    /// The measurements from inside a point that runs here; `None` when the point is rejected.
    pub fn inside(&mut self, point: &Arc<Point>) -> Option<&mut Inside> {
        self.load(point).map(|load| &mut load.inside)
    }

    /// Finds, for each point, the destination toward which it has the most open connections; `points` maps a cgroup to its point.
    pub fn count_ports<'a>(&mut self, points: impl Fn(u64) -> Option<&'a Arc<Point>>) {
        let clients = self.flows.iter().filter(|(key, _)| key.role == Role::Client as u8);
        let most: Vec<_> = clients
            .filter_map(|(key, known)| Some((points(key.cgroup)?, known.open())))
            .collect();
        for (point, open) in most {
            if let Some(inside) = self.inside(point) {
                inside.sockets.ports_used = inside.sockets.ports_used.max(open);
            }
        }
    }

    /// Adds readings of the points' resources.
    pub fn resources(&mut self, readings: &BTreeMap<Arc<Point>, Reading>) {
        for (point, load) in &mut self.points {
            match readings.get(point) {
                Some(reading) => load.resources.advance(reading),
                None => load.resources.rest(),
            }
        }
    }

    /// Whether connections are stuck in an accept queue of a point: the first in a queue has waited for longer than `patience`, or
    /// for an unknown time.
    pub fn accepts_are_stuck(&self, patience: Duration) -> bool {
        let queues = self.points.values().flat_map(|load| load.queues.values());
        queues.filter(|queue| queue.queued > 0).any(|queue| {
            queue
                .oldest_us
                .is_none_or(|oldest| u128::from(oldest) > patience.as_micros())
        })
    }

    /// Forgets what is older than the window: dependents, and points that are gone.
    pub fn expire(&mut self, now: Instant) {
        let (window, step) = (self.bounds.window, self.clock.step(now));
        let mut idle = HashSet::new();
        for (point, reach) in &mut self.reach {
            for endpoints in [&mut reach.dependents, &mut reach.served] {
                endpoints.expire(window, now, step);
                self.rejected_endpoints += endpoints.take_rejected();
            }
            reach.paths.expire(window, now, step);
            self.rejected_pairs += reach.paths.take_rejected();
            if reach.dependents.active(window, now).next().is_none() {
                idle.insert(point.clone());
            }
        }
        self.points
            .retain(|point, load| now.saturating_duration_since(load.seen) <= window || !idle.contains(point));
        self.reach.retain(|point, _| self.points.contains_key(point));
        self.links.expire(|point| self.points.contains_key(point), window, now);
        self.rejected_endpoints += self.links.take_rejected();
        self.ways.expire(step);
        self.boundary.expire(window, now, step);
        self.rejected_pairs += self.boundary.take_rejected();
        self.workloads
            .retain(|_, last| now.saturating_duration_since(*last) <= window);
        let points = &self.points;
        self.local_names
            .retain(|name| points.values().any(|load| load.local && load.point.name == *name));
    }

    /// The load of each point.
    pub fn points(&self) -> impl Iterator<Item = &PointLoad> {
        self.points.values()
    }

    /// The reach of a point.
    pub fn reach_of(&self, point: &Arc<Point>) -> Option<&Reach> {
        self.reach.get(point)
    }

    /// The links of a point to its control planes.
    pub fn links_of(&self, point: &Arc<Point>) -> &[Link] {
        self.links.of(point)
    }

    /// The reach of each point in the window.
    pub fn windows(&self, now: Instant) -> HashMap<Arc<Point>, Window> {
        let (window, step) = (self.bounds.window, self.clock.step(now));
        let local = |point: &Arc<Point>| self.points.get(point).is_some_and(|load| load.local);
        let here = self.reach.iter().filter(|(point, _)| local(point));
        let accepted = here.map(|(_, reach)| reach.accepted(step)).sum();
        let of = |point, reach: &Reach| reach.window(window, now, step, local(point).then_some(accepted));
        let points = self.reach.iter();
        points.map(|(point, reach)| (point.clone(), of(point, reach))).collect()
    }

    /// The share of a workload's connections in the window that pass a point: 1 when it has no other way out. `None` when it is not
    /// on this node, or had none.
    pub fn share(&self, who: &Arc<Workload>, point: &Point, now: Instant) -> Option<f64> {
        self.ways.share(who, &CalledPoint::from(point), self.clock.step(now))
    }

    /// Where policy is enforced.
    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// Workloads with traffic in the window, at either end of a connection.
    pub fn workloads(&self) -> usize {
        self.workloads.len()
    }

    /// How often a key was rejected even from the sums: of dependents and served workloads, and of pairs.
    pub fn rejected_endpoints(&self) -> (u64, u64) {
        (self.rejected_endpoints, self.rejected_pairs)
    }

    /// The callers' view on this node, by point.
    pub fn called(&self) -> &BTreeMap<CalledPoint, Called> {
        &self.called
    }

    /// Connections by what was found at each end.
    pub fn attributed(&self) -> &BTreeMap<(End, Found), u64> {
        &self.attributed
    }

    /// Number of known flows.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Flows that stand for those rejected from the flow table.
    pub fn overflow_flows(&self) -> usize {
        self.flows
            .keys()
            .filter(|key| key.peer == [0; 4] && key.role != Role::Listener as u8)
            .count()
    }

    /// Points that are not counted because of the limit.
    pub fn rejected_points(&self) -> u64 {
        self.rejected.len() as u64
    }

    /// Connections that ended without having been seen to begin.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    /// Connections that were still open when their flow left the kernel's table, which had none open: they are counted as ended.
    pub fn mended(&self) -> u64 {
        self.mended
    }

    /// Counts that wait for an identity, their limit, and the connections that could not wait because of it.
    pub fn waiting(&self) -> (usize, usize, u64) {
        (self.waiting.len(), self.waiting.limit(), self.flushed_early)
    }

    /// The limit of points with series.
    pub const fn points_limit(&self) -> usize {
        self.bounds.points
    }

    /// The window for dependents.
    pub fn window(&self) -> Duration {
        self.bounds.window
    }
}
