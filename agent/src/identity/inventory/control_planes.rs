//! The entries of the inventory that say who is a control plane.

use super::{
    entry::Entry,
    fields::{Seen, addresses, default_name, once},
};
use crate::{
    identity::{Duty, Identity, Workload},
    points::Mesh,
    yaml::FileError,
};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, path::Path, sync::Arc};

/// A control plane: one of the workloads, by its name, or whoever has these addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileControlPlane {
    name: Spanned<String>,
    #[serde(default = "default_name")]
    namespace: String,
    /// The mesh whose points it controls; any by default.
    mesh: Option<Mesh>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
}

/// What an entry says, beside the name.
pub struct ControlPlane {
    mesh: Option<Mesh>,
    /// IP addresses at which it is reached.
    pub addresses: Vec<IpAddr>,
    line: u64,
}

impl ControlPlane {
    /// The duty that it has.
    pub const fn duty(&self) -> Duty {
        Duty::ControlPlane(self.mesh)
    }
}

/// The entries by namespace and name, less those that were found among the workloads.
pub struct ControlPlanes(BTreeMap<(String, String), ControlPlane>);

impl ControlPlanes {
    /// Reads the list.
    pub fn read(file: &Path, seen: &mut Seen, list: Vec<FileControlPlane>) -> Result<Self, FileError> {
        let entries = list.into_iter().map(|entry| {
            let line = once(file, seen, "control_planes", &entry.namespace, &entry.name)?;
            let control_plane = ControlPlane {
                mesh: entry.mesh,
                addresses: addresses(file, &entry.addresses)?,
                line,
            };
            Ok(((entry.namespace, entry.name.value), control_plane))
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// Takes out the entry with the name of a workload.
    pub fn take(&mut self, namespace: &str, name: &str) -> Option<ControlPlane> {
        self.0.remove(&(namespace.to_owned(), name.to_owned()))
    }

    /// Workloads of their own for those that remain.
    ///
    /// # Errors
    /// One that has no addresses: it is never found.
    pub fn into_entries(self, file: &Path) -> Result<Vec<Entry>, FileError> {
        let entries = self.0.into_iter().map(|((namespace, name), control_plane)| {
            if control_plane.addresses.is_empty() {
                let what = format!(
                    "control_planes: name: {namespace}/{name} is not one of the workloads; give it addresses, or the namespace and \
                     the name of a workload in this file"
                );
                return Err(FileError::at(file, control_plane.line, what));
            }
            Ok(Entry {
                identity: Identity::Workload(Arc::new(Workload {
                    namespace,
                    kind: Cow::Borrowed("Workload"),
                    name,
                    service_account: String::new(),
                    principal: String::new(),
                    duty: Some(control_plane.duty()),
                })),
                addresses: control_plane.addresses,
                netns: None,
                cgroup: None,
                waypoint: None,
                line: control_plane.line,
            })
        });
        entries.collect()
    }
}
