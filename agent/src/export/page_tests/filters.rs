//! Filters and steps out of what is open, by keyboard and in the history.

use super::{Site, WAYPOINT, choked, quiet};
use jiff::Timestamp;
use narrows_testbed::browser::Browser;

fn two_ticks() -> Site {
    let mut site = Site::new();
    site.tick(quiet());
    site.tick(choked());
    site
}

fn focus(browser: &mut Browser, selector: &str) {
    browser
        .evaluate(&format!("document.querySelector({selector:?}).focus()"))
        .expect("focused");
}

#[test]
fn what_is_typed_in_both_fields_counts() {
    let site = two_ticks();
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelectorAll('.point').length === 6")
        .expect("all");
    // At once, so that nothing is left to the time between two keys.
    let both = "for (const [id, value] of [['search', 'point'], ['namespace', 'team-1']]) { \
         const field = document.getElementById(id); field.value = value; field.dispatchEvent(new Event('input')); }";
    browser.evaluate(&format!("{{ {both} }}")).expect("typed");
    browser
        .wait_for(
            "location.search === '?search=point&namespace=team-1' && document.querySelectorAll('.point').length === 3",
        )
        .expect("both filters");
    site.is_all_well(&mut browser);
}

#[test]
fn who_types_at_an_open_point_can_go_back_to_it() {
    let site = two_ticks();
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser.wait_for("document.querySelector('.opened')").expect("opened");
    browser.press("/").expect("a key");
    browser
        .wait_for("document.activeElement.id === 'search'")
        .expect("in the filter");
    browser.enter("point-3").expect("entered");
    browser
        .wait_for("location.search === '?search=point-3' && document.querySelectorAll('.point').length === 1")
        .expect("filtered");
    browser.evaluate("history.back()").expect("back");
    browser
        .wait_for("location.search.includes('point=') && document.querySelector('.opened')")
        .expect("the point");
    site.is_all_well(&mut browser);
}

#[test]
fn escape_leaves_a_field_whatever_is_in_it() {
    let site = two_ticks();
    let mut browser = site.visit("?kind=waypoint&search=point");
    browser
        .wait_for("document.querySelectorAll('.point').length === 2")
        .expect("the waypoints");
    for field in ["form select", "#search"] {
        focus(&mut browser, field);
        browser.press("Escape").expect("a key");
        browser
            .wait_for("document.activeElement === document.body")
            .expect(field);
        assert_eq!(
            browser.evaluate("location.search").expect("a text"),
            "?kind=waypoint&search=point"
        );
    }
    browser.press("Escape").expect("a key");
    browser
        .wait_for("location.search === '' && document.querySelectorAll('.point').length === 6")
        .expect("out of the filters");
    site.is_all_well(&mut browser);
}

#[test]
fn flow_has_the_filters_and_leads_into_points_and_back() {
    let site = two_ticks();
    let mut browser = site.visit("?view=flow");
    browser
        .wait_for("document.querySelectorAll('.node.point').length === 6")
        .expect("all points");
    let choose = "const kind = document.querySelector('form select'); kind.value = 'waypoint'; kind.dispatchEvent(new Event('change'));";
    browser.evaluate(&format!("{{ {choose} }}")).expect("chosen");
    browser
        .wait_for(
            "location.search === '?view=flow&kind=waypoint' && document.querySelectorAll('.node.point').length === 2",
        )
        .expect("the waypoints");
    // The table is of the same edges.
    browser
        .evaluate("document.querySelector('.flow summary').click()")
        .expect("opened");
    browser
        .wait_for("document.querySelectorAll('.flow tbody tr').length > 0")
        .expect("rows");
    let same = "[...document.querySelectorAll('.flow tbody tr')].every((row) => /point-[15]/.test(row.innerText))";
    assert_eq!(browser.evaluate(same).expect("a value"), true);
    // With Tab to the picture's one stop, as a keyboard gets there.
    focus(&mut browser, ".choices a:last-child");
    browser.press("Tab").expect("a key");
    browser
        .wait_for("document.activeElement.dataset.key?.startsWith('point:')")
        .expect("in the picture");
    browser
        .wait_for("[...document.querySelectorAll('[role=status]')].some((said) => /^team-1\\/point-[15]: \\d+ edges/.test(said.textContent))")
        .expect("its numbers are said");
    browser.press("Enter").expect("a key");
    browser.wait_for("document.querySelector('.opened')").expect("opened");
    browser.press("Escape").expect("a key");
    browser
        .wait_for(
            "location.search === '?view=flow&kind=waypoint' && document.querySelectorAll('.node.point').length === 2",
        )
        .expect("the picture again");
    site.is_all_well(&mut browser);
}

#[test]
fn a_time_line_says_its_values_to_the_keyboard() {
    let mut site = Site::new();
    let now = Timestamp::now().as_millisecond();
    site.tick_of(now - 5_000, quiet());
    site.tick_of(now, quiet());
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser
        .wait_for("document.querySelector('.plot canvas')")
        .expect("time lines");
    focus(&mut browser, ".plot");
    let said = "document.querySelector('.plot').ariaValueText";
    assert!(
        browser
            .evaluate(said)
            .expect("a text")
            .to_string()
            .contains("accepted 10/s")
    );
    browser.press("ArrowLeft").expect("a key");
    // At the first tick no rate is known.
    browser
        .wait_for(&format!(
            "{said}.includes('accepted none') && document.querySelector('.plot').ariaValueNow === '0'"
        ))
        .expect("the sample before");
    browser.press("ArrowRight").expect("a key");
    browser
        .wait_for(&format!("{said}.includes('accepted 10/s')"))
        .expect("the newest again");
    site.is_all_well(&mut browser);
}

/// As soon as the samples are said, before the next frame is painted.
#[test]
fn a_key_is_about_the_samples_that_are_said() {
    let mut site = Site::new();
    let now = Timestamp::now().as_millisecond();
    for back in [15_000, 10_000, 5_000] {
        site.tick_of(now - back, quiet());
    }
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser
        .wait_for("document.querySelector('.plot canvas') && document.querySelector('.plot').ariaValueMax === '2'")
        .expect("time lines");
    // A key is an event of its own, after what the new sample itself has left to do at once.
    let press = "const plot = document.querySelector('.plot'); \
         new MutationObserver((_, observer) => { if (plot.ariaValueMax !== '3') return; observer.disconnect(); \
           queueMicrotask(() => { plot.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true })); window.isPressed = true; }); }) \
         .observe(plot, { attributes: true });";
    browser.evaluate(&format!("{{ {press} }}")).expect("observed");
    site.tick_of(now, quiet());
    browser.wait_for("window.isPressed").expect("a new sample");
    // All that follows from the key and from the new sample is done.
    let painted = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))";
    browser.evaluate(painted).expect("painted");
    let said = "document.querySelector('.plot').ariaValueNow";
    assert_eq!(
        browser.evaluate(said).expect("a text"),
        "2",
        "the one before the newest"
    );
    site.is_all_well(&mut browser);
}
