//! Labels that several families share.

use super::family::Label;

/// Declares a label with the meaning of its values.
pub const fn label(name: &'static str, meaning: &'static str) -> Label {
    Label { name, meaning }
}

const POINT_NAME: Label = label("point", "The enforcement point: namespace and name of its workload");
/// The kind of a point.
pub const KIND: Label = label(
    "kind",
    "ztunnel, waypoint, sidecar, ingress_gateway, egress_gateway, east_west_gateway, zone_ingress, zone_egress or node_proxy",
);
/// The label of the mesh, which everything about one point has.
pub const MESH: Label = label(
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

/// A point that should have carried the connection.
pub const EXPECTED_POINT: &[Label] = &[POINT_NAME, KIND];

/// The side of a point's connections.
pub const SIDE: &[Label] = &[label(
    "side",
    "downstream: connections that the point accepted; upstream: connections that it opened",
)];

/// How and when connections failed.
pub const REASON: &[Label] = &[
    label(
        "reason",
        "How the connection failed: refused, timed_out, unreachable, cancelled, reset_by_peer, reset_by_self, no_local_port, \
         never_accepted or closed_early",
    ),
    label(
        "phase",
        "Whether it failed during the handshake or after it was established",
    ),
];

/// A dependent of a point.
pub const SOURCE: &[Label] = &[
    SOURCE_NAMESPACE,
    SOURCE_WORKLOAD,
    label(
        "source_principal",
        "The identity of the calling workload in its mesh, such as its SPIFFE ID",
    ),
];

/// A workload reached through a point.
pub const DESTINATION: &[Label] = &[
    DESTINATION_NAMESPACE,
    DESTINATION_WORKLOAD,
    label(
        "destination_principal",
        "The identity of the called workload in its mesh, such as its SPIFFE ID",
    ),
];

/// A caller and the workload it called.
pub const PAIR: &[Label] = &[
    SOURCE_NAMESPACE,
    SOURCE_WORKLOAD,
    DESTINATION_NAMESPACE,
    DESTINATION_WORKLOAD,
];

/// How the caller of a point's upstream connection is known.
pub const CERTAINTY: &[Label] = &[label(
    "certainty",
    "certain: the thread that opened or wrote to the connection had only this caller's data to forward, or the network namespace says \
     it; estimated: one of several; unknown",
)];

/// The control plane that a point is connected to.
pub const CONTROL_PLANE: &[Label] = &[DESTINATION_NAMESPACE, DESTINATION_WORKLOAD];

const SOURCE_NAMESPACE: Label = label("source_workload_namespace", "The namespace of the calling workload");
const SOURCE_WORKLOAD: Label = label(
    "source_workload",
    "The calling workload; `_other`: all without a series of their own; `_former`: what workloads had counted before they lost theirs",
);
const DESTINATION_NAMESPACE: Label = label("destination_workload_namespace", "The namespace of the called workload");
const DESTINATION_WORKLOAD: Label = label(
    "destination_workload",
    "The called workload; `_other` and `_former` as for callers",
);

/// What distinct callers or called workloads are counted by.
pub const SCOPE: &[Label] = &[label(
    "scope",
    "What is counted: distinct workloads, service accounts or namespaces",
)];

/// The least age of the open connections that are counted.
pub const MIN_AGE: &[Label] = &[label(
    "min_age_seconds",
    "The age, in seconds, that the counted connections have reached: 1, 5, 30, 60, 120, 300, 600, 3600, 14400 or 86400; those \
     counted at 60 are among those counted at 30",
)];

/// Who closed first.
pub const FIRST_FIN: &[Label] = &[label(
    "first_fin",
    "Who closed its end first: peer (CLOSE-WAIT: it is the point's turn) or point (FIN-WAIT-2: it is the peer's turn)",
)];
