//! Enforcement points: what they are, and how one is recognised.

mod rules;

pub use rules::{PodFacts, Process, Rule, Rules};

use serde::{Deserialize, Serialize};

/// What a point does in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Istio ambient's node proxy.
    Ztunnel,
    /// Istio ambient's proxy for a service, a namespace or a service account.
    Waypoint,
    /// A proxy of one workload's own.
    Sidecar,
    /// Where traffic enters the mesh.
    IngressGateway,
    /// Where traffic leaves the mesh.
    EgressGateway,
    /// Where traffic passes from one cluster or network to another.
    EastWestGateway,
    /// Where traffic enters a Kuma zone.
    ZoneIngress,
    /// Where traffic leaves a Kuma zone.
    ZoneEgress,
    /// A proxy that serves all workloads of a node, as Cilium's Envoy does.
    NodeProxy,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Ztunnel,
        Self::Waypoint,
        Self::Sidecar,
        Self::IngressGateway,
        Self::EgressGateway,
        Self::EastWestGateway,
        Self::ZoneIngress,
        Self::ZoneEgress,
        Self::NodeProxy,
    ];

    /// The value of the `kind` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ztunnel => "ztunnel",
            Self::Waypoint => "waypoint",
            Self::Sidecar => "sidecar",
            Self::IngressGateway => "ingress_gateway",
            Self::EgressGateway => "egress_gateway",
            Self::EastWestGateway => "east_west_gateway",
            Self::ZoneIngress => "zone_ingress",
            Self::ZoneEgress => "zone_egress",
            Self::NodeProxy => "node_proxy",
        }
    }
}

/// Whose proxy a point is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mesh {
    /// Istio.
    Istio,
    /// Kuma or Kong Mesh.
    Kuma,
    /// Linkerd.
    Linkerd,
    /// Consul.
    Consul,
    /// Cilium.
    Cilium,
    /// No mesh: a plain proxy.
    #[default]
    None,
}

impl Mesh {
    /// The value of the `mesh` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Kuma => "kuma",
            Self::Linkerd => "linkerd",
            Self::Consul => "consul",
            Self::Cilium => "cilium",
            Self::None => "none",
        }
    }
}

/// An instance of an enforcement point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Point {
    /// `<namespace>/<name>`.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Whose it is.
    pub mesh: Mesh,
    /// The pod or unit.
    pub instance: String,
}
