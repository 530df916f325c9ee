//! `narrows rehearse`: what it needs, and what it says when a point is not there.

use super::{failure, narrows, refusal, run, server::Server};

/// An agent that knows of connections of one point by age.
pub const METRICS: &str = r#"narrows_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream",min_age_seconds="30"} 12
narrows_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-1",side="upstream",min_age_seconds="30"} 99
narrows_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-2",side="downstream",min_age_seconds="30"} 3
narrows_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream",min_age_seconds="60"} 5
narrows_dependent_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="checkout",source_principal="",min_age_seconds="30"} 9
narrows_dependent_open_connections_by_age{point="shop/waypoint",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="_other",source_workload="_other",source_principal="_other",min_age_seconds="30"} 6
"#;

#[test]
fn of_an_agent_the_present_is_known() {
    let server = Server::plain("127.0.0.1:0", "200 OK", METRICS);
    let url = format!("http://{}", server.address);
    let output = run(&[
        "rehearse",
        "--point",
        "shop/waypoint",
        "--grace",
        "30s",
        "--agent",
        &url,
    ]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        said.starts_with("A restart of shop/waypoint (waypoint, 2 instances), from the agent at http://127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("\nGRACE  NOW\n30s    15\n"), "{said}");
    assert!(
        said.contains("\n30s    shop/checkout  9\n30s    _other         6\n"),
        "{said}"
    );
}

#[test]
fn a_point_that_is_not_known_is_said_with_those_that_are() {
    let server = Server::plain("127.0.0.1:0", "200 OK", METRICS);
    let url = format!("http://{}", server.address);
    let said = failure(&["rehearse", "--point", "shop/gateway", "--agent", &url]);
    assert!(
        said.contains("knows no point shop/gateway; it knows shop/waypoint"),
        "{said}"
    );
    let server = Server::plain("127.0.0.1:0", "200 OK", "narrows_build_info{version=\"0\"} 1\n");
    let url = format!("http://{}", server.address);
    let said = failure(&["rehearse", "--point", "shop/gateway", "--agent", &url]);
    assert!(
        said.contains("has no series narrows_open_connections_by_age: no point runs"),
        "{said}"
    );
}

#[test]
fn several_clusters_are_told_apart() {
    let series = |cluster: &str| {
        format!(
            r#"{{"metric":{{"cluster":"{cluster}","point":"shop/waypoint","kind":"waypoint","instance":"n","instance_pod":"w","side":"downstream","min_age_seconds":"30"}},"value":[1,"2"]}}"#
        )
    };
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{},{}]}}}}"#,
        series("east"),
        series("west")
    );
    let server = Server::plain("127.0.0.1:0", "200 OK", &body);
    let url = format!("http://{}", server.address);
    let said = failure(&["rehearse", "--point", "shop/waypoint", "--prometheus", &url]);
    assert!(
        said.contains("a point shop/waypoint in each of the clusters east, west: choose one with --cluster"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_said_before_anybody_is_asked() {
    for (grace, why) in [
        ("500ms", "expected from 1s to 1d"),
        ("2d", "expected from 1s to 1d"),
        ("soon", "not a valid duration"),
    ] {
        let said = refusal(&mut narrows(&["rehearse", "--point", "a/b", "--grace", grace]), 2);
        assert!(said.contains(why), "{said}");
    }
    let said = refusal(&mut narrows(&["rehearse", "--point", "a/b", "--node", "worker-1"]), 2);
    assert!(said.contains("--prometheus <URL>"), "{said}");
}
