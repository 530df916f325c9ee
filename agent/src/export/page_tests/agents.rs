//! What the page says of its agent: that it is late, that it was restarted, that it follows failures for too many.

use super::{super::api::Fleet, Site, WAYPOINT, quiet, small::text};
use jiff::Timestamp;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// An agent with this interval whose last tick was a minute ago.
fn a_minute_ago(interval: Duration) -> Site {
    let mut site = Site::at("127.0.0.1:0", Fleet::alone("node-1"), interval);
    site.tick_of(Timestamp::now().as_millisecond() - 60_000, quiet());
    site
}

#[test]
fn an_agent_is_late_by_its_own_interval() {
    let site = a_minute_ago(Duration::from_secs(5));
    let mut browser = site.visit("");
    browser
        .wait_for("document.querySelector('#state').innerText.includes('it is late, or the clocks differ')")
        .expect("late");
    let site = a_minute_ago(Duration::from_secs(3600));
    browser.open(&site.url("")).expect("a page");
    browser
        .wait_for("document.querySelectorAll('.point').length === 6")
        .expect("all");
    assert_eq!(text(&mut browser, "#state"), "", "the next tick is to come in an hour");
}

#[test]
fn samples_of_two_agents_have_a_gap_between_them() {
    let (mut site, now) = (Site::new(), Timestamp::now().as_millisecond());
    for n in 0..5 {
        site.tick_of(now - 30_000 + 5_000 * n, quiet());
    }
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    browser
        .wait_for("document.querySelector('.plot canvas') && document.querySelector('.plot').ariaValueMax === '4'")
        .expect("five samples");
    let address = site.address.to_string();
    site.end();
    let mut next = Site::at(&address, Fleet::alone("node-1"), Duration::from_secs(5));
    // Before its first tick it knows nothing, which is not to be shown in place of what is known.
    browser
        .wait_for("document.querySelector('#state').innerText.includes('first tick has not ended yet')")
        .expect("it is there");
    assert_eq!(
        text(&mut browser, "h2"),
        "team-1/point-1 ● ok",
        "the point stays, with its lines"
    );
    // By its clock it is no later than the last sample.
    next.tick_of(now - 10_000, quiet());
    browser
        .wait_for("document.querySelector('header').innerText.includes('tick 1')")
        .expect("a tick without a new sample");
    next.tick_of(now - 5_000, quiet());
    next.tick_of(now, quiet());
    // Five of the first agent, two of the next one, and what is between them.
    browser
        .wait_for("document.querySelector('.plot').ariaValueMax === '7'")
        .expect("both");
    // Open connections are known in all samples.
    let line = "[...document.querySelectorAll('.plot')].find((plot) => plot.ariaLabel.startsWith('Open connections'))";
    browser.evaluate(&format!("{line}.focus()")).expect("focused");
    for (at, value) in [("6", "accepted 0"), ("5", "accepted none"), ("4", "accepted 0")] {
        browser.press("ArrowLeft").expect("a key");
        browser
            .wait_for(&format!(
                "{line}.ariaValueNow === '{at}' && {line}.ariaValueText.includes('{value},')"
            ))
            .expect(at);
    }
}

/// As many followers as an agent takes.
const FOLLOWERS: usize = 32;

#[test]
fn why_failures_are_not_followed_is_said_by_the_agent() {
    let mut site = Site::new();
    site.tick(quiet());
    let follower = || {
        let mut stream = TcpStream::connect(site.address).expect("connected");
        let request = "GET /api/v1/failures?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream
    };
    let followers: Vec<_> = (0..FOLLOWERS).map(|_| follower()).collect();
    let mut browser = site.visit(&format!("?point={WAYPOINT}"));
    let said = "document.querySelector('#failures')?.innerText.replaceAll(/\\s+/g, ' ')";
    browser
        .wait_for(&format!("{said}?.includes('not followed: ')"))
        .expect("refused");
    let why = text(&mut browser, "#failures h3");
    assert!(why.contains("32") && why.contains("next try within 15 s"), "{why}");
    drop(followers);
    browser
        .wait_for(&format!("{said}.includes('live: ')"))
        .expect("at the next try");
}
