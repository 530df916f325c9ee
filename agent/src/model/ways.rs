//! The ways out of each workload of this node, and the share of its traffic that takes each.
//!
//! The workload's own connections either leave its network namespace, or a proxy in that namespace intercepts them and opens others
//! on its behalf. Of its own connections, those that a proxy in its namespace intercepted are that proxy's share. Of all that
//! leave, its own and those on its behalf, the ones to a point elsewhere are that point's share. Connections are counted, not
//! requests: where a proxy multiplexes those of many callers over one (HBONE), that is one.

use super::{called::CalledPoint, load, recent::Use};
use crate::identity::{Binding, Endpoint, Workload};
use agent_common::{Flow, Role};
use std::{collections::HashMap, sync::Arc};

/// The ways out of one workload.
#[derive(Debug, Default)]
struct Way {
    /// Connections that the workload opened itself.
    own: Use,
    /// Connections that left: opened by itself and not intercepted, or opened on its behalf.
    out: Use,
    /// Of `own`: intercepted by a proxy in its namespace.
    within: HashMap<CalledPoint, Use>,
    /// Of `out`: to a point.
    to: HashMap<CalledPoint, Use>,
}

/// The ways out of all workloads of this node.
#[derive(Debug, Default)]
pub struct Ways {
    by: HashMap<Arc<Workload>, Way>,
}

impl Ways {
    /// Adds the change of a flow's counters.
    pub fn add(&mut self, role: Role, delta: &Flow, binding: &Binding, step: u32) {
        let Some(who) = binding.workload() else { return };
        let is_own = matches!(&binding.peer, Endpoint::Workload(peer) if peer == who);
        let (open, ended) = (load::change(delta), load::ended(delta));
        if open == 0 && ended == 0 {
            return;
        }
        match (role, binding.point()) {
            // Intercepted by the proxy.
            (Role::Server, Some(point)) if is_own => {
                let within = &mut self.by.entry(who.clone()).or_default().within;
                within
                    .entry(CalledPoint::from(&**point))
                    .or_default()
                    .add(open, ended, step);
            }
            (Role::Client, owner) if !is_own => {
                let way = self.by.entry(who.clone()).or_default();
                if owner.is_none() {
                    way.own.add(open, ended, step);
                    // Intercepted by the proxy, whatever address it was for.
                    if delta.carrier != 0 {
                        return;
                    }
                }
                way.out.add(open, ended, step);
                if let Endpoint::Point(called) = &binding.peer {
                    let to = way.to.entry(CalledPoint::from(&**called)).or_default();
                    to.add(open, ended, step);
                }
            }
            _ => {}
        }
    }

    /// Moves open connections that had been counted as leaving, as a proxy turned out to intercept them.
    pub fn taken_in(&mut self, binding: &Binding, connections: u64) {
        let Some(who) = binding.workload() else { return };
        let is_own = matches!(&binding.peer, Endpoint::Workload(peer) if peer == who);
        let Some(way) = self.by.get_mut(who).filter(|_| !is_own && binding.point().is_none()) else {
            return;
        };
        let open = i64::try_from(connections).unwrap_or(i64::MAX);
        way.out.open -= open;
        if let Endpoint::Point(called) = &binding.peer
            && let Some(to) = way.to.get_mut(&CalledPoint::from(&**called))
        {
            to.open -= open;
        }
    }

    /// The share of a workload's connections in the window that pass a point: 1 when it has no other way out. `None` when it is not
    /// on this node, or had none.
    pub fn share(&self, who: &Arc<Workload>, point: &CalledPoint, step: u32) -> Option<f64> {
        let way = self.by.get(who)?;
        let share = |part: &HashMap<CalledPoint, Use>, all: &Use| {
            let (part, all) = (part.get(point)?.amount(step), all.amount(step));
            (all > 0).then(|| (part as f64 / all as f64).min(1.0))
        };
        let (within, to) = (share(&way.within, &way.own), share(&way.to, &way.out));
        within.into_iter().chain(to).reduce(f64::max)
    }

