//! The numbers in the pictures.

use super::{
    super::{
        evidence::Evidence,
        findings::Findings,
        html, markdown,
        page::page,
        pictures::{Bars, Course, Flow, Trend},
    },
    SCRAPE, TWO_NODES, about,
};
use crate::cli::prometheus::parse;

/// What three callers and two targets of the waypoint had.
const TRAFFIC: &str = r#"
narrows_dependent_connections_total{instance="one",point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="a"} 700
narrows_dependent_connections_total{instance="two",point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="a"} 20
narrows_dependent_open_connections{instance="one",point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="a"} 5
narrows_dependent_connections_total{instance="one",point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="b"} 3
narrows_dependent_open_connections{instance="one",point="shop/w",kind="waypoint",source_workload_namespace="shop",source_workload="b"} 40
narrows_dependent_connections_total{instance="one",point="shop/w",kind="waypoint",source_workload_namespace="_other",source_workload="_other"} 9
narrows_served_connections_total{instance="one",point="shop/w",kind="waypoint",destination_workload_namespace="shop",destination_workload="catalog"} 600
narrows_dependents_untracked{instance="one",point="shop/w",kind="waypoint"} 2
"#;

fn flow(scrape: &str) -> Flow {
    let evidence = Evidence::of(&parse(scrape));
    Flow::of(&evidence, &Findings::of(&evidence)).expect("a shared point")
}

#[test]
fn the_flow_has_the_connections_and_ways_of_each_workload() {
    let flow = flow(&(SCRAPE.to_owned() + TRAFFIC));
    assert_eq!(flow.points.len(), 1);
    assert_eq!(flow.points[0].saturation, Some((0.5, "memory".into())));
    assert_eq!(flow.workloads.names, ["shop/a", "shop/b", "shop/c"]);
    let edges: Vec<_> = (flow.workloads.edges.iter())
        .map(|edge| {
            let ways = (edge.workloads, edge.without_another_way, edge.with_another_way);
            (edge.workload, edge.connections, ways)
        })
        .collect();
    // The greater of opened and open; the two without names and their sum are the others.
    assert_eq!(
        edges,
        [
            (0, 720.0, (1, 1, 0)),
            (1, 40.0, (1, 0, 1)),
            (2, 0.0, (1, 0, 0)),
            (3, 9.0, (2, 0, 0))
        ]
    );
    let row = [
        "waypoint shop/w",
        "shop/a 720 (100 %), shop/b 40 (25.0 %), shop/c 0 (share not known), 2 others 9 (0 without another way)",
        "shop/catalog 600, shop/orders 0",
    ];
    assert_eq!(flow.rows(), [row]);
    assert_eq!(
        flow.left_out(),
        "Drawn as one: 2 more dependents. By name are those without another way out, then those with the most connections."
    );
    let drawn = flow.draw();
    for part in [
        "<title>shop/w shop/a 720 (100 %)</title>",
        "<title>shop/w 2 others 9 (0 without another way)</title>",
        ">2 others</text>",
        ">50.0 % memory</text>",
    ] {
        assert!(drawn.contains(part), "{part}\n{drawn}");
    }
    // The thickest line is that with the most connections, and only that of `a` is a full one.
    assert_eq!(drawn.matches("stroke-width=\"9.0\"").count(), 2, "{drawn}");
    let ways = "stroke=\"#b42318\" stroke-width=\"9.0\"><title>shop/w shop/a";
    assert!(drawn.contains(ways), "{drawn}");
}

#[test]
fn the_flow_is_bounded_and_says_what_is_left_out() {
    let mut scrape = String::new();
    for point in 0..40 {
        for who in 0..100 {
            let labels = format!(
                "point=\"x/p{point:02}\",kind=\"waypoint\",source_workload_namespace=\"s\",source_workload=\"w{who:03}\""
            );
            scrape += &format!(
                "narrows_dependent_share_ratio{{{labels}}} {}\nnarrows_dependent_connections_total{{{labels}}} {who}\n",
                if who == 7 { 1.0 } else { 0.5 }
            );
        }
        scrape +=
            &format!("narrows_saturation_ratio{{point=\"x/p{point:02}\",kind=\"waypoint\",resource=\"cpu\"}} 0.5\n");
    }
    let flow = flow(&scrape);
    assert_eq!((flow.points.len(), flow.more_points), (5, 35));
    // Without another way comes before many connections.
    assert_eq!((flow.workloads.names.len(), flow.workloads.others), (10, 90));
    assert!(flow.workloads.names.contains(&"s/w007".to_owned()));
    assert!(flow.workloads.names.contains(&"s/w099".to_owned()));
    let others: Vec<_> = flow.workloads.edges.iter().filter(|edge| edge.workload == 10).collect();
    let of_the_others: u32 = (0..91).filter(|who| *who != 7).sum();
    assert_eq!(others.len(), 5);
    assert!(
        others
            .iter()
            .all(|edge| edge.workloads == 90 && edge.connections == f64::from(of_the_others))
    );
    assert_eq!(
        flow.left_out(),
        "Drawn as one: 90 more dependents. By name are those without another way out, then those with the most connections. \
         Not drawn: 35 more shared points, further down in the ranking."
    );
    assert!(flow.draw().len() < 32_000);

    let evidence = Evidence::of(&parse(&scrape));
    let findings = Findings::of(&evidence);
    let bars = Bars::of(&findings.ranking).expect("a ranking");
    assert_eq!(
        (bars.rows.len(), bars.left_out().as_str()),
        (12, "Not drawn: 28 more points, with lower ranks.")
    );
}

