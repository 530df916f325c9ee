//! What the page shows of a few points, and how it is used.

use super::{Site, WAYPOINT, choked, quiet};
use narrows_testbed::browser::Browser;
use serde_json::Value;

/// The text of the first element, without line breaks.
pub fn text(browser: &mut Browser, selector: &str) -> String {
    let text = browser.evaluate(&format!(
        "document.querySelector({selector:?})?.innerText.replaceAll(/\\s+/g, ' ') ?? ''"
    ));
    text.expect("a text").as_str().unwrap_or_default().to_owned()
}

/// The color behind everything.
fn back(browser: &mut Browser) -> Value {
    let color = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    color.expect("a color")
}

fn two_ticks() -> Site {
    let mut site = Site::new();
    site.tick(quiet());
    site.tick(choked());
    site
}

#[test]
fn the_worst_point_is_first_and_says_why() {
    let site = two_ticks();
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelectorAll('.point').length === 6")
        .expect("all");
    // What is not near the window has no text until the browser has found that it is.
    browser
        .wait_for("document.querySelector('.point').innerText.includes('accept queue')")
        .expect("drawn");
    let summary = text(&mut browser, ".summary");
    assert_eq!(summary, "6 points, 1 with trouble, at the top.");
    let first = text(&mut browser, ".point");
    for part in [
        "✖ critical team-1/point-1 waypoint · istio · point-1-6f7d9c8b5d-x2x7k",
        "accept queue",
        "90 % ▲",
        // 50 connections in each tick of 5 s.
        "accepted 0 open, 10/s new",
        "5 depend on it, 3 served by it",
        "seen by callers here missing",
        "seen by the point 0/s 0 in all",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let elsewhere = browser.evaluate(
        "[...document.querySelectorAll('.point')].find((point) => point.textContent.includes('point-5')).textContent.replaceAll(/\\s+/g, ' ')",
    );
    let elsewhere = elsewhere.expect("a text").to_string();
    assert!(
        elsewhere.contains("Saturation is missing: the point does not run on this node"),
        "{elsewhere}"
    );
    site.is_all_well(&mut browser);
}

#[test]
fn what_happens_appears_by_itself() {
    let mut site = Site::new();
    site.tick(quiet());
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelector('.summary')?.innerText.includes('none with trouble')")
        .expect("quiet");
    site.tick(choked());
    browser
        .wait_for("document.querySelector('.point.critical a')?.innerText === 'team-1/point-1'")
        .expect("at the next tick");
    site.is_all_well(&mut browser);
}

#[test]
fn a_link_opens_what_it_was_copied_from() {
    let site = two_ticks();
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser
        .wait_for("document.querySelectorAll('#dependents tbody tr').length === 5")
        .expect("dependents");
    browser
        .wait_for("document.querySelectorAll('.plot canvas').length >= 3")
        .expect("time lines");
    let dependents = text(&mut browser, "#dependents");
    // Each has opened 20 of the 100 that the dependents have opened, 10 of them in the last 5 s.
    assert!(
        dependents.contains("team-3/workload-3 spiffe://cluster.local/ns/team-3/sa/workload-3 0 2/s 100 % 20 %"),
        "{dependents}"
    );
    let lines = browser
        .evaluate("document.querySelector('.plot').ariaLabel")
        .expect("a text");
    assert_eq!(
        lines,
        "New connections: accepted: now 10/s, at least 10/s, at most 10/s; opened by it: now 0/s, at least 0/s, at most 0/s"
    );
    browser
        .wait_for("document.querySelector('#failures').innerText.includes('live')")
        .expect("followed");

    browser
        .open(&site.url("?view=flow&group=workload&namespace=team-3"))
        .expect("a page");
    browser
        .wait_for("document.querySelector('[data-key^=\"from:team-3\"]')")
        .expect("a workload");
    assert_eq!(
        browser
            .evaluate("document.querySelectorAll('[data-key^=\"from:\"]').length")
            .expect("a number"),
        1
    );
    assert_eq!(
        browser
            .evaluate("document.querySelector('#namespace').value")
            .expect("a text"),
        "team-3"
    );

    browser.open(&site.url("?search=POINT-4")).expect("a page");
    browser
        .wait_for("document.querySelector('.summary')?.innerText.startsWith('1 of 6 points')")
        .expect("one");

    browser.open(&site.url("?point=gone")).expect("a page");
    browser
        .wait_for("document.querySelector('[role=alert]')?.innerText.includes('This point cannot be shown')")
        .expect("said");
    // The browser itself notes the answer 404.
    let problems = browser.problems();
    assert!(problems.iter().all(|problem| problem.contains("404")), "{problems:?}");
}

#[test]
fn the_keyboard_is_enough() {
    let site = two_ticks();
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelectorAll('.point').length === 6")
        .expect("all");
    browser.press("Tab").expect("pressed");
    browser
        .wait_for("document.activeElement.innerText === 'Skip to the content'")
        .expect("first");
    browser.press("/").expect("pressed");
    browser
        .wait_for("document.activeElement.id === 'search'")
        .expect("in the filter");
    browser.enter("point-1").expect("entered");
    browser
        .wait_for("location.search === '?search=point-1' && document.querySelectorAll('.point').length === 1")
        .expect("filtered");
    for _ in 0..10 {
        browser.press("Tab").expect("pressed");
        if browser.evaluate("document.activeElement.innerText").expect("a text") == "team-1/point-1" {
            break;
        }
    }
    browser.press("Enter").expect("pressed");
    browser
        .wait_for(
            "document.activeElement.tagName === 'H2' && document.activeElement.innerText.includes('team-1/point-1')",
        )
        .expect("opened");
    browser.press("Escape").expect("pressed");
    browser
        .wait_for("!location.search.includes('point=') && document.querySelectorAll('.point').length === 1")
        .expect("out of the point");
    browser.press("Escape").expect("pressed");
    browser
        .wait_for("location.search === '' && document.querySelectorAll('.point').length === 6")
        .expect("out of the filter");
    browser.press("?").expect("pressed");
    browser.wait_for("document.querySelector('dialog').open").expect("help");
    browser.press("Escape").expect("pressed");
    browser
        .wait_for("!document.querySelector('dialog').open")
        .expect("closed");

    browser.open(&site.url("?view=flow")).expect("a page");
    browser
        .wait_for("document.querySelector('.node[tabindex=\"0\"]')")
        .expect("drawn");
    for _ in 0..30 {
        browser.press("Tab").expect("pressed");
        if browser
            .evaluate("!!document.activeElement.dataset.key")
            .expect("a value")
            == true
        {
            break;
        }
    }
    browser
        .wait_for("document.querySelector('.told').innerText.includes('team-0/point-0: ')")
        .expect("its numbers");
    browser.press("ArrowDown").expect("pressed");
    browser
        .wait_for("document.activeElement.dataset.key.includes('point-2')")
        .expect("the next");
    browser.press("ArrowLeft").expect("pressed");
    browser
        .wait_for("document.activeElement.dataset.key.startsWith('from:team-')")
        .expect("a namespace");
    browser.press("Enter").expect("pressed");
    browser
        .wait_for("location.search.includes('group=workload') && location.search.includes('namespace=team-')")
        .expect("in it");
    site.is_all_well(&mut browser);
}

#[test]
fn no_rule_of_accessibility_is_broken() {
    let site = two_ticks();
    let mut browser = site.visit("");
    for theme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", theme).expect("set");
        for (of, ready, name) in [
            ("", ".point", "points"),
            ("?view=flow", ".node", "flow"),
            ("?view=flow&group=workload&active=false", ".node", "flow-workloads"),
            (&format!("?point={WAYPOINT}"), ".plot canvas", "point"),
        ] {
            browser.open(&site.url(of)).expect("a page");
            browser
                .wait_for(&format!("document.querySelector({ready:?})"))
                .expect(of);
            browser.picture(&format!("{theme}-{name}")).expect("a picture");
            let violations = browser.violations().expect("axe-core");
            assert!(violations.is_empty(), "{theme}, {of}: {violations:#?}");
        }
        browser.press("?").expect("pressed");
        browser.wait_for("document.querySelector('dialog').open").expect("help");
        let violations = browser.violations().expect("axe-core");
        assert!(violations.is_empty(), "{theme}, help: {violations:#?}");
    }
}

