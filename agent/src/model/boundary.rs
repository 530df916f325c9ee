//! Where policy is enforced, and which connections bypass a point.
//!
//! A connection counts where a workload of this node accepts it: on its last leg, whose other end is a point or is not. Where a
//! sidecar intercepts connections for its workload, it counts at the sidecar, which still sees the caller.

use super::{
    bounded::{Bounded, Tally},
    called::CalledPoint,
    exclusions::{Excluded, Exclusions},
    hbone::Hbone,
    pair::{Pair, PairEnd},
};
use crate::{
    identity::{Binding, Endpoint, Neighbourhood},
    points::{Kind, Mesh, Point},
};
use agent_common::{Flow, FlowKey, Role};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a removed network namespace is remembered: its last connections may be read only later.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Cgroups of points that are remembered.
const CARRIERS: usize = 10_000;

/// Caller and called, and the point that was expected between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bypass {
    /// The point that was expected.
    pub point: CalledPoint,
    /// The ends of the connection that bypassed it.
    pub pair: Pair,
}

/// Connections by the kind of point that carried them; the last element counts those that no point carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKind(pub [u64; Kind::ALL.len() + 1]);

impl ByKind {
    fn one(kind: Option<Kind>, n: u64) -> Self {
        let mut by = Self::default();
        by.0[kind.map_or(Kind::ALL.len(), |kind| kind as usize)] = n;
        by
    }

    /// The kinds with connections, each with the value of its label.
    pub fn labelled(self) -> impl Iterator<Item = (&'static str, u64)> {
        let labels = Kind::ALL.into_iter().map(Kind::label).chain(["none"]);
        labels.zip(self.0).filter(|(_, n)| *n > 0)
    }
}

impl Tally for ByKind {
    fn add(&mut self, other: &Self) {
        for (total, new) in self.0.iter_mut().zip(other.0) {
            *total += new;
        }
    }

    fn uses(&self) -> (i64, u64) {
        (0, self.0.iter().sum())
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn of_open(_open: i64) -> Self {
        Self::default()
    }
}

/// A number of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections(pub u64);

impl Tally for Connections {
    fn add(&mut self, other: &Self) {
        self.0 += other.0;
    }

    fn uses(&self) -> (i64, u64) {
        (0, self.0)
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn of_open(_open: i64) -> Self {
        Self::default()
    }
}

/// How a workload takes part in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A proxy of its own serves it.
    Sidecar,
    /// The node's proxy (ztunnel) serves it.
    Ambient,
    /// The node's proxy serves it, and a waypoint is expected before it.
    AmbientWaypoint,
    /// No proxy serves it.
    None,
    /// Its pods on this node differ, or one has both.
    Mixed,
}

impl Mode {
    /// The value of the `mode` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Ambient => "ambient",
            Self::AmbientWaypoint => "ambient_waypoint",
            Self::None => "none",
            Self::Mixed => "mixed",
        }
    }
}

/// What is known about one network namespace.
#[derive(Debug)]
struct Around {
    who: Neighbourhood,
    /// Proxies that listen in it.
    sidecar: Option<Arc<Point>>,
    ambient: bool,
    seen: Instant,
}

impl Around {
    fn mode(&self) -> Mode {
        match (&self.sidecar, self.ambient) {
            (Some(_), true) => Mode::Mixed,
            (Some(_), false) => Mode::Sidecar,
            (None, true) if self.who.waypoints.is_empty() => Mode::Ambient,
            (None, true) => Mode::AmbientWaypoint,
            (None, false) => Mode::None,
        }
    }
}

/// Sums so far, and the state of the network namespaces.
#[derive(Debug)]
pub struct Boundary {
    /// Connections that workloads of this node accepted.
    pub enforced: Bounded<Pair, ByKind>,
    /// Connections that bypassed an expected point.
    pub bypassed: Bounded<Bypass, Connections>,
    /// Connections that get no answer at the port of HBONE.
    pub hbone: Hbone,
    exclusions: Exclusions,
    excluded: Excluded,
    around: HashMap<u32, Around>,
    carriers: HashMap<u64, Kind>,
    egress: Option<Arc<Point>>,
    looked: Instant,
}

