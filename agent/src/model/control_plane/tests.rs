use super::*;
use crate::{identity::Span, points::Mesh};

const WINDOW: Duration = Duration::from_secs(900);

/// Links of one point, and a clock of which a second is a tick.
struct Scene {
    links: Links,
    point: Arc<Point>,
    begin: Instant,
}

fn point(kind: Kind, mesh: Mesh) -> Arc<Point> {
    Arc::new(Point {
        name: "istio-system/ztunnel".into(),
        kind,
        mesh,
        instance: "ztunnel-x".into(),
    })
}

fn workload(name: &str, kind: &'static str, duty: Option<Duty>) -> Workload {
    Workload {
        namespace: "istio-system".into(),
        kind: kind.into(),
        name: name.into(),
        service_account: String::new(),
        // The service itself has none.
        principal: if kind == "Service" {
            String::new()
        } else {
            format!("spiffe://{name}")
        },
        duty,
    }
}

fn flow(opened: u64, closed: u64) -> Flow {
    Flow {
        opened,
        closed,
        ..Flow::ZERO
    }
}

fn failed(reason: Reason) -> Flow {
    let mut flow = Flow::ZERO;
    flow.failures[reason as usize] = 1;
    flow
}

impl Scene {
    fn new() -> Self {
        Self {
            links: Links::new(2),
            point: point(Kind::Ztunnel, Mesh::Istio),
            begin: Instant::now(),
        }
    }

    fn when(&self, second: u64) -> Moment {
        let to = 1_900_000_000_000 + i64::try_from(second).expect("small") * 1_000;
        Moment {
            at: self.begin + Duration::from_secs(second),
            span: Span { from: to - 1_000, to },
        }
    }

    /// One tick in which these changes are counted.
    fn tick(&mut self, second: u64, changes: &[(&str, Flow)]) {
        let when = self.when(second);
        for (name, delta) in changes {
            self.links
                .add(&self.point, &workload(name, "Deployment", None), delta, when);
        }
        self.links.conclude(when.at);
        let known = self.point.clone();
        self.links.expire(|point| *point == *known, WINDOW, when.at);
    }

    /// Name, open connections and the second of the last change of each link.
    fn state(&self) -> Vec<(&str, u64, i64)> {
        let links = self.links.of(&self.point).iter();
        links
            .map(|link| {
                (
                    link.name.as_str(),
                    link.connections(),
                    (link.changed - 1_900_000_000_000) / 1_000,
                )
            })
            .collect()
    }
}

#[test]
fn a_link_is_connected_since_its_first_connection_and_none_since_its_last() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod", flow(1, 0))]);
    scene.tick(2, &[("istiod", flow(1, 0))]);
    scene.tick(3, &[("istiod", flow(0, 1))]);
    assert_eq!(scene.state(), [("istiod", 1, 1)]);
    scene.tick(4, &[("istiod", flow(0, 1))]);
    scene.tick(5, &[("istiod", failed(Reason::Refused))]);
    assert_eq!(scene.state(), [("istiod", 0, 4)], "a failed attempt changes nothing");
    scene.tick(6, &[("istiod", flow(1, 0))]);
    assert_eq!(scene.state(), [("istiod", 1, 6)]);
    let link = &scene.links.of(&scene.point)[0];
    assert_eq!((link.opened, link.failures[Reason::Refused as usize]), (3, 1));
}

#[test]
fn a_reconnect_within_a_tick_is_no_interruption_in_whatever_order_it_is_counted() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod", flow(1, 0))]);
    scene.tick(2, &[("istiod", flow(0, 1)), ("istiod", flow(1, 0))]);
    scene.tick(3, &[("istiod", flow(1, 1))]);
    assert_eq!(scene.state(), [("istiod", 1, 1)]);
    assert_eq!(scene.links.of(&scene.point)[0].opened, 3);
}

#[test]
fn a_point_that_never_got_through_is_without_since_its_first_attempt() {
    let mut scene = Scene::new();
    scene.tick(
        1,
        &[(
            "istiod",
            Flow {
                received: 7,
                ..Flow::ZERO
            },
        )],
    );
    assert_eq!(scene.state(), [], "bytes alone are of a link that is forgotten");
    scene.tick(2, &[("istiod", failed(Reason::Unreachable))]);
    scene.tick(9, &[("istiod", failed(Reason::Unreachable))]);
    assert_eq!(scene.state(), [("istiod", 0, 2)]);
    // It stays for as long as its point does.
    scene.tick(5_000, &[]);
    assert_eq!(scene.state(), [("istiod", 0, 2)]);
}