#[test]
fn the_theme_is_that_of_the_system_or_the_chosen_one() {
    let site = two_ticks();
    let mut browser = site.visit("");
    browser.prefer("prefers-color-scheme", "dark").expect("set");
    browser.wait_for("document.querySelector('#theme')").expect("a switch");
    let dark = back(&mut browser);
    let choose = "const theme = document.querySelector('#theme'); theme.value = 'light'; theme.dispatchEvent(new Event('change'));";
    browser.evaluate(&format!("{{ {choose} }}")).expect("chosen");
    let light = back(&mut browser);
    assert_ne!(light, dark);
    browser.open(&site.url("?view=flow")).expect("a page");
    browser.wait_for("document.querySelector('.node')").expect("drawn");
    assert_eq!(back(&mut browser), light, "it is kept");
}

#[test]
fn nothing_is_cut_off_on_a_small_screen() {
    let site = two_ticks();
    let mut browser = site.visit("");
    for (width, height) in [(1280, 720), (800, 600)] {
        browser.resize(width, height).expect("resized");
        for (of, ready) in [("", ".point"), (&format!("?point={WAYPOINT}"), ".plot canvas")] {
            browser.open(&site.url(of)).expect("a page");
            browser
                .wait_for(&format!("document.querySelector({ready:?})"))
                .expect(of);
            let wide = browser
                .evaluate("document.documentElement.scrollWidth")
                .expect("a number");
            assert_eq!(wide, width, "{of}: it scrolls to the side");
        }
    }
}

#[test]
fn an_agent_that_is_gone_is_said_to_be() {
    let mut site = two_ticks();
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelectorAll('.point').length === 6")
        .expect("all");
    site.is_all_well(&mut browser);
    site.end();
    browser
        .wait_for("document.querySelector('#state').innerText.includes('No data from the agent since ')")
        .expect("said");
    let said = text(&mut browser, "#state");
    assert!(said.contains("What is shown is from "), "{said}");
    assert_eq!(
        browser
            .evaluate("document.querySelectorAll('.point').length")
            .expect("a number"),
        6,
        "what was known stays"
    );
}
