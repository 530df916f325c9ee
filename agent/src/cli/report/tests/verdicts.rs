//! What several series say together: restarts, trends, what hangs, what was away.

use super::{
    super::{evidence::Evidence, facts, findings::Findings, json, markdown, page::page},
    SCRAPE, about, evidence,
};
use crate::cli::{
    prometheus::parse,
    rehearse::{Dependent, Estimate, Grace, InWindow},
};
use std::time::Duration;

#[test]
fn what_hangs_is_told_with_whose_turn_it_is() {
    let half_closed = |side: &str, workload: &str, first: &str, n: u32| {
        format!(
            "narrows_{side}_half_closed_connections{{point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",instance_pod=\"w-1\",\
             {}_workload_namespace=\"shop\",{0}_workload=\"{workload}\",first_fin=\"{first}\"}} {n}\n",
            if side == "dependent" { "source" } else { "destination" }
        )
    };
    let link = |pod: &str, control_plane: &str, n: u32| {
        format!(
            "narrows_control_plane_connections{{instance=\"one\",point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",instance_pod=\"{pod}\",\
             destination_workload_namespace=\"istio-system\",destination_workload=\"{control_plane}\"}} {n}\n"
        )
    };
    let held = |pod: &str, state: &str, n: u32| {
        format!(
            "narrows_sockets{{instance=\"one\",point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",instance_pod=\"{pod}\",side=\"upstream\",\
             state=\"{state}\"}} {n}\n"
        )
    };
    let more = [
        held("w-1", "close", 120),
        held("w-2", "close", 99),
        held("w-2", "established", 500),
        half_closed("dependent", "a", "peer", 250),
        half_closed("dependent", "b", "point", 99),
        half_closed("served", "catalog", "point", 1000),
        link("w-1", "istiod", 0),
        link("w-2", "istiod", 1),
    ];
    let hangs = Evidence::of(&parse(&(SCRAPE.to_owned() + &more.concat())));
    let json = serde_json::to_value(&hangs.verdicts).expect("JSON");
    assert_eq!(
        json["half_closed"],
        serde_json::json!([
            [["shop/w", "shop/a", "peer"], 250.0],
            [["shop/w", "shop/catalog", "point"], 1000.0]
        ])
    );
    assert_eq!(
        json["cut_off"],
        serde_json::json!([["shop/w (w-1) on one", "istio-system/istiod"]])
    );
    let text = markdown::render(&page(&about(), &hangs, &Findings::of(&hangs), &Ok(None), None));
    let hanging = text.split("## What hangs").nth(1).expect("a section");
    let row = |cells: [&str; 4]| {
        hanging
            .lines()
            .any(|line| line.split('|').map(str::trim).skip(1).take(4).eq(cells))
    };
    assert!(row(["shop/w", "shop/catalog", "shop/w", "1000"]), "{text}");
    assert!(row(["shop/w", "shop/a", "shop/a", "250"]), "{text}");
    assert_eq!(
        json["held"],
        serde_json::json!([[["shop/w (w-1) on one", "upstream"], 120.0]])
    );
    assert!(row(["shop/w (w-1) on one", "upstream", "120", ""]), "{text}");
    let calm = evidence();
    let text = markdown::render(&page(&about(), &calm, &Findings::of(&calm), &Ok(None), None));
    assert!(
        text.contains("No point had 100 or more half-closed connections")
            && text.contains("No instance of a point held 100 or more sockets"),
        "{text}"
    );
}

