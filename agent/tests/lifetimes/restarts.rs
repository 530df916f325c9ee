//! What `narrows rehearse` forecasts, against restarts of a real Envoy.

use super::{
    callers::Callers,
    common::{World, binary, envoy, inventory, start, start_server, v4},
};
use narrows_testbed::{
    command,
    prometheus::{Options, Prometheus, Target},
};
use serde_json::Value;
use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

const GRACE: Duration = Duration::from_secs(1);

const RESTARTS: usize = 10;

/// A connection every 25 ms.
const INTERVAL: Duration = Duration::from_millis(25);

/// Most are short: of 40 a second, 10 live for 1.5 s and 5 for 4 s. So 5 + 15 are at least a second old.
const LIFETIMES: [u64; 8] = [200, 1_500, 200, 200, 4_000, 200, 1_500, 200];
const OLD: f64 = 20.0;

/// After so long, as many connections of each age are open as there will be.
const LONGEST: Duration = Duration::from_millis(4_500);

fn rehearse(arguments: &[&str]) -> Value {
    let rehearsal = ["rehearse", "--point", "shop/waypoint", "--grace", "1s,5s"];
    json(&[&rehearsal, arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    let mut program = Command::new(binary());
    program.args(arguments).args(["--format", "json"]);
    let output = command::output(&mut program).expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(found: &Value) -> f64 {
    found.as_f64().unwrap_or_else(|| panic!("{found} is not a number"))
}

#[test]
fn the_forecast_of_a_restart_is_what_restarts_cut() {
    let world = World::new();
    let (checkout, catalog) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[&checkout, &catalog], &[&waypoint]));
    let target = Target {
        node: "worker-1",
        address: agent.address(),
    };
    let options = Options {
        interval: Duration::from_millis(500),
        hurry: 1,
    };
    let prometheus = Prometheus::start(&[target], &[], options).expect("a real Prometheus");
    let _server = start_server(&catalog);
    let mut proxy = envoy(&waypoint, 2);
    let lifetimes = LIFETIMES.map(Duration::from_millis).to_vec();
    let callers = Callers::start(&checkout, v4(2, 15008), INTERVAL, lifetimes);
    let url = format!("http://{}", agent.address());
    let (mut forecasts, mut cuts) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    for _ in 0..RESTARTS {
        thread::sleep(LONGEST);
        let forecast = rehearse(&["--agent", &url]);
        let now = &forecast["graces"][0];
        forecasts.push(number(&now["now"]["connections"]));
        assert_eq!(now["now"]["least"], now["now"]["most"], "exact: {now}");
        assert_eq!(now["dependents"][0]["name"], "shop/checkout", "{now}");
        let (old, late) = (
            number(&forecast["graces"][1]["now"]["connections"]),
            callers.book().late(),
        );
        assert!(old <= late, "none is meant to be so old: {old}, and {late} are");

        proxy.drain().expect("it closes its listeners");
        let drained = Instant::now();
        thread::sleep(GRACE.saturating_sub(drained.elapsed()));
        let mut book = callers.book();
        let open = book.open.iter().filter(|held| held.began < drained).count();
        proxy.kill().expect("it is killed");
        let cut = book.take_cut(drained, open);
        drop(book);
        assert_eq!(cut, open, "all that are open are cut");
        cuts.push(cut as f64);
        proxy = envoy(&waypoint, 2);
    }
    let took = begin.elapsed();
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let (forecast, cut) = (mean(&forecasts), mean(&cuts));
    println!("forecasts {forecasts:?}, cut {cuts:?}: {forecast:.1} for {cut:.1}");
    assert!((forecast / cut - 1.0).abs() < 0.15, "{forecasts:?} for {cuts:?}");
    // A single one is less sure: on a machine that stalls, the callers open many connections at once, and few before.
    let mut errors: Vec<_> = forecasts.iter().zip(&cuts).map(|(a, b)| (a - b).abs()).collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[RESTARTS / 2] <= OLD / 4.0, "{forecasts:?} for {cuts:?}");
    assert!(
        (cut / OLD - 1.0).abs() < 0.25,
        "the mix is what it was meant to be: {cuts:?}"
    );

    // The lifetimes of those that have ended say the same of the whole time, in which many were cut before their time.
    let url = format!("http://{}", prometheus.address());
    let source = ["--prometheus", url.as_str(), "--window", "3m"];
    let whole = rehearse(&[&source[..], &["--node", "worker-1"]].concat());
    let past = &whole["graces"][0]["in_window"];
    let beyond: Duration = (callers.book().ended.iter())
        .map(|lifetime| lifetime.saturating_sub(GRACE))
        .sum();
    let truth = beyond.as_secs_f64() / took.as_secs_f64();
    let [least, most] = ["least", "most"].map(|end| number(&past["by_lifetimes"][end]));
    println!("{past}: {truth:.1} by the callers' own book");
    // Prometheus extrapolates increases to the ends of the window.
    assert!((least * 0.9..=most * 1.1).contains(&truth), "{past} for {truth}");
    assert!(
        (number(&past["mean"]["connections"]) / truth - 1.0).abs() < 0.25,
        "{past} for {truth}"
    );

    // The report has the same, with the shortest grace that spares nearly all.
    let report = json(&[&["report"], &source[..]].concat());
    let found = &report["evidence"]["rehearsals"];
    assert_eq!(found["why_not"], Value::Null, "{found}");
    let graces = found["points"]["shop/waypoint"].as_array().expect("graces");
    let names: Vec<_> = graces.iter().map(|grace| &grace["grace"]).collect();
    assert_eq!(names, ["5s", "30s", "5m"], "{found}");
    assert_eq!(whole["useful"], "5s", "{whole}");
    let most = |grace: &Value| number(&grace["in_window"]["most"]["connections"]);
    assert!(most(&graces[0]) <= callers.book().late(), "{found}");
    assert!(graces[1..].iter().all(|grace| most(grace) == 0.0), "{found}");
}
