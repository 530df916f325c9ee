//! Kubernetes: the identities of the cluster's pods, services and nodes.
//!
//! `access` finds the cluster, `connection` connects to it, `source` names the lists, `status` is the state of each, `reflector`
//! keeps each up to date, `objects` and `pod` parse the objects, `workload` and `principal` derive a pod's identity, `directory`
//! stores it, `reviewer` asks whose a token is, `shared` makes it available to the reflectors and the tick, `random` spreads what all agents do, `trouble` describes
//! errors.

mod access;
mod backoff;
mod cilium;
mod connection;
pub mod directory;
mod duty;
mod istio;
mod kuma;
mod linkerd;
mod local_pod;
mod meshes;
pub mod objects;
mod pod;
mod principal;
mod random;
mod reflector;
mod reviewer;
mod shared;
mod source;
mod status;
mod trouble;
mod try_out;
mod workload;

pub use directory::{Directory, REMEMBERED, Setup, Sizes};
pub use local_pod::LocalPod;
pub use meshes::Meshes;
pub use reviewer::{PREFIX, ReviewError, Reviewer};
pub use shared::Shared;
pub use source::Source;
pub use status::SourceStatus;
pub use try_out::{try_out, try_out_reviews};

use crate::{
    clock::now,
    config::{self, Scope},
};
use access::Access;
use anyhow::Context;
use reflector::Reflector;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Runtime;

/// After this time pods are read without waiting for the other lists.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often objects that were deleted long ago are forgotten.
const TIDY: Duration = Duration::from_secs(30);

/// The connection to the cluster. Dropping it closes it.
pub struct Kubernetes {
    /// What is known of the cluster.
    pub shared: Arc<Shared>,
    /// Whether the whole cluster is read, or this node only.
    pub scope: Scope,
    /// The node that this agent is on.
    pub node: String,
    runtime: Option<Runtime>,
}

impl Kubernetes {
    /// Starts reading the cluster's objects, if there is a cluster and Kubernetes is not off.
    ///
    /// # Errors
    /// When Kubernetes is on (`--kubernetes=on`) and the cluster cannot be found, or when its configuration is broken. An API
    /// server that does not answer is no error: it may come back.
    pub fn start(config: &config::Config, setup: Setup) -> anyhow::Result<Option<Self>> {
        let Some(access) = Access::find(config)? else {
            return Ok(None);
        };
        let sources = access.sources();
        let read: Vec<_> = sources.iter().map(|place| place.source).collect();
        let shared = Arc::new(Shared::new(setup, &read));
        // A thread of its own: reading a hundred thousand pods must not keep scrapes waiting.
        let runtime = runtime()?;
        let client = {
            let _inside = runtime.enter();
            connection::client(access.config)?
        };
        for place in sources {
            let is_pods = matches!(place.source, Source::NodePods | Source::ClusterPods);
            let reflector = Reflector {
                client: client.clone(),
                place,
                shared: shared.clone(),
                relist: is_pods.then(|| shared.relists_of_pods()),
                random: random::random,
            };
            let shared = shared.clone();
            runtime.spawn(async move {
                if is_pods {
                    let first = [Source::Namespaces, Source::Services, Source::Nodes, Source::MeshConfig];
                    shared.wait_for(&first, PATIENCE).await;
                }
                if reflector.place.source == Source::ClusterPods {
                    shared.wait_for(&[Source::NodePods], PATIENCE).await;
                }
                reflector.run().await;
            });
        }
        let tidied = shared.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                tidied.directory_mut().tidy(now());
            }
        });
        Ok(Some(Self {
            shared,
            scope: config.kubernetes.scope,
            node: access.node,
            runtime: Some(runtime),
        }))
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting for requests in progress.
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("kubernetes")
        .enable_all()
        .build()
        .context("cannot start a thread for Kubernetes")
}
