//! The lists that the agent keeps up to date, and how each of them fares.

use crate::clock::Millis;
use kube::core::params::ListParams;
use serde::Serialize;

/// One list of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The pods of this node.
    NodePods,
    /// The pods of all other nodes, and those without a node.
    ClusterPods,
    /// Namespaces.
    Namespaces,
    /// Services.
    Services,
    /// Nodes.
    Nodes,
    /// The mesh's own config map, when one is named.
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

    /// The resource, as a role names it.
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

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All objects.
    List,
    /// Their changes.
    Watch,
}

impl Verb {
    /// As a role names it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// Where a list is to be had.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is.
    pub source: Source,
    /// Its path.
    pub path: String,
    /// What the API server is to leave out.
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

/// How a list fares.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Which.
    pub source: Source,
    /// Whether it has been complete once.
    pub synced: bool,
    /// When the API server last said anything about it; at first, when it was first asked.
    #[serde(skip)]
    pub contact: Millis,
    /// What is wrong at the moment.
    pub error: Option<String>,
    /// What was being asked when that went wrong.
    #[serde(skip)]
    pub failed: Option<Verb>,
    /// The role forbids it, so it will not be complete soon.
    #[serde(skip)]
    pub forbidden: bool,
    /// Times it was listed.
    pub lists: u64,
    /// Times it was watched.
    pub watches: u64,
    /// Requests and watches that failed.
    pub failures: u64,
    /// Objects that could not be read, and were left out.
    pub unreadable: u64,
    /// How long the first list took, in seconds.
    pub sync_seconds: Option<f64>,
}

impl SourceStatus {
    /// What was asked works again.
    pub fn works(&mut self, verb: Verb) {
        if self.failed == Some(verb) {
            (self.error, self.failed, self.forbidden) = (None, None, false);
        }
    }

    /// Not asked yet.
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
