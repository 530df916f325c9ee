//! The links of points to their control planes, as their own sockets show them.

use super::{load, moment::Moment};
use crate::{
    clock::Millis,
    identity::{Binding, Duty, Endpoint, Workload},
    points::{Kind, Point},
};
use agent_common::{Flow, Reason, Role};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The connections of a point to one control plane.
#[derive(Clone, Debug)]
pub struct Link {
    /// The namespace of the control plane.
    pub namespace: String,
    /// Its name. It is its service's while it has no pods, so no more than these two identify it.
    pub name: String,
    /// Connections whose handshake completed.
    pub opened: u64,
    /// Failed connections by [`agent_common::Reason`].
    pub failures: [u64; Reason::COUNT],
    /// When it became what it is, connected or not: the reading that found it. Interruptions between two readings do not count.
    pub changed: Millis,
    /// The last reading that found bytes from the control plane; `None` before the first.
    pub received: Option<Millis>,
    is_connected: bool,
    /// Open connections that this agent has attributed.
    open: i64,
    /// Open connections as of the previous agent, until this one has attributed them.
    inherited: u64,
    /// The last reading that found connections that began or ended.
    moved: Millis,
    /// When anything about it was last counted.
    seen: Instant,
}

/// What the next agent is told of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct RememberedLink {
    /// The point, with its instance.
    pub point: Point,
    /// The namespace of the control plane.
    pub namespace: String,
    /// The name of the control plane.
    pub name: String,
    /// Open connections.
    pub connections: u64,
    /// When it became connected or disconnected.
    pub changed: Millis,
    /// The last reading that found bytes from the control plane.
    pub received: Option<Millis>,
}

impl Link {
    /// A link of which nothing is counted yet.
    pub fn new(who: &Workload, when: Moment) -> Self {
        Self {
            namespace: who.namespace.clone(),
            name: who.name.clone(),
            opened: 0,
            failures: [0; Reason::COUNT],
            changed: when.span.to,
            received: None,
            is_connected: false,
            open: 0,
            inherited: 0,
            moved: when.span.to,
            seen: when.at,
        }
    }

    fn recall(former: RememberedLink, when: Moment) -> (Arc<Point>, Self) {
        let link = Self {
            namespace: former.namespace,
            name: former.name,
            opened: 0,
            failures: [0; Reason::COUNT],
            changed: former.changed,
            received: former.received,
            is_connected: former.connections > 0,
            open: 0,
            inherited: former.connections,
            moved: when.span.from,
            seen: when.at,
        };
        (Arc::new(former.point), link)
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.open.max(0).cast_unsigned().max(self.inherited)
    }

    fn add(&mut self, delta: &Flow, when: Moment) {
        self.opened += delta.opened;
        self.open += load::change(delta);
        for (total, new) in self.failures.iter_mut().zip(delta.failures) {
            *total += new;
        }
        if delta.opened + delta.adopted + delta.closed > 0 {
            self.moved = self.moved.max(when.span.to);
        }
        if delta.adopted > 0 {
            self.inherited = 0;
        }
        if delta.received > 0 {
            self.received = self.received.max(Some(when.span.to));
        }
        self.seen = when.at;
    }
}

/// The links of all points that run here.
#[derive(Debug)]
pub struct Links {
    by_point: BTreeMap<Arc<Point>, Vec<Link>>,
    /// The most links of one point.
    most: usize,
    rejected: u64,
    /// Until then, connections that the previous agent knew may still be attributed again.
    recalled_until: Option<Instant>,
}

impl Links {
    /// No links yet; at most `most` of one point.
    pub const fn new(most: usize) -> Self {
        Self {
            by_point: BTreeMap::new(),
            most,
            rejected: 0,
            recalled_until: None,
        }
    }

