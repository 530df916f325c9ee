//! A failed connection as it is stored: small, with shared identities.

use super::failure::{End, Failure, PointName, Side, Vantage, WorkloadName};
use crate::{
    clock::{Millis, rfc3339},
    identity::{Binding, CalledBy, Endpoint, RESOLUTION, Span, Workload, address_of},
    points::Point,
};
use agent_common::{Certainty, FailureEvent, Reason, Role};
use std::{borrow::Cow, net::SocketAddr, sync::Arc};

/// Longer names are truncated, in bytes. The longest SPIFFE ID within the limits of Kubernetes and DNS has 588.
const LONGEST: usize = 640;

/// A failed connection, with its ends.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number; 0 until it is in the ring.
    pub seq: u64,
    /// When it failed, in milliseconds since 1970.
    pub time: Millis,
    /// Why the connection failed.
    pub reason: Reason,
    role: Role,
    owner: Endpoint,
    /// The workload in whose network namespace the socket was.
    place: Option<Arc<Workload>>,
    peer: Endpoint,
    /// Whose traffic it carried, for a connection that a point had opened.
    caller: Endpoint,
    caller_certainty: Certainty,
    local_address: Option<SocketAddr>,
    peer_address: Option<SocketAddr>,
    service_port: u16,
    retransmits: u32,
    duration_ns: u64,
    sent: u64,
    received: u64,
}

/// The time for which the ends of a connection are identified, given that it failed at `time` (milliseconds since 1970): its
/// beginning as far as known, as an address may have been reassigned since. It is a span, as times in objects are truncated to
/// seconds, and the clocks of nodes differ.
pub fn moment(event: &FailureEvent, time: Millis) -> Span {
    let duration = i64::try_from(event.duration_ns / 1_000_000).unwrap_or(i64::MAX);
    let from = time.saturating_sub(duration);
    Span {
        from,
        to: from + RESOLUTION,
    }
}

impl Record {
    /// A record of an event, of a connection that failed at `time`, in milliseconds since 1970, with its identified ends and, for a
    /// connection that a point had opened, whose traffic it carried. `None`
    /// when this agent does not know the event's role or reason.
    pub fn new(event: &FailureEvent, time: Millis, binding: &Binding, called_by: &CalledBy) -> Option<Self> {
        let socket = |words, port| Some(SocketAddr::new(address_of(words)?, port));
        Some(Self {
            seq: 0,
            time,
            reason: *Reason::ALL.get(usize::from(event.reason))?,
            role: Role::from_u8(event.key.role).filter(|role| *role != Role::Listener)?,
            owner: bounded_endpoint(&binding.owner),
            place: binding.place.as_ref().map(bounded),
            peer: bounded_endpoint(&binding.peer),
            caller: bounded_endpoint(&called_by.who),
            caller_certainty: called_by.certainty,
            local_address: socket(event.local, event.local_port),
            peer_address: socket(event.key.peer, event.peer_port),
            service_port: event.key.port,
            retransmits: event.retransmits,
            duration_ns: event.duration_ns,
            sent: event.sent,
            received: event.received,
        })
    }

    /// The point that it is about, and the end that observed it.
    fn point(&self) -> Option<(&Arc<Point>, Vantage)> {
        match (&self.owner, self.role, &self.peer) {
            (Endpoint::Point(own), ..) => Some((own, Vantage::Own)),
            (_, Role::Client, Endpoint::Point(called)) => Some((called, Vantage::Client)),
            _ => None,
        }
    }

