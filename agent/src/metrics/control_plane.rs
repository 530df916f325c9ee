//! The links of points to their control planes.

use super::{
    Detail, families,
    labels::{CONTROL_PLANE, POINT, REASON},
};

families! {
    CONNECTIONS: gauge(
        "narrows_control_plane_connections",
        "Open TCP connections from the point to its mesh's control plane; 0 while a point that had one, or tried to get one, has none"
    )
        .by(&[POINT, CONTROL_PLANE])
        .caveat("Absent where no connection and no attempt was ever seen");

    CHANGED: gauge(
        "narrows_control_plane_changed_timestamp_seconds",
        "Since when the point has been connected to the control plane without interruption or, while it has no connection to it, since \
         when it has had none, as Unix time"
    )
        .by(&[POINT, CONTROL_PLANE])
        .caveat(
            "To the tick: shorter interruptions do not count. For connections from before the first agent, when that agent started"
        );

    LAST_RECEIVED: gauge(
        "narrows_control_plane_last_received_timestamp_seconds",
        "When the point last received bytes from the control plane, as Unix time"
    )
        .by(&[POINT, CONTROL_PLANE])
        .caveat("To the tick")
        .at(Detail::Points);

    OPENED: counter(
        "narrows_control_plane_connections_opened_total",
        "TCP connections from the point to the control plane whose handshake completed: after the first one, reconnects"
    )
        .by(&[POINT, CONTROL_PLANE])
        .at(Detail::Points);

    FAILURES: counter(
        "narrows_control_plane_failures_total",
        "Failed TCP connections of the point to the control plane"
    )
        .by(&[POINT, CONTROL_PLANE, REASON])
        .at(Detail::Points);
}
