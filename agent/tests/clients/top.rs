//! `narrows top` in a terminal and in a pipe, with a server in the agent's place.

use super::{failure, narrows, refusal, run, server::Server};
use narrows_testbed::terminal::Terminal;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const POINTS: &str = include_str!("../../src/cli/top/tests/points.json");
const POINT: &str = include_str!("../../src/cli/top/tests/point.json");
const FAILURES: &str = include_str!("../../src/cli/top/tests/failures.json");

/// A server like an agent; while it is `ill`, it cannot answer.
struct Stand {
    server: Server,
    url: String,
    ill: Arc<AtomicBool>,
}

impl Stand {
    fn new() -> Self {
        let ill = Arc::new(AtomicBool::new(false));
        let is_ill = ill.clone();
        let server = Server::routed(move |path| match path {
            _ if is_ill.load(Ordering::Relaxed) => ("503 Service Unavailable", "the agent is starting".to_owned()),
            "/api/v1/points?limit=1000" => ("200 OK", POINTS.to_owned()),
            "/api/v1/points/istio~waypoint~shop__waypoint~waypoint-6f7d9c8b5d-x2x7k" => ("200 OK", POINT.to_owned()),
            // Whatever is new, and for whichever point.
            path if path.starts_with("/api/v1/failures?limit=200") => ("200 OK", FAILURES.to_owned()),
            _ => ("404 Not Found", String::new()),
        });
        let url = format!("http://{}", server.address);
        Self { server, url, ill }
    }

    fn terminal(&self, arguments: &[&str], size: (u16, u16)) -> Terminal {
        let mut command = narrows(&["top", "--agent", &self.url]);
        Terminal::start(command.args(arguments), size)
    }
}

#[test]
fn sort_select_filter_open_and_quit() {
    let stand = Stand::new();
    let mut top = stand.terminal(&[], (24, 80));
    top.shows(&["> CRITICAL shop/waypoint", "shop/checkout ", "timed_out", "by trouble"]);
    top.press("O");
    top.shows(&["by open connections"]);
    let first = top.text().lines().nth(3).unwrap_or_default().to_owned();
    assert!(first.starts_with("  WARNING  istio-system/ztunnel"), "{first}");
    top.press("T\x1b[B");
    top.shows(&["> WARNING  istio-system/ztunnel", "by trouble"]);
    top.press("/pay");
    top.shows(&["/pay_", "> ok       pay/waypoint"]);
    assert!(!top.text().contains("edge/gateway"), "{}", top.text());
    top.press("\r");
    top.shows(&["/pay  by trouble"]);
    top.press("\x1b");
    top.shows(&["edge/gateway"]);
    top.press("k\x1b[H");
    top.shows(&["> CRITICAL shop/waypoint", "shop/cart "]);
    top.press("\r");
    top.shows(&[
        "accept_queue     [####################] 100%",
        "FAILURES of shop/waypoint",
    ]);
    top.press("?");
    top.shows(&["SORT BY"]);
    top.press(" \x1b");
    top.shows(&["FAILURES of this node"]);
    top.press("q");
    let (status, left) = top.end();
    assert!(status.success(), "{left}");
    assert_eq!(left.trim(), "");
}

#[test]
fn another_size_is_drawn_at_once() {
    let stand = Stand::new();
    let mut top = stand.terminal(&["--interval", "1h"], (24, 80));
    top.shows(&["> CRITICAL shop/waypoint"]);
    assert!(!top.text().contains("READ p99"));
    top.resize(40, 140);
    top.shows(&["READ p99", "accept queue 100 % full"]);
    top.resize(20, 60);
    top.shows(&["> CRITICAL shop/waypoint       ", "and 4 more: Enter shows all"]);
    top.press("q");
    top.end();
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let stand = Stand::new();
        let mut top = stand.terminal(&[], (24, 80));
        top.shows(&["> CRITICAL shop/waypoint"]);
        top.signal(signal);
        let (status, left) = top.end();
        assert!(status.success(), "{signal}: {left}");
    }
}

#[test]
fn control_c_ends_it() {
    let stand = Stand::new();
    let mut top = stand.terminal(&[], (24, 80));
    top.shows(&["> CRITICAL shop/waypoint"]);
    top.press("\x03");
    assert!(top.end().0.success());
}

