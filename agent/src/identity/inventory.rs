//! The inventory file: identities on a node without Kubernetes.

mod control_planes;
mod entry;
mod fields;

pub use entry::Entry;

use super::{Identity, Workload, spiffe};
use crate::{
    points::{Kind, Mesh, Point},
    yaml::{self, FileError},
};
use control_planes::{ControlPlanes, FileControlPlane};
use fields::{Seen, addresses, cgroup, default_name, netns, once};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::{
    borrow::Cow,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_trust_domain")]
    trust_domain: String,
    #[serde(default)]
    workloads: Vec<FileWorkload>,
    #[serde(default)]
    points: Vec<FilePoint>,
    #[serde(default)]
    control_planes: Vec<FileControlPlane>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWorkload {
    name: Spanned<String>,
    #[serde(default = "default_name")]
    namespace: String,
    #[serde(default = "default_name")]
    service_account: String,
    principal: Option<String>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    netns: Option<Spanned<PathBuf>>,
    cgroup: Option<Spanned<String>>,
    /// The waypoint that connections to it should pass: a name in its namespace, or `<namespace>/<name>`.
    waypoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePoint {
    name: Spanned<String>,
    #[serde(default = "default_name")]
    namespace: String,
    kind: Kind,
    #[serde(default)]
    mesh: Mesh,
    /// The pod or unit that this instance of the point runs as; the point's name by default.
    instance_pod: Option<String>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    cgroup: Option<Spanned<String>>,
}

fn default_trust_domain() -> String {
    "cluster.local".to_owned()
}

/// The contents of an inventory file.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// All entries, workloads first.
    pub entries: Vec<Entry>,
}

impl Inventory {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or is not valid; the error names file, line and field.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        Self::build(file, yaml::read(file)?)
    }

    fn build(file: &Path, contents: File) -> Result<Self, FileError> {
        let mut entries = Vec::new();
        let mut seen = Seen::new();
        let mut cgroups: HashMap<String, u64> = HashMap::new();
        let mut control_planes = ControlPlanes::read(file, &mut seen, contents.control_planes)?;
        for workload in contents.workloads {
            let line = once(file, &mut seen, "workloads", &workload.namespace, &workload.name)?;
            let control_plane = control_planes.take(&workload.namespace, &workload.name.value);
            let mut addresses = addresses(file, &workload.addresses)?;
            addresses.extend(control_plane.iter().flat_map(|named| &named.addresses));
            let principal = workload
                .principal
                .unwrap_or_else(|| spiffe(&contents.trust_domain, &workload.namespace, &workload.service_account));
            let waypoint = workload.waypoint.map(|name| {
                if name.contains('/') {
                    name
                } else {
                    format!("{}/{name}", workload.namespace)
                }
            });
            entries.push(Entry {
                waypoint,
                identity: Identity::Workload(Arc::new(Workload {
                    namespace: workload.namespace,
                    kind: Cow::Borrowed("Workload"),
                    name: workload.name.value,
                    service_account: workload.service_account,
                    principal,
                    duty: control_plane.map(|named| named.duty()),
                })),
                addresses,
                netns: netns(file, workload.netns)?,
                cgroup: cgroup(file, &mut cgroups, workload.cgroup)?,
                line,
            });
        }
        entries.extend(control_planes.into_entries(file)?);
        for point in contents.points {
            let line = once(file, &mut seen, "points", &point.namespace, &point.name)?;
            entries.push(Entry {
                waypoint: None,
                identity: Identity::Point(Arc::new(Point {
                    name: format!("{}/{}", point.namespace, point.name.value),
                    kind: point.kind,
                    mesh: point.mesh,
                    instance: point.instance_pod.unwrap_or(point.name.value),
                })),
                addresses: addresses(file, &point.addresses)?,
                netns: None,
                cgroup: cgroup(file, &mut cgroups, point.cgroup)?,
                line,
            });
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Duty;
    use std::net::IpAddr;

    fn parse(text: &str) -> Result<Inventory, String> {
        let file = Path::new("inventory.yaml");
        yaml::parse(file, text)
            .and_then(|contents| Inventory::build(file, contents))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_the_documented_example() {
        let inventory = parse(
            "trust_domain: cluster.local
workloads:
  - { name: checkout, namespace: shop, service_account: checkout, addresses: [10.90.0.11, '::ffff:10.90.0.12'],
      netns: /run/netns/checkout, cgroup: /narrows-demo/checkout }
points:
  - { name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: /narrows-demo/ztunnel }
",
        )
        .expect("valid");
        let Identity::Workload(workload) = &inventory.entries[0].identity else {
            panic!("a workload comes first")
        };
        assert_eq!(workload.principal, "spiffe://cluster.local/ns/shop/sa/checkout");
        // An IPv4-mapped address is read as an IPv4 address.
        assert!(inventory.entries[0].addresses.iter().all(IpAddr::is_ipv4));
        let Identity::Point(point) = &inventory.entries[1].identity else {
            panic!("then a point")
        };
        assert_eq!(
            (point.name.as_str(), point.instance.as_str()),
            ("istio-system/ztunnel", "ztunnel")
        );
    }

    #[test]
    fn a_control_plane_is_a_workload_of_the_file_or_has_addresses() {
        let inventory = parse(
            "workloads:
  - { name: istiod, namespace: istio-system, addresses: [10.90.0.5] }
  - { name: checkout }
control_planes:
  - { name: istiod, namespace: istio-system, mesh: istio, addresses: [10.90.0.6] }
  - { name: far-away, addresses: [192.0.2.10] }
",
        )
        .expect("valid");
        let found = inventory.entries.iter().map(|entry| match &entry.identity {
            Identity::Workload(workload) => (workload.name.as_str(), workload.duty, entry.addresses.len()),
            Identity::Point(point) => panic!("{point:?}"),
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ("istiod", Some(Duty::ControlPlane(Some(Mesh::Istio))), 2),
                ("checkout", None, 0),
                ("far-away", Some(Duty::ControlPlane(None)), 1),
            ]
        );
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (text, expected) in [
            (
                "workloads:\n  - { name: a }\ncontrol_planes:\n  - { name: b }\n",
                "inventory.yaml:4: control_planes: name: default/b is not one of the workloads; give it addresses",
            ),
            (
                "control_planes:\n  - { name: a, addresses: [a.example] }\n",
                "inventory.yaml:2: addresses: \"a.example\" is not an IPv4 or IPv6 address",
            ),
            (
                "control_planes:\n  - { name: a, addresses: [10.0.0.1] }\n  - { name: a }\n",
                "inventory.yaml:3: control_planes: name: default/a is defined twice, first in line 2",
            ),
            (
                "control_planes:\n  - { name: a, mesh: isto, addresses: [10.0.0.1] }\n",
                "inventory.yaml:2: unknown variant `isto`",
            ),
            (
                "workloads:\n  - { name: a }\n  - { name: a }\n",
                "inventory.yaml:3: workloads: name: default/a is defined twice",
            ),
            (
                "workloads:\n  - { name: a, addresses: [10.0.0.300] }\n",
                "inventory.yaml:2: addresses: \"10.0.0.300\"",
            ),
            (
                "workloads:\n  - { name: a, netns: checkout }\n",
                "inventory.yaml:2: netns:",
            ),
            (
                "workloads:\n  - { name: a, cgroup: checkout }\n",
                "inventory.yaml:2: cgroup:",
            ),
            (
                "workloads:\n  - { name: a, cgroup: /x }\n  - { name: b, cgroup: /x/ }\n",
                "inventory.yaml:3: cgroup: /x belongs to another entry already, in line 2",
            ),
            (
                "workloads:\n  - name: a\n    adresses: []\n",
                "inventory.yaml:3: unknown field `adresses`",
            ),
            (
                "points:\n  - { name: a, kind: proxy }\n",
                "inventory.yaml:2: unknown variant `proxy`",
            ),
            ("points:\n  - { name: a }\n", "inventory.yaml:2: missing field `kind`"),
            ("workloads: [\n", "inventory.yaml:"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.starts_with(expected),
                "{text}\n  gave   {error}\n  wanted {expected}"
            );
        }
    }
}
