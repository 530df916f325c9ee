//! What others do to a node at will, or rarely: each case was miscounted once, or could be.

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod exits;
mod mptcp;
mod splice;
mod strangers;

use narrows_testbed::workload::Workload;

const POINT: &[(&str, &str)] = &[("point", "shop/waypoint")];
const DOWN: &[(&str, &str)] = &[("point", "shop/waypoint"), ("side", "downstream")];

/// Labels of a few more.
fn and<'a>(labels: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [labels, more].concat()
}

/// A file with settings of the agent.
fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, text).expect("written");
    file
}

/// What the kernel itself counts in a workload's network: names in one line, values in the next.
fn kernel_count(workload: &Workload, name: &str) -> u64 {
    let directory = "/proc/thread-self/net";
    let line = format!("cat {directory}/netstat {directory}/snmp");
    let text = workload.netns.exec(&line).expect("counters");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let found = lines
        .chunks_exact(2)
        .find_map(|pair| Some(pair[1][pair[0].iter().position(|n| *n == name)?]));
    found
        .and_then(|value| value.parse().ok())
        .expect("the kernel has such a counter")
}
