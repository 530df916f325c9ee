//! Kubernetes: who the pods, services and nodes of the cluster are.
//!
//! `access` finds the cluster, `source` names the lists, `reflector` keeps each up to date, `objects` and `pod` read what comes,
//! `workload` and `principal` say whose a pod is, `directory` keeps it, `trouble` says what goes wrong.

mod access;
mod backoff;
pub mod directory;
pub mod objects;
mod pod;
mod principal;
mod reflector;
mod source;
mod trouble;
mod try_out;
mod workload;

pub use directory::{Directory, LocalPod, REMEMBERED, Setup, Sizes};
pub use principal::Meshes;
pub use source::{Source, SourceStatus};
pub use try_out::try_out;

use crate::{
    clock::now,
    config::{self, Scope},
};
use access::Access;
use anyhow::Context;
use kube::Client;
use reflector::{Reflector, wait_for};
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    sync::{Notify, watch},
};

/// The pods are read without the other lists when these take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often what is long gone is forgotten.
const TIDY: Duration = Duration::from_secs(30);

/// What the lists and the tick share.
pub struct Shared {
    /// Read-locked for a whole pass over the flows, and not copied for it: of a hundred thousand pods, all but a few are the same
    /// from tick to tick, and the lists, which wait meanwhile, are behind by far more than the tenth of a second that a pass takes.
    directory: RwLock<Directory>,
    synced: Notify,
    /// How often it was found that all pods must be read again.
    relist_pods: watch::Sender<u64>,
}

impl Shared {
    /// What the lists will be put into.
    pub fn new(setup: Setup, sources: &[Source]) -> Self {
        let statuses = sources.iter().map(|source| SourceStatus::new(*source, now())).collect();
        Self {
            directory: RwLock::new(Directory::new(setup, statuses)),
            synced: Notify::new(),
            relist_pods: watch::Sender::new(0),
        }
    }

    /// The objects as they are now, and as they stay while this is held. Whoever holds it must not ask for them again meanwhile. (A
    /// directory whose writer panicked between two objects is still sound.)
    pub fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects, to be changed.
    pub fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a list is among those that are read.
    pub fn reads(&self, source: Source) -> bool {
        self.directory().statuses().iter().any(|status| status.source == source)
    }

    fn apply(&self, source: Source, raw: &str, now: i64) -> Result<u128, String> {
        fn read<'a, T: serde::Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
            serde_json::from_str(raw).map_err(|error| error.to_string())
        }
        // Read before the lock is taken.
        match source {
            Source::NodePods | Source::ClusterPods => {
                let pod: objects::Pod = read(raw)?;
                Ok(self.directory_mut().apply_pod(source, &pod, now))
            }
            Source::Services => {
                let service = read(raw)?;
                Ok(self.directory_mut().apply_service(&service))
            }
            Source::Namespaces => {
                let namespace = read(raw)?;
                Ok(self.directory_mut().apply_namespace(namespace))
            }
            Source::Nodes => {
                let node = read(raw)?;
                Ok(self.directory_mut().apply_node(&node))
            }
            Source::MeshConfig => {
                let map = read(raw)?;
                let mut directory = self.directory_mut();
                let key = directory.apply_config_map(&map)?;
                if directory.take_relist_pods() {
                    self.relist_pods.send_modify(|times| *times += 1);
                }
                Ok(key)
            }
        }
    }

    fn delete(&self, source: Source, raw: &str, now: i64) -> Result<(), String> {
        let reference: objects::Reference = serde_json::from_str(raw).map_err(|error| error.to_string())?;
        let key = pod::key_of_reference(&reference);
        // When it ended, if that can be read.
        let pod: Option<objects::Pod> = serde_json::from_str(raw).ok();
        let mut directory = self.directory_mut();
        match source {
            Source::NodePods | Source::ClusterPods => directory.delete_pod(source, key, pod.as_ref(), now),
            _ => directory.delete(source, key, now),
        }
        Ok(())
    }
}

/// The connection to the cluster. Dropping it ends it.
pub struct Kubernetes {
    /// What is known.
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
                relist: is_pods.then(|| shared.relist_pods.subscribe()),
            };
            let shared = shared.clone();
            runtime.spawn(async move {
                if is_pods {
                    let first = [Source::Namespaces, Source::Services, Source::Nodes, Source::MeshConfig];
                    wait_for(&shared, &first, PATIENCE).await;
                }
                if reflector.place.source == Source::ClusterPods {
                    wait_for(&shared, &[Source::NodePods], PATIENCE).await;
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
