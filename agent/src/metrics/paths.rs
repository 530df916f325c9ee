//! Paths through points.

use super::{
    Detail, families,
    labels::{CERTAINTY, PAIR, POINT, REASON},
};

families! {
    PATH_CONNECTIONS: counter(
        "narrows_path_connections_total",
        "TCP connections that the point opened, by the caller that they were opened for and their destination. A connection counts \
         when it first carries data, or when it ends without any; one from before the point was recognised does not count"
    )
        .by(&[POINT, PAIR, CERTAINTY])
        .caveat("An estimated caller may be the wrong one; the sum over all callers is exact")
        .at(Detail::Full);

    PATH_TURNS: counter(
        "narrows_path_turns_total",
        "Flights of data that the point sent on connections that it opened, by the caller whose data it forwarded: over HTTP/1.1, \
         requests"
    )
        .by(&[POINT, PAIR, CERTAINTY])
        .caveat("An estimated caller may be the wrong one; the sum over all callers is exact")
        .at(Detail::Full);

    PATH_FAILURES: counter(
        "narrows_path_failures_total",
        "Failed TCP connections and attempts of the point to a destination, by the caller that they were opened for or whose data they \
         carried last: whom a failing destination hurts"
    )
        .by(&[POINT, PAIR, CERTAINTY, REASON])
        .caveat("An estimated caller may be the wrong one; the sum over all callers is exact")
        .at(Detail::Full);
}