#[test]
fn bars_are_as_long_as_their_numbers() {
    let evidence = Evidence::of(&parse(TWO_NODES));
    let findings = Findings::of(&evidence);
    let drawn = Bars::of(&findings.ranking).expect("a ranking").draw();
    // Scores of 1.8 and 0.2: a ninth of 130 pixels.
    for part in [
        "width=\"130.0\"",
        "width=\"14.4\"",
        ">1.80</text>",
        ">0.20</text>",
        ">2 of 2</text>",
        ">▲ 90.0 % cpu</text>",
        ">10.0 % cpu</text>",
    ] {
        assert!(drawn.contains(part), "{part}\n{drawn}");
    }
    let unknown = Evidence::of(&parse(
        "narrows_dependents_untracked{point=\"x/y\",kind=\"waypoint\"} 3\n",
    ));
    let findings = Findings::of(&unknown);
    let drawn = Bars::of(&findings.ranking).expect("a ranking").draw();
    for part in [">not known</text>", ">? of 3</text>", ">saturation not known</text>"] {
        assert!(drawn.contains(part), "{part}\n{drawn}");
    }
    assert!(!drawn.contains("NaN"), "{drawn}");
    assert!(Bars::of(&[]).is_none());
}

#[test]
fn a_line_has_gaps_where_nothing_was_known() {
    let trend = Trend {
        span: (1_000_000.0, 1_000_060.0),
        step: 10.0,
        courses: vec![
            Course {
                point: "shop/w".into(),
                values: vec![
                    (1_000_000.0, 0.2),
                    (1_000_010.0, 0.97),
                    (1_000_050.0, 0.97),
                    (1_000_060.0, 0.4),
                ],
            },
            Course {
                point: "shop/never".into(),
                values: vec![],
            },
        ],
    };
    assert_eq!(
        trend.rows(),
        [
            ["shop/w", "20.0 %", "20.0 %", "97.0 %", "1970-01-12T13:46:50Z", "40.0 %"],
            [
                "shop/never",
                "not known",
                "not known",
                "not known",
                "not known",
                "not known"
            ]
        ]
    );
    let drawn = trend.draw();
    // Two pieces of the same line, as the time between them is longer than the usual one.
    let line = drawn
        .lines()
        .find(|line| line.contains("shop/w: highest 97.0 %"))
        .expect("a line");
    assert_eq!((line.matches('M').count(), line.matches('L').count()), (2, 2), "{line}");
    assert!(drawn.contains(">highest not known</text>"), "{drawn}");
}

#[test]
fn a_report_is_one_file_that_fetches_and_runs_nothing() {
    let hostile = TRAFFIC.replace("\"catalog\"", "\"</svg><script>x()</script>\"");
    let evidence = Evidence::of(&parse(&(SCRAPE.to_owned() + &hostile)));
    let findings = Findings::of(&evidence);
    let trend = Err("the agent is away".to_owned());
    let blocks = page(&about(), &evidence, &findings, &trend, None);
    let html = html::render(&blocks);
    assert_eq!(html.matches("<svg ").count(), 2);
    assert!(
        html.contains("Not known how full points were over time: the agent is away."),
        "{html}"
    );
    let addresses = html.replace("http://www.w3.org/2000/svg", "");
    for forbidden in [
        "<script", "http:", "https:", "src=", "href=", "url(", "@import", "var(--",
    ] {
        assert!(!addresses.contains(forbidden), "{forbidden}\n{html}");
    }
    let text = markdown::render(&blocks);
    assert!(!text.contains("<svg") && text.contains("shop/a 720 (100 %)"), "{text}");
}
