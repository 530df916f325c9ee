//! Asks the agent.

use super::state::{Answers, Selected, Wanted};
use crate::{
    api::{PointDetail, PointList},
    cli::http::Client,
    failures::List,
};
use bytes::Bytes;
use hyper::{StatusCode, header::ACCEPT};
use serde::de::DeserializeOwned;

/// The points in an answer: as many as the API gives at a time. Of more, those with the most trouble.
const POINTS: &str = "/api/v1/points?limit=1000";

/// The failures in an answer.
const FAILURES: &str = "200";

/// The list of points, also as the agent sent it.
///
/// # Errors
/// When the agent does not answer, or with something else.
pub async fn points(client: &Client, all_nodes: bool) -> anyhow::Result<(Bytes, PointList)> {
    let path = match all_nodes {
        true => format!("{POINTS}&nodes=all"),
        false => POINTS.to_owned(),
    };
    let body = client.get(&path, &[]).await?.ok().await?.whole().await?;
    let list = understood(client, &body, "a list of points")?;
    Ok((body, list))
}

/// All that is wanted.
///
/// # Errors
/// When the agent does not answer, or with something else.
pub async fn everything(client: &Client, wanted: &Wanted) -> anyhow::Result<Answers> {
    let (_, list) = points(client, wanted.all_nodes).await?;
    let detail = match &wanted.detail {
        Some(selected) => detail(client, selected).await?,
        None => None,
    };
    let failures = Some(failures(client, wanted).await?);
    Ok(Answers { list, detail, failures })
}

/// Everything about a point; `None` when its agent does not know it any more, or does not answer.
async fn detail(client: &Client, selected: &Selected) -> anyhow::Result<Option<PointDetail>> {
    // Identifiers are safe in a URL as they are.
    let mut path = format!("/api/v1/points/{}", selected.id);
    if let Some(node) = &selected.node {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("node", node)
            .finish();
        path += &format!("?{query}");
    }
    let answer = client.get(&path, &[]).await?;
    if [StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY].contains(&answer.status()) {
        return Ok(None);
    }
    let body = answer.ok().await?.whole().await?;
    let mut detail: PointDetail = understood(client, &body, "a point")?;
    detail.point.node.clone_from(&selected.node);
    Ok(Some(detail))
}

/// The failures from the first that is not known on; the newest ones when the agent has been restarted since.
async fn failures(client: &Client, wanted: &Wanted) -> anyhow::Result<List> {
    let list = failures_from(client, wanted, wanted.from.map(|(_, next)| next)).await?;
    match wanted.from {
        Some((run, _)) if run != list.run => failures_from(client, wanted, None).await,
        _ => Ok(list),
    }
}

async fn failures_from(client: &Client, wanted: &Wanted, from: Option<u64>) -> anyhow::Result<List> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", FAILURES);
    query.extend_pairs(wanted.all_nodes.then_some(("nodes", "all")));
    query.extend_pairs(wanted.failures_of.iter().map(|point| ("point", point)));
    query.extend_pairs(from.iter().map(|from| ("from", from.to_string())));
    let path = format!("/api/v1/failures?{}", query.finish());
    let answer = client.get(&path, &[(ACCEPT, "application/json".to_owned())]).await?;
    let body = answer.ok().await?.whole().await?;
    understood(client, &body, "a list of failures")
}

/// Reads an answer.
///
/// # Errors
/// When it is something else.
pub fn understood<T: DeserializeOwned>(client: &Client, body: &[u8], what: &str) -> anyhow::Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let why = format!("not {what} ({error}), so it is not an agent of Narrows of this version");
        client.asked().unexpected(why).into()
    })
}
