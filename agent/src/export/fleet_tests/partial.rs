//! Peers that move, and peers that do not answer as they should: what is told is partial, in bounded time.

use super::{
    ask, good, node,
    servers::{Agent, nobody, other},
    url,
};
use crate::api::PointList;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// A whole question takes eight seconds at most; more on a machine that stands still for a while, but not for ever.
const BOUND: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_node_whose_agent_has_moved_is_found_again_and_one_that_is_gone_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let moving = Agent::at(listener, "b", [node("b", true)], &[]);
    let later = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let peers = [
        format!("http://{address}"),
        format!("http://{}", later.local_addr().expect("an address")),
    ];
    let first = Agent::start("a", [node("a", false)], &peers).await;
    let target = "/api/v1/points?node=b";
    // Nobody answers at the second address yet.
    good::<PointList>(&first, target).await;
    drop(moving);
    let moved = Agent::at(later, "b", [node("b", true)], &[]);
    good::<PointList>(&first, target).await;
    drop(moved);
    let (status, body) = ask(first.running.address, target).await;
    assert_eq!((status, &body["error"]), (404, &json!("unknown_node")));
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|why| why.contains("2 did not answer")),
        "{body}"
    );
}

#[tokio::test]
async fn an_agent_that_has_just_started_is_missing() {
    let starting = Agent::start("b", [], &[]).await;
    let first = Agent::start("a", [node("a", true)], &[url(&starting.running)]).await;
    let list: PointList = good(&first, "/api/v1/points?nodes=all").await;
    let nodes = list.nodes.expect("all nodes");
    assert_eq!(nodes.answered, ["a"]);
    assert_eq!(nodes.missing[0].error, "refused");
    assert!(
        nodes.missing[0].message.contains("first tick has not ended"),
        "{:?}",
        nodes.missing
    );
    // The other way round, too: what is its own is a part of the answer.
    let starting = Agent::start("c", [], &[url(&first.running)]).await;
    for path in ["points", "drains"] {
        let (status, body) = ask(starting.running.address, &format!("/api/v1/{path}?nodes=all")).await;
        assert_eq!((status, &body["error"]), (503, &json!("starting")), "{path}: {body}");
    }
}

fn http(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn peers_that_do_not_answer_rightly_cost_bounded_time_and_are_named() {
    let signed = |n: usize| format!("narrows-node: x{n}\r\nnarrows-agent: x{n}\r\n");
    let well = Agent::start("b", [node("b", true)], &[]).await;
    let impostor = Agent::start("b", [node("b", true)], &[]).await;
    let hangs = other(Vec::new(), true).await;
    let stalls = other(
        format!("HTTP/1.1 200 OK\r\n{}content-length: 99\r\n\r\n[", signed(1)).into_bytes(),
        true,
    )
    .await;
    let web = other(http("", b"<html>"), false).await;
    let nonsense = other(http(&signed(2), b"{\"points\": 3}"), false).await;
    let no_http = other(b"SSH-2.0-x\r\n".to_vec(), false).await;
    let too_much = other(http(&signed(3), &vec![b' '; 9 << 20]), false).await;
    let cut = other(
        b"HTTP/1.1 200 OK\r\nnarrows-node: y\r\nnarrows-agent: y\r\ncontent-length: 99\r\n\r\n[".to_vec(),
        false,
    )
    .await;
    let denies = other(
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false,
    )
    .await;
    let elsewhere = other(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false,
    )
    .await;
    let (_socket, refuses) = nobody();
    let expected = [
        (hangs.address, "too_slow", "no complete answer within "),
        (stalls.address, "too_slow", "no complete answer within "),
        (
            web.address,
            "unexpected",
            "it does not answer as an agent of this version does: 200 OK without",
        ),
        (
            nonsense.address,
            "unexpected",
            "it does not answer as an agent of this version does: not a list of points (",
        ),
        (
            no_http.address,
            "unexpected",
            "it does not answer as an agent of this version does: invalid HTTP version",
        ),
        (too_much.address, "too_large", "its answer is larger than 8 MiB"),
        (
            cut.address,
            "unreachable",
            "the connection failed in the middle of the answer: ",
        ),
        (
            denies.address,
            "refused",
            "it asks for other credentials (401 Unauthorized)",
        ),
        (
            elsewhere.address,
            "unexpected",
            "it does not answer as an agent of this version does: 302 Found without",
        ),
        (refuses, "unreachable", "cannot connect: Connection refused"),
    ];
    let mut peers: Vec<_> = expected
        .iter()
        .map(|(address, ..)| format!("http://{address}"))
        .collect();
    peers.extend([
        url(&well.running),
        url(&impostor.running),
        "http://no-such-host.invalid:1".to_owned(),
    ]);
    let first = Agent::start("a", [node("a", false)], &peers).await;
    let begin = Instant::now();
    let list: PointList = good(&first, "/api/v1/points?nodes=all").await;
    let took = begin.elapsed();
    assert!(took < BOUND, "{took:?}");
    let nodes = list.nodes.expect("nodes");
    assert_eq!(nodes.answered, ["a", "b"]);
    assert_eq!(
        list.points.len(),
        3,
        "the waypoint, and a ztunnel on each: {:#?}",
        nodes.missing
    );
    for (address, error, message) in expected {
        let missing = nodes
            .missing
            .iter()
            .find(|missing| missing.address == address.to_string())
            .expect(message);
        assert_eq!(missing.error, error, "{missing:?}");
        assert!(missing.message.starts_with(message), "{missing:?}");
    }
    let duplicate = nodes
        .missing
        .iter()
        .find(|missing| missing.error == "duplicate")
        .expect("a second agent of the node");
    assert!(
        duplicate
            .message
            .starts_with("another agent has answered for node b already"),
        "{duplicate:?}"
    );
    assert!(nodes.missing.iter().any(|missing| missing.error == "unresolved"));
    assert_eq!(nodes.missing.len(), 12);
}
