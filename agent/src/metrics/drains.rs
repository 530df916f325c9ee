//! Instances of points that are to go.

use super::{
    Detail, Label, families,
    labels::{POINT, SOURCE, label},
};
use crate::program::{Need, WALK};

const CAUSE: &[Label] = &[label(
    "cause",
    "Why the instance is to go: terminating (its pod is being deleted), superseded (its pod is of an older revision than another one of \
     the point on the node) or replaced (a process of it no longer listens where a later one does)",
)];

families! {
    CONNECTIONS: gauge(
        "narrows_draining_connections",
        "Open TCP connections that the shared point had accepted in an instance, or a process of it, that is to go"
    )
        .by(&[POINT, CAUSE])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);

    DEPENDENT_CONNECTIONS: gauge(
        "narrows_draining_dependent_connections",
        "Open TCP connections from the dependent that hang on an instance of the shared point that is to go; for the 10 dependents with \
         the most, the others in sum"
    )
        .by(&[POINT, CAUSE, SOURCE])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Full);

    START: gauge(
        "narrows_drain_start_timestamp_seconds",
        "When the agent noticed that the instance of the shared point is to go, in seconds since 1970"
    )
        .by(&[POINT, CAUSE])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);

    DEADLINE: gauge(
        "narrows_drain_deadline_timestamp_seconds",
        "When the grace of the terminating instance of the shared point ends, in seconds since 1970"
    )
        .by(&[POINT, CAUSE])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);

    CUT: gauge(
        "narrows_drain_cut_connections",
        "Open TCP connections that the end of the grace would cut if they went on to end as they have since the drain began"
    )
        .by(&[POINT, CAUSE])
        .caveat("An extrapolation: as many are taken to end in each second as in the time so far")
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);
}
