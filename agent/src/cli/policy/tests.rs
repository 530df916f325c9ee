//! Drafts against the schemas of their kinds, and evaluated as their mesh would.

mod pairs;
mod refusals;
mod schema;

use super::{Options, drafted, seen::Seen};
use crate::cli::{prometheus, report::source::About};
use clap::Parser as _;
use serde_json::Value;
use std::fmt::Write as _;

/// A waypoint with two identified callers of one namespace and one that is not identified.
const WAYPOINT: &str = r#"
narrows_build_info{version="0.1.0"} 1
narrows_connections_active{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream"} 3
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="a",source_principal="spiffe://cluster.local/ns/shop/sa/a"} 150
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="b",source_principal="spiffe://cluster.local/ns/shop/sa/b"} 0
narrows_dependent_open_connections{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="b",source_principal="spiffe://cluster.local/ns/shop/sa/b"} 40
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="gone",source_principal="spiffe://cluster.local/ns/shop/sa/gone"} 0
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="unknown",source_workload="unknown",source_principal="unknown"} 5007
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="_other",source_workload="_other",source_principal="_other"} 2
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="legacy",source_principal=""} 1
narrows_unnamed_caller_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",caller="node"} 5000
narrows_unnamed_caller_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",caller="point"} 4
narrows_unnamed_caller_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",caller="unknown"} 3
narrows_dependents_untracked{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1"} 4
narrows_served_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",destination_workload_namespace="shop",destination_workload="catalog",destination_principal="spiffe://cluster.local/ns/shop/sa/catalog"} 90
narrows_served_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",destination_workload_namespace="shop",destination_workload="orders",destination_principal=""} 60
narrows_served_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",destination_workload_namespace="_other",destination_workload="_other",destination_principal="_other"} 1
"#;

/// What the draft of [`WAYPOINT`] says before its object.
const COMMENTS: &str = "\
# Drafted by `narrows policy`. Nothing was applied: review it before you apply it.
# Point: the waypoint shop/w (mesh istio).
# Source: a test. Time: the last 7d. Written at 2026-11-25T12:00:00Z.
# Carried: 2 identities of 1 namespace, to 2 destinations.
# Coverage: 95.0 % of 200 connections have a known identity.
#
# What it allows:
# - Each of 2 identities at whatever is behind the point.
# - That is an upper bound, dependents × served = 2 × 2 = 4 pairs: this policy does not tell destinations apart. narrows_path_connections_total shows which caller reached which, certain and estimated.
#
# Destinations seen:
# - _other: 1 connection
# - shop/catalog: 90 connections
# - shop/orders: 60 connections
#
# What it cannot know:
# - points: 4 connections from other points, whose identities are in no series; they would be denied.
# - unknown: 3 connections from callers that were not identified; they would be denied.
# - _other: 2 connections from callers beyond limits.dependents; they would be denied.
# - shop/legacy: 1 connection without an identity in the mesh; they would be denied.
# - Counts over a window are extrapolated by Prometheus, and approximate.
# - What did not happen in that time, such as a monthly job, is not in it and would be denied.
# - Ports, methods and paths are not seen: a caller that is allowed may make any request.
# - 5000 connections from nodes are left out of the coverage: health probes, which go to ports of the proxy itself, or pods on a node's network, which would be denied.
# - At least 4 callers beyond limits.dependents are not known by name, and would be denied.
#
# Before it is applied:
# - Policies that allow add up: another one for the same proxy allows what it allows. Without any, everything is allowed.
# - With a Service as target in place of the Gateway, a policy tells destinations apart. Which Services select the workloads above is not seen; who called these is in the certain part of narrows_path_connections_total.
---
";

/// The object of the same draft.
const OBJECT: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: narrows-w
  namespace: shop
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: Gateway
    name: w
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/shop/sa/a # shop/a: 150 connections
        - cluster.local/ns/shop/sa/b # shop/b: 40 connections
";

/// The flags by themselves.
#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
}

fn options(point: &str, more: &[&str]) -> Options {
    let words = [&["policy", "--point", point], more].concat();
    Flags::try_parse_from(words).expect("flags").options
}

fn about() -> About {
    About {
        source: "a test".into(),
        written: "2026-11-25T12:00:00Z".into(),
        window: "the last 7d".into(),
        limits: vec![],
        queries: Some("7d".into()),
    }
}

