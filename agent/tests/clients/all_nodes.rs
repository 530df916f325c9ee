//! `--all-nodes`: what is asked, which nodes are shown, and what is said of those that do not answer. `agent/src/export/fleet_tests` has
//! the agents' side.

use super::{failure, run, server::Server};
use serde_json::{Value, json};

const POINTS: &str = include_str!("../../src/cli/top/tests/points.json");

const NODES: &str = r#"{"answered":["worker-1","worker-2"],"missing":[{"address":"10.0.0.3:9798","node":"worker-3","error":"too_slow",
    "message":"no complete answer within 3.0 s"},{"address":"10.0.0.4:9798","node":null,"error":"unreachable",
    "message":"cannot connect: Connection refused"}]}"#;

/// An answer with the nodes.
fn of_all(mut answer: Value) -> String {
    answer["nodes"] = serde_json::from_str(NODES).expect("JSON");
    answer.to_string()
}

fn failed(node: &str, seq: u64) -> Value {
    json!({
        "seq": seq, "time": "2026-11-26T12:00:00.000Z", "node": node, "side": "upstream",
        "owner": { "type": "node" }, "peer": { "type": "node" }, "local_address": null, "peer_address": null, "service_port": 1,
        "reason": "refused", "phase": "handshake", "duration_seconds": null, "sent_bytes": 0, "received_bytes": 0, "retransmits": 0,
    })
}

fn draining(node: &str) -> Value {
    json!({
        "node": node, "point": "shop/waypoint", "kind": "waypoint", "mesh": "istio", "instance": "waypoint-1", "cause": "terminating",
        "since": "2026-11-26T12:00:00.000Z", "deadline": null, "seconds_left": null, "first": 2, "connections": 1, "cut": null,
        "min_age_seconds": {}, "dependents": [],
    })
}

fn stand() -> (Server, String) {
    let server = Server::routed(|path| {
        let body = match path {
            "/api/v1/points?limit=1000&nodes=all" => {
                let mut points: Value = serde_json::from_str(POINTS).expect("JSON");
                points["points"][0]["node"] = json!("worker-2");
                of_all(points)
            }
            "/api/v1/drains?nodes=all" => of_all(json!({ "tick": 1, "drains": [draining("worker-2")] })),
            "/api/v1/failures?point=shop%2Fwaypoint&nodes=all&limit=5000" => {
                let dropped =
                    json!({ "failure_event_rate_limited": 0, "failure_event_ring_full": 0, "overwritten": 0 });
                of_all(json!({ "run": 1, "failures": [failed("worker-2", 1)], "dropped": dropped, "next": 2 }))
            }
            _ => return ("404 Not Found", String::new()),
        };
        ("200 OK", body)
    });
    let url = format!("http://{}", server.address);
    (server, url)
}

#[test]
fn nodes_are_shown_and_those_that_are_missing_are_named() {
    let (_server, url) = stand();
    for (command, shown) in [
        (&["top", "--once"][..], "worker-2  75% accept_queue 100%"),
        (&["top", "--json"], "\"node\":\"worker-2\""),
        (&["drain"], "worker-2"),
        (&["drain", "--json"], "\"node\":\"worker-2\""),
        (
            &["failures", "--point", "shop/waypoint"],
            "worker-2                  2026-11-26T12:00:00.000Z",
        ),
        (
            &["failures", "--point", "shop/waypoint", "--json"],
            "\"node\":\"worker-2\"",
        ),
    ] {
        let arguments = [command, &["--all-nodes", "--agent", &url]].concat();
        let output = run(&arguments);
        let [shown_text, said] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        assert!(output.status.success(), "{command:?}: {said}");
        assert!(shown_text.contains(shown), "{command:?}: {shown_text}");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "narrows: node worker-3 (agent at 10.0.0.3:9798) is missing: no complete answer within 3.0 s",
                "narrows: the node of the agent at 10.0.0.4:9798 is missing: cannot connect: Connection refused",
            ],
            "{command:?}"
        );
    }
}

#[test]
fn an_agent_that_knows_no_others_says_so() {
    let body = r#"{"error":"no_peers","message":"this agent knows no agent of another node: its setting api.peers.addresses"}"#;
    let server = Server::plain("127.0.0.1:0", "400 Bad Request", body);
    let url = format!("http://{}", server.address);
    for command in [
        &["top", "--once"][..],
        &["drain"],
        &["failures"],
        &["failures", "--follow"],
    ] {
        let said = failure(&[command, &["--all-nodes", "--agent", &url]].concat());
        assert!(
            said.contains("rejected the request: this agent knows no agent of another node"),
            "{said}"
        );
    }
}
