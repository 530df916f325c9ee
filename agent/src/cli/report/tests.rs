mod pictures;
mod verdicts;

use super::{
    compare::{Changes, Earlier},
    evidence::Evidence,
    facts::{self, FACTS},
    findings::Findings,
    html, json, markdown,
    page::page,
    source::About,
    window,
};
use crate::cli::prometheus::parse;
use std::time::Duration;

const SCRAPE: &str = r#"
narrows_build_info{instance="one",version="0.1.0"} 1
narrows_build_info{instance="two",version="0.1.0"} 1
up{instance="two",job="narrows"} 0
narrows_connections_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream"} 3
narrows_connections_opened_total{instance="one",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream"} 100
narrows_connection_failures_total{instance="one",point="shop/w",kind="waypoint",mesh="istio",side="upstream",reason="refused",phase="handshake"} 25
narrows_client_connections_opened_total{instance="one",point="shop/w",kind="waypoint",mesh="istio"} 50
narrows_saturation_ratio{instance="one",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",resource="cpu"} 0.4
narrows_saturation_ratio{instance="one",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",resource="memory"} 0.5
narrows_dependent_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="a"} 1
narrows_dependent_active{instance="two",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="a"} 1
narrows_dependent_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="b"} 1
narrows_dependent_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="c"} 1
narrows_dependent_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="gone"} 0
narrows_dependent_share_ratio{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="a"} 1
narrows_dependent_share_ratio{instance="one",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="b"} 1
narrows_dependent_share_ratio{instance="two",point="shop/w",kind="waypoint",mesh="istio",source_workload_namespace="shop",source_workload="b"} 0.25
narrows_served_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",destination_workload_namespace="shop",destination_workload="catalog"} 1
narrows_served_active{instance="one",point="shop/w",kind="waypoint",mesh="istio",destination_workload_namespace="shop",destination_workload="orders"} 1
narrows_workload_mode{instance="one",workload_namespace="shop",workload="a",mode="ambient"} 1
narrows_workload_mode{instance="two",workload_namespace="shop",workload="a",mode="sidecar"} 1
narrows_enforced_connections_total{source_workload_namespace="shop",source_workload="w",destination_workload_namespace="shop",destination_workload="catalog",enforced_by="waypoint"} 75
narrows_enforced_connections_total{source_workload_namespace="shop",source_workload="a",destination_workload_namespace="shop",destination_workload="orders",enforced_by="none"} 25
narrows_bypassed_connections_total{point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="<a>",destination_workload_namespace="shop",destination_workload="orders"} 4
narrows_attributed_connections_total{end="local",result="workload"} 90
narrows_attributed_connections_total{end="remote",result="unknown"} 10
narrows_program_active{instance="one",program="reset"} 0
narrows_lost_total{instance="one",what="flow_detail"} 3
narrows_lost_total{instance="one",what="failure_event_rate_limited"} 3
"#;

fn about() -> About {
    About {
        source: "a test".into(),
        written: "2026-11-25T12:00:00Z".into(),
        window: "now".into(),
        limits: vec![],
        queries: None,
    }
}

fn evidence() -> Evidence {
    Evidence::of(&parse(SCRAPE))
}

#[test]
fn several_agents_are_one_picture() {
    let evidence = evidence();
    let point = &evidence.points["shop/w"];
    let shares: Vec<_> = point
        .dependents
        .iter()
        .map(|(name, share)| (name.as_str(), *share))
        .collect();
    // On one of its nodes, b has another way; the share of c is not known.
    assert_eq!(
        shares,
        [("shop/a", Some(1.0)), ("shop/b", Some(0.25)), ("shop/c", None)]
    );
    assert_eq!((point.instances.len(), point.nodes.len()), (1, 1));
    assert_eq!(point.saturation, Some((0.5, "memory".into())));
    assert_eq!((point.own.attempts, point.own.ratio()), (125.0, Some(0.2)));
    assert_eq!(point.callers.ratio(), Some(0.0));
    assert_eq!(evidence.agents["two"].up, Some(false));
    assert_eq!(evidence.agents["one"].lost.len(), 1);
}