fn draft(scrape: &str, point: &str, more: &[&str]) -> anyhow::Result<String> {
    let options = options(point, more);
    let seen = Seen::of(&prometheus::parse(scrape), point, options.cluster.as_deref(), "a test")?;
    drafted(&seen, &options)?.render(&about(), &seen)
}

/// The objects of a draft, each valid against the schema of its kind.
fn objects(draft: &str) -> Vec<Value> {
    let documents = draft.split("---\n").skip(1);
    let objects: Vec<Value> = documents
        .map(|text| serde_saphyr::from_str(text).expect("YAML"))
        .collect();
    objects.iter().for_each(schema::check);
    objects
}

/// The sentence of the refusal.
fn refusal(scrape: &str, point: &str, more: &[&str]) -> String {
    draft(scrape, point, more).expect_err("it is refused").to_string()
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether Istio would let this identity through at a proxy: if a policy applies there, one of them has to allow it.
fn istio_allows(policies: &[&Value], identity: &str) -> bool {
    let allows = |policy: &Value| {
        assert_eq!(policy["spec"]["action"], "ALLOW");
        each(&policy["spec"]["rules"])
            .flat_map(|rule| each(&rule["from"]))
            .flat_map(|from| each(&from["source"]["principals"]))
            .any(|principal| format!("spiffe://{}", principal.as_str().expect("text")) == identity)
    };
    policies.is_empty() || policies.iter().any(|policy| allows(policy))
}

#[test]
fn a_waypoints_draft_is_this_to_the_letter() {
    let draft = draft(WAYPOINT, "shop/w", &[]).expect("a draft");
    assert_eq!(draft, format!("{COMMENTS}{OBJECT}"));
}

#[test]
fn a_waypoint_lets_in_whom_it_has_seen_and_nobody_else() {
    let objects = objects(&draft(WAYPOINT, "shop/w", &[]).expect("a draft"));
    let [policy] = &objects[..] else { panic!("one policy") };
    let target = &policy["spec"]["targetRefs"][0];
    assert_eq!((&target["kind"], &target["name"]), (&"Gateway".into(), &"w".into()));
    assert_eq!(
        policy["metadata"]["namespace"], "shop",
        "a Gateway is targeted from its own namespace"
    );
    assert!(policy["spec"].get("selector").is_none(), "at most one of both");
    for (account, expected) in [
        ("a", true),
        ("b", true),
        ("gone", false),
        ("legacy", false),
        ("other", false),
    ] {
        let identity = format!("spiffe://cluster.local/ns/shop/sa/{account}");
        assert_eq!(istio_allows(&[policy], &identity), expected, "{account}");
    }
    // Of another trust domain or namespace.
    assert!(!istio_allows(&[policy], "spiffe://other/ns/shop/sa/a"));
    assert!(!istio_allows(&[policy], "spiffe://cluster.local/ns/pay/sa/a"));
}

#[test]
fn one_identity_of_two_workloads_is_said_to_be_one() {
    let shared = WAYPOINT.replace("/sa/b\"", "/sa/a\"");
    let draft = draft(&shared, "shop/w", &[]).expect("a draft");
    assert!(
        draft.contains(
            "# - shop/a and shop/b have one identity, spiffe://cluster.local/ns/shop/sa/a, and are allowed as one.\n"
        ),
        "{draft}"
    );
    assert!(
        draft.contains("- cluster.local/ns/shop/sa/a # shop/a, shop/b: 190 connections\n"),
        "{draft}"
    );
    assert!(draft.contains("dependents × served = 1 × 2 = 2 pairs"), "{draft}");
}

/// What an agent on another node, whose workloads call the waypoint, says of the same connections.
const CALLERS_NODE: &str = r#"
narrows_build_info{instance="far"} 1
narrows_signal_active{instance="far",signal="pressure"} 0
narrows_dependent_connections_total{instance="far",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="a",source_principal="spiffe://cluster.local/ns/shop/sa/a"} 140
narrows_dependent_connections_total{instance="far",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="late",source_principal="spiffe://cluster.local/ns/shop/sa/late"} 5
narrows_dependent_connections_total{instance="far",point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="unknown",source_workload="unknown",source_principal="unknown"} 3
"#;

#[test]
fn what_both_ends_report_counts_once() {
    let both = format!("{WAYPOINT}{CALLERS_NODE}");
    let seen = Seen::of(&prometheus::parse(&both), "shop/w", None, "a test").expect("seen");
    let known: Vec<_> = seen
        .callers
        .known
        .iter()
        .map(|(caller, n)| (caller.name.as_str(), *n))
        .collect();
    // Who is not identified where the point runs may be so where the caller does.
    assert_eq!(known, [("shop/a", 150.0), ("shop/b", 40.0), ("shop/late", 5.0)]);
    assert_eq!(
        (seen.own, seen.callers.others["unknown"], seen.blind),
        (true, 3.0, (1, 2))
    );

    let seen = Seen::of(&prometheus::parse(CALLERS_NODE), "shop/w", None, "a test").expect("seen");
    assert_eq!((seen.own, seen.callers.others["unknown"]), (false, 3.0));
    let draft = draft(CALLERS_NODE, "shop/w", &[]).expect("a draft");
    for part in [
        "# - No agent runs where the point does: only callers on nodes with an agent are known.\n",
        "# - The data of 1 of 1 agent are incomplete: `narrows report` says whose and why.\n",
    ] {
        assert!(draft.contains(part), "{part}\n{draft}");
    }
}

/// A zone egress that workloads of two meshes use.
fn egress() -> String {
    let point = r#"point="kuma-system/kuma-default-egress",kind="zone_egress",mesh="kuma",instance_pod="e-1""#;
    let mut scrape = format!("narrows_connections_active{{{point},side=\"downstream\"}} 3\n");
    for (who, mesh) in [("a", "default"), ("b", "default"), ("c", "blue")] {
        let principal = format!("spiffe://{mesh}.east.mesh.local/ns/shop/sa/{who}");
        let labels =
            format!("source_workload_namespace=\"shop\",source_workload=\"{who}\",source_principal=\"{principal}\"");
        let _ = writeln!(scrape, "narrows_dependent_connections_total{{{point},{labels}}} 5");
    }
    scrape
}

#[test]
fn a_zone_egress_has_one_permission_for_each_mesh() {
    let draft = draft(&egress(), "kuma-system/kuma-default-egress", &["--format", "kuma"]).expect("a draft");
    let objects = objects(&draft);
    let allows = |mesh: &str, identity: &str| {
        let of_mesh = objects
            .iter()
            .filter(|object| object["metadata"]["labels"]["kuma.io/mesh"] == mesh);
        let rules = of_mesh.flat_map(|object| each(&object["spec"]["rules"]));
        let mut matches = rules
            .flat_map(|rule| each(&rule["default"]["allow"]))
            .map(|one| &one["spiffeID"]);
        matches.any(|one| one["type"] == "Exact" && one["value"] == identity)
    };
    for mesh in ["default", "blue"] {
        for who in ["a", "b", "c", "d"] {
            let identity = format!("spiffe://{mesh}.east.mesh.local/ns/shop/sa/{who}");
            let seen = matches!((mesh, who), ("default", "a" | "b") | ("blue", "c"));
            assert_eq!(allows(mesh, &identity), seen, "{mesh} {who}");
        }
    }
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "kuma-system");
        assert_eq!(
            object["spec"]["targetRef"]["labels"]["k8s.kuma.io/zone-proxy-type"],
            "egress"
        );
    }
    for part in [
        "# - Form: rules[].default.allow[].spiffeID",
        "# - No destination is known by name: addresses outside of the cluster have one only with `networks`.\n",
    ] {
        assert!(draft.contains(part), "{part}\n{draft}");
    }
    assert!(!draft.contains("upper bound"), "{draft}");
}

#[test]
fn names_from_others_cannot_end_a_comment_or_a_text() {
    let evil = "a\\n---\\nkind: Evil\\u001b # \\\"x";
    let scrape = WAYPOINT.replace("source_workload=\"a\"", &format!("source_workload=\"{evil}\""));
    let scrape = scrape.replace("/sa/a\"", "/sa/a\\n- '*'\"");
    let draft = draft(&scrape, "shop/w", &[]).expect("a draft");
    let objects = objects(&draft);
    assert_eq!(objects.len(), 1, "{draft}");
    let principals = &objects[0]["spec"]["rules"][0]["from"][0]["source"]["principals"];
    assert_eq!(principals[0], "cluster.local/ns/shop/sa/a\n- '*'", "{draft}");
    assert!(
        draft.chars().all(|letter| letter == '\n' || !letter.is_control()),
        "{draft:?}"
    );
}
