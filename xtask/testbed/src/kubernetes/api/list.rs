//! Answers to `list` requests.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::answer::{Content, Link, Status, compressed, stream, whole};
use super::object::{METADATA_VERSION, Object};
use super::options;
use super::question::Question;
use super::resource::Resource;
use super::shared::Shared;
use super::store::Snapshot;

/// A long list is sent in pieces of about this many bytes.
const PIECE: usize = 256 * 1024;

/// Answers from this size on are compressed, if the client accepts that (`defaultGzipThresholdBytes`).
const WORTH_COMPRESSING: usize = 128 * 1024;

/// A list or a further page of one. `cut` ends the connection within the first object.
pub(super) fn list(
    shared: &Shared,
    resource: Resource,
    question: &Question,
    link: &Arc<Link>,
    cut: bool,
) -> Result<Response<Content>, Status> {
    let bad = |message| Status::new(400, message);
    options::check(question, shared.minor())?;
    let version = question.parameter("resourceVersion").unwrap_or_default();
    // A real server answers requests for any state (`resourceVersion=0`) from its cache, without pages.
    let limit = match version {
        "0" => 0,
        _ => question.number("limit").map_err(bad)?.unwrap_or_default(),
    };
    let (number, snapshot, offset) = match question.parameter("continue") {
        Some(token) => {
            if !matches!(version, "" | "0") {
                let message = "specifying resource version is not allowed when using continue";
                return Err(bad(message.to_owned()));
            }
            let (number, offset) = read_token(token)
                .ok_or_else(|| bad("continue key is not valid: it was not made by this server".to_owned()))?;
            let kept = shared.store().kept(number);
            let kept = kept.filter(|kept| kept.resource == resource).ok_or_else(expired)?;
            (Some(number), kept, offset)
        }
        None => (None, first(shared, resource, question)?, 0),
    };
    let length = snapshot.objects.len();
    let start = offset.min(length);
    let end = match usize::try_from(limit) {
        Ok(0) | Err(_) => length,
        Ok(limit) => length.min(start.saturating_add(limit)),
    };
    let token = (end < length).then(|| {
        let number = number.unwrap_or_else(|| shared.store().keep(snapshot.clone()));
        write_token(number, end)
    });
    let is_reduced = question.wants_metadata();
    let head = head(&snapshot, token.as_deref(), length - end, is_reduced);
    let items = &snapshot.objects[start..end];
    if question.accepts_gzip() && !cut {
        let items: Vec<_> = items.iter().map(|object| item(object, is_reduced)).collect();
        let text = format!("{head}{}]}}\n", items.join(","));
        return Ok(match text.len() {
            WORTH_COMPRESSING.. => compressed(&text),
            _ => whole(text),
        });
    }
    let (out, receiver) = mpsc::channel(4);
    let link = link.clone();
    tokio::spawn(async move {
        let items = &snapshot.objects[start..end];
        if cut {
            let first = items.first().map_or("", |object| &object.json);
            // The half of this ends in the middle of the first object.
            let text = format!("{head}{first}");
            let padding = " ".repeat(head.len());
            return link.cut_in(&out, &(text + &padding)).await;
        }
        let mut text = head;
        for (index, object) in items.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&item(object, is_reduced));
            if text.len() >= PIECE && out.send(Bytes::from(std::mem::take(&mut text))).await.is_err() {
                return;
            }
        }
        text.push_str("]}\n");
        let _client_gone = out.send(Bytes::from(text)).await;
    });
    Ok(stream(receiver))
}

/// An object as an item of a list.
fn item(object: &Object, is_reduced: bool) -> Cow<'_, str> {
    match is_reduced {
        true => Cow::Owned(object.metadata()),
        false => Cow::Borrowed(&object.json),
    }
}

/// The state that a new list shows.
fn first(shared: &Shared, resource: Resource, question: &Question) -> Result<Arc<Snapshot>, Status> {
    let bad = |message| Status::new(400, message);
    let selector = question.selector(resource).map_err(bad)?;
    let least = question.number("resourceVersion").map_err(bad)?.unwrap_or_default();
    let snapshot = shared.store().snapshot(resource, &selector);
    if least > snapshot.version {
        let message = format!(
            "Timeout: Too large resource version: {least}, current: {}",
            snapshot.version
        );
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        let details = json!({"causes": causes, "retryAfterSeconds": 1});
        return Err(Status::new(504, message).with_details(details));
    }
    Ok(Arc::new(snapshot))
}

/// The list up to its first item.
fn head(snapshot: &Snapshot, token: Option<&str>, remaining: usize, is_reduced: bool) -> String {
    let (kind, api_version) = match is_reduced {
        true => ("PartialObjectMetadata", METADATA_VERSION),
        false => (snapshot.resource.kind(), "v1"),
    };
    let mut head = format!(
        r#"{{"kind":"{kind}List","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{}""#,
        snapshot.version
    );
    if let Some(token) = token {
        let _infallible = write!(head, r#","continue":"{token}""#);
        // A real server omits it when a selector is given.
        if !snapshot.selected {
            let _infallible = write!(head, r#","remainingItemCount":{remaining}"#);
        }
    }
    head.push_str(r#"},"items":["#);
    head
}

fn expired() -> Status {
    let message = "The provided continue parameter is too old to display a consistent list result. \
                   You must start a new list without the continue parameter.";
    Status::new(410, message)
}

/// Encodes a token, so that it is opaque to clients as a real one.
fn write_token(snapshot: u64, offset: usize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{snapshot} {offset}"))
}

fn read_token(token: &str) -> Option<(u64, usize)> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (snapshot, offset) = text.split_once(' ')?;
    Some((snapshot.parse().ok()?, offset.parse().ok()?))
}
