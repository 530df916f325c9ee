//! The page in a real browser, before a real agent: what a waypoint that chokes looks like, as it happens. What the page shows of
//! made-up nodes is tested beside its server, in `agent/src/export/page_tests`.

mod choke;
#[path = "../common/mod.rs"]
mod common;

use common::{World, envoy, inventory, start_server, start_with, v4};
use narrows_testbed::{browser::Browser, load::Plan};

#[test]
fn a_waypoint_that_ends_is_critical_at_once_and_its_failures_come_live() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let server = world.workload("reviews", 21);
    let _server = start_server(&server);
    let envoy = envoy(&waypoint, 1);
    // The interval that is the default, as the page asks so often.
    let agent = start_with(&inventory(&[&checkout, &server], &[&waypoint]), &["--interval", "5"]);
    let call = |n| checkout.run(|| Plan::burst(v4(2, 15008), n).run());
    assert_eq!(call(20).ok, 20);

    let mut browser = Browser::start(1280, 720).expect("a browser");
    browser.open(&format!("http://{}/", agent.address())).expect("a page");
    browser
        .wait_for("document.querySelector('.point')?.innerText.includes('1 depend on it, 1 served by it')")
        .expect("both sides of the waypoint");
    browser
        .evaluate("document.querySelector('.point a').click()")
        .expect("opened");
    browser
        .wait_for(
            "/shop\\/checkout.* 100 %/.test(document.querySelector('#dependents')?.innerText.replaceAll(/\\s+/g, ' '))",
        )
        .expect("who depends on it");
    browser
        .wait_for("document.querySelector('[data-key^=\"to:shop~reviews\"]')")
        .expect("who is served by it");
    browser
        .wait_for("/shop\\/checkout shop\\/reviews (certain|≈ estimated)/.test(document.querySelector('#paths').innerText.replaceAll(/\\s+/g, ' '))")
        .expect("whose traffic goes where");
    browser
        .wait_for("document.querySelector('#failures').innerText.includes('live')")
        .expect("followed");
    assert_eq!(browser.problems(), [""; 0]);

    drop(envoy);
    let begin = std::time::Instant::now();
    assert_eq!(call(30).refused, 30);
    browser
        .wait_for("document.querySelectorAll('#failures tbody tr').length >= 1")
        .expect("failures as they come");
    let live = begin.elapsed();
    let row = browser
        .evaluate("document.querySelector('#failures tbody tr').innerText")
        .expect("a row");
    for part in ["refused", "a caller", "shop/checkout", "shop/waypoint"] {
        assert!(row.as_str().is_some_and(|row| row.contains(part)), "{part}: {row}");
    }
    browser
        .wait_for("document.querySelector('h2 .severity').innerText.includes('critical')")
        .expect("within two ticks");
    let critical = begin.elapsed();
    browser.picture("choke-point").expect("a picture");
    println!("failures live after {live:?}, critical after {critical:?}");
    for (of, ready, name) in [
        ("", ".point.critical", "choke"),
        ("?view=flow&group=workload", ".node.critical", "choke-flow"),
    ] {
        browser
            .open(&format!("http://{}/{of}", agent.address()))
            .expect("a page");
        browser
            .wait_for(&format!("document.querySelector({ready:?})"))
            .expect(name);
        browser.picture(name).expect("a picture");
    }
    assert_eq!(browser.problems(), [""; 0]);
    let requests = browser.requests();
    let here = format!("http://{}/", agent.address());
    assert!(
        requests
            .iter()
            .all(|url| url.starts_with(&here) || url == "about:blank"),
        "{requests:?}"
    );
}
