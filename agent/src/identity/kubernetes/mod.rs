//! Kubernetes: who the pods, services and nodes of the cluster are.
//!
//! `access` finds the cluster, `source` names the lists, `reflector` keeps each up to date, `objects` and `pod` read what comes,
//! `workload` and `principal` say whose a pod is, `directory` keeps it, `shared` holds it for lists and tick, `trouble` says what goes wrong.

mod access;
mod backoff;
pub mod directory;
mod istio;
mod kuma;
mod linkerd;
mod meshes;
pub mod objects;
mod pod;
mod principal;
mod reflector;
mod shared;
mod source;
mod trouble;
mod try_out;
mod workload;

pub use directory::{Directory, LocalPod, REMEMBERED, Setup, Sizes};
pub use meshes::Meshes;
pub use shared::Shared;
pub use source::{Source, SourceStatus};
pub use try_out::try_out;

use crate::{
    clock::now,
    config::{self, Scope},
};
use access::Access;
use anyhow::Context;
use kube::Client;
use reflector::Reflector;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Runtime;

/// The pods are read without the other lists when these take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often what is long gone is forgotten.
const TIDY: Duration = Duration::from_secs(30);

/// The connection to the cluster. Dropping it ends it.
pub struct Kubernetes {
    /// What is known of the cluster.
    pub shared: Arc<Shared>,
    /// How it was set up.
    pub scope: Scope,
    /// The node that this agent is on.
    pub node: String,
    runtime: Option<Runtime>,
}

impl Kubernetes {
    /// Begins to read the cluster's objects, if there is a cluster and it is wanted.
    ///
    /// # Errors
    /// When it is wanted (`--kubernetes=on`) and there is no way to reach it, or when its configuration is broken. An API
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
            Client::try_from(access.config).context("cannot set up the connection to the Kubernetes API server")?
        };
        for place in sources {
            let is_pods = matches!(place.source, Source::NodePods | Source::ClusterPods);
            let reflector = Reflector {
                client: client.clone(),
                place,
                shared: shared.clone(),
                relist: is_pods.then(|| shared.relists_of_pods()),
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
            // Not waiting for requests that are under way.
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
