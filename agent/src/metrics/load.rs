//! How much points carry, and how full their accept queues are.

use super::{
    Detail, Label, families,
    labels::{POINT, SIDE, label},
};
use crate::program::{Need, WALK};
use agent_common::Field;

const PORT: &[Label] = &[label("port", "The port that the point listens on")];

families! {
    OPENED: counter("narrows_connections_opened_total", "TCP connections of the point whose handshake completed")
        .by(&[POINT, SIDE]);

    CLOSED: counter("narrows_connections_closed_total", "Established TCP connections of the point that ended, for whatever reason")
        .by(&[POINT, SIDE]);

    ACTIVE: gauge("narrows_connections_active", "Open TCP connections of the point")
        .by(&[POINT, SIDE]);

    PROCESSES: gauge(
        "narrows_point_processes",
        "Running processes of the point on this node; 0 while a point that has ended is remembered"
    )
        .by(&[POINT]);

    RECEIVED: counter("narrows_received_bytes_total", "Payload bytes that the point received over TCP")
        .by(&[POINT, SIDE])
        .caveat("For an open connection, as of the last tick");

    SENT: counter("narrows_sent_bytes_total", "Payload bytes that the point sent over TCP, without retransmissions")
        .by(&[POINT, SIDE])
        .caveat("For an open connection, as of the last tick");

    RETRANSMITS: counter("narrows_retransmitted_segments_total", "Segments that the point retransmitted on established connections")
        .by(&[POINT, SIDE]);

    SYN_RETRANSMITS: counter("narrows_syn_retransmits_total", "SYNs (upstream) and SYN-ACKs (downstream) that the point retransmitted")
        .by(&[POINT, SIDE]);

    CONNECT_DURATION: histogram(
        "narrows_connect_duration_seconds",
        "Time from the first SYN to the established connection, for connections that the point opened"
    )
        .by(&[POINT, SIDE])
        .at(Detail::Points);

    ROUND_TRIP: histogram(
        "narrows_round_trip_seconds",
        "Smoothed TCP round-trip time of the point's open connections with traffic, one sample per connection and tick"
    )
        .by(&[POINT, SIDE])
        .caveat("Sampled: connections that end within a tick are missing")
        .at(Detail::Points);

    QUEUE: gauge(
        "narrows_accept_queue_connections",
        "Connections whose handshake completed and that wait for the point to accept them, over all listeners of the port"
    )
        .by(&[POINT, PORT])
        .needs(&[Need::Field(Field::sk_ack_backlog), Need::Program(&WALK)])
        .at(Detail::Points);

    QUEUE_LIMIT: gauge(
        "narrows_accept_queue_limit_connections",
        "Capacity of the accept queues of the port in connections (the backlog given to listen), over all its listeners"
    )
        .by(&[POINT, PORT])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);

    QUEUE_UTILIZATION: gauge(
        "narrows_accept_queue_utilization_ratio",
        "How full the fullest accept queue of the port is; at 1 the next handshake is dropped"
    )
        .by(&[POINT, PORT])
        .needs(&[Need::Field(Field::sk_ack_backlog), Need::Program(&WALK)]);

    QUEUE_OLDEST: gauge(
        "narrows_accept_queue_oldest_seconds",
        "Waiting time of the oldest connection in an accept queue of the port; 0 when none waits"
    )
        .by(&[POINT, PORT])
        .caveat("Absent when it is unknown for a waiting connection, as after a SYN cookie")
        .needs(&[Need::Field(Field::sk_ack_backlog), Need::Program(&WALK)]);

    QUEUE_DROPS: counter(
        "narrows_accept_queue_drops_total",
        "Handshakes that listeners of the port dropped, as when their accept queue was full"
    )
        .by(&[POINT, PORT])
        .needs(&[Need::Field(Field::sk_drops), Need::Program(&WALK)]);
}
