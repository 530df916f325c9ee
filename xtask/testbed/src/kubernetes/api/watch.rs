//! Answers to `watch` requests.

use std::future::pending;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::answer::{Content, Link, Status, stream};
use super::object::{METADATA_VERSION, Object};
use super::options;
use super::question::Question;
use super::resource::Resource;
use super::selector::Selector;
use super::shared::{Counted, Shared};
use super::store::{Event, TooOld};

/// The number of events that are read from the store at a time.
const BATCH: usize = 256;

/// The first state of a large cluster is sent in pieces of about this many bytes.
const PIECE: usize = 256 * 1024;

/// An open watch of a client.
struct Watch {
    shared: Arc<Shared>,
    link: Arc<Link>,
    out: mpsc::Sender<Bytes>,
    resource: Resource,
    selector: Selector,
    start: Start,
    /// Whether only `metadata` of the objects is sent.
    is_reduced: bool,
    /// Whether the client wants bookmarks.
    bookmarks: bool,
    /// Whether the connection ends within the next event.
    cut: bool,
    changed: watch::Receiver<()>,
    bookmark: watch::Receiver<()>,
    bookmark_every: watch::Receiver<Duration>,
    expire: watch::Receiver<()>,
    _counted: Counted,
}

/// The events with which a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Changes after this version.
    After(u64),
    /// The current state of all objects.
    State,
    /// The current state, followed by a bookmark.
    StateWithEnd,
}

/// The stream cannot continue.
struct Ended;

/// Opens a watch. `cut` ends the connection within the first event.
pub(super) fn watch(
    shared: &Arc<Shared>,
    resource: Resource,
    question: &Question,
    link: &Arc<Link>,
    cut: bool,
) -> Result<Response<Content>, Status> {
    let bad = |message| Status::new(400, message);
    options::check(question, shared.minor())?;
    let selector = question.selector(resource).map_err(bad)?;
    let start = match question.number("resourceVersion").map_err(bad)? {
        _ if question.flag("sendInitialEvents") => Start::StateWithEnd,
        None | Some(0) => Start::State,
        Some(version) => Start::After(version),
    };
    let timeout = question
        .number("timeoutSeconds")
        .map_err(bad)?
        .filter(|seconds| *seconds > 0);
    let deadline = timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    if let Start::After(version) = start
        && let Err(TooOld(message)) = shared.store().may_watch_from(resource, version)
    {
        return Ok(error(&Status::new(410, message)));
    }
    let (out, receiver) = mpsc::channel(4);
    let signals = &shared.signals;
    // Subscribed before the client gets its answer, so that a signal sent after it reaches this watch.
    let mut drop = signals.drop.subscribe();
    let watch = Watch {
        shared: shared.clone(),
        link: link.clone(),
        out: out.clone(),
        resource,
        selector,
        start,
        is_reduced: question.wants_metadata(),
        bookmarks: question.flag("allowWatchBookmarks"),
        cut,
        changed: signals.changed.subscribe(),
        bookmark: signals.bookmark.subscribe(),
        bookmark_every: signals.bookmark_every.subscribe(),
        expire: signals.expire.subscribe(),
        _counted: shared.count_watch(resource),
    };
    let link = link.clone();
    tokio::spawn(async move {
        // Around `follow`, which may be waiting for a client that does not read.
        tokio::select! {
            _ = watch.follow() => {}
            _ = drop.changed() => link.cut_stream(&out).await,
            () = out.closed() => {}
            () = until(deadline) => {}
        }
    });
    Ok(stream(receiver))
}

/// A watch that consists of one ERROR event.
pub(super) fn error(status: &Status) -> Response<Content> {
    let (out, receiver) = mpsc::channel(1);
    let _fits = out.try_send(Bytes::from(error_line(status)));
    stream(receiver)
}

