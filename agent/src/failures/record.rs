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
            node: None,
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
pub(super) mod tests;
