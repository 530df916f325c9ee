//! The parameter `node`: the answer of another node's agent, passed on.

use super::{
    super::problem::Problem,
    Fleet,
    client::{Failed, Peer, ask},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// Answers a request with `node` by the agent of that node, and any other one here.
pub async fn relay(State(fleet): State<Fleet>, mut request: Request, next: Next) -> Response {
    // Other methods are answered by the routes, with 405.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let asked = match Asked::read(request.uri(), request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(asked)) => asked,
        Err(problem) => return problem.into_response(),
    };
    if asked.node == fleet.node() {
        return match PathAndQuery::try_from(asked.target) {
            Ok(target) => {
                *request.uri_mut() = Uri::from(target);
                next.run(request).await
            }
            Err(error) => Problem::internal(&error).into_response(),
        };
    }
    match fleet.pass_on(&asked).await {
        Ok((status, body)) => {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (status, kind, body).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// What is asked of another node.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    node: String,
    /// Path and query without the node.
    target: String,
}

impl Asked {
    /// `None` when no node is named.
    fn read(uri: &Uri, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let query = uri.query().unwrap_or_default();
        let all = || form_urlencoded::parse(query.as_bytes());
        let mut nodes = all()
            .filter(|(name, _)| name == "node")
            .map(|(_, value)| value.into_owned());
        let Some(node) = nodes.next() else { return Ok(None) };
        let has = |wanted: &str, value: &str| all().any(|(name, given)| name == wanted && given == value);
        let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_events = accepts.is_some_and(|accept| accept.contains("text/event-stream"));
        let why = match (nodes.next(), node.as_str()) {
            (Some(_), _) => "it is given twice",
            (_, "") => "it is empty; leave it out instead",
            // A peer is asked about its own node only.
            _ if all().any(|(name, _)| name == "nodes") => {
                "it is for the answer of one node, and nodes for that of all: leave one out"
            }
            _ if has("follow", "true") || (wants_events && !has("follow", "false")) => {
                "failures are followed at the agent of their own node; here they are a list (follow=false)"
            }
            _ => {
                let mut rest = form_urlencoded::Serializer::new(String::new());
                rest.extend_pairs(all().filter(|(name, _)| name != "node"));
                let target = match rest.finish() {
                    rest if rest.is_empty() => uri.path().to_owned(),
                    rest => format!("{}?{rest}", uri.path()),
                };
                return Ok(Some(Self { node, target }));
            }
        };
        Err(Problem::invalid_parameter("node", why))
    }
}

impl Fleet {
    /// The answer of another node's agent: status and body.
    async fn pass_on(&self, asked: &Asked) -> Result<(StatusCode, Bytes), Problem> {
        // Where it was may be out of date: a second attempt looks for it.
        let first = self.find(&asked.node).await?;
        match self.ask_one(&first, asked).await {
            Ok(answer) => Ok(answer),
            Err(failed) => {
                self.forget(&asked.node);
                let second = self.find(&asked.node).await?;
                if second == first {
                    return Err(Problem::node_failed(&asked.node, &second, &failed.message));
                }
                let answer = self.ask_one(&second, asked).await;
                answer.map_err(|failed| Problem::node_failed(&asked.node, &second, &failed.message))
            }
        }
    }

    async fn ask_one(&self, peer: &Peer, asked: &Asked) -> Result<(StatusCode, Bytes), Failed> {
        let deadline = Instant::now() + super::ALL;
        let answer = ask(&self.0.access, peer, &asked.target, deadline).await?;
        if answer.node != asked.node {
            return Err(Failed::unexpected(format_args!(
                "it is the agent of node {} now",
                answer.node
            )));
        }
        let reading = timeout_at(deadline, self.0.reading.acquire()).await;
        let Ok(Ok(_reading)) = reading else {
            return Err(Failed::new("too_slow", "too many answers are read at a time"));
        };
        let status = answer.status;
        let body = answer.body(deadline).await?;
        let checked = spawn_blocking(move || serde_json::from_slice::<IgnoredAny>(&body).map(|_| body)).await;
        match checked {
            Ok(Ok(body)) => Ok((status, body)),
            Ok(Err(error)) => Err(Failed::unexpected(format_args!("no JSON ({error})"))),
            Err(error) => Err(Failed::unexpected(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<Option<Asked>, Problem> {
        Asked::read(&target.parse().expect("a URI"), &HeaderMap::new())
    }

    #[test]
    fn the_peer_is_asked_for_the_same_without_the_node() {
        assert_eq!(read("/api/v1/points"), Ok(None));
        for (target, rest) in [
            ("/api/v1/points/a~b?node=n-1", "/api/v1/points/a~b"),
            (
                "/api/v1/history?point=a&node=n-1&after_seconds=3",
                "/api/v1/history?point=a&after_seconds=3",
            ),
            (
                "/api/v1/failures?node=n-1&follow=false&point=a%2Fb",
                "/api/v1/failures?follow=false&point=a%2Fb",
            ),
        ] {
            let asked = read(target).expect("valid").expect("a node");
            assert_eq!((&*asked.node, &*asked.target), ("n-1", rest));
        }
    }

    #[test]
    fn a_question_goes_to_one_node_or_to_all_and_is_no_stream() {
        for (target, why) in [
            (
                "/api/v1/points?node=a&nodes=all",
                "node: it is for the answer of one node",
            ),
            ("/api/v1/points?node=a&node=b", "node: it is given twice"),
            ("/api/v1/points?node=", "node: it is empty"),
            ("/api/v1/failures?node=a&follow=true", "node: failures are followed at"),
        ] {
            let error = read(target).expect_err(target);
            assert!(error.message().starts_with(why), "{error:?}");
        }
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/event-stream"))]);
        let uri = "/api/v1/failures?node=a".parse().expect("a URI");
        assert!(Asked::read(&uri, &headers).is_err());
    }
}
