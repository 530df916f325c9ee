//! Drafts at a ztunnel, whose workloads see both ends.

use super::{super::seen, CALLERS_NODE, WAYPOINT, draft, istio_allows, objects, refusal};
use crate::{
    cli::{
        prometheus::{self, Sample},
        report::facts,
    },
    several::several,
};
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write as _;

const IDENTITIES: [&str; 5] = ["a", "b", "c", "d", "e"];
const DESTINATIONS: [&str; 4] = ["catalog", "orders", "pay", "stock"];

/// A ztunnel with these pairs.
fn ztunnel(pairs: &[(usize, usize)]) -> String {
    let point = r#"point="istio-system/ztunnel",kind="ztunnel",mesh="istio",instance_pod="z-1""#;
    let mut scrape = format!("narrows_connections_active{{{point},side=\"downstream\"}} 3\n");
    for who in IDENTITIES {
        let labels = format!(
            "source_workload_namespace=\"shop\",source_workload=\"{who}\",source_principal=\"spiffe://td/ns/shop/sa/{who}\""
        );
        let _ = writeln!(scrape, "narrows_dependent_connections_total{{{point},{labels}}} 9");
    }
    for what in DESTINATIONS {
        let labels = format!(
            "destination_workload_namespace=\"back\",destination_workload=\"{what}\",destination_principal=\"\""
        );
        let _ = writeln!(scrape, "narrows_served_connections_total{{{point},{labels}}} 9");
    }
    for (who, what) in pairs {
        scrape += &pair("shop", IDENTITIES[*who], DESTINATIONS[*what], "ztunnel", 5);
    }
    scrape
}

fn pair(namespace: &str, who: &str, what: &str, by: &str, n: u32) -> String {
    format!(
        "narrows_enforced_connections_total{{source_workload_namespace=\"{namespace}\",source_workload=\"{who}\",\
         destination_workload_namespace=\"back\",destination_workload=\"{what}\",enforced_by=\"{by}\"}} {n}\n"
    )
}

/// The policies that apply to the pods of a workload, which have its name in the label `app`.
fn at<'a>(objects: &'a [Value], namespace: &str, workload: &str) -> Vec<&'a Value> {
    let applies = |object: &&Value| {
        let labels = &object["spec"]["selector"]["matchLabels"];
        object["metadata"]["namespace"] == namespace && labels["app"] == workload
    };
    objects.iter().filter(applies).collect()
}

proptest! {
    #[test]
    fn behind_a_ztunnel_the_seen_pairs_are_allowed_and_no_others(
        seen in prop::collection::btree_set((0..IDENTITIES.len(), 0..DESTINATIONS.len()), 1..20),
    ) {
        let pairs: Vec<_> = seen.iter().copied().collect();
        let draft = draft(&ztunnel(&pairs), "istio-system/ztunnel", &[]).expect("a draft");
        let objects = objects(&draft);
        for (what, workload) in DESTINATIONS.iter().enumerate() {
            let policies = at(&objects, "back", workload);
            let called = pairs.iter().any(|pair| pair.1 == what);
            prop_assert_eq!(policies.len(), usize::from(called), "one for each workload that was called");
            for (who, account) in IDENTITIES.iter().enumerate().filter(|_| called) {
                let identity = format!("spiffe://td/ns/shop/sa/{account}");
                prop_assert_eq!(istio_allows(&policies, &identity), seen.contains(&(who, what)), "{} {}", account, workload);
            }
        }
        let allows = format!("- {} of caller and destination", several(pairs.len(), "pair", "pairs"));
        prop_assert!(draft.contains(&allows), "{}", draft);
    }
}

#[test]
fn a_destination_whose_callers_are_not_known_has_no_policy() {
    let mut scrape = ztunnel(&[(0, 0), (1, 0), (0, 1)]);
    // A waypoint sends to orders as well: its identity is in no series, and a policy without it would stop everything that it sends.
    scrape += &pair("shop", "w", "orders", "waypoint", 1);
    let said = refusal(&scrape, "istio-system/ztunnel", &[]);
    assert!(
        said.contains("93.8 % of its 16 connections have a known identity") && said.contains("waypoint shop/w (1)"),
        "{said}"
    );
    let draft = draft(&scrape, "istio-system/ztunnel", &["--min-coverage", "0.9"]).expect("a draft");
    let objects = objects(&draft);
    assert_eq!(
        (
            at(&objects, "back", "catalog").len(),
            at(&objects, "back", "orders").len()
        ),
        (1, 0)
    );
    let part =
        "# - back/orders: no policy, as 83.3 % of its connections have a known identity (waypoint shop/w (1)).\n";
    assert!(draft.contains(part), "{draft}");
    assert!(
        draft.contains("# - 2 pairs of caller and destination, and no other caller at these destinations.\n"),
        "{draft}"
    );
}

#[test]
fn what_is_in_plain_text_is_not_covered_by_the_identity_of_its_workload() {
    // b calls catalog through the ztunnel, and also past it.
    let scrape = ztunnel(&[(0, 0), (1, 0), (2, 0)]) + &pair("shop", "b", "catalog", "none", 5);
    let said = refusal(&scrape, "istio-system/ztunnel", &[]);
    assert!(
        said.contains("75.0 % of its 20 connections have a known identity")
            && said.contains("shop/b in plain text (5)"),
        "{said}"
    );
    assert!(said.contains("find out why it passes by the ztunnel"), "{said}");
    let draft = draft(&scrape, "istio-system/ztunnel", &["--min-coverage", "0.7"]).expect("a draft");
    let part = "# - At back/catalog: shop/b in plain text: 5 connections that no point carried, so that they do not show its identity; they \
                would be denied.\n";
    assert!(draft.contains(part), "{draft}");
    assert!(draft.contains("- td/ns/shop/sa/b # shop/b: 5 connections\n"), "{draft}");

    // Who is never in the mesh has a policy for nobody.
    let scrape = ztunnel(&[(0, 0)]) + &pair("shop", "b", "orders", "none", 5);
    let draft = super::draft(&scrape, "istio-system/ztunnel", &["--min-coverage", "0.4"]).expect("a draft");
    assert_eq!(at(&objects(&draft), "back", "orders").len(), 0, "{draft}");
}

#[test]
fn the_selectors_label_can_be_another() {
    let draft = draft(
        &ztunnel(&[(0, 0)]),
        "istio-system/ztunnel",
        &["--selector-label", "app.kubernetes.io/name"],
    )
    .expect("a draft");
    let objects = objects(&draft);
    assert_eq!(
        objects[0]["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
        "catalog"
    );
    assert!(
        draft.contains(
            "It selects pods by the label app.kubernetes.io/name; where they do not have it, it has no effect"
        ),
        "{draft}"
    );
}

#[test]
fn everything_that_is_read_is_asked_for() {
    let asked = seen::facts();
    let series = |sample: &Sample| asked.iter().any(|fact| fact.series == sample.series);
    assert!(
        prometheus::parse(&format!("{WAYPOINT}{CALLERS_NODE}{}", ztunnel(&[(0, 0)])))
            .iter()
            .all(series)
    );
    // The labels by which samples are told apart survive Prometheus' merge.
    for fact in &asked {
        for label in ["cluster", "instance"] {
            let is_merged =
                ["narrows_dependents_untracked", "narrows_enforced_connections_total"].contains(&fact.series);
            assert!(
                fact.by.split(", ").any(|it| it == label) || (is_merged && label == "instance"),
                "{fact:?}"
            );
        }
    }
    assert!(
        asked
            .iter()
            .any(|fact| fact.series == facts::ACTIVE && fact.by.contains("instance_pod"))
    );
}
