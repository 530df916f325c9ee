//! 50 points and 500 workloads: still readable, quick and bounded.

use super::Site;
use crate::{
    export::{
        snapshot::Snapshot,
        synthetic::{Shape, snapshot, workload},
    },
    metrics::Details,
    points::{Kind, Mesh},
};
use narrows_testbed::browser::Browser;
use std::collections::{BTreeMap, BTreeSet};

const POINTS: usize = 50;
const WORKLOADS: usize = 500;

/// Each workload depends on one waypoint and is served by one gateway.
fn node() -> Snapshot {
    of_points(POINTS)
}

fn of_points(points: usize) -> Snapshot {
    let shape = |n: usize| Shape {
        name: format!("team-{}/point-{n}", n % 10),
        kind: if n.is_multiple_of(2) {
            Kind::Waypoint
        } else {
            Kind::IngressGateway
        },
        mesh: Mesh::Istio,
        local: true,
        dependents: 40,
        served: 20,
        ports: 2,
        called: true,
    };
    let shapes: Vec<_> = (0..points).map(shape).collect();
    let mut snapshot = snapshot(&shapes, 20, Details::default());
    for (n, row) in snapshot.points.iter_mut().enumerate() {
        let endpoints = row.dependents.rows.iter_mut().chain(&mut row.served.rows);
        for (m, endpoint) in endpoints.enumerate() {
            endpoint.row.key = workload((n * 13 + m * 7) % WORKLOADS);
        }
    }
    snapshot
}

fn number(browser: &mut Browser, expression: &str) -> f64 {
    let found = browser.evaluate(expression).expect(expression);
    found.as_f64().unwrap_or_else(|| panic!("{expression}: {found}"))
}

#[test]
fn fifty_points_and_five_hundred_workloads() {
    let mut site = Site::new();
    site.tick(node());
    site.tick(node());
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelectorAll('.point').length === 50")
        .expect("all points");
    let all_points = number(&mut browser, "performance.now()");
    // The browser tells of it a moment later.
    let painted = "performance.getEntriesByName('first-contentful-paint')";
    browser.wait_for(&format!("{painted}.length > 0")).expect("painted");
    let first_paint = number(&mut browser, &format!("{painted}[0].startTime"));

    let mut updates = Vec::new();
    for (view, ready, name) in [
        ("", ".point", "large"),
        ("?view=flow", ".node", "large-flow-namespaces"),
        ("?view=flow&group=workload", ".node", "large-flow-workloads"),
    ] {
        browser.open(&site.url(view)).expect("a page");
        browser
            .wait_for(&format!("document.querySelectorAll({ready:?}).length > 40"))
            .expect(view);
        // The longest that anything else had to wait while an update was drawn.
        let watch = "new Promise((done) => { let last = performance.now(), worst = 0; const end = last + 6500; \
             const step = () => { const now = performance.now(); worst = Math.max(worst, now - last); last = now; \
             now < end ? setTimeout(step, 0) : done(worst); }; step(); })";
        site.tick(node());
        updates.push((view, number(&mut browser, watch)));
        browser.picture(name).expect("a picture");
        let drawn = browser
            .evaluate("document.querySelectorAll('*').length")
            .expect("a number");
        assert!(
            drawn.as_u64().is_some_and(|elements| elements < 8_000),
            "{view}: {drawn} elements"
        );
    }
    let edges = browser
        .evaluate("document.querySelectorAll('.edge').length")
        .expect("a number");
    let nodes = browser
        .evaluate("document.querySelectorAll('[data-key^=\"from:\"]').length")
        .expect("a number");
    assert!(edges.as_u64().is_some_and(|edges| edges <= 400), "{edges}");
    assert_eq!(nodes, 60, "59 workloads, and a sum of the others");
    browser
        .wait_for("document.querySelector('.flow .note')?.innerText.startsWith('Not everything is drawn')")
        .expect("it is said");
    let heap = browser.heap_bytes().expect("a size");
    println!(
        "first paint after {first_paint:.0} ms, all points after {all_points:.0} ms; heap {:.1} MB",
        heap as f64 / 1e6
    );
    for (view, worst) in updates {
        println!("longest block while {view:?} is updated: {worst:.0} ms");
    }
    assert!(heap < 100_000_000, "{heap} bytes");
    site.is_all_well(&mut browser);
}

/// Which nodes are drawn, and at which height.
fn places(browser: &mut Browser) -> BTreeMap<String, String> {
    let places = "Object.fromEntries([...document.querySelectorAll('.node')].map(({ dataset, lastChild }) => [dataset.key, lastChild.getAttribute('y')]))";
    let found = browser.evaluate(places).expect("places");
    serde_json::from_value(found).expect("keys and heights")
}

/// Waits for the picture of the next tick.
fn next_tick(site: &mut Site, browser: &mut Browser, snapshot: Snapshot) {
    site.tick(snapshot);
    // The picture is drawn with the same answer as the moment at the top.
    browser
        .wait_for(&format!(
            "document.querySelector('header p').innerText.includes('tick {};')",
            site.ticks
        ))
        .expect("the next tick");
}

/// Who is at another height than before, of those that are drawn at both times.
fn moved(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let here = before
        .iter()
        .filter(|(key, at)| after.get(*key).is_some_and(|now| now != *at));
    here.map(|(key, _)| key.clone()).collect()
}