    /// Whether a point with this name was at either end.
    pub fn is_of_point(&self, name: &str) -> bool {
        let named = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Point(point) if point.name == name);
        named(&self.owner) || named(&self.peer)
    }

    /// Whether a workload was at either end, itself or through a point that acted for it or carried its traffic.
    pub fn is_of_workload(&self, namespace: &str, name: &str) -> bool {
        let is = |workload: &Workload| workload.namespace == namespace && workload.name == name;
        let named = |endpoint: &Endpoint| endpoint.named().is_some_and(|who| is(who));
        let ends = [&self.owner, &self.peer, &self.caller];
        ends.into_iter().any(named) || self.acted_for().is_some_and(is)
    }

    /// The workload in whose network namespace another owner's socket was.
    fn acted_for(&self) -> Option<&Workload> {
        match self.owner {
            Endpoint::Point(_) | Endpoint::Unknown => self.place.as_deref(),
            _ => None,
        }
    }

    /// The record as the JSON object of the interface.
    pub fn shown(&self) -> Failure {
        let point = self.point();
        Failure {
            seq: self.seq,
            time: rfc3339(self.time),
            vantage: point.map(|(_, vantage)| vantage),
            point: point.map(|(point, _)| point_name(point)),
            side: match self.role {
                Role::Server => Side::Downstream,
                Role::Client | Role::Listener => Side::Upstream,
            },
            owner: match (&self.owner, self.acted_for()) {
                (Endpoint::Point(point), acts_for) => End::Point {
                    point: point_name(point),
                    acts_for: acts_for.map(workload_name),
                },
                // The cgroup is unknown, but the network namespace is that of a workload.
                (Endpoint::Unknown, Some(workload)) => End::Workload(workload_name(workload)),
                (endpoint, _) => end(endpoint),
            },
            peer: end(&self.peer),
            caller: (self.caller_certainty != Certainty::Unknown).then(|| end(&self.caller)),
            caller_certainty: (self.caller_certainty != Certainty::Unknown)
                .then(|| Cow::Borrowed(self.caller_certainty.label())),
            local_address: self.local_address,
            peer_address: self.peer_address,
            service_port: self.service_port,
            reason: Cow::Borrowed(self.reason.label()),
            phase: Cow::Borrowed(self.reason.phase()),
            duration_seconds: (self.duration_ns > 0).then_some(self.duration_ns as f64 / 1e9),
            sent_bytes: self.sent,
            received_bytes: self.received,
            retransmits: self.retransmits,
        }
    }
}

fn end(endpoint: &Endpoint) -> End {
    match endpoint {
        Endpoint::Workload(workload) => End::Workload(workload_name(workload)),
        Endpoint::Point(point) => End::Point {
            point: point_name(point),
            acts_for: None,
        },
        Endpoint::Node => End::Node,
        Endpoint::Network(network) => End::External {
            name: Some(network.name.clone()),
        },
        Endpoint::External => End::External { name: None },
        Endpoint::Unknown => End::Unknown,
    }
}

fn point_name(point: &Arc<Point>) -> PointName {
    PointName {
        name: point.name.clone(),
        kind: point.kind,
        mesh: point.mesh,
        instance: (!point.instance.is_empty()).then(|| point.instance.clone()),
    }
}

fn workload_name(workload: &Workload) -> WorkloadName {
    WorkloadName {
        name: format!("{}/{}", workload.namespace, workload.name),
        kind: workload.kind.clone().into_owned(),
        principal: (!workload.principal.is_empty()).then(|| workload.principal.clone()),
    }
}

fn bounded_endpoint(endpoint: &Endpoint) -> Endpoint {
    match endpoint {
        Endpoint::Workload(workload) => Endpoint::Workload(bounded(workload)),
        Endpoint::Network(network) => Endpoint::Network(bounded(network)),
        Endpoint::Point(point) if [&point.name, &point.instance].iter().any(|text| text.len() > LONGEST) => {
            Endpoint::Point(Arc::new(Point {
                name: cut(&point.name),
                instance: cut(&point.instance),
                ..**point
            }))
        }
        other => other.clone(),
    }
}

/// The shared identity itself, or a copy with truncated names if they are so long that keeping many would cost too much memory.
fn bounded(workload: &Arc<Workload>) -> Arc<Workload> {
    let Workload {
        namespace,
        kind,
        name,
        service_account,
        principal,
        duty,
    } = &**workload;
    let texts = [namespace, &**kind, name, service_account, principal];
    if texts.iter().all(|text| text.len() <= LONGEST) {
        return workload.clone();
    }
    Arc::new(Workload {
        namespace: cut(namespace),
        kind: Cow::Owned(cut(kind)),
        name: cut(name),
        service_account: cut(service_account),
        principal: cut(principal),
        duty: *duty,
    })
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    const MARK: &str = "…";
    format!("{}{MARK}", &text[..text.floor_char_boundary(LONGEST - MARK.len())])
}

#[cfg(test)]
pub(super) mod tests {
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
}
