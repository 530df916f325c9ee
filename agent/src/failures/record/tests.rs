use super::*;
use crate::points::{Kind, Mesh};
use agent_common::{Caller, FlowKey};

fn words(address: &str) -> [u32; 4] {
    let octets = match address.parse().expect("an address") {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    }
    words
}

/// 10.90.0.11:40000 has called 10.90.0.2:15008.
pub(in crate::failures) fn event(role: Role, reason: Reason) -> FailureEvent {
    let ((local, local_port), (peer, peer_port)) = match role {
        Role::Server => (("10.90.0.2", 15008), ("10.90.0.11", 40000)),
        _ => (("10.90.0.11", 40000), ("10.90.0.2", 15008)),
    };
    FailureEvent {
        caller: Caller::NOBODY,
        certainty: Certainty::Unknown as u8,
        time_ns: 7_000_000_000,
        duration_ns: 0,
        sent: 3,
        received: 4,
        key: FlowKey {
            peer: words(peer),
            port: 15008,
            role: role as u8,
            ..FlowKey::default()
        },
        local: words(local),
        local_port,
        peer_port,
        retransmits: 5,
        reason: reason as u8,
        corrects: 0,
        reserved: [0; 5],
    }
}

pub(in crate::failures) fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".to_owned(),
        kind: Cow::Borrowed("Deployment"),
        name: name.to_owned(),
        service_account: name.to_owned(),
        principal: format!("spiffe://cluster.local/ns/shop/sa/{name}"),
        duty: None,
    })
}

pub(in crate::failures) fn point(name: &str, kind: Kind) -> Arc<Point> {
    Arc::new(Point {
        name: name.to_owned(),
        kind,
        mesh: Mesh::Istio,
        instance: String::new(),
    })
}

pub(in crate::failures) fn binding(owner: Endpoint, place: Option<Arc<Workload>>, peer: Endpoint) -> Binding {
    Binding {
        owner,
        place,
        peer,
        expected: false,
        sure: true,
        question: None,
        generation: 0,
    }
}

/// A refused call of a workload to a waypoint.
pub(crate) fn record(caller: &str, called: &str, reason: Reason) -> Record {
    let ends = binding(
        Endpoint::Workload(workload(caller)),
        None,
        Endpoint::Point(point(called, Kind::Waypoint)),
    );
    Record::new(
        &event(Role::Client, reason),
        1_763_889_123_045,
        &ends,
        &CalledBy::NOBODY,
    )
    .expect("an event")
}

fn shown(role: Role, ends: &Binding) -> Failure {
    let record = Record::new(&event(role, Reason::ResetByPeer), 0, ends, &CalledBy::NOBODY).expect("an event");
    record.shown()
}

#[test]
fn a_record_says_what_the_kernel_said() {
    let failure = record("checkout", "shop/waypoint", Reason::Refused).shown();
    assert_eq!(failure.time, "2025-11-23T09:12:03.045Z");
    assert_eq!((&*failure.reason, &*failure.phase), ("refused", "handshake"));
    assert_eq!(
        (failure.sent_bytes, failure.received_bytes, failure.retransmits),
        (3, 4, 5)
    );
    assert_eq!(failure.duration_seconds, None, "0 is not known");
    assert_eq!(failure.local_address, "10.90.0.11:40000".parse().ok());
    assert_eq!(failure.peer_address, "10.90.0.2:15008".parse().ok());
    let long = FailureEvent {
        duration_ns: 1_500_000_000,
        local: [0; 4],
        ..event(Role::Client, Reason::HandshakeTimedOut)
    };
    let nobody = binding(Endpoint::Unknown, None, Endpoint::External);
    let failure = Record::new(&long, 0, &nobody, &CalledBy::NOBODY)
        .expect("an event")
        .shown();
    assert_eq!((failure.duration_seconds, failure.local_address), (Some(1.5), None));
    assert_eq!((&*failure.reason, &*failure.phase), ("timed_out", "handshake"));
}

#[test]
fn an_event_that_is_not_understood_is_none() {
    let ends = binding(Endpoint::Unknown, None, Endpoint::Unknown);
    let mut unrecognized = event(Role::Client, Reason::Refused);
    unrecognized.reason = 200;
    assert!(Record::new(&unrecognized, 0, &ends, &CalledBy::NOBODY).is_none());
    let unrecognized = event(Role::Listener, Reason::Refused);
    assert!(Record::new(&unrecognized, 0, &ends, &CalledBy::NOBODY).is_none());
}

