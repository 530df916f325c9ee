//! Failed connections, as the point's own sockets and its callers see them, and the callers' view as a whole.

use super::{
    Detail, families,
    labels::{CALLED_POINT, POINT, REASON, SIDE},
};

families! {
    FAILURES: counter(
        "narrows_connection_failures_total",
        "Failed TCP connections of the point, as seen by the point's own sockets"
    )
        .by(&[POINT, SIDE, REASON])
        .caveat(
            "never_accepted also counts callers that reset before the proxy accepted, as TCP health checks do; closed_early is a \
             heuristic"
        );

    CALLER_OPENED: counter(
        "narrows_client_connections_opened_total",
        "TCP connections to the point whose handshake completed, as seen by its callers on this node"
    )
        .by(&[CALLED_POINT]);

    CALLER_FAILURES: counter(
        "narrows_client_connection_failures_total",
        "Failed TCP connections to the point, as seen by its callers on this node"
    )
        .by(&[CALLED_POINT, REASON])
        .caveat("closed_early is a heuristic");

    CALLER_SYN_RETRANSMITS: counter(
        "narrows_client_syn_retransmits_total",
        "SYNs to the point that its callers on this node retransmitted"
    )
        .by(&[CALLED_POINT]);

    CALLER_CONNECT_DURATION: histogram(
        "narrows_client_connect_duration_seconds",
        "Time from the first SYN to the established connection, as seen by the point's callers on this node"
    )
        .by(&[CALLED_POINT])
        .at(Detail::Points);
}
