//! Dependents, served workloads and the blast radius of points.

use super::{
    Detail, families,
    labels::{DESTINATION, FIRST_FIN, MIN_AGE, POINT, REASON, SCOPE, SOURCE, label},
};
use crate::program::{Need, WALK};

families! {
    DEPENDENTS: gauge(
        "narrows_dependents",
        "Distinct workloads, service accounts or namespaces with traffic through the point in the window, or with open connections"
    )
        .by(&[POINT, SCOPE])
        .at(Detail::Points);

    DEPENDENTS_UNTRACKED: gauge(
        "narrows_dependents_untracked",
        "Dependents of the point in the window that have no series of their own, because there are more than limits.dependents"
    )
        .by(&[POINT])
        .at(Detail::Points);

    DEPENDENT_ACTIVE: gauge(
        "narrows_dependent_active",
        "1 while the dependent has traffic through the point in the window, or open connections"
    )
        .by(&[POINT, SOURCE])
        .at(Detail::Full);

    DEPENDENT_SHARE: gauge(
        "narrows_dependent_share_ratio",
        "Share of the dependent's connections in the window that pass the point; at 1 it has no other way out"
    )
        .by(&[POINT, SOURCE])
        .caveat("Of connections, not of requests; known on the node where the dependent runs")
        .at(Detail::Full);

    DEPENDENT_CONNECTIONS: counter("narrows_dependent_connections_total", "TCP connections that the point accepted from the dependent")
        .by(&[POINT, SOURCE])
        .at(Detail::Full);

    UNNAMED_CALLERS: counter(
        "narrows_unnamed_caller_connections_total",
        "TCP connections that the point accepted from callers that are no workload, by what these are; together they are `unknown` in \
         narrows_dependent_connections_total"
    )
        .by(&[POINT, &[label(
            "caller",
            "node: the node itself, as for health probes; point: another enforcement point; external: outside of the cluster; unknown: \
             not identified"
        )]])
        .at(Detail::Full);

    DEPENDENT_OPEN: gauge("narrows_dependent_open_connections", "Open TCP connections from the dependent through the point")
        .by(&[POINT, SOURCE])
        .at(Detail::Full);

    DEPENDENT_OPEN_BY_AGE: gauge(
        "narrows_dependent_open_connections_by_age",
        "Open TCP connections from the dependent through the shared point that are at least so old; for the 10 dependents with the \
         most, the others in sum"
    )
        .by(&[POINT, SOURCE, MIN_AGE])
        .caveat("Connections from before the agent's start count from then; those whose caller is not yet known are left out")
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Full);

    DEPENDENT_HALF_CLOSED: gauge(
        "narrows_dependent_half_closed_connections",
        "Open TCP connections between the dependent and the point that one end has closed and the other one has not; for the 10 dependents \
         with the most, the others in sum"
    )
        .by(&[POINT, SOURCE, FIRST_FIN])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Full);

    SERVED_HALF_CLOSED: gauge(
        "narrows_served_half_closed_connections",
        "Open TCP connections between the point and the called workload that one end has closed and the other one has not; for the 10 \
         workloads with the most, the others in sum"
    )
        .by(&[POINT, DESTINATION, FIRST_FIN])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Full);

    DEPENDENT_BYTES: counter("narrows_dependent_bytes_total", "Payload bytes between the dependent and the point, in both directions")
        .by(&[POINT, SOURCE])
        .at(Detail::Full);

    DEPENDENT_FAILURES: counter("narrows_dependent_failures_total", "Failed TCP connections of the dependent to the point")
        .by(&[POINT, SOURCE, REASON])
        .at(Detail::Full);

    SERVED: gauge(
        "narrows_served",
        "Distinct workloads, service accounts or namespaces that were reached through the point in the window, or by open \
         connections"
    )
        .by(&[POINT, SCOPE])
        .at(Detail::Points);

    SERVED_UNTRACKED: gauge(
        "narrows_served_untracked",
        "Workloads served by the point in the window that have no series of their own, because there are more than \
         limits.dependents"
    )
        .by(&[POINT])
        .at(Detail::Points);

    SERVED_ACTIVE: gauge(
        "narrows_served_active",
        "1 while the workload is reached through the point in the window, or by open connections"
    )
        .by(&[POINT, DESTINATION])
        .at(Detail::Full);

    SERVED_CONNECTIONS: counter("narrows_served_connections_total", "TCP connections that the point opened to the workload")
        .by(&[POINT, DESTINATION])
        .at(Detail::Full);

    SERVED_OPEN: gauge("narrows_served_open_connections", "Open TCP connections from the point to the workload")
        .by(&[POINT, DESTINATION])
        .at(Detail::Full);

    SERVED_FAILURES: counter("narrows_served_failures_total", "Failed TCP connections of the point to the workload")
        .by(&[POINT, DESTINATION, REASON])
        .at(Detail::Full);

    CONCENTRATION: gauge(
        "narrows_dependent_concentration_ratio",
        "How unevenly the point's connections in the window are spread over its dependents: the sum of the squares of their \
         shares (Herfindahl index); at 1 one dependent has all"
    )
        .by(&[POINT])
        .at(Detail::Points);

    TRAFFIC_SHARE: gauge(
        "narrows_traffic_share_ratio",
        "The point's share of the connections in the window that points of this node accepted"
    )
        .by(&[POINT])
        .at(Detail::Points);

    CHOKE_RISK: gauge(
        "narrows_choke_risk_ratio",
        "Saturation of the point's fullest resource, times the share of the workloads with traffic on this node that depend on \
         the point"
    )
        .by(&[POINT])
        .at(Detail::Points);

    ACTIVE_WORKLOADS: gauge(
        "narrows_active_workloads",
        "Workloads with traffic in the window, at either end of a connection that this node has seen"
    );
}
