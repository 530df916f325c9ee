//! How the API server is reached: from within the cluster, by this pod's service account, or by the file that KUBECONFIG names.

use super::{
    source::{Place, Source},
    trouble::innermost,
};
use crate::{
    config::{self, Mode, Scope},
    node,
};
use anyhow::Context;
use kube::{Config, config::KubeConfigOptions};
use std::path::Path;

/// Where a pod finds its service account's token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How the API server is reached.
pub struct Access {
    /// The API server's address, certificates and credentials.
    pub config: Config,
    /// The name of this node.
    pub node: String,
    scope: Scope,
    map: Option<(String, String)>,
}

impl Access {
    /// `None` when Kubernetes is off, or `auto` finds no cluster.
    ///
    /// # Errors
    /// When Kubernetes is on and no cluster is found, or when its configuration is broken.
    pub fn find(config: &config::Config) -> anyhow::Result<Option<Self>> {
        let settings = &config.kubernetes;
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists();
        let outside = std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty());
        match settings.mode {
            Mode::Off => return Ok(None),
            Mode::Auto if !inside && outside.is_none() => return Ok(None),
            Mode::Auto | Mode::On => {}
        }
        let access = if let Some(files) = outside {
            let options = KubeConfigOptions::default();
            let read = Config::from_kubeconfig(&options);
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(read)
                .map_err(|error| {
                    let (files, what) = (files.display(), innermost(&error));
                    anyhow::anyhow!("cannot use KUBECONFIG={files}: {what}")
                })?
        } else if inside {
            Config::incluster().context("cannot use the service account of this pod")?
        } else {
            anyhow::bail!(
                "--kubernetes=on, but there is no cluster here: neither KUBECONFIG nor a service account ({TOKEN} and \
                 KUBERNETES_SERVICE_HOST); --kubernetes=auto or off continues without one"
            );
        };
        let node = match &settings.node {
            Some(node) => node.clone(),
            None => node::host_name().context("cannot tell this node's name: give it with --node")?,
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

    /// The lists that are to be read.
    pub fn sources(&self) -> Vec<Place> {
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
