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

const POINTS: usize = 50;
const WORKLOADS: usize = 500;

/// Each workload depends on one waypoint and is served by one gateway.
fn node() -> Snapshot {
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
    let shapes: Vec<_> = (0..POINTS).map(shape).collect();
    let mut snapshot = snapshot(&shapes, 20, Details::default());
    for (n, row) in snapshot.points.iter_mut().enumerate() {
        let endpoints = row.dependents.rows.iter_mut().chain(&mut row.served.rows);
        for (m, endpoint) in endpoints.enumerate() {
            endpoint.row.key = workload((n * 13 + m * 7) % WORKLOADS);
        }
    }
    snapshot
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
    let mut number = |expression: &str| {
        let found = browser.evaluate(expression).expect(expression);
        found.as_f64().unwrap_or_else(|| panic!("{expression}: {found}"))
    };
    let first_paint = number("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN");
    let all_points = number("performance.now()");

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
        updates.push((
            view,
            browser.evaluate(watch).expect("a time").as_f64().expect("a number"),
        ));
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
        assert!(worst < 2_000.0, "{view:?}: {worst} ms");
    }
    assert!(heap < 100_000_000, "{heap} bytes");
    site.is_all_well(&mut browser);
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
    let places = "JSON.stringify([...document.querySelectorAll('.node')].map(({ dataset, lastChild }) => [dataset.key, lastChild.getAttribute('y')]))";
    let before = browser.evaluate(places).expect("places");
    let tick = browser
        .evaluate("document.querySelector('time').dateTime")
        .expect("a time");
    // The traffic is another one: those that were not drawn have the most now.
    let mut busy = node();
    for row in &mut busy.points {
        for (n, endpoint) in row.dependents.rows.iter_mut().enumerate() {
            endpoint.row.tally.bytes = 1_000_000 * n as u64;
        }
    }
    site.tick(busy);
    browser
        .wait_for(&format!("document.querySelector('time').dateTime !== {tick}"))
        .expect("the next tick");
    assert_eq!(browser.evaluate(places).expect("places"), before);
}