#[test]
fn who_needs_no_control_plane_is_not_cut_off() {
    let of = |series: &str, pod: &str, more: &str, n: u32| {
        let labels =
            format!("instance=\"one\",point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",instance_pod=\"{pod}\"{more}");
        format!("{series}{{{labels}}} {n}\n")
    };
    let link = |pod, name: &str, n| {
        let control_plane = format!(",destination_workload_namespace=\"istio-system\",destination_workload=\"{name}\"");
        of("narrows_control_plane_connections", pod, &control_plane, n)
    };
    let mut series = SCRAPE.to_owned();
    for pod in ["ended", "terminating", "replaced", "cut-off"] {
        series += &link(pod, "istiod", 0);
    }
    series += &[
        link("newer", "istiod", 0),
        link("newer", "istiod-2", 1),
        of("narrows_point_processes", "ended", "", 0),
        of(
            "narrows_drain_start_timestamp_seconds",
            "terminating",
            ",cause=\"terminating\"",
            17,
        ),
        of(
            "narrows_drain_start_timestamp_seconds",
            "replaced",
            ",cause=\"replaced\"",
            17,
        ),
    ]
    .concat();
    let found = |series: &str| {
        let found = Evidence::of(&parse(series)).verdicts.cut_off.into_iter();
        let found = found.map(|(instance, control_planes)| {
            assert_eq!(control_planes, "istio-system/istiod, istio-system/istiod-2");
            instance
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(found(&series), ["shop/w (cut-off) on one", "shop/w (replaced) on one"]);

    // What the rules have found, at any time of the window, goes before what is now.
    let without = "narrows_point_instance:without_control_plane:seconds";
    series += "narrows_point:saturation:avg10m{} 0.5\n";
    series += &of(without, "cut-off", "", 299);
    series += &of(without, "gone", "", 400);
    assert_eq!(found(&series), ["shop/w (gone) on one"]);
}

#[test]
fn what_a_restart_cuts_is_of_one_instance_and_of_all_at_once() {
    let exact = |n: f64| Estimate {
        connections: n,
        least: n,
        most: n,
    };
    let dependent = |name: &str, now, mean: Option<f64>| Dependent {
        name: name.into(),
        now: exact(now),
        mean: mean.map(exact),
    };
    let grace = |in_window: Option<InWindow>| {
        let mean = |n| in_window.as_ref().map(|_| n);
        Grace {
            grace: "30s".into(),
            seconds: 30.0,
            now: exact(25.0),
            now_of_one: exact(20.0),
            dependents: vec![
                dependent("_other", 90.0, mean(900.0)),
                dependent("shop/a", 9.0, mean(1.0)),
                dependent("shop/b", 8.0, mean(20.0)),
                dependent("shop/c", 7.0, mean(30.0)),
                dependent("shop/d", 0.0, mean(2.0)),
            ],
            in_window,
        }
    };
    let past = InWindow {
        mean: exact(30.0),
        most: Estimate {
            connections: 80.0,
            least: 70.0,
            most: 90.0,
        },
        most_of_one: exact(60.0),
        by_lifetimes: None,
        fewest: serde_json::from_value(serde_json::json!({
            "from": 1_795_665_600.0, "to": 1_795_669_200.0, "mean": exact(3.0), "most": exact(12.0)
        }))
        .expect("an hour"),
    };
    let render = |graces: Vec<Grace>, why_not: Option<&str>| {
        let mut evidence = evidence();
        if !graces.is_empty() {
            evidence.rehearsals.points.insert("shop/w".into(), graces);
        }
        evidence.rehearsals.why_not = why_not.map(str::to_owned);
        markdown::render(&page(&about(), &evidence, &Findings::of(&evidence), &Ok(None), None))
    };
    let has_row = |text: &str, cells: &[&str]| {
        let mut rows = text.lines().map(|line| line.split('|').map(str::trim));
        rows.any(|row| row.skip(1).take(cells.len()).eq(cells.iter().copied()))
    };
    let text = render(vec![grace(Some(past))], None);
    let row = [
        "waypoint shop/w",
        "30s",
        "60",
        "~80 (70 to 90)",
        "shop/c 30, shop/b 20, shop/d 2",
        "2026-11-26 04:00 to 05:00 UTC: 3, at most 12",
    ];
    assert!(has_row(&text, &row), "{text}");
    let text = render(vec![grace(None)], Some("the Prometheus is away"));
    let row = ["waypoint shop/w", "30s", "20", "25", "shop/a 9, shop/b 8, shop/c 7"];
    assert!(has_row(&text, &row) && !text.contains("| fewest"), "{text}");
    assert!(
        text.contains("Not known of all points: the Prometheus is away."),
        "{text}"
    );
    let text = render(Vec::new(), None);
    assert!(
        !text.contains("What a restart cuts"),
        "an older agent does not count ages: {text}"
    );
}

/// What the recording rules make, as Prometheus has it.
const RECORDED: &str = r#"
narrows_point:saturation:avg10m{} 0.5
narrows_point:away:verdict{point="shop/w",verdict="open"} 1
narrows_point:away:verdict{point="pay/w",verdict="closed"} 0
narrows_point:away:verdict{point="edge/w",verdict="closed"} 0.04
narrows_point:away:verdict{point="edge/w",verdict="mixed"} 0.5
narrows_point:hours_to_full:trend{point="shop/w",resource="memory"} 120.4
narrows_point:hours_to_full:earliest{point="shop/w",resource="memory"} 100.1
narrows_point:hours_to_full:latest{point="shop/w",resource="memory"} 150.2
narrows_point:hours_to_full:driver{point="shop/w",resource="memory",source_workload_namespace="shop",source_workload="a"} 0.75
narrows_point:hours_to_full:trend{point="istio-system/ztunnel",instance="a",node="node-a",resource="cpu"} 7.6
narrows_point:hours_to_full:earliest{point="istio-system/ztunnel",instance="a",node="node-a",resource="cpu"} 7.1
narrows_point:hours_to_full:latest{point="istio-system/ztunnel",instance="a",node="node-a",resource="cpu"} 8.2
narrows_hbone_blocked_connections_total{source_workload_namespace="shop",source_workload="a",destination_workload_namespace="shop",destination_workload="catalog"} 7
narrows_hbone_blocked_connections_total{source_workload_namespace="shop",source_workload="b",destination_workload_namespace="shop",destination_workload="catalog"} 0
"#;

#[test]
fn verdicts_are_told_where_there_are_any_and_where_they_cannot_be_known() {
    let render = |series: &str| {
        let evidence = Evidence::of(&parse(series));
        let findings = Findings::of(&evidence);
        let json = json::render(&about(), &evidence, &findings, &Ok(None), None).expect("JSON");
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let again: Evidence = serde_json::from_value(read["evidence"].clone()).expect("evidence");
        assert_eq!(
            page(&about(), &again, &findings, &Ok(None), None),
            page(&about(), &evidence, &findings, &Ok(None), None)
        );
        markdown::render(&page(&about(), &evidence, &findings, &Ok(None), None))
    };
    let text = render(&(SCRAPE.to_owned() + RECORDED));
    for part in [
        "| shop/a | shop/catalog | 7 |\n",
        "- shop/w failed open: connections reached their destination without it.",
        "- pay/w failed closed: attempts to reach it failed, and hardly any connection passed by it.",
        "- edge/w was mixed: some attempts to reach it failed, and some connections passed by it.",
        // The first to be full comes first.
        "| istio-system/ztunnel on node-a | cpu      | 7.6 hours (7.1 to 8.2) | none that grows |\n\
         | shop/w                         | memory   | 120 hours (100 to 150) | shop/a (75.0 %) |\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = render(SCRAPE);
    for part in [
        "No pod was observed whose port 15008 (HBONE) is blocked while others answer.",
        "Not known whether points fail open or closed: that takes --prometheus, with the recording rules of deploy/prometheus.",
        "Not known when resources will be full: that takes --prometheus",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = render(&(SCRAPE.to_owned() + "narrows_point:saturation:avg10m{} 0.5\n"));
    for part in [
        "No point was away while somebody called it",
        "No resource of a point fills up steadily.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn recorded_series_are_asked_for_as_the_rules_name_them() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/rules.yaml");
    let rules = std::fs::read_to_string(rules).expect("the rules");
    for fact in facts::RECORDED {
        assert!(
            rules.contains(&format!("- record: {}\n", fact.series)),
            "{}",
            fact.series
        );
    }
    let day = Duration::from_secs(86_400);
    let of = |series| {
        facts::RECORDED
            .iter()
            .find(|fact| fact.series == series)
            .expect("a fact")
    };
    assert_eq!(
        of(facts::AWAY).query(day),
        "max by (cluster, point, verdict) (max_over_time(narrows_point:away:verdict[1d]))"
    );
    assert_eq!(
        of(facts::HOURS).query(day),
        "max by (cluster, instance, node, point, resource) (narrows_point:hours_to_full:trend)"
    );
}
