//! Where policy is enforced, and which connections bypass a point.

use super::{
    Detail, families,
    labels::{EXPECTED_POINT, PAIR, label},
};

families! {
    ENFORCED: counter(
        "narrows_enforced_connections_total",
        "TCP connections that workloads of this node accepted, by the kind of point that carried them to the workload"
    )
        .by(&[PAIR, &[label("enforced_by", "The kind of point; none: no point carried the connection")]])
        .summed_below(Detail::Full);

    BYPASSED: counter(
        "narrows_bypassed_connections_total",
        "TCP connections that bypassed a point that was expected on their way: a waypoint that the called workload, its \
         service or its namespace names, the called workload's sidecar, or the zone's egress"
    )
        .by(&[EXPECTED_POINT, PAIR])
        .summed_below(Detail::Full);

    EXCLUDED: counter(
        "narrows_excluded_bypasses_total",
        "TCP connections that bypassed a point that was expected on their way, as they are meant to, and are not counted as bypasses"
    )
        .by(&[&[label(
            "cause",
            "configured: bypass.exclude in the configuration; scraper: labels say that the caller collects metrics; control_plane: \
             labels say that it is a part of the mesh's control plane"
        )]]);

    HBONE_UNANSWERED: counter(
        "narrows_hbone_unanswered_connections_total",
        "Attempts to connect to port 15008 (HBONE) of a pod that got no answer: they timed out, or the caller gave up after its SYN was \
         repeated"
    )
        .by(&[PAIR])
        .caveat("Approximate: an attempt that was given up counts when the caller repeated a SYN to the pod, not necessarily its own")
        .summed_below(Detail::Full);

    HBONE_BLOCKED: counter(
        "narrows_hbone_blocked_connections_total",
        "Of narrows_hbone_unanswered_connections_total, those to a pod that in between answered somebody on this node at another port: \
         what a network policy looks like that drops packets to port 15008"
    )
        .by(&[PAIR])
        .caveat("A lower bound: attempts that no later one followed, and pods whose other ports nobody on the caller's node calls")
        .summed_below(Detail::Full);

    MODE: gauge(
        "narrows_workload_mode",
        "1 for the way in which the workload takes part in its mesh, according to its pods on this node"
    )
        .by(&[&[
            label("workload_namespace", "The namespace of the workload"),
            label("workload", "The workload"),
            label("mode", "sidecar, ambient, ambient_waypoint, none or mixed")
        ]]);
}
