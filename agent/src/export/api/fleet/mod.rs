//! Answers about all nodes: this agent asks the agents of the others, its peers.
//!
//! A peer is only asked about its own node, so that a question never goes round. What is asked at a time is bounded, as is the time
//! and the size of each answer; whoever does not answer is named in the answer.

mod access;
mod client;
mod find;
mod headers;
mod merge;
mod relay;

#[cfg(test)]
pub use client::LARGEST;
pub use merge::{Drained, FailedConnections, Listed};
pub use relay::relay;

use super::problem::Problem;
use crate::{
    config,
    draining::Drains,
    fleet::{Missing, Nodes},
    url::Url,
};
use access::Access;
use anyhow::Context as _;
use axum::{
    extract::State,
    http::{HeaderName, HeaderValue},
    response::Response,
};
use client::{Answer, Failed, Peer, ask};
use futures_util::{StreamExt as _, stream};
use headers::{AGENT, NODE};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};

/// How long all peers have together. The clients of Narrows wait for 10 s. Longer in tests, as the time of one.
const ALL: Duration = Duration::from_secs(if cfg!(test) { 30 } else { 8 });

/// How many peers are connected to at a time, for one question.
const AT_A_TIME: usize = 64;

/// How many answers are read and parsed at a time, for all questions: each takes its size and that of what is made of it.
const READ_AT_A_TIME: usize = 8;

/// How many questions about all nodes are answered at a time, and how long a further one waits.
const QUESTIONS: usize = 4;
const QUEUE: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 1 });

/// This agent and its peers.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    node: String,
    agent: String,
    headers: [(HeaderName, HeaderValue); 2],
    urls: Vec<Arc<Url>>,
    access: Access,
    /// Where the agents of nodes were when they answered last.
    known: Mutex<BTreeMap<String, Peer>>,
    questions: Semaphore,
    reading: Semaphore,
}

impl Fleet {
    /// The agent of this node, with the peers of the configuration.
    ///
    /// # Errors
    /// A file of `api.peers` cannot be used, or the node's name cannot be sent.
    pub fn new(node: &str, peers: &config::Peers, own_token: Option<&Path>) -> anyhow::Result<Self> {
        // https://docs.kernel.org/admin-guide/sysctl/kernel.html#random
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot read a random number")?;
        let agent = id.trim().to_owned();
        let header = |value: &str| {
            HeaderValue::from_str(value)
                .with_context(|| format!("the name of this node, {value:?}, cannot be sent: give another with --node"))
        };
        let headers = [(NODE, header(node)?), (AGENT, header(&agent)?)];
        let urls = peers.urls().map_err(anyhow::Error::msg)?;
        Ok(Self(Arc::new(Inner {
            node: node.to_owned(),
            agent,
            headers,
            urls: urls.into_iter().map(Arc::new).collect(),
            access: Access::new(peers, own_token)?,
            known: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
            reading: Semaphore::new(READ_AT_A_TIME),
        })))
    }

    /// An agent without peers.
    #[cfg(test)]
    pub fn alone(node: &str) -> Self {
        Self::new(node, &config::Peers::default(), None).expect("a name")
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Where peers are asked, as configured.
    pub fn addresses(&self) -> Vec<String> {
        self.0.urls.iter().map(ToString::to_string).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all peers for `target`, `what` in words, and gives each answer to `take` with its node as it comes.
    ///
    /// # Errors
    /// There are no peers, or too many questions like this at a time.
    pub async fn ask_all<T: DeserializeOwned + Send + 'static>(
        &self,
        target: &str,
        what: &'static str,
        mut take: impl FnMut(&str, T),
    ) -> Result<Nodes, Problem> {
        if self.0.urls.is_empty() {
            return Err(Problem::no_peers());
        }
        let turn = timeout(QUEUE, self.0.questions.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Problem::busy(QUESTIONS));
        };
        let deadline = Instant::now() + ALL;
        let (peers, missing) = find::find(&self.0.urls).await;
        let mut seen = Seen::new(self, missing);
        let asked = peers.into_iter().map(|peer| async move {
            let found = self.read(&peer, target, what, deadline).await;
            (peer, found)
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);
        while let Some((peer, found)) = answers.next().await {
            if let Some((node, answer)) = seen.take(self, &peer, found) {
                take(&node, answer);
            }
        }
        drop(answers);
        Ok(seen.nodes())
    }

    /// Asks one peer; `None` when it is this agent itself.
    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        peer: &Peer,
        target: &str,
        what: &'static str,
        deadline: Instant,
    ) -> Result<Option<(Who, T)>, Failed> {
        let answer = ask(&self.0.access, peer, target, deadline).await?;
        if answer.agent == self.0.agent {
            return Ok(None);
        }
        let who = Who::of(&answer);
        let reading = timeout_at(deadline, self.0.reading.acquire()).await;
        let Ok(Ok(_reading)) = reading else {
            return Err(Failed::new(
                "too_slow",
                "the time for all nodes was over before its answer was read",
            ));
        };
        let body = answer.good(deadline).await?;
        let parsed = spawn_blocking(move || serde_json::from_slice(&body)).await;
        match parsed {
            Ok(Ok(parsed)) => Ok(Some((who, parsed))),
            Ok(Err(error)) => Err(Failed::unexpected(format_args!("not {what} ({error})"))),
            Err(error) => Err(Failed::unexpected(error)),
        }
    }

