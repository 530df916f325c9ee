//! `narrows policy`: what it asks, what it writes, and where it writes nothing.

use super::{failure, nobody, refusal, run, server::Server};

/// What an agent says of a waypoint with one caller, and of one caller that it does not know.
const METRICS: &str = r#"
narrows_connections_active{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",side="downstream"} 3
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="shop",source_workload="a",source_principal="spiffe://cluster.local/ns/shop/sa/a"} 90
narrows_dependent_connections_total{point="shop/w",kind="waypoint",mesh="istio",instance_pod="w-1",source_workload_namespace="unknown",source_workload="unknown",source_principal="unknown"} 10
"#;

#[test]
fn an_agent_is_read_and_nothing_else_is_sent() {
    let server = Server::plain("127.0.0.1:0", "200 OK", METRICS);
    let url = format!("http://{}", server.address);
    let output = run(&["policy", "--point", "shop/w", "--agent", &url, "--min-coverage", "0.9"]);
    let draft = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "# - One agent knows the instances and callers on its node, and not those on others.\n",
        "# Coverage: 90.0 % of 100 connections have a known identity.\n",
        "        - cluster.local/ns/shop/sa/a # shop/a: 90 connections\n",
    ] {
        assert!(draft.contains(part), "{part}\n{draft}");
    }
    assert!(
        server.question().starts_with("GET /metrics "),
        "it is asked for its metrics"
    );
    assert!(server.questions.try_recv().is_err(), "and for nothing else");
}

#[test]
fn below_the_coverage_nothing_is_written() {
    let server = Server::plain("127.0.0.1:0", "200 OK", METRICS);
    let said = failure(&[
        "policy",
        "--point",
        "shop/w",
        "--agent",
        &format!("http://{}", server.address),
    ]);
    assert!(
        said.contains("90.0 % of its 100 connections have a known identity, and --min-coverage requires 95.0 %"),
        "{said}"
    );
}

#[test]
fn without_an_answer_nothing_is_written() {
    let (_taken, url) = nobody();
    let said = failure(&["policy", "--point", "shop/w", "--prometheus", &url]);
    assert!(said.contains("check --prometheus"), "{said}");
    let said = refusal(&mut super::narrows(&["policy", "--agent", &url]), 2);
    assert!(said.contains("--point <NAMESPACE/NAME>"), "{said}");
    let nothing = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let server = Server::plain("127.0.0.1:0", "200 OK", nothing);
    let said = failure(&[
        "policy",
        "--point",
        "shop/w",
        "--prometheus",
        &format!("http://{}", server.address),
    ]);
    assert!(said.contains("knows no connection through any point"), "{said}");
}
