//! Kubernetes: who the pods, services and nodes of the cluster are.
//!
//! `source` names the lists, `reflector` keeps each up to date, `objects` and `pod` read what comes, `directory` keeps it.

pub mod directory;
pub mod objects;
mod pod;
mod reflector;
mod source;
mod trouble;

pub use crate::identity::history::Millis;
pub use directory::{Directory, LocalPod, Setup, Sizes};
pub use reflector::now;
pub use source::{Source, SourceStatus};

use crate::config::{self, Mode, Scope};
use anyhow::Context;
use kube::{Client, Config, config::KubeConfigOptions};
use reflector::{Reflector, wait_for};
use source::Place;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Notify};
use trouble::{Trouble, Verb};

/// Where a pod finds its service account's token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The pods are read without the other lists when these take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often what is long gone is forgotten.
const TIDY: Duration = Duration::from_secs(30);

/// What the lists and the tick share.
pub struct Shared {
    /// The objects.
    pub directory: Mutex<Directory>,
    synced: Notify,
    relist_pods: Arc<Notify>,
}

/// A directory whose holder panicked between two objects is still sound.
pub fn lock(directory: &Mutex<Directory>) -> MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// What the lists will be put into.
    pub fn new(setup: Setup, sources: &[Source]) -> Self {
        let statuses = sources.iter().map(|source| SourceStatus::new(*source, now())).collect();
        Self {
            directory: Mutex::new(Directory::new(setup, statuses)),
            synced: Notify::new(),
            relist_pods: Arc::new(Notify::new()),
        }
    }

    /// Whether a list is among those that are read.
    pub fn reads(&self, source: Source) -> bool {
        lock(&self.directory)
            .statuses()
            .iter()
            .any(|status| status.source == source)
    }

    fn apply(&self, source: Source, raw: &str, now: i64) -> Result<u128, String> {
        fn read<'a, T: serde::Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
            serde_json::from_str(raw).map_err(|error| error.to_string())
        }
        // Read before the lock is taken.
        match source {
            Source::NodePods | Source::ClusterPods => {
                let pod: objects::Pod = read(raw)?;
                Ok(lock(&self.directory).apply_pod(source, &pod, now))
            }
            Source::Services => {
                let service = read(raw)?;
                Ok(lock(&self.directory).apply_service(&service))
            }
            Source::Namespaces => {
                let namespace = read(raw)?;
                Ok(lock(&self.directory).apply_namespace(namespace))
            }
            Source::Nodes => {
                let node = read(raw)?;
                Ok(lock(&self.directory).apply_node(&node))
            }
            Source::MeshConfig => {
                let map = read(raw)?;
                lock(&self.directory).apply_config_map(&map)
            }
        }
    }

    fn delete(&self, source: Source, raw: &str, now: i64) -> Result<(), String> {
        // Only its name and, of pods, its end are of interest.
        let pod: objects::Pod = serde_json::from_str(raw).map_err(|error| error.to_string())?;
        let key = pod::key_of(&pod.metadata);
        let mut directory = lock(&self.directory);
        match source {
            Source::NodePods | Source::ClusterPods => directory.delete_pod(source, key, Some(&pod), now),
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
                relist: if is_pods {
                    shared.relist_pods.clone()
                } else {
                    Arc::new(Notify::new())
                },
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
                lock(&tidied.directory).tidy(now());
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

/// How the cluster is reached.
struct Access {
    config: Config,
    node: String,
    scope: Scope,
    map: Option<(String, String)>,
}

impl Access {
    /// `None` when Kubernetes is off, or `auto` and there is none.
    fn find(config: &config::Config) -> anyhow::Result<Option<Self>> {
        let settings = &config.kubernetes;
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists();
        let outside = std::env::var_os("KUBECONFIG").is_some();
        match settings.mode {
            Mode::Off => return Ok(None),
            Mode::Auto if !inside && !outside => return Ok(None),
            Mode::Auto | Mode::On => {}
        }
        let mut access = if outside {
            let options = KubeConfigOptions::default();
            let read = Config::from_kubeconfig(&options);
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(read)
                .context("cannot use the file that KUBECONFIG names")?
        } else if inside {
            Config::incluster().context("cannot use the service account of this pod")?
        } else {
            anyhow::bail!(
                "--kubernetes=on, but there is no cluster here: neither KUBECONFIG nor a service account ({TOKEN} and \
                 KUBERNETES_SERVICE_HOST); --kubernetes=auto or off goes on without"
            );
        };
        // Each failed attempt is to be seen, and is tried again by the lists themselves.
        access.default_retry = false;
        access.connect_timeout = Some(Duration::from_secs(10));
        let node = match &settings.node {
            Some(node) => node.clone(),
            None => nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .context("cannot tell this node's name: give it with --node")?,
        };
        let map = settings.mesh_config_map.as_deref().map(|text| {
            let (namespace, name) = text.split_once('/').unwrap_or(("istio-system", text));
            (namespace.to_owned(), name.to_owned())
        });
        Ok(Some(Self {
            config: access,
            node,
            scope: settings.scope,
            map,
        }))
    }

    fn sources(&self) -> Vec<Place> {
        let mut sources = vec![Source::Namespaces, Source::Services, Source::Nodes, Source::NodePods];
        if self.scope == Scope::Cluster {
            sources.push(Source::ClusterPods);
        }
        let map = self
            .map
            .as_ref()
            .map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        if map.is_some() {
            sources.push(Source::MeshConfig);
        }
        sources
            .into_iter()
            .map(|source| Place::new(source, &self.node, map))
            .collect()
    }
}

/// A list, and how many objects there are, or what is wrong.
pub type Answer = (Source, Result<String, String>);

/// What `narrows check` finds: for each list, how many there are, or what is wrong. `None` when there is no cluster.
///
/// # Errors
/// When the cluster is wanted and cannot be tried.
pub fn try_out(config: &config::Config) -> anyhow::Result<Option<Vec<Answer>>> {
    const LONGEST: Duration = Duration::from_secs(10);
    let Some(access) = Access::find(config)? else {
        return Ok(None);
    };
    let sources = access.sources();
    let runtime = runtime()?;
    let answers = runtime.block_on(async {
        let client = Client::try_from(access.config).context("cannot set up the connection")?;
        let mut answers = Vec::new();
        for place in sources {
            let one = async {
                let text = reflector::first_page(&client, &place).await?;
                reflector::first_watch(&client, &place).await?;
                Ok(text)
            };
            let answer = tokio::time::timeout(LONGEST, one).await.unwrap_or_else(|_| {
                let what = format!("no answer within {} s", LONGEST.as_secs());
                Err(Trouble::new(Verb::List, place.source, what))
            });
            answers.push((place.source, answer.map_err(|trouble| trouble.to_string())));
        }
        anyhow::Ok(answers)
    });
    runtime.shutdown_background();
    answers.map(Some)
}
