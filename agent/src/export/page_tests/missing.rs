//! What a node lacks is said where its number would be, with the cause.

use super::{Site, WAYPOINT, shapes, small::text};
use crate::{export::synthetic::snapshot, metrics::Details};

#[test]
fn a_signal_that_is_missing_is_said_where_its_number_would_be() {
    let mut site = Site::new();
    let mut lacking = snapshot(&shapes(), 20, Details::default());
    let programs = lacking.kernel.programs.iter_mut();
    programs.for_each(|status| status.switch_off("too old".to_owned()));
    site.tick(lacking);
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser.wait_for("document.querySelector('.delays')").expect("delays");
    let delays = text(&mut browser, ".delays");
    assert!(
        delays.contains("request: from arrival until it is read: kernel program data_arrived is off: too old"),
        "{delays}"
    );
}

#[test]
fn what_is_inside_is_missing_with_its_cause_rather_than_nothing() {
    let mut site = Site::new();
    let mut lacking = snapshot(&shapes(), 20, Details::default());
    let off = ["walk", "packet_dropped", "process_exit"];
    for status in &mut lacking.kernel.programs {
        if off.contains(&status.program) {
            status.switch_off("too old".to_owned());
        }
    }
    site.tick(lacking.clone());
    site.tick(lacking);
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser
        .wait_for("document.querySelectorAll('.plot canvas').length >= 3")
        .expect("time lines");
    let inside = text(&mut browser, "#inside");
    for part in [
        "Accept queues by port missing: kernel program walk is off: too old",
        "arrived, not read missing : kernel program walk is off: too old",
        "sent, not acknowledged missing : kernel program walk is off: too old",
        "stalled connections missing : kernel program walk is off: too old",
        "exited missing : kernel program process_exit is off: too old",
        "Dropped packets missing: kernel program packet_dropped is off: too old",
        "Open connections by age at least missing: kernel program walk is off: too old",
        "CPU limit 1 CPU",
    ] {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    assert!(!inside.contains("none was seen"), "{inside}");
    // Lines without values say which it is, and why.
    let lines = text(&mut browser, "#lines");
    for part in [
        "backlog: missing: kernel program walk is off: too old",
        "waiting: missing: kernel program walk is off: too old",
        "seen by callers here: missing: no caller on this node calls it at an address of its own",
        "arrived → read: idle: nothing was measured in this time",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }

    browser
        .evaluate("document.querySelector('p > a').click()")
        .expect("out");
    // By its whole text: what is beyond the window is not rendered.
    let other = "[...document.querySelectorAll('.point a')].find((a) => a.textContent.includes('point-5'))";
    browser.wait_for(other).expect("the one on another node");
    browser.evaluate(&format!("{other}.click()")).expect("into it");
    browser.wait_for("document.querySelector('#inside')").expect("opened");
    let inside = text(&mut browser, "#inside");
    for part in [
        "Accept queues by port missing: the point does not run on this node",
        "Resources missing: the point does not run on this node",
        "Processes that ended missing: the point does not run on this node",
        "Dropped packets missing: the point does not run on this node",
    ] {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    for id in ["#served", "#control-plane"] {
        let said = text(&mut browser, id);
        assert!(said.contains("missing: the point does not run on this node"), "{said}");
    }
    let explained = browser
        .evaluate("document.querySelector('#explained').textContent")
        .expect("a text");
    assert!(
        explained
            .to_string()
            .contains("local ports: missing: the point does not run on this node"),
        "{explained}"
    );
    site.is_all_well(&mut browser);
    assert_eq!(browser.violations().expect("axe-core"), [""; 0]);
}
