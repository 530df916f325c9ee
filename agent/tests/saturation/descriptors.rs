//! A point that may open no more files.

use super::{
    common::expect,
    mesh::{DOWN, Mesh, POINT, PORT, and, converse, entry},
};
use narrows_testbed::{haproxy, load::Crowd, scrape::Metrics};
use std::{fs, time::Duration};

const ERRORS: &str = "narrows_accept_errors_total";
const SATURATION: &str = "narrows_saturation_ratio";

#[test]
fn sixty_four_files_are_not_enough_for_two_hundred_callers() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let haproxy = mesh.haproxy(&haproxy::Options::default());
    // For each connection it needs two files. Those that it has besides are to leave an even number, or else it would accept one
    // that it cannot forward, close it, and so on.
    let really = || fs::read_dir(format!("/proc/{}/fd", haproxy.pid())).map_or(0, Iterator::count);
    // The question whether it is ready was a connection, too.
    let before = mesh.agent.wait_for("its files to be counted without it", |m| {
        m.get("narrows_open_files", POINT) == Some(really() as f64)
    });
    let used = really();
    let limit = 64 - used % 2;
    haproxy.process().limit_open_files(limit as u64).expect("set");
    let crowd = mesh.checkout.run(|| Crowd::start(entry(), 200, Duration::from_secs(5)));
    let (tally, open) = crowd.expect("sent").finish();
    assert_eq!(tally.connected, 200, "the kernel goes on accepting: {tally:?}");
    let short = mesh.agent.wait_for("calls of accept that fail", |m| {
        m.sum(ERRORS, &and(POINT, &[("error", "EMFILE")])) > 0.0
    });
    let told = short.sum(ERRORS, POINT);
    expect(&short, &[(ERRORS, &and(POINT, &[("error", "EMFILE")]), told)]);
    // Open files are not counted at every tick where that takes long.
    let stuck = mesh.agent.wait_for("more of them", |m| {
        m.sum(ERRORS, POINT) > told && m.get("narrows_open_files", POINT) == Some(limit as f64)
    });
    let waiting = stuck.sum("narrows_accept_queue_connections", PORT);
    assert!(waiting > 100.0, "{waiting}");
    assert_eq!(really(), limit);

    haproxy.process().limit_open_files(4096).expect("set");
    mesh.agent.wait_for("an empty queue", |m| {
        m.get("narrows_accept_queue_connections", PORT) == Some(0.0)
    });
    let mut served = 0;
    for stream in open {
        served += usize::from(converse(stream).is_ok());
    }
    // Those that it had accepted and could not forward it has closed meanwhile.
    assert!(served > 100, "{served}");
    let after = mesh.agent.wait_for("the end of all connections", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == 200.0
    });
    expect(&after, &[("narrows_connections_opened_total", DOWN, 200.0)]);
    let errors = after.sum(ERRORS, POINT);
    let after = mesh.agent.wait_for("files to be counted again", |m| {
        m.get("narrows_open_files", POINT)
            .is_some_and(|open| open < limit as f64)
    });
    assert_eq!(after.sum(ERRORS, POINT), errors, "no more of them");

    let files = and(POINT, &[("resource", "open_files")]);
    let ratio = |metrics: &Metrics| metrics.get(SATURATION, &files).expect("a local point has one");
    assert_eq!(ratio(&stuck), 1.0, "{}", stuck.listing("narrows_open_files"));
    assert!(ratio(&before) < 0.5 && ratio(&after) < 0.5);
    let open = [&before, &stuck].map(|metrics| metrics.get("narrows_open_files", POINT));
    assert_eq!(open, [Some(used as f64), Some(limit as f64)]);
    assert_eq!(stuck.get("narrows_open_files_limit", POINT), Some(limit as f64));
}