#[test]
fn colours_can_be_refused() {
    for (arguments, variable, expected) in [
        (&[][..], None, true),
        (&["--no-color"], None, false),
        (&[], Some("1"), false),
        (&[], Some(""), true),
    ] {
        let stand = Stand::new();
        let mut command = narrows(&["top", "--agent", &stand.url]);
        command.args(arguments);
        command.envs(variable.map(|value| ("NO_COLOR", value)));
        let mut top = Terminal::start(&mut command, (24, 80));
        top.shows(&["> CRITICAL shop/waypoint", "by trouble"]);
        assert_eq!(top.has_colour(), expected, "{arguments:?} {variable:?}");
        top.press("q");
        top.end();
    }
}

#[test]
fn an_agent_that_is_away_is_waited_for() {
    let stand = Stand::new();
    let mut top = stand.terminal(&["--interval", "200ms"], (24, 80));
    top.shows(&["> CRITICAL shop/waypoint"]);
    stand.ill.store(true, Ordering::Relaxed);
    top.shows(&["NO ANSWER: the agent is starting", "> CRITICAL shop/waypoint"]);
    stand.ill.store(false, Ordering::Relaxed);
    top.shows(&["6 points: 1 CRITICAL", "> CRITICAL shop/waypoint"]);
    top.press("q");
    assert!(top.end().0.success());
}

#[test]
fn without_an_agent_the_terminal_is_left_alone() {
    let stand = Stand::new();
    stand.ill.store(true, Ordering::Relaxed);
    let (status, left) = stand.terminal(&[], (24, 120)).end();
    assert_eq!(status.code(), Some(1));
    let said = left.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.starts_with("narrows: the agent at") && said.contains("cannot answer now: the agent is starting"),
        "{left}"
    );
}

#[test]
fn a_pipe_gets_one_table_with_all_columns() {
    let stand = Stand::new();
    for arguments in [&["top"][..], &["top", "--once"]] {
        let output = run(&[arguments, &["--agent", &stand.url]].concat());
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let lines: Vec<_> = said.lines().collect();
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(lines.len(), 7, "{said}");
        assert!(
            lines[0].starts_with("STATE    POINT") && lines[0].ends_with("WHY"),
            "{said}"
        );
        assert!(lines[1].starts_with("CRITICAL shop/waypoint"), "{said}");
        assert!(!said.contains('\x1b'), "{said}");
    }
    let output = run(&["top", "--sort", "open", "--filter", "WAYPOINT", "--agent", &stand.url]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let names: Vec<_> = said
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(names, ["shop/waypoint", "pay/waypoint"], "{said}");
    let output = run(&["top", "--filter", "nowhere", "--agent", &stand.url]);
    assert!(output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        said.ends_with("knows of no point with \"nowhere\" in it, of 6\n"),
        "{said}"
    );
}

#[test]
fn on_a_terminal_the_table_fits() {
    let stand = Stand::new();
    let mut top = stand.terminal(&["--once"], (24, 80));
    top.shows(&["CRITICAL shop/waypoint", "edge/egress"]);
    let (status, left) = top.end();
    assert!(status.success());
    assert!(left.contains("FAIL/S p|c") && !left.contains("WHY"), "{left}");
}

#[test]
fn json_is_the_answer_of_the_api() {
    let stand = Stand::new();
    let output = run(&["top", "--json", "--agent", &stand.url]);
    assert!(output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said, serde_json::from_str::<Value>(POINTS).expect("JSON"));
    assert!(stand.server.question().starts_with("GET /api/v1/points?limit=1000 "));
    assert!(stand.server.questions.try_recv().is_err(), "nothing else was asked");
}

#[test]
fn what_is_wrong_is_said() {
    let (_taken, url) = super::nobody();
    let said = failure(&["top", "--agent", &url]);
    assert!(
        said.contains("cannot reach the agent at") && said.contains("Connection refused"),
        "{said}"
    );
    let server = Server::plain("127.0.0.1:0", "200 OK", "{}");
    let said = failure(&["top", "--json", "--agent", &format!("http://{}", server.address)]);
    assert!(said.contains("not a list of points (missing field"), "{said}");
    let server = Server::plain("127.0.0.1:0", "404 Not Found", "");
    let said = failure(&["top", "--agent", &format!("http://{}", server.address)]);
    assert!(
        said.contains("it is not an agent of Narrows, or not of this version"),
        "{said}"
    );
    for (arguments, why) in [
        (
            &["--interval", "10ms"][..],
            "10ms is out of range, expected from 200ms to 1h",
        ),
        (&["--json", "--once"], "cannot be used with"),
        (&["--sort", "size"], "possible values: trouble, risk"),
    ] {
        let said = refusal(&mut narrows(&[&["top"], arguments].concat()), 2);
        assert!(said.contains(why), "{said}");
    }
}
