//! Whose traffic a point's upstream connection carries.

use super::{Binding, Endpoint, Identities, Span};
use crate::points::Kind;
use agent_common::{Caller, Certainty, FailureEvent, FlowKey, PathKey, Role};

/// An upstream connection of a point, and what the kernel has found out about its caller.
#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    /// The flow that it is counted in: owner, namespace, destination.
    pub flow: FlowKey,
    /// The caller whose data it carried.
    pub caller: Caller,
    /// How that is known.
    pub certainty: Certainty,
    /// Its own address.
    pub own: [u32; 4],
}

/// Whose traffic an upstream connection carries, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledBy {
    /// The workload, point or other end that called the point; unknown if that is not known.
    pub who: Endpoint,
    /// How it is known.
    pub certainty: Certainty,
    /// Whether later updates cannot change the answer.
    pub is_final: bool,
}

impl CalledBy {
    /// No caller is known.
    pub const NOBODY: Self = Self {
        who: Endpoint::Unknown,
        certainty: Certainty::Unknown,
        is_final: true,
    };
}

impl Upstream {
    /// Who called, when the connection's own flow is bound to `binding`. A proxy that opens its connections in the namespaces of
    /// workloads opens them for the workload that the namespace is of; those to that workload itself come from elsewhere, and
    /// ztunnel gives them the address of their caller (`freebind_connect` in its `src/socket.rs`).
    pub fn called_by(&self, binding: &Binding, identities: &dyn Identities, span: Span) -> CalledBy {
        let Some(point) = binding.point() else {
            return CalledBy::NOBODY;
        };
        match &binding.place {
            Some(place) if binding.peer.named() != Some(place) => CalledBy {
                who: Endpoint::Workload(place.clone()),
                certainty: Certainty::Certain,
                is_final: true,
            },
            Some(_) if point.kind == Kind::Ztunnel => {
                if self.own == self.flow.peer {
                    return CalledBy::NOBODY;
                }
                let by = FlowKey {
                    peer: self.own,
                    role: Role::Server as u8,
                    ..self.flow
                };
                at_other_end(&by, Certainty::Certain, identities, span)
            }
            _ if self.certainty == Certainty::Unknown => CalledBy::NOBODY,
            _ => at_other_end(
                &self.caller.downstream(self.flow.cgroup),
                self.certainty,
                identities,
                span,
            ),
        }
    }
}

fn at_other_end(flow: &FlowKey, certainty: Certainty, identities: &dyn Identities, span: Span) -> CalledBy {
    let found = identities.bind(flow, span);
    CalledBy {
        is_final: found.question.is_none() && found.sure && found.peer != Endpoint::Unknown,
        who: found.peer,
        certainty,
    }
}

fn certainty(number: usize) -> Certainty {
    Certainty::ALL.get(number).copied().unwrap_or(Certainty::Unknown)
}

impl From<&PathKey> for Upstream {
    fn from(key: &PathKey) -> Self {
        Self {
            flow: key.upstream(),
            caller: key.caller,
            certainty: certainty(key.certainty.into()),
            own: key.own,
        }
    }
}

impl From<&FailureEvent> for Upstream {
    fn from(event: &FailureEvent) -> Self {
        Self {
            flow: event.key,
            caller: event.caller,
            certainty: certainty(event.certainty.into()),
            own: event.local,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        identity::Workload,
        points::{Mesh, Point},
    };
    use std::sync::Arc;

    /// The workload at each address is called by its last number.
    struct ByAddress;

    impl Identities for ByAddress {
        fn generation(&self) -> u64 {
            0
        }

        fn bind(&self, key: &FlowKey, _: Span) -> Binding {
            assert_eq!((key.role, key.cgroup), (Role::Server as u8, 7));
            let peer = match key.peer[3] {
                0 => Endpoint::Unknown,
                n => Endpoint::Workload(workload(n)),
            };
            binding(Kind::Waypoint, None, peer)
        }
    }

    /// The workload that is called by this number.
    pub(crate) fn workload(n: u32) -> Arc<Workload> {
        Arc::new(Workload {
            namespace: "shop".into(),
            kind: "Workload".into(),
            name: n.to_string(),
            service_account: String::new(),
            duty: None,
            principal: String::new(),
        })
    }

    fn binding(kind: Kind, place: Option<u32>, peer: Endpoint) -> Binding {
        let point = Point {
            name: "shop/point".into(),
            kind,
            mesh: Mesh::Istio,
            instance: String::new(),
        };
        Binding {
            owner: Endpoint::Point(Arc::new(point)),
            place: place.map(workload),
            peer,
            expected: false,
            sure: true,
            question: None,
            generation: 0,
        }
    }

    const fn address(n: u32) -> [u32; 4] {
        [0, 0, 0, n]
    }

    /// To 9, from its own address 3, and read from 4.
    const UPSTREAM: Upstream = Upstream {
        flow: FlowKey {
            cgroup: 7,
            peer: address(9),
            netns: 1,
            port: 80,
            role: Role::Client as u8,
            generation: 0,
        },
        caller: Caller {
            address: address(4),
            ..Caller::NOBODY
        },
        certainty: Certainty::Estimated,
        own: address(3),
    };

    fn called_by(upstream: &Upstream, kind: Kind, place: Option<u32>) -> CalledBy {
        let binding = binding(kind, place, Endpoint::Workload(workload(9)));
        upstream.called_by(&binding, &ByAddress, Span { from: 0, to: 0 })
    }

    fn by(n: u32, certainty: Certainty) -> CalledBy {
        CalledBy {
            who: Endpoint::Workload(workload(n)),
            certainty,
            is_final: true,
        }
    }

    #[test]
    fn a_namespace_says_more_than_a_thread() {
        assert_eq!(called_by(&UPSTREAM, Kind::Waypoint, None), by(4, Certainty::Estimated));
        for kind in [Kind::Ztunnel, Kind::Sidecar] {
            assert_eq!(called_by(&UPSTREAM, kind, Some(5)), by(5, Certainty::Certain));
        }
    }

    #[test]
    fn a_ztunnel_delivers_from_its_callers_address_and_a_sidecar_does_not() {
        assert_eq!(called_by(&UPSTREAM, Kind::Ztunnel, Some(9)), by(3, Certainty::Certain));
        assert_eq!(
            called_by(&UPSTREAM, Kind::Sidecar, Some(9)),
            by(4, Certainty::Estimated)
        );
        let own = Upstream {
            own: address(9),
            ..UPSTREAM
        };
        assert_eq!(called_by(&own, Kind::Ztunnel, Some(9)), CalledBy::NOBODY);
    }

    #[test]
    fn who_is_not_known_may_become_known_or_not() {
        let nobody = Upstream {
            certainty: Certainty::Unknown,
            ..UPSTREAM
        };
        assert_eq!(called_by(&nobody, Kind::Waypoint, None), CalledBy::NOBODY);
        let late = Upstream {
            caller: Caller::NOBODY,
            ..UPSTREAM
        };
        let found = called_by(&late, Kind::Waypoint, None);
        assert_eq!((found.who, found.is_final), (Endpoint::Unknown, false));
    }
}
