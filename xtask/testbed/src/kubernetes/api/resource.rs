//! The resources that the API server serves, and the verbs of requests.

use std::fmt;

/// A kind of object in the core group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Pods, in namespaces.
    Pods,
    /// Namespaces, which are cluster-scoped.
    Namespaces,
    /// Services, in namespaces.
    Services,
    /// Nodes, which are cluster-scoped.
    Nodes,
    /// Config maps, in namespaces.
    ConfigMaps,
}

impl Resource {
    /// All resources, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::Pods,
        Self::Namespaces,
        Self::Services,
        Self::Nodes,
        Self::ConfigMaps,
    ];

    /// The name in paths and messages.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
            Self::Services => "services",
            Self::Nodes => "nodes",
            Self::ConfigMaps => "configmaps",
        }
    }

    /// The `kind` of one object.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::Namespaces => "Namespace",
            Self::Services => "Service",
            Self::Nodes => "Node",
            Self::ConfigMaps => "ConfigMap",
        }
    }

    /// Whether its objects are in namespaces.
    pub fn namespaced(self) -> bool {
        !matches!(self, Self::Namespaces | Self::Nodes)
    }

    pub(super) fn from_plural(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.plural() == name)
    }

    /// Its index in a table of all resources.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.plural())
    }
}

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object, or a path that is not a resource.
    Get,
    /// All objects that match.
    List,
    /// Changes as they happen.
    Watch,
}

impl Verb {
    /// The name as in an RBAC rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}
