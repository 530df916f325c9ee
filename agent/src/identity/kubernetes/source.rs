//! The lists that the agent keeps up to date, and the state of each.

use crate::clock::Millis;
use kube::core::params::ListParams;
use serde::Serialize;

/// One list of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The pods of this node.
    NodePods,
    /// The pods of all other nodes, and unscheduled pods.
    ClusterPods,
    /// All namespaces, for their labels and annotations.
    Namespaces,
    /// All services, for the workloads behind their addresses.
    Services,
    /// All nodes, for their addresses.
    Nodes,
    /// The mesh's config map, when one is configured.
    MeshConfig,
}

impl Source {
    /// The value of the `source` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NodePods => "node_pods",
            Self::ClusterPods => "cluster_pods",
            Self::Namespaces => "namespaces",
            Self::Services => "services",
            Self::Nodes => "nodes",
            Self::MeshConfig => "mesh_config",
        }
    }

    /// The resource's name, as in an RBAC role.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::NodePods | Self::ClusterPods => "pods",
            Self::Namespaces => "namespaces",
            Self::Services => "services",
            Self::Nodes => "nodes",
            Self::MeshConfig => "configmaps",
        }
    }
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads all objects of a list.
    List,
    /// Follows the changes of a list.
    Watch,
}

impl Verb {
    /// The verb's name, as in an RBAC role.
    pub const fn label(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// Where a list is found at the API server.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which list it is.
    pub source: Source,
    /// The URL path, without parameters.
    pub path: String,
    /// The field selector, if the list has one.
    pub fields: Option<String>,
}

impl Place {
    /// The list `source` for this node; `map` is namespace and name of the mesh's config map.
    pub fn new(source: Source, node: &str, map: Option<(&str, &str)>) -> Self {
        let path = match (source, map) {
            (Source::MeshConfig, Some((namespace, _))) => format!("/api/v1/namespaces/{namespace}/configmaps"),
            _ => format!("/api/v1/{}", source.resource()),
        };
        let fields = match (source, map) {
            (Source::NodePods, _) => Some(format!("spec.nodeName={node}")),
            (Source::ClusterPods, _) => Some(format!("spec.nodeName!={node}")),
            (Source::MeshConfig, Some((_, name))) => Some(format!("metadata.name={name}")),
            _ => None,
        };
        Self { source, path, fields }
    }

    /// The parameters of a list.
    pub fn list(&self) -> ListParams {
        ListParams {
            field_selector: self.fields.clone(),
            ..ListParams::default()
        }
    }
}

/// The state of a list.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Which list it is.
    pub source: Source,
    /// Whether it has been read completely once.
    pub synced: bool,
    /// When the API server last sent anything about it; initially, when it was first requested.
    #[serde(skip)]
    pub contact: Millis,
    /// The current error, if any.
    pub error: Option<String>,
    /// The kind of request that failed.
    #[serde(skip)]
    pub failed: Option<Verb>,
    /// The agent's role forbids it, so it will not be complete soon.
    #[serde(skip)]
    pub forbidden: bool,
    /// Number of requests to list it.
    pub lists: u64,
    /// Number of requests to watch it.
    pub watches: u64,
    /// Number of failed requests and watches.
    pub failures: u64,
    /// Objects that could not be parsed and were skipped.
    pub unreadable: u64,
    /// Duration of the first complete list, in seconds.
    pub sync_seconds: Option<f64>,
}

impl SourceStatus {
    /// Records that a request of this kind succeeded.
    pub fn works(&mut self, verb: Verb) {
        if self.failed == Some(verb) {
            (self.error, self.failed, self.forbidden) = (None, None, false);
        }
    }

    /// The state before the first request.
    pub fn new(source: Source, now: Millis) -> Self {
        Self {
            source,
            synced: false,
            contact: now,
            error: None,
            failed: None,
            forbidden: false,
            lists: 0,
            watches: 0,
            failures: 0,
            unreadable: 0,
            sync_seconds: None,
        }
    }
}
