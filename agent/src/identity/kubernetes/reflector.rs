//! Keeps one list up to date: lists it page by page, then watches it; after an interruption it resumes at the last resource
//! version, and lists again only when the API server no longer has that version.

use super::{
    backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT},
    objects::Reference,
    pod::key_of_reference,
    shared::Shared,
    source::{Place, Verb},
    trouble::{Trouble, broken},
};
use crate::{clock::now, memory::give_back_memory};
use futures_util::{AsyncBufRead, AsyncBufReadExt};
use kube::{
    Client,
    core::{
        Request, Status,
        params::{ListParams, WatchParams},
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// Objects requested per page.
const PAGE: u32 = 500;

/// A request for a page is aborted after this time.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The API server ends a watch after so many seconds; the next watch resumes from there.
const WATCH_SECONDS: u32 = 290;

/// A watch without any event is aborted after this time: bookmarks come about once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A watch that lasts for this time counts as working.
const BROKEN_BY: Duration = Duration::from_secs(5);

/// Upper bound for the bytes of an event: etcd does not store objects of more than a few megabytes.
const LONGEST_EVENT: usize = 16 << 20;

/// After so many failed attempts to resume a watch, everything is listed again.
const ATTEMPTS: u32 = 5;

/// Keeps one list up to date.
pub struct Reflector {
    /// The client of the API server.
    pub client: Client,
    /// The list, and its path.
    pub place: Place,
    /// Where the objects are stored.
    pub shared: Arc<Shared>,
    /// Changes when everything must be listed again.
    pub relist: Option<watch::Receiver<u64>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Why a watch ended.
enum Ended {
    /// The API server ended the stream, as it does at the time limit.
    Normally,
    /// The API server no longer has the resource version, or everything must be listed again for another reason.
    Relist,
}

impl Reflector {
    /// Runs until the task is aborted.
    pub async fn run(mut self) {
        let mut wait = Backoff::default();
        loop {
            if let Some(relist) = &mut self.relist {
                relist.mark_unchanged();
            }
            let version = match self.list_all().await {
                Ok(version) => version,
                Err(trouble) => {
                    self.note(&trouble);
                    wait.after(&trouble).await;
                    continue;
                }
            };
            let before = Instant::now();
            self.follow(version).await;
            if before.elapsed() > LONGEST_WAIT {
                wait = Backoff::default();
            }
            // A list that cannot be watched must not be requested in a tight loop.
            wait.pause(Duration::ZERO).await;
        }
    }

    /// Watches until everything must be listed again.
    async fn follow(&self, mut version: String) {
        let mut wait = Backoff::default();
        let mut relist = self.relist.clone();
        while wait.failed < ATTEMPTS {
            let before = Instant::now();
            let worked = AtomicBool::new(false);
            let watched = tokio::select! {
                watched = self.watch(&mut version, &worked) => watched,
                () = changed(&mut relist) => return,
            };
            match watched {
                Ok(Ended::Normally) => {
                    // A watch that ends at once would otherwise be repeated in a tight loop.
                    if before.elapsed() < FIRST_WAIT {
                        tokio::time::sleep(FIRST_WAIT).await;
                    }
                    wait = Backoff::default();
                }
                Ok(Ended::Relist) => return,
                Err(trouble) => {
                    // The watch had worked before it was interrupted.
                    if worked.load(Ordering::Relaxed) {
                        wait = Backoff::default();
                    }
                    self.note(&trouble);
                    wait.after(&trouble).await;
                }
            }
        }
    }

    /// Lists everything, and returns the resource version of the list.
    async fn list_all(&self) -> Result<String, Trouble> {
        let begin = Instant::now();
        let mut listed = HashSet::new();
        let mut parameters = ListParams {
            limit: Some(PAGE),
            ..self.place.list()
        };
        loop {
            let (version, next) = self.page(&parameters, &mut listed).await?;
            match next.filter(|next| !next.is_empty()) {
                Some(next) => parameters.continue_token = Some(next),
                None => {
                    self.complete(&listed, begin);
                    drop(listed);
                    // The pages of a large cluster leave as much free memory behind as is kept of them.
                    give_back_memory();
                    return Ok(version);
                }
            }
        }
    }

    async fn page(
        &self,
        parameters: &ListParams,
        listed: &mut HashSet<u128>,
    ) -> Result<(String, Option<String>), Trouble> {
        let trouble = |what| self.trouble(Verb::List, what);
        let request = Request::new(&self.place.path)
            .list(parameters)
            .map_err(|error| trouble(error.to_string()))?;
        let text = timeout(PAGE_TIMEOUT, self.client.request_text(request))
            .await
            .map_err(|_| trouble(format!("no answer within {} s", PAGE_TIMEOUT.as_secs())))?
            .map_err(|error| Trouble::of(Verb::List, self.place.source, error))?;
        let page: Page<'_> =
            serde_json::from_str(&text).map_err(|error| trouble(format!("the answer is no list: {error}")))?;
        let version = page
            .metadata
            .resource_version
            .filter(|version| !version.is_empty())
            .ok_or_else(|| trouble("the answer is no list: it has no metadata.resourceVersion".to_owned()))?;
        let now = now();
        let mut unreadable = 0;
        for item in page.items.unwrap_or_default() {
            match self.shared.apply(self.place.source, item.get(), now) {
                Ok(key) => {
                    listed.insert(key);
                }
                Err(what) => {
                    // An object that cannot be read now still exists.
                    if let Ok(object) = serde_json::from_str(item.get()) {
                        listed.insert(key_of_reference(&object));
                    }
                    self.unreadable(item.get(), &what);
                    unreadable += 1;
                }
            }
        }
        let mut directory = self.shared.directory_mut();
        if let Some(status) = directory.status_mut(self.place.source) {
            status.contact = now;
            status.unreadable += unreadable;
        }
        Ok((version, page.metadata.next))
    }

    fn complete(&self, listed: &HashSet<u128>, begin: Instant) {
        let mut directory = self.shared.directory_mut();
        directory.retain(self.place.source, listed, now());
        let objects = directory.count(self.place.source);
        if let Some(status) = directory.status_mut(self.place.source) {
            status.lists += 1;
            status.works(Verb::List);
            if !std::mem::replace(&mut status.synced, true) {
                status.sync_seconds = Some(begin.elapsed().as_secs_f64());
            }
        }
        tracing::info!(
            source = self.place.source.label(),
            objects,
            seconds = begin.elapsed().as_secs_f64(),
            "the list is complete"
        );
        drop(directory);
        self.shared.notify();
    }

    /// Watches from `version` on, and advances it.
    async fn watch(&self, version: &mut String, worked: &AtomicBool) -> Result<Ended, Trouble> {
        let trouble = |what| self.trouble(Verb::Watch, what);
        let Some(stream) = self.changes(version).await? else {
            return Ok(Ended::Relist);
        };
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        let mut works = false;
        loop {
            let longest = if works { SILENCE } else { BROKEN_BY };
            match timeout(longest, read_line(&mut stream, &mut line)).await {
                Err(_) if works => return Err(self.silent()),
                // The watch was not ended at once, so it works. What was read of a line is kept.
                Err(_) => {}
                Ok(Ok(true)) => {
                    if let Some(ended) = self.event(&line, version).map_err(trouble)? {
                        return Ok(ended);
                    }
                    line.clear();
                }
                Ok(Ok(false)) if line.is_empty() => return Ok(Ended::Normally),
                Ok(Ok(false)) => return Err(trouble("the connection ended in the middle of an object".to_owned())),
                Ok(Err(error)) => return Err(trouble(broken(&error))),
            }
            if !works {
                works = true;
                worked.store(true, Ordering::Relaxed);
                if let Some(status) = self.shared.directory_mut().status_mut(self.place.source) {
                    status.works(Verb::Watch);
                }
            }
        }
    }

    /// Requests the changes from `version` on; `None` when the API server no longer has that version.
    async fn changes<'a>(&'a self, version: &str) -> Result<Option<impl AsyncBufRead + use<'a>>, Trouble> {
        let parameters = WatchParams {
            field_selector: self.place.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(&self.place.path)
            .watch(&parameters, version)
            .map_err(|error| self.trouble(Verb::Watch, error.to_string()))?;
        let stream = match timeout(SILENCE, self.client.request_stream(request)).await {
            Err(_) => return Err(self.silent()),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => return Ok(None),
            Ok(Err(error)) => return Err(Trouble::of(Verb::Watch, self.place.source, error)),
            Ok(Ok(stream)) => stream,
        };
        let mut directory = self.shared.directory_mut();
        if let Some(status) = directory.status_mut(self.place.source) {
            status.watches += 1;
            status.contact = now();
        }
        Ok(Some(stream))
    }

    fn silent(&self) -> Trouble {
        self.trouble(Verb::Watch, format!("no word within {} s", SILENCE.as_secs()))
    }

    /// Handles one event of a watch.
    fn event(&self, line: &[u8], version: &mut String) -> Result<Option<Ended>, String> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let event: Event<'_> =
            serde_json::from_slice(line).map_err(|error| format!("what came is no event: {error}"))?;
        let (raw, now) = (event.object.get(), now());
        if event.kind == "ERROR" {
            let status: Status = serde_json::from_str(raw).unwrap_or_default();
            if status.code == 410 {
                return Ok(Some(Ended::Relist));
            }
            return Err(format!(
                "the API server broke it off: {} {}",
                status.code, status.message
            ));
        }
        let outcome = match event.kind.as_str() {
            "ADDED" | "MODIFIED" => self.shared.apply(self.place.source, raw, now).map(|_| ()),
            "DELETED" => self.shared.delete(self.place.source, raw, now),
            // Bookmarks, and event types of later versions, only advance the version.
            _ => Ok(()),
        };
        let readable = outcome.is_ok();
        if let Err(what) = outcome {
            self.unreadable(raw, &what);
        }
        if let Ok(object) = serde_json::from_str::<Reference>(raw)
            && !object.metadata.resource_version.is_empty()
        {
            *version = object.metadata.resource_version;
        }
        let mut directory = self.shared.directory_mut();
        if let Some(status) = directory.status_mut(self.place.source) {
            status.contact = now;
            status.unreadable += u64::from(!readable);
        }
        Ok(None)
    }

    fn unreadable(&self, raw: &str, what: &str) {
        let object: Reference = serde_json::from_str(raw).unwrap_or_default();
        tracing::warn!(
            resource = self.place.source.resource(),
            namespace = object.metadata.namespace,
            name = object.metadata.name,
            "an object cannot be read and is left out: {what}"
        );
    }

    fn trouble(&self, verb: Verb, what: String) -> Trouble {
        Trouble::new(verb, self.place.source, what)
    }

    /// Logs an error, once.
    fn note(&self, trouble: &Trouble) {
        let sentence = trouble.to_string();
        let mut directory = self.shared.directory_mut();
        let Some(status) = directory.status_mut(self.place.source) else {
            return;
        };
        status.failures += 1;
        if status.error.as_ref() != Some(&sentence) {
            tracing::warn!(source = self.place.source.label(), "{sentence} (trying again)");
            (status.error, status.failed) = (Some(sentence), Some(trouble.verb()));
            status.forbidden = trouble.is_forbidden();
        }
        drop(directory);
        // Tasks that wait for this list may continue without it.
        self.shared.notify();
    }
}

/// Reads up to and including the next newline. `false` at the end of the stream.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        line.extend_from_slice(&chunk[..used]);
        stream.consume_unpin(used);
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > LONGEST_EVENT {
            return Err(std::io::Error::other("an event of more than 16 MiB"));
        }
    }
}

/// Waits until everything must be listed again.
async fn changed(relist: &mut Option<watch::Receiver<u64>>) {
    if let Some(relist) = relist
        && relist.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