/// The node without a workload.
fn without(name: &str) -> Snapshot {
    let mut snapshot = node();
    for row in &mut snapshot.points {
        for side in [&mut row.dependents.rows, &mut row.served.rows] {
            side.retain(|endpoint| endpoint.row.key.name != name);
        }
    }
    snapshot
}

#[test]
fn nodes_stay_where_they_are() {
    let mut site = Site::new();
    site.tick(node());
    site.tick(node());
    let mut browser = site.visit("?view=flow&group=workload");
    browser
        .wait_for("document.querySelectorAll('.node').length > 100")
        .expect("drawn");
    assert_eq!(
        browser
            .evaluate("document.querySelector('.heads').innerText")
            .expect("heads"),
        "Workloads that call 59 of 500\nPoints 50\nDestinations 59 of 500"
    );
    let before = places(&mut browser);
    // The order of traffic is the opposite, of open connections and thus of edges: those that were not drawn have the most now.
    let mut busy = node();
    for row in &mut busy.points {
        for side in [&mut row.dependents.rows, &mut row.served.rows] {
            for endpoint in side {
                let key = format!("from:{}", crate::api::workload_id(&endpoint.row.key));
                endpoint.row.tally.active = if before.contains_key(&key) { 1 } else { 100 };
            }
        }
    }
    next_tick(&mut site, &mut browser, busy);
    let after = places(&mut browser);
    assert_eq!(after, before, "the same nodes at the same heights");

    // One of them has no traffic any more: another one takes its place, and nobody else moves.
    let gone = before
        .keys()
        .find(|key| key.starts_with("from:team-") && !key.ends_with("folded"));
    let gone = gone.expect("a workload").clone();
    let name = gone
        .rsplit('~')
        .find(|part| part.starts_with("workload-"))
        .expect("a name")
        .to_owned();
    next_tick(&mut site, &mut browser, without(&name));
    let after = places(&mut browser);
    assert_eq!(moved(&before, &after), [""; 0]);
    assert!(!after.contains_key(&gone), "{gone}");
    let new: Vec<_> = after
        .iter()
        .filter(|(key, _)| key.starts_with("from:") && !before.contains_key(*key))
        .collect();
    let [(new, at)] = new[..] else {
        panic!("one is new: {new:?}")
    };
    assert_eq!(*at, before[&gone], "{new} is where {gone} was");
    next_tick(&mut site, &mut browser, node());
    assert_eq!(moved(&after, &places(&mut browser)), [""; 0]);
    site.is_all_well(&mut browser);
}

#[test]
fn who_comes_and_goes_moves_nobody() {
    let mut site = Site::new();
    let without = || {
        let mut snapshot = node();
        for row in &mut snapshot.points {
            row.dependents
                .rows
                .retain(|endpoint| endpoint.row.key.namespace != "team-3");
        }
        snapshot
    };
    site.tick(without());
    site.tick(without());
    let mut browser = site.visit("?view=flow&group=namespace");
    browser
        .wait_for("document.querySelectorAll('.node').length > 60")
        .expect("drawn");
    let before = places(&mut browser);
    assert!(!before.contains_key("from:team-3"), "{before:?}");
    let mut found = Vec::new();
    for snapshot in [node(), without(), node()] {
        next_tick(&mut site, &mut browser, snapshot);
        let after = places(&mut browser);
        assert_eq!(moved(&before, &after), [""; 0]);
        found.push(after.get("from:team-3").cloned());
    }
    assert!(found[0].is_some() && found[1].is_none(), "{found:?}");
    assert_eq!(found[2], found[0], "its place is kept for it");
    let heights: BTreeSet<_> = places(&mut browser)
        .into_iter()
        .filter(|(key, _)| key.starts_with("from:"))
        .map(|(_, at)| at)
        .collect();
    assert_eq!(heights.len(), 10, "each has a height of its own");
    site.is_all_well(&mut browser);
}

#[test]
fn a_search_finds_what_the_picture_leaves_out() {
    // The last one by name, with one edge.
    let busy = || {
        let mut snapshot = of_points(100);
        let last = snapshot
            .points
            .iter_mut()
            .flat_map(|row| row.dependents.rows.last_mut())
            .last();
        last.expect("a dependent").row.key = workload(999);
        snapshot
    };
    let mut site = Site::new();
    site.tick(busy());
    site.tick(busy());
    let mut browser = site.visit("?view=flow&group=workload");
    browser
        .wait_for(
            "document.querySelector('.flow .note')?.innerText.includes('of 6\u{202f}000 edges, 1\u{202f}000 with')",
        )
        .expect("it is said");
    // Sums lead nowhere, and are no buttons.
    browser
        .wait_for("document.querySelector('[data-key=\"from:folded\"]')?.getAttribute('role') === 'img'")
        .expect("a sum");
    let is_among = "fetch('api/v1/paths?active=true&limit=5000').then((answer) => answer.text()).then((text) => text.includes('workload-999'))";
    assert_eq!(browser.evaluate(is_among).expect("asked"), false);
    let url = site.url("?view=flow&group=workload&search=workload-999");
    browser.open(&url).expect("a page");
    browser
        .wait_for("document.querySelector('[data-key^=\"from:team-9~workload-999\"]')")
        .expect("found");
    site.is_all_well(&mut browser);
}
