//! Enforcement points: their kinds, and how they are recognised.

mod exclusion;
mod pattern;
mod rules;

pub use exclusion::Exclusion;
pub use rules::{PodFacts, Process, Rule, Rules};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a point: its role in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The node proxy of Istio's ambient mode, which Cilium deploys as well.
    Ztunnel,
    /// Istio ambient's proxy for a service, a namespace or a service account.
    Waypoint,
    /// A proxy that serves a single workload.
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
    /// All kinds, in the order of their declaration.
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

    /// The kind with this value of the label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Whether it serves several workloads, rather than one.
    pub const fn is_shared(self) -> bool {
        !matches!(self, Self::Sidecar)
    }

    /// What fails together.
    pub const fn failure_domain(self) -> FailureDomain {
        match self {
            Self::Ztunnel | Self::NodeProxy => FailureDomain::Node,
            _ => FailureDomain::Whole,
        }
    }
}

/// What fails together of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureDomain {
    /// The instance of a node, on which the workloads of that node depend, and no others.
    Node,
    /// All instances: any of them may serve any caller.
    Whole,
}

/// The mesh that a point belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mesh {
    /// Istio, in sidecar or ambient mode.
    Istio,
    /// Kuma or Kong Mesh.
    Kuma,
    /// Linkerd, with its own proxy.
    Linkerd,
    /// Consul service mesh (Connect).
    Consul,
    /// Cilium, with Envoy or its own ztunnel as node proxy.
    Cilium,
    /// No mesh: a plain proxy.
    #[default]
    None,
}

impl Mesh {
    /// All meshes, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Istio,
        Self::Kuma,
        Self::Linkerd,
        Self::Consul,
        Self::Cilium,
        Self::None,
    ];

    /// The mesh with this value of the label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mesh| mesh.label() == label)
    }

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
    /// Its name, as `<namespace>/<name>`.
    pub name: String,
    /// Its role in the mesh.
    pub kind: Kind,
    /// The mesh that it belongs to.
    pub mesh: Mesh,
    /// The pod or unit of this instance.
    pub instance: String,
}