#[test]
fn the_score_is_the_product_of_its_factors() {
    let findings = Findings::of(&evidence());
    let [rank] = findings.ranking.as_slice() else {
        panic!("one point is shared")
    };
    assert_eq!(
        (rank.dependents, rank.without_another_way, rank.served),
        (3, Some(1), 2)
    );
    assert_eq!((rank.missing_redundancy, rank.score), (1.0, Some(0.5)));
    assert_eq!((findings.attributed, findings.enforced), (Some(0.9), Some(0.75)));
    assert_eq!(findings.mixed, ["shop/a"]);
    let [what_if] = findings.what_if.as_slice() else {
        panic!("what if it fails")
    };
    assert_eq!(what_if.cut_off, ["shop/a"]);
    assert_eq!(what_if.impaired, [("shop/b".to_owned(), 0.25)]);
    assert_eq!(what_if.unknown, ["shop/c"]);
    // Orders is also reached by a caller without the waypoint.
    assert_eq!(what_if.unreachable, ["shop/catalog"]);
}

#[test]
fn what_is_not_known_is_not_a_number() {
    let only_callers = r#"
narrows_dependent_active{point="shop/w",kind="waypoint",source_workload_namespace="s",source_workload="a"} 1
narrows_dependent_active{point="shop/w",kind="waypoint",source_workload_namespace="s",source_workload="b"} 1
"#;
    let evidence = Evidence::of(&parse(only_callers));
    let findings = Findings::of(&evidence);
    let rank = &findings.ranking[0];
    assert_eq!((rank.score, rank.without_another_way, rank.nodes), (None, None, None));
    let text = markdown::render(&page(&about(), &evidence, &findings, &Ok(None), None));
    assert!(text.contains("- Identified connection ends: not known.\n"), "{text}");
    for number in ["NaN", " inf ", " -0 ", " -0."] {
        assert!(!text.contains(number), "{number}\n{text}");
    }
    assert!(Evidence::of(&[]).is_empty());
}

#[test]
fn more_dependents_more_saturation_or_less_redundancy_come_first() {
    let point = |name: &str, dependents: u32, saturation: f64, nodes: u32| {
        let mut lines = String::new();
        for n in 0..dependents {
            lines += &format!(
                "narrows_dependent_active{{point=\"{name}\",kind=\"waypoint\",source_workload_namespace=\"s\",source_workload=\"{n}\"}} 1\n\
                 narrows_dependent_share_ratio{{point=\"{name}\",kind=\"waypoint\",source_workload_namespace=\"s\",source_workload=\"{n}\"}} 1\n"
            );
        }
        for n in 0..nodes {
            lines += &format!(
                "narrows_connections_active{{point=\"{name}\",kind=\"waypoint\",side=\"downstream\",instance=\"{n}\",instance_pod=\"{n}\"}} 0\n"
            );
        }
        lines
            + &format!("narrows_saturation_ratio{{point=\"{name}\",kind=\"waypoint\",resource=\"cpu\"}} {saturation}\n")
    };
    let all = [
        point("x/usual", 4, 0.5, 1),
        point("x/many", 8, 0.5, 1),
        point("x/full", 4, 0.9, 1),
        point("x/redundant", 4, 0.5, 2),
        point("x/idle", 4, 0.0, 1),
        point("x/dedicated", 1, 0.9, 1),
    ];
    let findings = Findings::of(&Evidence::of(&parse(&all.concat())));
    let order: Vec<_> = findings.ranking.iter().map(|rank| rank.point.as_str()).collect();
    assert_eq!(order, ["x/many", "x/full", "x/usual", "x/redundant", "x/idle"]);
}

