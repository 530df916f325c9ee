//! Labels that several families have.

use super::family::Label;

/// Declares a label.
pub const fn label(name: &'static str, meaning: &'static str) -> Label {
    Label { name, meaning }
}

const POINT_NAME: Label = label("point", "The enforcement point: namespace and name of its workload");
const KIND: Label = label(
    "kind",
    "ztunnel, waypoint, sidecar, ingress_gateway, egress_gateway, east_west_gateway, zone_ingress, zone_egress or node_proxy",
);
const MESH: Label = label(
    "mesh",
    "The mesh that the point belongs to: istio, kuma, linkerd, consul, cilium or none",
);

/// An instance of a point on this node.
pub const POINT: &[Label] = &[
    POINT_NAME,
    KIND,
    MESH,
    label(
        "instance_pod",
        "The pod, or the entry of the inventory, that the instance of the point runs as",
    ),
];

/// A point as its callers see it, wherever its instances run.
pub const CALLED_POINT: &[Label] = &[POINT_NAME, KIND, MESH];

/// A point that was expected on the way.
pub const EXPECTED_POINT: &[Label] = &[POINT_NAME, KIND];

/// The side of a point's connections.
pub const SIDE: &[Label] = &[label(
    "side",
    "downstream: connections that the point accepted; upstream: connections that it opened",
)];

/// How connections failed.
pub const REASON: &[Label] = &[
    label(
        "reason",
        "How the connection failed: refused, timed_out, unreachable, cancelled, reset_by_peer, reset_by_self, no_local_port, \
         never_accepted or closed_early",
    ),
    label("phase", "Whether it failed in the handshake or when it was established"),
];

/// Who depends on a point.
pub const SOURCE: &[Label] = &[
    SOURCE_NAMESPACE,
    SOURCE_WORKLOAD,
    label(
        "source_principal",
        "The identity of the calling workload in its mesh, such as its SPIFFE ID",
    ),
];

/// Who is reached through a point.
pub const DESTINATION: &[Label] = &[
    DESTINATION_NAMESPACE,
    DESTINATION_WORKLOAD,
    label(
        "destination_principal",
        "The identity of the called workload in its mesh, such as its SPIFFE ID",
    ),
];

/// A caller and whom it called.
pub const PAIR: &[Label] = &[
    SOURCE_NAMESPACE,
    SOURCE_WORKLOAD,
    DESTINATION_NAMESPACE,
    DESTINATION_WORKLOAD,
];

const SOURCE_NAMESPACE: Label = label("source_workload_namespace", "The namespace of the calling workload");
const SOURCE_WORKLOAD: Label = label(
    "source_workload",
    "The calling workload; `_other`: all that have no series of their own; `_former`: what others had counted before they lost theirs",
);
const DESTINATION_NAMESPACE: Label = label("destination_workload_namespace", "The namespace of the called workload");
const DESTINATION_WORKLOAD: Label = label(
    "destination_workload",
    "The called workload; `_other` and `_former` as for callers",
);

/// What distinct callers or called are counted by.
pub const SCOPE: &[Label] = &[label(
    "scope",
    "What is counted: distinct workloads, service accounts or namespaces",
)];
