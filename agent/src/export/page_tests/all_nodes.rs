//! The points of all nodes on the page of one.

use super::{super::api::Fleet, Site, WAYPOINT, choked, quiet, small::text};
use crate::config::Peers;
use narrows_testbed::browser::Browser;

/// More than those of the other node.
const OWN_TICKS: usize = 3;

/// The page of a quiet node; on another one, the waypoint is choked. At a third address nobody answers.
fn two() -> [Site; 2] {
    let mut other = Site::with(Fleet::alone("node-2"));
    other.tick(quiet());
    other.tick(choked());
    let peers = Peers {
        addresses: vec![other.url(""), "http://127.0.0.1:1".to_owned()],
        ..Peers::default()
    };
    let mut own = Site::with(Fleet::new("node-1", &peers, None).expect("valid peers"));
    for _ in 0..OWN_TICKS {
        own.tick(quiet());
    }
    [own, other]
}

fn shows(browser: &mut Browser, selector: &str, part: &str) {
    let wanted = format!("document.querySelector({selector:?})?.innerText.replaceAll(/\\s+/g, ' ').includes({part:?})");
    let shown = browser.wait_for(&wanted);
    let text = text(browser, selector);
    shown.unwrap_or_else(|error| panic!("{part}: {error}: {text}"));
}

#[test]
fn a_switch_leads_to_all_nodes_and_each_point_to_its_agent() {
    let [own, _other] = two();
    let mut browser = own.visit("");
    shows(&mut browser, "#nodes", "All nodes");
    shows(&mut browser, ".summary", "6 points, none with trouble.");
    browser
        .evaluate("document.querySelector('#nodes a:last-child').click()")
        .expect("clicked");
    shows(&mut browser, ".summary", "of 2 nodes, 1 with trouble, at the top.");
    assert_eq!(browser.evaluate("location.search").expect("a text"), "?nodes=all");
    shows(
        &mut browser,
        ".point",
        "✖ critical team-1/point-1 waypoint · istio · point-1-6f7d9c8b5d-x2x7k · on node node-2",
    );
    shows(
        &mut browser,
        "#missing-nodes",
        "2 agents answered, 1 did not. 127.0.0.1:1: cannot connect: Connection refused",
    );
    browser.picture("all-nodes").expect("a picture");
    // Everything about it comes from its own agent, through this one.
    browser
        .evaluate("document.querySelector('.point a').click()")
        .expect("clicked");
    shows(&mut browser, ".opened", "as node node-2 tells");
    shows(&mut browser, ".opened .reasons", "critical");
    browser
        .wait_for("document.querySelectorAll('.plot canvas').length >= 3")
        .expect("time lines");
    shows(&mut browser, "#failures", "as node node-2 tells, every 5 s");
    browser
        .wait_for("document.querySelector('[data-key^=\"from:\"]')")
        .expect("paths");
    // So does its severity in the picture, and the moment at the top.
    browser
        .wait_for("document.querySelector('#paths .node.point.critical')")
        .expect("its severity");
    shows(&mut browser, "header p", "tick 2");
    let here = own.url("");
    let of_this_node: Vec<_> = (browser.requests().into_iter())
        .filter_map(|url| url.strip_prefix(&here)?.strip_prefix("api/v1/").map(str::to_owned))
        .filter(|path| !path.contains("node=node-2") && !path.contains("nodes=all"))
        .collect();
    assert!(
        (of_this_node.iter()).all(|path| path == "status" || path.starts_with("points?limit=")),
        "{of_this_node:?}"
    );
    let search = browser.evaluate("location.search").expect("a text").to_string();
    assert!(
        search.contains(&format!("point={}", WAYPOINT.replace('~', "%7E"))) && search.contains("node=node-2"),
        "{search}"
    );
    // Out again, to all nodes.
    browser.press("Escape").expect("a key");
    shows(&mut browser, ".summary", "of 2 nodes");
    assert_eq!(browser.evaluate("location.search").expect("a text"), "?nodes=all");
    own.is_all_well(&mut browser);
}

#[test]
fn it_is_accessible_in_light_and_dark() {
    let [own, _other] = two();
    for of in [
        "?nodes=all".to_owned(),
        format!("?nodes=all&point={WAYPOINT}&node=node-2"),
    ] {
        for scheme in ["light", "dark"] {
            let mut browser = own.visit(&of);
            browser.prefer("prefers-color-scheme", scheme).expect("a scheme");
            shows(
                &mut browser,
                "main",
                if of.contains("point") {
                    "as node node-2 tells, every 5 s"
                } else {
                    "of 2 nodes"
                },
            );
            shows(&mut browser, "#nodes", "All nodes");
            assert_eq!(browser.violations().expect("axe"), [""; 0], "{of} {scheme}");
        }
    }
}

#[test]
fn a_node_that_is_gone_is_named_where_its_point_would_be() {
    let [own, mut other] = two();
    let mut browser = own.visit(&format!("?nodes=all&point={WAYPOINT}&node=node-2"));
    shows(&mut browser, ".opened", "as node node-2 tells");
    other.end();
    let mut later = own.visit(&format!("?nodes=all&point={WAYPOINT}&node=node-2"));
    shows(
        &mut later,
        "main",
        "node-2: none of the peers that answer is the agent of this node; 2 did not answer",
    );
    // This agent is well.
    assert_eq!(text(&mut later, "#state"), "");
}

#[test]
fn without_peers_there_is_no_switch() {
    let mut site = Site::new();
    site.tick(quiet());
    let mut browser = site.visit("");
    shows(&mut browser, ".summary", "6 points");
    assert_eq!(text(&mut browser, "#nodes"), "");
    browser.open(&site.url("?nodes=all")).expect("a page");
    shows(
        &mut browser,
        "main",
        "this agent knows no agent of another node: its setting api.peers.addresses",
    );
}