impl Watch {
    /// Sends changes until the stream ends.
    async fn follow(mut self) -> Result<(), Ended> {
        let mut version = match self.start {
            Start::After(version) => version,
            Start::State | Start::StateWithEnd => self.send_state().await?,
        };
        let mut next_bookmark = self.next_bookmark();
        let mut bookmark_due = false;
        loop {
            // Before reading the store, so that later changes are noticed.
            self.changed.mark_unchanged();
            let batch = self.shared.store().events_after(self.resource, version, BATCH);
            let batch = match batch {
                Ok(batch) => batch,
                Err(TooOld(message)) => return self.send(error_line(&Status::new(410, message))).await,
            };
            version = batch.up_to;
            let mut text = String::new();
            for event in &batch.events {
                event.write(&self, &mut text);
            }
            if bookmark_due && !batch.more {
                if self.bookmarks {
                    text.push_str(&self.bookmark_line(version, false));
                }
                bookmark_due = false;
                next_bookmark = self.next_bookmark();
            }
            self.send(text).await?;
            if batch.more {
                continue;
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                _ = self.bookmark.changed() => bookmark_due = true,
                _ = self.bookmark_every.changed() => next_bookmark = self.next_bookmark(),
                () = sleep_until(next_bookmark) => bookmark_due = true,
                _ = self.expire.changed() => {
                    let message = format!("too old resource version: {version} ({})", version + 1);
                    return self.send(error_line(&Status::new(410, message))).await;
                }
            }
        }
    }

    /// Sends the current state of all objects, and returns its version.
    async fn send_state(&mut self) -> Result<u64, Ended> {
        let snapshot = self.shared.store().snapshot(self.resource, &self.selector);
        let mut text = String::new();
        for object in &snapshot.objects {
            self.write_line("ADDED", object, &mut text);
            if text.len() >= PIECE {
                self.send(mem::take(&mut text)).await?;
            }
        }
        if self.start == Start::StateWithEnd && self.bookmarks {
            text.push_str(&self.bookmark_line(snapshot.version, true));
        }
        self.send(text).await?;
        Ok(snapshot.version)
    }

    async fn send(&mut self, text: String) -> Result<(), Ended> {
        if text.is_empty() {
            return Ok(());
        }
        if self.cut {
            let first = text.lines().next().unwrap_or_default();
            self.link.cut_in(&self.out, first).await;
            return Err(Ended);
        }
        self.out.send(Bytes::from(text)).await.map_err(|_| Ended)
    }

    fn write_line(&self, kind: &str, object: &Object, out: &mut String) {
        out.push_str(r#"{"type":""#);
        out.push_str(kind);
        out.push_str(r#"","object":"#);
        match self.is_reduced {
            true => out.push_str(&object.metadata()),
            false => object.write_whole(self.resource, out),
        }
        out.push_str("}\n");
    }

    fn bookmark_line(&self, version: u64, initial_end: bool) -> String {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version) = match self.is_reduced {
            true => ("PartialObjectMetadata", METADATA_VERSION),
            false => (self.resource.kind(), "v1"),
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }

    fn next_bookmark(&mut self) -> Instant {
        Instant::now() + *self.bookmark_every.borrow_and_update()
    }
}

impl Event {
    /// Writes the event of this change for a watch with this selector: nothing, or one line.
    fn write(&self, watch: &Watch, out: &mut String) {
        let matching = |object: &Option<Arc<Object>>| object.clone().filter(|object| watch.selector.matches(object));
        match (matching(&self.old), matching(&self.new)) {
            (None, Some(new)) => watch.write_line("ADDED", &new, out),
            (Some(_), Some(new)) => watch.write_line("MODIFIED", &new, out),
            // The state that last matched, under the version of the change.
            (Some(old), None) => {
                let old = old.with_version(watch.resource, self.version);
                watch.write_line("DELETED", &old, out);
            }
            (None, None) => {}
        }
    }
}

fn error_line(status: &Status) -> String {
    format!("{}\n", json!({"type": "ERROR", "object": status.object()}))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