#[test]
fn all_forms_say_the_same_and_are_well_formed() {
    let (evidence, about) = (evidence(), about());
    let findings = Findings::of(&evidence);
    let page = page(&about, &evidence, &findings, &Ok(None), None);
    let text = markdown::render(&page);
    for part in [
        "Most critical: waypoint shop/w. 3 workloads depend on it, 1 of them without another way out.",
        "- Without any way out: shop/a.",
        "- No longer reachable, as no connection to them was observed other than through this point: shop/catalog.",
        "| waypoint shop/w | shop/<a> | shop/orders | 4 |",
        "DE.CM-01",
        "GV.RM-01",
        "NHI1:2025",
        "NHI3:2025",
        "MAESTRO",
        "NIST AI RMF",
        "two: cannot be scraped",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let html = html::render(&page);
    assert!(html.contains("shop/&lt;a&gt;") && !html.contains("<a>"), "{html}");
    assert_eq!(html.matches("<table ").count(), html.matches("</table>").count());
    let json = json::render(&about, &evidence, &findings, &Ok(None), None).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["findings"]["ranking"][0]["score"], 0.5);
    assert_eq!(json["version"], 1);
}

#[test]
fn a_zone_proxy_accepts_more_than_is_used() {
    let caller = |point: &str, kind: &str, namespace: &str, who: &str| {
        format!(
            "narrows_dependent_active{{point=\"kuma-system/{point}\",kind=\"{kind}\",mesh=\"kuma\",source_workload_namespace=\"{namespace}\",\
             source_workload=\"{who}\",source_principal=\"spiffe://m/{who}\"}} 1\n"
        )
    };
    let scrape = SCRAPE.to_owned()
        + &caller("egress", "zone_egress", "shop", "a")
        + &caller("egress", "zone_egress", "shop", "b")
        + &caller("egress", "zone_egress", "pay", "c")
        + &caller("ingress", "zone_ingress", "far", "d")
        + "narrows_dependents_untracked{point=\"kuma-system/egress\",kind=\"zone_egress\",mesh=\"kuma\"} 3\n";
    let evidence = Evidence::of(&parse(&scrape));
    let findings = Findings::of(&evidence);
    let scope: Vec<_> = (findings.scope.iter())
        .map(|it| (it.point.as_str(), it.identities, it.namespaces, it.destinations))
        .collect();
    assert_eq!(
        scope,
        [
            ("kuma-system/egress", 3, 2, 0),
            ("kuma-system/ingress", 1, 1, 0),
            ("shop/w", 0, 1, 2),
        ]
    );
    let text = markdown::render(&page(&about(), &evidence, &findings, &Ok(None), None));
    for part in [
        "## Scope against use\n",
        " | 3, and those of at least 3 more callers | 2 ",
        "- zone_egress kuma-system/egress accepts anything from this zone (3 identities of 2 namespaces use it), unless a \
         MeshTrafficPermission targets it.",
        "- zone_ingress kuma-system/ingress accepts anything for this zone (1 identity of 1 namespace uses it), as it does not terminate \
         TLS.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("waypoint shop/w accepts"), "{text}");
}

#[test]
fn windows_have_units() {
    assert_eq!(window("24h").map(|it| it.as_secs()), Ok(86_400));
    assert_eq!(window("1d12h").map(|it| it.as_secs()), Ok(129_600));
    for wrong in ["", "h", "1", "2y", "ä", "-1h"] {
        let error = window(wrong).expect_err(wrong);
        assert!(
            error.ends_with("is not a valid duration, e.g. 90s, 1h30m or 7d"),
            "{error}"
        );
    }
    for wrong in ["0", "30s", "9999d", "90.5s", "60001ms"] {
        let error = window(wrong).expect_err(wrong);
        assert!(error.ends_with("expected whole seconds between 1m and 365d"), "{error}");
    }
}

/// A ztunnel of two nodes, as Prometheus has it.
const TWO_NODES: &str = r#"
narrows_connections_active{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",instance_pod="z-1",side="downstream"} 5
narrows_connections_active{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",instance_pod="z-2",side="downstream"} 5
narrows_connections_active{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",instance_pod="z-old",side="downstream"} 0
narrows_point_processes{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",instance_pod="z-old"} 0
narrows_saturation_ratio{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",resource="cpu"} 0.9
narrows_saturation_ratio{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",resource="cpu"} 0.1
narrows_dependent_share_ratio{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",source_workload_namespace="shop",source_workload="x"} 1
narrows_dependent_share_ratio{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",source_workload_namespace="shop",source_workload="y"} 1
narrows_dependent_share_ratio{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",source_workload_namespace="shop",source_workload="y"} 1
narrows_dependent_share_ratio{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",source_workload_namespace="shop",source_workload="z"} 1
narrows_served_active{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",destination_workload_namespace="shop",destination_workload="x"} 1
narrows_served_active{instance="a",node="node-a",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",destination_workload_namespace="shop",destination_workload="y"} 1
narrows_served_active{instance="b",node="node-b",point="istio-system/ztunnel",kind="ztunnel",mesh="istio",destination_workload_namespace="shop",destination_workload="y"} 1
"#;

#[test]
fn the_proxy_of_a_node_fails_for_the_workloads_of_that_node() {
    let evidence = Evidence::of(&parse(TWO_NODES));
    let findings = Findings::of(&evidence);
    let ranked: Vec<_> = (findings.ranking.iter())
        .map(|rank| (rank.point.as_str(), rank.dependents, rank.instances, rank.score))
        .collect();
    assert_eq!(
        ranked,
        [
            ("istio-system/ztunnel on node-a", 2, Some(1), Some(1.8)),
            ("istio-system/ztunnel on node-b", 2, Some(1), Some(0.2)),
        ]
    );
    let [first, _] = findings.what_if.as_slice() else {
        panic!("one of each node")
    };
    assert_eq!(first.cut_off, ["shop/x", "shop/y"]);
    // y also runs on the other node.
    assert_eq!(first.unreachable, ["shop/x"]);
    let out: Vec<_> = findings.policy["shop/y"].out.keys().collect();
    assert_eq!(out, ["istio-system/ztunnel"]);
}

#[test]
fn a_report_tells_what_changed_since_another() {
    let (before, about) = (evidence(), about());
    let findings = Findings::of(&before);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let json = json::render(&about, &before, &findings, &Ok(None), None).expect("JSON");
    std::fs::write(file.path(), json).expect("it can be written");
    let earlier = Earlier::read(file.path()).expect("a report");
    let same = Changes::since(&earlier, &before, &findings);
    assert!(markdown::render(&same.blocks()).contains("Nothing that is worth a line."));

    let now = SCRAPE.replace("source_workload=\"b\"", "source_workload=\"new\"")
        + TWO_NODES
        + "narrows_saturation_ratio{point=\"shop/w\",kind=\"waypoint\",mesh=\"istio\",resource=\"cpu\"} 0.9\n";
    let now = Evidence::of(&parse(&now));
    let changes = Changes::since(&earlier, &now, &Findings::of(&now));
    let text = markdown::render(&changes.blocks());
    for part in [
        "written at 2026-11-25T12:00:00Z",
        "- New points: istio-system/ztunnel on node-a, istio-system/ztunnel on node-b.",
        "- shop/w: new dependents shop/new; no longer depend on it: shop/b; highest saturation 90.0 % instead of 50.0 %.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }

    std::fs::write(file.path(), "{}").expect("it can be written");
    let error = Earlier::read(file.path()).err().expect("no report");
    assert!(
        error
            .to_string()
            .contains("is not a report: write it with `narrows report --format json"),
        "{error}"
    );
}

#[test]
fn prometheus_merges_what_a_report_does_not_tell_apart() {
    let of = |series| FACTS.iter().find(|fact| fact.series == series).expect("a fact");
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(
        of(facts::MODE).query(week),
        "max by (cluster, workload_namespace, workload, mode) (narrows_workload_mode or last_over_time(narrows_workload_mode[7d:1h]))"
    );
    assert_eq!(
        of(facts::ATTRIBUTED).query(week),
        "sum by (cluster, result) ((increase(narrows_attributed_connections_total[7d:7h]) and narrows_attributed_connections_total \
         offset 7d) or narrows_attributed_connections_total or last_over_time(narrows_attributed_connections_total[7d:7h]))"
    );
    assert_eq!(
        of(facts::LIST_SYNCED).query(Duration::from_secs(60)),
        "min by (cluster, instance, node, source) (narrows_identity_synced or last_over_time(narrows_identity_synced[1m:15s]))"
    );
}