impl Boundary {
    /// Nothing counted yet; at most `most` pairs of each kind are tracked in detail, and bypasses that are excluded are only counted.
    pub fn new(most: usize, exclusions: Exclusions) -> Self {
        Self {
            enforced: Bounded::new(most),
            bypassed: Bounded::new(most),
            hbone: Hbone::new(most),
            exclusions,
            excluded: Excluded::default(),
            around: HashMap::new(),
            carriers: HashMap::new(),
            egress: None,
            looked: Instant::now(),
        }
    }

    /// Starts a new pass: sets the network namespaces of this node's workloads, and the zone's egress.
    pub fn look(&mut self, places: Vec<(u32, Neighbourhood)>, egress: Option<Arc<Point>>, now: Instant) {
        self.looked = now;
        self.egress = egress;
        for (netns, who) in places {
            let around = Around {
                who,
                sidecar: None,
                ambient: false,
                seen: now,
            };
            self.around.insert(netns, around);
        }
        self.around
            .retain(|_, around| now.saturating_duration_since(around.seen) < REMEMBERED);
    }

    /// Records that a point listens in a network namespace.
    pub fn listens(&mut self, netns: u32, point: &Arc<Point>) {
        if let Some(around) = self.around.get_mut(&netns) {
            match point.kind {
                Kind::Sidecar => around.sidecar = Some(point.clone()),
                Kind::Ztunnel => around.ambient = true,
                _ => {}
            }
        }
    }