    /// Where the agent of a node is: as far as known, else all peers are asked who they are.
    async fn find(&self, node: &str) -> Result<Peer, Problem> {
        if let Some(peer) = self.known().get(node) {
            return Ok(peer.clone());
        }
        let nodes = self
            .ask_all("/api/v1/drains", "a list of drains", |_, _: Drains| {})
            .await?;
        let found = self.known().get(node).cloned();
        found.ok_or_else(|| Problem::unknown_node(node, nodes.missing.len()))
    }

    /// The agent of the node was not there.
    fn forget(&self, node: &str) {
        self.known().remove(node);
    }
}

/// An agent that has answered.
struct Who {
    node: String,
    agent: String,
}

impl Who {
    fn of(answer: &Answer) -> Self {
        Self {
            node: answer.node.clone(),
            agent: answer.agent.clone(),
        }
    }
}

/// Who has answered a question, and who has not.
struct Seen {
    own: String,
    nodes: BTreeSet<String>,
    agents: BTreeSet<String>,
    missing: Vec<Missing>,
}

impl Seen {
    fn new(fleet: &Fleet, missing: Vec<Missing>) -> Self {
        Self {
            own: fleet.0.node.clone(),
            nodes: BTreeSet::new(),
            agents: BTreeSet::from([fleet.0.agent.clone()]),
            missing,
        }
    }

    /// What counts of the answer of a peer: nothing of an agent that has several addresses, or of a second one of a node.
    fn take<T>(&mut self, fleet: &Fleet, peer: &Peer, found: Result<Option<(Who, T)>, Failed>) -> Option<(String, T)> {
        let failed = match found {
            Ok(None) => return None,
            Ok(Some((who, _))) if !self.agents.insert(who.agent.clone()) => return None,
            Ok(Some((who, _))) if who.node == self.own || self.nodes.contains(&who.node) => Failed::new(
                "duplicate",
                format!(
                    "another agent has answered for node {} already, so this one is not counted: give each its own name (--node)",
                    who.node
                ),
            ),
            Ok(Some((who, answer))) => {
                self.nodes.insert(who.node.clone());
                fleet.known().insert(who.node.clone(), peer.clone());
                return Some((who.node, answer));
            }
            Err(failed) => failed,
        };
        let known = fleet.known();
        let node = known
            .iter()
            .find(|(_, known)| *known == peer)
            .map(|(node, _)| node.clone());
        self.missing.push(Missing {
            address: peer.to_string(),
            node,
            error: failed.error.to_owned(),
            message: failed.message,
        });
        None
    }

    fn nodes(self) -> Nodes {
        let mut missing = self.missing;
        missing.sort();
        Nodes {
            answered: [self.own].into_iter().chain(self.nodes).collect(),
            missing,
        }
    }
}

/// Says in an answer whose it is.
pub async fn sign(State(fleet): State<Fleet>, mut response: Response) -> Response {
    response.headers_mut().extend(fleet.0.headers.clone());
    response
}
