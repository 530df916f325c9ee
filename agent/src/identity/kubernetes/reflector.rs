//! Keeps one list up to date: lists it page by page, then watches it; after an interruption it resumes at the last resource
//! version, and lists again only when the API server no longer has that version.

use super::{
    backoff::{Backoff, FIRST_WAIT, LONGEST_WAIT},
    objects::Reference,
    pod::key_of_reference,
    random::{Random, delay},
    shared::Shared,
    source::{Freshness, Place, Source, Verb},
    trouble::{Trouble, broken},
};
use crate::{clock::now, memory::give_back_memory};
use futures_util::{AsyncBufRead, AsyncBufReadExt};
use kube::{
    Client,
    core::{Status, params::ListParams},
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

/// A request for a page is aborted after this time.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// A watch without any event is aborted after this time. An API server sends bookmarks about once a minute and may skip one, which
/// makes two minutes of silence on a watch that works.
const SILENCE: Duration = Duration::from_secs(200);

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
    /// What part of the longest delay a list of all pods waits before it is read again.
    pub random: Random,
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
        let mut freshness = self.place.freshness();
        loop {
            if let Some(relist) = &mut self.relist {
                relist.mark_unchanged();
            }
            let mut version = match self.list_all(&freshness).await {
                Ok(version) => version,
                Err(trouble) => {
                    // Such as a database that was restored, and has never had that version.
                    if trouble.is_answer() {
                        freshness = Freshness::Newest;
                    }
                    let is_lasting = self.note(&trouble);
                    wait.after(&trouble, is_lasting).await;
                    continue;
                }
            };
            let before = Instant::now();
            self.follow(&mut version).await;
            freshness = self.place.freshness().after(version);
            if before.elapsed() > LONGEST_WAIT {
                wait = Backoff::default();
            }
            // A list that cannot be watched must not be requested in a tight loop.
            wait.pause(self.delay()).await;
        }
    }

    /// How long to wait, beside the backoff, before everything is listed again.
    fn delay(&self) -> Duration {
        if self.place.source != Source::ClusterPods {
            return Duration::ZERO;
        }
        let directory = self.shared.directory();
        let (pods, nodes) = (directory.sizes().pods, directory.count(Source::Nodes));
        let delay = delay(pods, nodes, (self.random)());
        if delay > LONGEST_WAIT {
            tracing::info!(
                pods,
                nodes,
                seconds = delay.as_secs(),
                "all pods are listed again after a delay, as other agents list them too; until then, pods of other nodes that \
                 are new are unknown"
            );
        }
        delay
    }

    /// Watches until everything must be listed again.
    async fn follow(&self, version: &mut String) {
        let mut wait = Backoff::default();
        let mut relist = self.relist.clone();
        let mut failed = 0;
        while failed < ATTEMPTS {
            let before = Instant::now();
            let worked = AtomicBool::new(false);
            let watched = tokio::select! {
                watched = self.watch(version, &worked) => watched,
                () = changed(&mut relist) => return,
            };
            match watched {
                Ok(Ended::Normally) => {
                    // A watch that ends at once would otherwise be repeated in a tight loop.
                    if before.elapsed() < FIRST_WAIT {
                        tokio::time::sleep(FIRST_WAIT).await;
                    }
                    (wait, failed) = (Backoff::default(), 0);
                }
                Ok(Ended::Relist) => return,
                Err(trouble) => {
                    // The watch had worked before it was interrupted.
                    if worked.load(Ordering::Relaxed) {
                        (wait, failed) = (Backoff::default(), 0);
                    }
                    // An API server that comes back can resume the watch, and then need not serve a list to every agent.
                    failed += u32::from(!trouble.is_unreachable());
                    let is_lasting = self.note(&trouble);
                    wait.after(&trouble, is_lasting).await;
                }
            }
        }
    }

    /// Lists everything, and returns the resource version of the list.
    async fn list_all(&self, freshness: &Freshness) -> Result<String, Trouble> {
        let begin = Instant::now();
        let mut listed = HashSet::new();
        let mut parameters = self.place.first_page(freshness);
        loop {
            let (version, next) = self.page(&parameters, &mut listed).await?;
            match next.filter(|next| !next.is_empty()) {
                Some(next) => {
                    // A further page is of the first one's version, and must not ask for another.
                    (parameters.resource_version, parameters.version_match) = (None, None);
                    parameters.continue_token = Some(next);
                }
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
        let request = self
            .place
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
        let request = self
            .place
            .watch(version)
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

    /// Logs an error, once. Returns whether it is a refusal that has lasted.
    fn note(&self, trouble: &Trouble) -> bool {
        let mut is_lasting = false;
        if let Some(status) = self.shared.directory_mut().status_mut(self.place.source) {
            if let Some(sentence) = status.fails(trouble, Instant::now()) {
                tracing::warn!(source = self.place.source.label(), "{sentence} (trying again)");
            }
            is_lasting = status.forbidden;
        }
        // Tasks that wait for this list may continue without it.
        self.shared.notify();
        is_lasting
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

#[cfg(test)]
mod tests;