#[test]
fn the_last_bytes_are_those_of_the_newest_reading() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod", flow(1, 0))]);
    assert_eq!(scene.links.of(&scene.point)[0].received, None);
    let bytes = Flow {
        received: 7,
        ..Flow::ZERO
    };
    scene.tick(4, &[("istiod", bytes)]);
    scene.tick(6, &[("istiod", Flow { sent: 7, ..Flow::ZERO })]);
    // Counted late, as its other end was not known before.
    scene.tick(2, &[("istiod", bytes)]);
    assert_eq!(scene.links.of(&scene.point)[0].received, Some(scene.when(4).span.to));
}

#[test]
fn a_control_plane_that_was_exchanged_is_forgotten_and_the_last_one_is_not() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod-1", flow(1, 0))]);
    scene.tick(2, &[("istiod-1", flow(0, 1)), ("istiod-2", flow(1, 0))]);
    assert_eq!(scene.state(), [("istiod-1", 0, 2), ("istiod-2", 1, 2)]);
    scene.tick(3, &[("a-third", flow(1, 0))]);
    assert_eq!(scene.links.take_rejected(), 1, "there may be two");
    scene.tick(1_000, &[]);
    assert_eq!(scene.state(), [("istiod-2", 1, 2)]);
    let when = scene.when(2_000);
    scene.links.expire(|_| false, WINDOW, when.at);
    assert_eq!(scene.state(), [], "its point is gone");
}

#[test]
fn the_service_stands_for_the_control_plane_while_it_has_no_pods() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod", flow(1, 0))]);
    let (service, when) = (workload("istiod", "Service", None), scene.when(2));
    scene.links.add(&scene.point, &service, &failed(Reason::Refused), when);
    assert_eq!(scene.state(), [("istiod", 1, 1)]);
}

#[test]
fn the_next_agent_knows_since_when() {
    let mut scene = Scene::new();
    scene.tick(1, &[("istiod", flow(1, 0)), ("gone", flow(1, 0))]);
    scene.tick(2, &[("gone", flow(0, 1))]);
    let left = scene.links.remember();
    let next = |scene: &mut Scene, patience| {
        scene.links = Links::new(2);
        scene
            .links
            .recall(left.clone(), scene.when(10), Duration::from_secs(patience));
    };
    // Until its connections are attributed again, it has those of before.
    next(&mut scene, 60);
    scene.tick(10, &[]);
    assert_eq!(scene.state(), [("istiod", 1, 1), ("gone", 0, 2)]);
    let adopted = Flow {
        adopted: 1,
        ..Flow::ZERO
    };
    scene.tick(11, &[("istiod", adopted)]);
    assert_eq!(scene.state(), [("istiod", 1, 1), ("gone", 0, 2)]);
    // It has ended meanwhile: at the latest when the first reading found that.
    next(&mut scene, 60);
    scene.tick(11, &[("istiod", Flow { closed: 1, ..adopted })]);
    assert_eq!(scene.state(), [("istiod", 0, 11), ("gone", 0, 2)]);
    // It is never attributed again.
    next(&mut scene, 5);
    scene.tick(15, &[]);
    assert_eq!(scene.state(), [("istiod", 0, 9), ("gone", 0, 2)]);
}

#[test]
fn only_what_a_point_opens_to_its_own_meshs_control_plane_is_a_link() {
    let istiod = |mesh| Arc::new(workload("istiod", "Deployment", Some(Duty::ControlPlane(mesh))));
    let binding = |kind, mesh, peer: &Arc<Workload>, place: Option<&Arc<Workload>>| Binding {
        owner: Endpoint::Point(point(kind, mesh)),
        place: place.cloned(),
        peer: Endpoint::Workload(peer.clone()),
        expected: false,
        sure: true,
        question: None,
        generation: 0,
    };
    let app = Arc::new(workload("checkout", "Deployment", None));
    let scraper = Arc::new(workload("prometheus", "Deployment", Some(Duty::Scraper)));
    let own = istiod(Some(Mesh::Istio));
    for (kind, mesh, peer, place, is_link) in [
        (Kind::Ztunnel, Mesh::Istio, &own, None, true),
        (Kind::Ztunnel, Mesh::Istio, &own, Some(&app), false),
        (Kind::Sidecar, Mesh::Istio, &own, Some(&app), true),
        (Kind::IngressGateway, Mesh::Kuma, &own, None, false),
        (Kind::IngressGateway, Mesh::Kuma, &istiod(None), None, true),
        (Kind::Waypoint, Mesh::Istio, &app, None, false),
        (Kind::Waypoint, Mesh::Istio, &scraper, None, false),
    ] {
        let binding = binding(kind, mesh, peer, place);
        assert_eq!(control_plane(Role::Client, &binding).is_some(), is_link, "{binding:?}");
        assert!(control_plane(Role::Server, &binding).is_none());
    }
}