    /// Resumes from what the previous agent knew; connections that are not attributed again within `patience` have ended.
    pub fn recall(&mut self, former: Vec<RememberedLink>, when: Moment, patience: Duration) {
        for (point, link) in former.into_iter().map(|former| Link::recall(former, when)) {
            self.by_point.entry(point).or_default().push(link);
        }
        self.recalled_until = Some(when.at + patience);
    }

    /// What the next agent is told.
    pub fn remember(&self) -> Vec<RememberedLink> {
        let all = self.by_point.iter();
        let all = all.flat_map(|(point, links)| links.iter().map(move |link| (point, link)));
        all.map(|(point, link)| RememberedLink {
            point: Point::clone(point),
            namespace: link.namespace.clone(),
            name: link.name.clone(),
            connections: link.connections(),
            changed: link.changed,
            received: link.received,
        })
        .collect()
    }

    /// Adds the change of the counters of a flow between a point and its control plane: see [`control_plane`].
    pub fn add(&mut self, point: &Arc<Point>, control_plane: &Workload, delta: &Flow, when: Moment) {
        let links = self.by_point.entry(point.clone()).or_default();
        let is_it = |link: &Link| link.name == control_plane.name && link.namespace == control_plane.namespace;
        let found = links.iter().position(is_it).unwrap_or(links.len());
        if found == links.len() {
            // Only connections and attempts make a link.
            if delta.opened + delta.adopted + load::failed_attempts(&delta.failures) == 0 {
                return;
            }
            if links.len() >= self.most {
                self.rejected += 1;
                return;
            }
            links.push(Link::new(control_plane, when));
        }
        links[found].add(delta, when);
    }

    /// To be called when all flows of a tick are counted: decides which links are connected. Before that, a connection may have
    /// been subtracted and the one that replaces it not yet been added.
    pub fn conclude(&mut self, now: Instant) {
        let is_over = self.recalled_until.is_some_and(|until| now >= until);
        for link in self.by_point.values_mut().flatten() {
            if is_over {
                link.inherited = 0;
            }
            let is_connected = link.connections() > 0;
            if is_connected != link.is_connected {
                link.is_connected = is_connected;
                link.changed = link.moved;
            }
        }
        if is_over {
            self.recalled_until = None;
        }
    }

    /// Forgets points that are gone, and control planes that a point has exchanged for another one. The last link of a point stays,
    /// so that a point without a control plane is seen as such.
    pub fn expire(&mut self, is_known: impl Fn(&Point) -> bool, window: Duration, now: Instant) {
        let is_recent = |link: &Link| now.saturating_duration_since(link.seen) <= window;
        self.by_point.retain(|point, links| {
            let has_one = links.iter().any(|link| link.is_connected);
            links.retain(|link| link.is_connected || !has_one || is_recent(link));
            is_known(point) || links.iter().any(is_recent)
        });
    }

    /// The links of a point.
    pub fn of(&self, point: &Arc<Point>) -> &[Link] {
        self.by_point.get(point).map_or(&[], Vec::as_slice)
    }

    /// How many counts were rejected since the last call, because their point had too many links.
    pub const fn take_rejected(&mut self) -> u64 {
        std::mem::replace(&mut self.rejected, 0)
    }
}

/// The point and its control plane at the two ends of a flow, if that is what they are. What a ztunnel opens in a workload's
/// network namespace, it opens for that workload.
pub fn control_plane(role: Role, binding: &Binding) -> Option<(&Arc<Point>, &Arc<Workload>)> {
    let (Role::Client, Endpoint::Workload(who)) = (role, &binding.peer) else {
        return None;
    };
    let Some(Duty::ControlPlane(mesh)) = who.duty else {
        return None;
    };
    let point = binding.point()?;
    let is_its_mesh = mesh.is_none_or(|mesh| mesh == point.mesh);
    let is_its_own = point.kind != Kind::Ztunnel || binding.place.is_none();
    (is_its_mesh && is_its_own).then_some((point, who))
}

#[cfg(test)]
mod tests;
