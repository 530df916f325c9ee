//! What each answer of the API says of the agent.

use axum::http::HeaderName;

/// The node of the agent.
pub const NODE: HeaderName = HeaderName::from_static("narrows-node");

/// What identifies the running agent, so that none counts twice, and none asks itself.
pub const AGENT: HeaderName = HeaderName::from_static("narrows-agent");
