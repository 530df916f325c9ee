//! The lists that the agent keeps up to date, and how the API server is asked for them.

use kube::core::{
    Request,
    params::{ListParams, VersionMatch, WatchParams},
    request,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Objects requested per page.
const PAGE: u32 = 500;

/// The API server ends a watch after so many seconds; the next watch resumes from there.
const WATCH_SECONDS: u32 = 290;

/// One list of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
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

    /// The first page of this list.
    ///
    /// An API server answers from its memory when any state will do, or one that is not older than a version; the newest state it
    /// may have to read from its database. For a list of some node's pods, servers before 1.33 read all pods from there. But what
    /// comes from memory comes in one piece, so this is for short lists.
    pub fn first_page(&self, freshness: &Freshness) -> ListParams {
        let (limit, version) = match freshness {
            Freshness::Newest => (Some(PAGE), None),
            Freshness::Any => (None, Some("0".to_owned())),
            Freshness::NotBefore(version) => (None, Some(version.clone())),
        };
        ListParams {
            field_selector: self.fields.clone(),
            limit,
            version_match: version.is_some().then_some(VersionMatch::NotOlderThan),
            resource_version: version,
            ..ListParams::default()
        }
    }

    /// How fresh the first list has to be.
    pub fn freshness(&self) -> Freshness {
        match self.source {
            // Nothing is known that an older state could replace.
            Source::NodePods => Freshness::Any,
            _ => Freshness::Newest,
        }
    }

    /// The request of a page.
    ///
    /// # Errors
    /// When the parameters do not fit together.
    pub fn list(&self, parameters: &ListParams) -> Result<hyper::Request<Vec<u8>>, request::Error> {
        let request = Request::new(&self.path);
        match self.is_metadata_enough() {
            true => request.list_metadata(parameters),
            false => request.list(parameters),
        }
    }

    /// The request of all changes after `version`.
    ///
    /// # Errors
    /// When the parameters do not fit together.
    pub fn watch(&self, version: &str) -> Result<hyper::Request<Vec<u8>>, request::Error> {
        let parameters = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(&self.path);
        match self.is_metadata_enough() {
            true => request.watch_metadata(&parameters, version),
            false => request.watch(&parameters, version),
        }
    }

    /// Whether `metadata` of the objects is all that is read of them; of others the API sends all or nothing.
    fn is_metadata_enough(&self) -> bool {
        self.source == Source::Namespaces
    }
}

/// How fresh a list has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any state that the API server has in memory.
    Any,
    /// Not older than this version.
    NotBefore(String),
    /// The newest state.
    Newest,
}

impl Freshness {
    /// After a list, whose changes have been followed up to `version`.
    pub fn after(self, version: String) -> Self {
        match self {
            Self::Newest => Self::Newest,
            Self::Any | Self::NotBefore(_) => Self::NotBefore(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_nodes_pods_come_from_memory_and_never_go_back() {
        let place = Place::new(Source::NodePods, "n1", None);
        let query = |freshness: &Freshness| {
            let request = place.list(&place.first_page(freshness)).expect("a request");
            request.uri().query().expect("a query").to_owned()
        };
        let first = place.freshness();
        let text = query(&first);
        assert!(
            text.contains("resourceVersion=0&resourceVersionMatch=NotOlderThan"),
            "{text}"
        );
        assert!(!text.contains("limit"), "{text}");
        let text = query(&first.after("17".to_owned()));
        assert!(
            text.contains("resourceVersion=17&resourceVersionMatch=NotOlderThan"),
            "{text}"
        );
        let text = query(&Freshness::Newest.after("17".to_owned()));
        assert!(
            text.contains("limit=500") && !text.contains("resourceVersion"),
            "{text}"
        );
    }
}
