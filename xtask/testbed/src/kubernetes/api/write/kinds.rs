//! The kinds of objects that clients may write.

use serde_json::Value;

/// A kind: group and version, its name in paths, its own name, and whether its objects are in namespaces.
pub(super) struct Kind(pub &'static str, pub &'static str, pub &'static str, pub bool);

/// All of them; the core group's first.
pub(super) const KINDS: &[Kind] = &[
    Kind("v1", "configmaps", "ConfigMap", true),
    Kind("v1", "namespaces", "Namespace", false),
    Kind("v1", "resourcequotas", "ResourceQuota", true),
    Kind("v1", "serviceaccounts", "ServiceAccount", true),
    Kind("apps/v1", "daemonsets", "DaemonSet", true),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        false,
    ),
    Kind("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", false),
    Kind("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", true),
    Kind("rbac.authorization.k8s.io/v1", "roles", "Role", true),
];

/// What a path names.
#[derive(Debug)]
pub(super) struct Place {
    /// Group and version.
    pub version: &'static str,
    pub kind: &'static str,
    plural: &'static str,
    /// The namespace of a namespaced object.
    pub namespace: Option<String>,
    /// Absent for a collection.
    pub name: Option<String>,
}

impl Place {
    pub fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let text = |part: &&str| (*part).to_owned();
        let (namespace, plural, name) = match rest {
            ["namespaces", namespace, plural] => (Some(text(namespace)), *plural, None),
            ["namespaces", namespace, plural, name] => (Some(text(namespace)), *plural, Some(text(name))),
            [plural] => (None, *plural, None),
            [plural, name] => (None, *plural, Some(text(name))),
            _ => return None,
        };
        let found = KINDS
            .iter()
            .find(|kind| kind.0 == version && kind.1 == plural && kind.3 == namespace.is_some())?;
        Some(Self {
            version: found.0,
            kind: found.2,
            plural: found.1,
            namespace,
            name,
        })
    }

    /// An object as messages name it.
    pub fn describe(&self, object: &Value) -> String {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        format!("{} \"{name}\"", self.plural)
    }
}
