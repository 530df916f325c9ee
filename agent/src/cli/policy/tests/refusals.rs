//! Where nothing is drafted, beside what is.

use super::{
    super::{Format, share},
    WAYPOINT, draft, egress, objects, options, refusal,
};

#[test]
fn below_the_coverage_nothing_is_drafted() {
    // 190 of 200, and 190 of 201.
    assert!(draft(WAYPOINT, "shop/w", &["--min-coverage", "0.95"]).is_ok());
    let fewer = WAYPOINT.replace(
        "source_principal=\"unknown\"} 5007",
        "source_principal=\"unknown\"} 5008",
    );
    assert_eq!(
        refusal(&fewer, "shop/w", &[]),
        "no policy is drafted for the waypoint shop/w: 94.5 % of its 201 connections have a known identity, and --min-coverage requires \
         95.0 %, as the others would be denied: points (4), unknown (4), _other (2), shop/legacy (1). For unknown, run agents with the identities of \
         the whole cluster (kubernetes.scope: cluster); for _other and _former, raise limits.dependents; for the workloads, take them into \
         the mesh, as they have no identity there; for the points, whose identities are in no series, add theirs to the draft by hand; or pass a lower --min-coverage to see a draft all the same"
    );
    assert!(draft(&fewer, "shop/w", &["--min-coverage", "0.94"]).is_ok());
    // A policy without any identity would deny everything, whatever share is asked for.
    let nobody = WAYPOINT
        .replace("spiffe://cluster.local/ns/shop/sa/a", "")
        .replace("spiffe://cluster.local/ns/shop/sa/b", "");
    assert!(refusal(&nobody, "shop/w", &["--min-coverage", "0"]).contains(": 0 % of its 200 connections"));
}

#[test]
fn what_comes_from_nodes_may_be_clients_at_a_gateway() {
    let gateway = WAYPOINT.replace("kind=\"waypoint\"", "kind=\"ingress_gateway\"");
    let said = refusal(&gateway, "shop/w", &[]);
    assert!(
        said.contains("3.7 % of its 5200 connections") && said.contains("node (5000)"),
        "{said}"
    );
    let draft = draft(&gateway, "shop/w", &["--min-coverage", "0.03"]).expect("a draft");
    let objects = objects(&draft);
    let spec = &objects[0]["spec"];
    assert!(
        spec["selector"]["matchLabels"]["app"] == "w" && spec["targetRefs"].is_null(),
        "{draft}"
    );
    assert!(draft.contains("It selects pods by the label app;"), "{draft}");
}

#[test]
fn what_would_not_do_what_it_says_is_refused() {
    let egress_point = "kuma-system/kuma-default-egress";
    let legacy = egress().replace(
        "spiffe://blue.east.mesh.local/ns/shop/sa/c",
        "spiffe://blue/c_shop_svc_80",
    );
    let of = |from: &str, to: &str| WAYPOINT.replace(from, to);
    let waypoint = "kind=\"waypoint\"";
    for (scrape, point, more, part) in [
        (
            of(waypoint, "kind=\"sidecar\""),
            "shop/w",
            &[][..],
            "is one workload's own and not shared",
        ),
        (
            of(waypoint, "kind=\"zone_ingress\""),
            "shop/w",
            &[],
            "Kuma applies no MeshTrafficPermission to it",
        ),
        (
            of(waypoint, "kind=\"east_west_gateway\""),
            "shop/w",
            &[],
            "a policy there sees no caller",
        ),
        (
            of(waypoint, "kind=\"node_proxy\""),
            "shop/w",
            &[],
            "enforces its network's policies",
        ),
        (
            of(waypoint, "kind=\"zone_egress\""),
            "shop/w",
            &[],
            "the mesh istio has no such point",
        ),
        (
            of("mesh=\"istio\"", "mesh=\"cilium\""),
            "shop/w",
            &[],
            "it belongs to the mesh cilium",
        ),
        (
            of(waypoint, "kind=\"new\""),
            "shop/w",
            &[],
            "which this version does not know",
        ),
        (
            WAYPOINT.into(),
            "shop/w",
            &["--format", "kuma"],
            "does not read what --format kuma writes; pass --format istio",
        ),
        (WAYPOINT.into(), "shop/x", &[], "a point shop/x; check --point"),
        ("up 1\n".into(), "shop/w", &[], "knows no connection through any point"),
        (
            legacy,
            egress_point,
            &[],
            "spiffe://blue/c_shop_svc_80 of shop/c is not an identity of MeshIdentity",
        ),
        (
            of("} 150", "} 0")
                .replace("} 40", "} 0")
                .replace("} 5007", "} 0")
                .replace("} 2\n", "} 0\n")
                .replace("} 1\n", "} 0\n"),
            "shop/w",
            &[],
            "no connection through it was seen in the window",
        ),
    ] {
        let said = refusal(&scrape, point, more);
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn of_several_clusters_one_has_to_be_named() {
    let in_cluster = |name: &str| WAYPOINT.replace('{', &format!("{{cluster=\"{name}\","));
    let both = in_cluster("east") + &in_cluster("west");
    let said = refusal(&both, "shop/w", &[]);
    assert_eq!(
        said,
        "the point shop/w is in several clusters: pass one of east, west as --cluster"
    );
    let named = ["--cluster", "west", "--prometheus", "http://127.0.0.1:9090"];
    let draft = draft(&both, "shop/w", &named).expect("a draft");
    for part in [
        "# Point: the waypoint west:shop/w (mesh istio).\n",
        "# Carried: 2 identities of 1 namespace, to 2 destinations.\n",
        "# Coverage: 95.0 % of 200 connections",
    ] {
        assert!(draft.contains(part), "{part}\n{draft}");
    }
    let objects = objects(&draft);
    assert_eq!(objects[0]["metadata"]["namespace"], "shop");
    // The only one needs no name.
    assert!(self::draft(&in_cluster("east"), "shop/w", &[]).is_ok());
    let said = refusal(&in_cluster("east"), "shop/w", &named);
    assert!(said.contains("knows no connection through a point shop/w"), "{said}");
}

#[test]
fn a_share_is_between_0_and_1() {
    for wrong in ["", "95", "-0.1", "1.01", "NaN", "95%"] {
        let error = share(wrong).expect_err(wrong);
        assert!(error.ends_with("is not a share from 0 to 1, e.g. 0.95"), "{error}");
    }
    assert_eq!(share("0.5"), Ok(0.5));
    assert_eq!(options("a/b", &[]).format, None::<Format>);
}