    /// Forgets workloads with nothing in the window.
    pub fn expire(&mut self, step: u32) {
        let is_used = |used: &Use| used.amount(step) > 0 || used.open != 0;
        self.by.retain(|_, way| {
            way.within.retain(|_, used| is_used(used));
            way.to.retain(|_, used| is_used(used));
            is_used(&way.own) || is_used(&way.out) || !way.within.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Kind, Mesh, Point};

    struct Scene {
        ways: Ways,
        who: Arc<Workload>,
    }

    impl Scene {
        fn new() -> Self {
            let who = Workload {
                namespace: "shop".into(),
                kind: "Workload".into(),
                name: "checkout".into(),
                service_account: "checkout".into(),
                duty: None,
                principal: String::new(),
            };
            Self {
                ways: Ways::default(),
                who: Arc::new(who),
            }
        }

        fn binding(&self, owner: Option<&Arc<Point>>, peer: Endpoint) -> Binding {
            let who = self.who.clone();
            Binding {
                owner: owner.map_or(Endpoint::Workload(who.clone()), |point| Endpoint::Point(point.clone())),
                place: Some(who),
                peer,
                expected: false,
                sure: true,
                question: None,
                generation: 0,
            }
        }

        fn opened(&mut self, role: Role, owner: Option<&Arc<Point>>, peer: Endpoint, n: u64, carrier: u64) {
            let binding = self.binding(owner, peer);
            let delta = Flow {
                opened: n,
                closed: n,
                carrier,
                ..Flow::ZERO
            };
            self.ways.add(role, &delta, &binding, 0);
        }

        fn shares<const N: usize>(&self, points: [&Arc<Point>; N]) -> [Option<f64>; N] {
            points.map(|point| self.ways.share(&self.who, &CalledPoint::from(&**point), 0))
        }
    }

    fn point(name: &str, kind: Kind) -> Arc<Point> {
        Arc::new(Point {
            name: name.into(),
            kind,
            mesh: Mesh::Istio,
            instance: name.into(),
        })
    }

    #[test]
    fn who_calls_two_points_directly_has_two_ways_out() {
        let (one, two) = (point("shop/one", Kind::Waypoint), point("shop/two", Kind::Waypoint));
        let mut scene = Scene::new();
        scene.opened(Role::Client, None, Endpoint::Point(one.clone()), 30, 0);
        assert_eq!(scene.shares([&one, &two]), [Some(1.0), None]);
        scene.opened(Role::Client, None, Endpoint::Point(two.clone()), 10, 0);
        scene.opened(Role::Client, None, Endpoint::External, 10, 0);
        assert_eq!(scene.shares([&one, &two]), [Some(0.6), Some(0.2)]);
    }

    #[test]
    fn what_turns_out_to_be_taken_in_has_never_left() {
        let point = point("shop/w", Kind::Waypoint);
        let mut scene = Scene::new();
        let binding = scene.binding(None, Endpoint::Point(point.clone()));
        let flow = |opened, closed, carrier| Flow {
            opened,
            closed,
            carrier,
            ..Flow::ZERO
        };
        // The first was read before its carrier was known.
        scene.ways.add(Role::Client, &flow(1, 0, 0), &binding, 0);
        assert_eq!(scene.shares([&point]), [Some(1.0)]);
        scene.ways.taken_in(&binding, 1);
        scene.ways.add(Role::Client, &flow(4, 5, 7), &binding, 0);
        let way = &scene.ways.by[&scene.who];
        assert_eq!((way.out.open, way.own.open, way.own.amount(0)), (0, 0, 5));
        assert_eq!(scene.shares([&point]), [None]);
        scene.ways.expire(6);
        assert!(scene.ways.by.is_empty());
    }

    #[test]
    fn what_a_proxy_takes_in_leaves_in_its_name() {
        let (ztunnel, waypoint) = (
            point("istio-system/ztunnel", Kind::Ztunnel),
            point("shop/w", Kind::Waypoint),
        );
        let mut scene = Scene::new();
        let own = Endpoint::Workload(scene.who.clone());
        // 40 intercepted, one of them for the waypoint's own address; 10 that the proxy leaves alone.
        scene.opened(Role::Client, None, Endpoint::Unknown, 39, 7);
        scene.opened(Role::Client, None, Endpoint::Point(waypoint.clone()), 1, 7);
        scene.opened(Role::Client, None, Endpoint::External, 10, 0);
        scene.opened(Role::Server, Some(&ztunnel), own.clone(), 40, 0);
        // A few connections carry their traffic on.
        scene.opened(Role::Client, Some(&ztunnel), Endpoint::Point(waypoint.clone()), 6, 0);
        scene.opened(Role::Client, Some(&ztunnel), Endpoint::Unknown, 4, 0);
        // Deliveries and calls to itself are not a way out.
        scene.opened(Role::Client, Some(&ztunnel), own.clone(), 100, 0);
        scene.opened(Role::Client, None, own, 100, 0);
        assert_eq!(scene.shares([&ztunnel, &waypoint]), [Some(0.8), Some(0.3)]);
        scene.ways.expire(5);
        assert_eq!(scene.ways.by.len(), 1);
        scene.ways.expire(6);
        assert!(scene.ways.by.is_empty());
    }
}