    /// Sets the cgroups of this node's points.
    pub fn carriers<'a>(&mut self, points: impl Iterator<Item = (u64, &'a Arc<Point>)>) {
        if self.carriers.len() > CARRIERS {
            self.carriers.clear();
        }
        self.carriers.extend(points.map(|(cgroup, point)| (cgroup, point.kind)));
    }

    /// Adds the change of a flow's counters.
    pub fn add(&mut self, key: &FlowKey, role: Role, delta: &Flow, binding: &Binding, now: Instant, step: u32) {
        self.hbone.add(key, role, delta, binding, now, step);
        if delta.opened == 0 {
            return;
        }
        match role {
            Role::Server => self.accepted(key, delta, binding, now, step),
            Role::Client => self.left(key, delta, binding, now, step),
            Role::Listener => {}
        }
    }

    /// Counts connections that a workload, or a proxy in its network namespace, accepted.
    fn accepted(&mut self, key: &FlowKey, delta: &Flow, binding: &Binding, now: Instant, step: u32) {
        let Some(who) = binding.workload() else { return };
        let Some(source) = PairEnd::of(&binding.peer) else {
            return;
        };
        let is_own = matches!(&source, PairEnd::Workload(peer) if peer == who);
        let pair = Pair {
            source,
            destination: PairEnd::Workload(who.clone()),
        };
        // Of these, the connections that no point handed over inside the namespace.
        let from_outside = match binding.point() {
            None => self.reached(&pair, is_own, delta, &binding.peer, now, step),
            Some(point) if point.kind == Kind::Sidecar && !is_own => {
                let kind = ByKind::one(Some(Kind::Sidecar), delta.opened);
                self.enforced.add(Some(&pair), &kind, now, step);
                return;
            }
            Some(point) if point.kind == Kind::Ztunnel => delta.opened,
            Some(_) => return,
        };
        if is_own || from_outside == 0 {
            return;
        }
        if let Some(expected) = self.expected(key.netns, &pair.source, binding) {
            self.bypass(key, expected, pair, from_outside, now, step);
        }
    }

    /// Counts connections that a workload accepted itself. Returns how many of them no point handed over inside the namespace.
    fn reached(&mut self, pair: &Pair, is_own: bool, delta: &Flow, peer: &Endpoint, now: Instant, step: u32) -> u64 {
        let carrier = self.carriers.get(&delta.carrier).copied().filter(|_| delta.carried > 0);
        let carried = if carrier.is_some() {
            delta.carried.min(delta.opened)
        } else {
            0
        };
        let from_outside = delta.opened - carried;
        let peer = match peer {
            Endpoint::Point(point) => Some(point.kind),
            _ => None,
        };
        // What a sidecar hands over was counted when the sidecar accepted it; what the workload itself opened and no proxy carried
        // never left it.
        let handed_over = if carrier == Some(Kind::Sidecar) { 0 } else { carried };
        let direct = if is_own { 0 } else { from_outside };
        for (kind, n) in [(peer.or(carrier), handed_over), (peer, direct)] {
            if n > 0 {
                self.enforced.add(Some(pair), &ByKind::one(kind, n), now, step);
            }
        }
        from_outside
    }

    /// The point that should have carried connections into a network namespace that came from `source` without it.
    fn expected(&self, netns: u32, source: &PairEnd, binding: &Binding) -> Option<CalledPoint> {
        let around = self.around.get(&netns)?;
        let passed = |name: &String| matches!(source, PairEnd::Point(source) if source == name);
        match (&around.sidecar, around.who.waypoints.first()) {
            // Its sidecar hands over from inside the namespace.
            (Some(sidecar), _) if binding.point().is_none() => Some(CalledPoint::from(&**sidecar)),
            (None, Some(first)) if !around.who.waypoints.iter().any(passed) => Some(CalledPoint {
                name: first.clone(),
                kind: Kind::Waypoint,
                mesh: Mesh::Istio,
            }),
            _ => None,
        }
    }

    /// Counts connections that a proxy opened on behalf of a workload.
    fn left(&mut self, key: &FlowKey, delta: &Flow, binding: &Binding, now: Instant, step: u32) {
        let (Some(point), Some(who)) = (binding.point(), &binding.place) else {
            return;
        };
        // To the outside, or to another zone.
        let leaves = match &binding.peer {
            Endpoint::Network(_) | Endpoint::External => true,
            Endpoint::Point(called) => called.kind == Kind::ZoneIngress,
            _ => false,
        };
        if point.mesh == Mesh::Kuma
            && point.kind == Kind::Sidecar
            && leaves
            && let Some(egress) = &self.egress
            && let Some(destination) = PairEnd::of(&binding.peer)
        {
            let expected = CalledPoint::from(&**egress);
            let pair = Pair {
                source: PairEnd::Workload(who.clone()),
                destination,
            };
            self.bypass(key, expected, pair, delta.opened, now, step);
        }
    }

    fn bypass(&mut self, key: &FlowKey, point: CalledPoint, pair: Pair, n: u64, now: Instant, step: u32) {
        if let Some(cause) = self.exclusions.cause(&pair.source, key.port) {
            self.excluded.add(cause, n);
            return;
        }
        let bypass = Bypass { point, pair };
        self.bypassed.add(Some(&bypass), &Connections(n), now, step);
    }

    /// Forgets old pairs, and reassigns the detailed places: see [`Bounded::expire`].
    pub fn expire(&mut self, window: Duration, now: Instant, step: u32) {
        self.enforced.expire(window, now, step);
        self.bypassed.expire(window, now, step);
        self.hbone.expire(window, now, step);
    }

    /// Connections that bypassed an expected point and are excluded from the bypasses.
    pub const fn excluded(&self) -> Excluded {
        self.excluded
    }

    /// Number of pairs that were rejected even from the sums since the last call.
    pub fn take_rejected(&mut self) -> u64 {
        self.enforced.take_rejected() + self.bypassed.take_rejected() + self.hbone.take_rejected()
    }

    /// How each workload with a network namespace on this node takes part in its mesh.
    pub fn modes(&self) -> BTreeMap<(String, String), Mode> {
        let mut modes = BTreeMap::new();
        for around in self.around.values().filter(|around| around.seen == self.looked) {
            let workload = &around.who.workload;
            let mode = around.mode();
            modes
                .entry((workload.namespace.clone(), workload.name.clone()))
                .and_modify(|known| {
                    if *known != mode {
                        *known = Mode::Mixed;
                    }
                })
                .or_insert(mode);
        }
        modes
    }
}

#[cfg(test)]
mod tests;
