//! The lists that the agent keeps up to date, and the state of each.

use super::trouble::{LASTING, Trouble};
use crate::clock::Millis;
use kube::core::{
    Request,
    params::{ListParams, VersionMatch, WatchParams},
    request,
};
use serde::Serialize;
use std::time::Instant;

/// Objects requested per page.
const PAGE: u32 = 500;

/// The API server ends a watch after so many seconds; the next watch resumes from there.
const WATCH_SECONDS: u32 = 290;

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
    /// Since when each answer has been 403.
    #[serde(skip)]
    refused_since: Option<Instant>,
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
            (self.error, self.failed, self.forbidden, self.refused_since) = (None, None, false, None);
        }
    }

    /// Records that a request failed at `now`. Returns what to log, unless that has been logged already.
    pub fn fails(&mut self, trouble: &Trouble, now: Instant) -> Option<&str> {
        self.failures += 1;
        let since = self.refused_since.take().unwrap_or(now);
        self.refused_since = trouble.is_forbidden().then_some(since);
        self.forbidden = self
            .refused_since
            .is_some_and(|since| now.duration_since(since) >= LASTING);
        self.failed = Some(trouble.verb());
        let sentence = trouble.sentence(self.forbidden);
        if self.error.as_ref() == Some(&sentence) {
            return None;
        }
        Some(self.error.insert(sentence))
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
            refused_since: None,
            lists: 0,
            watches: 0,
            failures: 0,
            unreadable: 0,
            sync_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refused(verb: Verb) -> Trouble {
        let status = kube::core::Status {
            code: 403,
            ..kube::core::Status::default()
        };
        Trouble::of(verb, Source::Services, kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_refusal_is_the_roles_only_when_it_lasts_and_each_is_said_once() {
        let (start, mut status) = (Instant::now(), SourceStatus::new(Source::Services, 0));
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = status.fails(&refused(Verb::List), at(0)).map(str::to_owned);
        assert!(first.is_some_and(|text| text.contains("403") && !text.contains("lacks")));
        assert_eq!(status.fails(&refused(Verb::List), at(29)), None);
        assert!(!status.forbidden);
        let lasting = status.fails(&refused(Verb::List), at(30)).map(str::to_owned);
        assert!(lasting.is_some_and(|text| text.contains("lacks the verb \"list\" on \"services\"")));
        assert!(status.forbidden);
        assert_eq!(status.fails(&refused(Verb::List), at(60)), None);
        assert_eq!(status.failures, 4);
        status.works(Verb::List);
        assert_eq!((status.error.as_deref(), status.forbidden), (None, false));
        assert!(status.fails(&refused(Verb::List), at(61)).is_some());
        assert!(!status.forbidden, "it has just begun");
    }

    #[test]
    fn a_refusal_that_is_interrupted_begins_again() {
        let (start, mut status) = (Instant::now(), SourceStatus::new(Source::Services, 0));
        let at = |seconds| start + Duration::from_secs(seconds);
        status.fails(&refused(Verb::Watch), at(0));
        let away = Trouble::new(Verb::Watch, Source::Services, "it is away".to_owned());
        status.fails(&away, at(20));
        status.fails(&refused(Verb::Watch), at(40));
        assert!(!status.forbidden);
        // The list is allowed, which says nothing about the watch.
        status.works(Verb::List);
        status.fails(&refused(Verb::Watch), at(70));
        assert!(status.forbidden);
    }

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
