//! Why a request has no other answer, with its status.

use crate::api;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::fmt;

/// A status and its [`api::Problem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    body: api::Problem,
}

impl Problem {
    fn new(status: StatusCode, error: &str, message: String) -> Self {
        let error = error.to_owned();
        Self {
            status,
            body: api::Problem { error, message },
        }
    }

    /// A parameter that this path does not have.
    pub fn unknown_parameter(name: &str, known: &[&str]) -> Self {
        let there = match known {
            [] => "this path takes none".to_owned(),
            _ => format!("there are {}", known.join(", ")),
        };
        let message = format!("{name}: there is no such parameter; {there}");
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", message)
    }

    /// A parameter with a value that makes no sense.
    pub fn invalid_parameter(name: &str, why: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", format!("{name}: {why}"))
    }

    /// A point that is not there.
    pub fn unknown_point(id: &str) -> Self {
        let message = format!(
            "{id}: the agent knows no such point on this node; it may have gone, /api/v1/points lists those that are there"
        );
        Self::new(StatusCode::NOT_FOUND, "unknown_point", message)
    }

    /// A point that has no time lines.
    pub fn no_history(id: &str, why: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_history", format!("{id}: {why}"))
    }

    /// A path that is not there.
    pub fn unknown_path(path: &str) -> Self {
        let message = format!("{path}: there is no such path; /api/v1/openapi.json describes those that are there");
        Self::new(StatusCode::NOT_FOUND, "unknown_path", message)
    }

    /// A method other than GET and HEAD.
    pub fn method_not_allowed() -> Self {
        let message = "the agent only answers GET and HEAD: nothing can be changed through it".to_owned();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// A client without the credentials that are asked for.
    pub fn unauthenticated(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", why.to_owned())
    }

    /// A user of the cluster whom no role allows a path, which is given as in rules of roles.
    pub fn forbidden(user: &str, path: &str) -> Self {
        let message = format!(
            "{user:?} may not get {path}: bind the ClusterRole narrows-reader to it, or another role that has the verb get on this \
             non-resource URL"
        );
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Credentials that cannot be checked now.
    pub fn unreviewed(why: &dyn fmt::Display) -> Self {
        let message = format!("the bearer token cannot be checked: {why}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unreviewed", message)
    }

    /// An address at which the API is not served.
    pub fn misdirected(where_else: &str) -> Self {
        let message = format!("the API is served {where_else}; the agent's setting api_listen decides");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
    }

    /// An agent whose first tick has not ended.
    pub fn starting() -> Self {
        let message =
            "the agent has just started, and its first tick has not ended yet; /api/v1/status says what it does";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message.to_owned())
    }

    /// More clients than may follow failures.
    pub fn too_many_followers(most: usize) -> Self {
        let message = format!("{most} clients follow already, and there may be no more; try again later");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", message)
    }

    /// An agent that has no peers is asked for other nodes.
    pub fn no_peers() -> Self {
        let message =
            "this agent knows no agent of another node: its setting api.peers.addresses (--peers) says where they are";
        Self::new(StatusCode::BAD_REQUEST, "no_peers", message.to_owned())
    }

    /// Too many questions about all nodes at a time.
    pub fn busy(most: usize) -> Self {
        let message =
            format!("{most} questions about all nodes are answered already, and there may be no more; try again later");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// A node of which no agent has answered.
    pub fn unknown_node(node: &str, missing: usize) -> Self {
        let message = match missing {
            0 => format!("{node}: none of the peers is the agent of this node"),
            _ => format!("{node}: none of the peers that answer is the agent of this node; {missing} did not answer"),
        };
        Self::new(StatusCode::NOT_FOUND, "unknown_node", message)
    }

    /// The agent of a node that does not answer.
    pub fn node_failed(node: &str, address: &dyn fmt::Display, why: &str) -> Self {
        let message = format!("the agent of node {node}, at {address}, does not answer: {why}");
        Self::new(StatusCode::BAD_GATEWAY, "node_failed", message)
    }

    /// What should not happen.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        let message = format!("cannot build the answer: {error}; please report this");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    #[cfg(test)]
    pub fn error(&self) -> &str {
        &self.body.error
    }

    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.body.message
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