#[test]
fn a_point_sees_itself_and_is_seen_by_its_callers() {
    let checkout = Endpoint::Workload(workload("checkout"));
    let waypoint = Endpoint::Point(point("shop/waypoint", Kind::Waypoint));
    let ztunnel = Endpoint::Point(point("istio-system/ztunnel", Kind::Ztunnel));
    for (owner, role, peer, expected) in [
        (
            &waypoint,
            Role::Server,
            &checkout,
            Some(("shop/waypoint", Vantage::Own)),
        ),
        (
            &waypoint,
            Role::Client,
            &checkout,
            Some(("shop/waypoint", Vantage::Own)),
        ),
        (
            &ztunnel,
            Role::Client,
            &waypoint,
            Some(("istio-system/ztunnel", Vantage::Own)),
        ),
        (
            &checkout,
            Role::Client,
            &waypoint,
            Some(("shop/waypoint", Vantage::Client)),
        ),
        (
            &Endpoint::Unknown,
            Role::Client,
            &waypoint,
            Some(("shop/waypoint", Vantage::Client)),
        ),
        // The point called a workload, whose socket observed it: the point was not called.
        (&checkout, Role::Server, &waypoint, None),
        (&checkout, Role::Client, &checkout, None),
    ] {
        let failure = shown(role, &binding(owner.clone(), None, peer.clone()));
        let found = failure.point.as_ref().map(|point| point.name.as_str());
        assert_eq!(
            found.zip(failure.vantage),
            expected,
            "{owner:?} {role:?} {peer:?}: {failure:?}"
        );
    }
}

#[test]
fn a_proxy_in_a_workloads_namespace_acts_for_it() {
    let place = Some(workload("cart"));
    let ztunnel = Endpoint::Point(point("istio-system/ztunnel", Kind::Ztunnel));
    let failure = shown(Role::Client, &binding(ztunnel, place.clone(), Endpoint::Unknown));
    let End::Point {
        point,
        acts_for: Some(acts_for),
    } = &failure.owner
    else {
        panic!("{failure:?}")
    };
    assert_eq!(
        (point.name.as_str(), acts_for.name.as_str()),
        ("istio-system/ztunnel", "shop/cart")
    );
    assert_eq!(point.instance, None, "an empty one is not known");
    // An unknown cgroup in the namespace of a workload is attributed to the workload; a known one is not.
    let failure = shown(
        Role::Client,
        &binding(Endpoint::Unknown, place.clone(), Endpoint::External),
    );
    assert!(
        matches!(&failure.owner, End::Workload(cart) if cart.name == "shop/cart"),
        "{failure:?}"
    );
    let failure = shown(Role::Server, &binding(Endpoint::Node, place, Endpoint::Unknown));
    assert_eq!((failure.owner, failure.peer), (End::Node, End::Unknown));
}

#[test]
fn the_ends_are_looked_for_at_the_beginning() {
    let mut late = event(Role::Client, Reason::EstablishedTimedOut);
    late.duration_ns = 900_000_000_000;
    let span = moment(&late, 1_000_000);
    assert_eq!((span.from, span.to), (100_000, 101_000));
}

#[test]
fn long_names_are_cut_and_others_are_shared() {
    let short = workload("checkout");
    let Endpoint::Workload(kept) = bounded_endpoint(&Endpoint::Workload(short.clone())) else {
        panic!("a workload")
    };
    assert!(Arc::ptr_eq(&short, &kept));
    let long = Endpoint::Workload(workload(&"ü".repeat(100_000)));
    let Endpoint::Workload(kept) = bounded_endpoint(&long) else {
        panic!("a workload")
    };
    assert!(
        kept.name.len() <= LONGEST && kept.name.ends_with("ü…"),
        "{} bytes",
        kept.name.len()
    );
    assert!(kept.principal.len() <= LONGEST, "{} bytes", kept.principal.len());
    let Endpoint::Point(kept) = bounded_endpoint(&Endpoint::Point(point(&"x".repeat(1000), Kind::Sidecar))) else {
        panic!("a point")
    };
    assert_eq!((kept.name.len(), kept.kind), (LONGEST, Kind::Sidecar));
}

#[test]
fn a_record_is_small() {
    // Ten thousand of them are kept.
    assert!(size_of::<Record>() <= 256, "{} bytes", size_of::<Record>());
}
