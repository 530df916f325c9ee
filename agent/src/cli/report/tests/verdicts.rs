//! What several series say together: restarts, trends, what hangs, what was away.

use super::{
    super::{evidence::Evidence, facts, findings::Findings, json, markdown, page::page},
    SCRAPE, about, evidence,
};
use crate::cli::prometheus::parse;
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
    let more = [
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
    let calm = evidence();
    let text = markdown::render(&page(&about(), &calm, &Findings::of(&calm), &Ok(None), None));
    assert!(
        text.contains("No point had 100 or more half-closed connections"),
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
fn what_a_restart_cuts_is_the_sum_over_instances() {
    let mut scrape = SCRAPE.to_owned();
    for (instance, age, n) in [("w-1", "30", 20), ("w-2", "30", 5), ("w-1", "300", 2), ("w-1", "60", 9)] {
        scrape += &format!(
            "narrows_open_connections_by_age{{instance=\"one\",point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",instance_pod=\"{instance}\",\
             side=\"downstream\",min_age_seconds=\"{age}\"}} {n}\n"
        );
    }
    let evidence = Evidence::of(&parse(&scrape));
    let text = markdown::render(&page(&about(), &evidence, &Findings::of(&evidence), &Ok(None), None));
    assert!(text.contains("| with 30 s of grace | with 5 min of grace |"), "{text}");
    assert!(text.contains("| waypoint shop/w | 25                 | 2 |"), "{text}");
    let without = Evidence::of(&parse(SCRAPE));
    let text = markdown::render(&page(&about(), &without, &Findings::of(&without), &Ok(None), None));
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
