//! What the API server serves, and the ways to ask for it.

use std::fmt;

/// A kind of object in the core group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Pods.
    Pods,
    /// Namespaces, which lie in none themselves.
    Namespaces,
    /// Services.
    Services,
    /// Nodes, which lie in no namespace.
    Nodes,
    /// Config maps.
    ConfigMaps,
}

impl Resource {
    /// All of them.
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

    /// Whether its objects lie in namespaces.
    pub fn namespaced(self) -> bool {
        !matches!(self, Self::Namespaces | Self::Nodes)
    }

    pub(super) fn from_plural(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.plural() == name)
    }

    /// Its place in a table of all.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.plural())
    }
}

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object, or a path that is no resource.
    Get,
    /// All objects that match.
    List,
    /// Changes as they come.
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
