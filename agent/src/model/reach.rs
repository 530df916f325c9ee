//! The blast radius of a point: the workloads that depend on it, and those reached through it.

use super::{
    attribution::Found,
    endpoints::{Counts, Endpoints, Share},
    load,
    paths::Paths,
    recent::Use,
};
use crate::identity::{Binding, Endpoint, Workload};
use agent_common::{Flow, Role};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The blast radius of a point: the workloads whose connections it accepts, and those to which it opens connections.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The workloads that depend on it.
    pub dependents: Endpoints,
    /// The workloads reached through it.
    pub served: Endpoints,
    /// From which caller to which destination.
    pub paths: Paths,
    /// Connections from callers that are no workload, by what these are.
    pub unnamed: BTreeMap<Found, u64>,
    /// Connections that it accepted.
    accepted: Use,
}

impl Reach {
    /// No workloads yet; at most `most` dependents, and as many served workloads and paths, in detail.
    pub fn new(most: usize) -> Self {
        Self {
            dependents: Endpoints::new(most),
            served: Endpoints::new(most),
            paths: Paths::new(most),
            unnamed: BTreeMap::new(),
            accepted: Use::default(),
        }
    }

    /// Adds the change of the counters of a flow of the point's own sockets.
    pub fn add(&mut self, role: Role, delta: &Flow, binding: &Binding, at: Instant, step: u32) {
        if let Some((who, share)) = own_share(role, delta, binding) {
            self.dependents.add(who, &share, at, step);
        }
        if let Some((who, share)) = served_share(role, delta, binding) {
            self.served.add(who, &share, at, step);
        }
        if role == Role::Server {
            if binding.peer.named().is_none() {
                self.add_unnamed(&binding.peer, delta.opened);
            }
            self.accepted.add(load::change(delta), load::ended(delta), step);
        }
    }

    /// Adds connections from a caller that is no workload.
    pub fn add_unnamed(&mut self, caller: &Endpoint, connections: u64) {
        if connections > 0 {
            *self.unnamed.entry(Found::from(caller)).or_default() += connections;
        }
    }

    /// Connections that it accepted and that were open at some time in the window.
    pub fn accepted(&self, step: u32) -> u64 {
        self.accepted.amount(step)
    }

    /// The state of the window; `all` is what all points of this node accepted, when this is one of them.
    pub fn window(&self, window: Duration, now: Instant, step: u32, all: Option<u64>) -> Window {
        let all = all.filter(|all| *all > 0);
        Window {
            dependents: self.dependents.counts(window, now),
            served: self.served.counts(window, now),
            concentration: self.dependents.concentration(step),
            traffic: all.map(|all| self.accepted(step) as f64 / all as f64),
        }
    }
}

/// A point's reach in the window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The number of dependents.
    pub dependents: Counts,
    /// The number of workloads reached through it.
    pub served: Counts,
    /// How unevenly its connections are spread over its dependents (Herfindahl index); `None` without any.
    pub concentration: Option<f64>,
    /// Its share of the connections that points of this node accepted; `None` without any, or when it runs elsewhere.
    pub traffic: Option<f64>,
}

/// The workload that a flow of a point's own sockets counts for, and what counts: `Some(None)` when the workload is unknown.
fn own_share<'a>(role: Role, delta: &Flow, binding: &'a Binding) -> Option<(Option<&'a Arc<Workload>>, Share)> {
    let peer = binding.peer.named();
    match role {
        // Accepted: the caller.
        Role::Server => Some((peer, Share::of(delta))),
        // Opened in a workload's namespace: on its behalf, unless it is a delivery to that workload itself. Connections of that
        // workload were counted when they were accepted.
        Role::Client => {
            let place = binding.place.as_ref()?;
            if peer == Some(place) || delta.failures.iter().all(|n| *n == 0) {
                return None;
            }
            Some((Some(place), Share::of_failures(delta.failures)))
        }
        Role::Listener => None,
    }
}

/// The workload that a flow of a point's own sockets reaches, and what counts for it: `Some(None)` when the workload is unknown.
fn served_share<'a>(role: Role, delta: &Flow, binding: &'a Binding) -> Option<(Option<&'a Arc<Workload>>, Share)> {
    if role != Role::Client {
        return None;
    }
    match (&binding.peer, &binding.place) {
        (Endpoint::Workload(peer) | Endpoint::Network(peer), place) => place
            .as_ref()
            .is_none_or(|place| place == peer)
            .then(|| (Some(peer), Share::of(delta))),
        (Endpoint::Unknown, None) => Some((None, Share::of(delta))),
        // Another point, the node or a nameless external address is not behind it.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Kind, Mesh, Point};

    #[test]
    fn who_is_no_workload_is_told_apart_and_stays_unknown_as_a_dependent() {
        let workload = Workload {
            namespace: "shop".into(),
            kind: "Workload".into(),
            name: "a".into(),
            service_account: "a".into(),
            duty: None,
            principal: String::new(),
        };
        let gateway = Point {
            name: "edge/gateway".into(),
            kind: Kind::IngressGateway,
            mesh: Mesh::Istio,
            instance: "gateway-1".into(),
        };
        let mut reach = Reach::new(10);
        for (peer, n) in [
            (Endpoint::Workload(Arc::new(workload.clone())), 16),
            (Endpoint::Network(Arc::new(workload)), 8),
            (Endpoint::Point(Arc::new(gateway)), 4),
            (Endpoint::Node, 2),
            (Endpoint::Unknown, 1),
            (Endpoint::External, 0),
        ] {
            let binding = Binding {
                owner: Endpoint::Unknown,
                place: None,
                peer,
                expected: false,
                sure: true,
                question: None,
                generation: 0,
            };
            let delta = Flow {
                opened: n,
                ..Flow::ZERO
            };
            // What the point opens itself has no caller.
            for role in [Role::Server, Role::Client] {
                reach.add(role, &delta, &binding, Instant::now(), 0);
            }
        }
        let unnamed = [(Found::Point, 4), (Found::Node, 2), (Found::Unknown, 1)];
        assert_eq!(reach.unnamed, unnamed.into());
        let [_, _, (name, share)] = reach.dependents.rest();
        assert_eq!((name, share.connections), ("unknown", 7));
    }
}
