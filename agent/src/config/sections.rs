//! The sections of the configuration, with their defaults.

use crate::{
    duration,
    kernel::{PINS, field_name},
    label::LabelCondition,
    metrics::Detail,
    points::{Exclusion, Kind, Rule},
    program::LIFE_CYCLE,
    signals,
};
use agent_common::Field;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// Settings of identities (`identity`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// The trust domain of the mesh's principals; if not set, that of the mesh's own objects, else `cluster.local`.
    pub trust_domain: Option<String>,
    /// Kuma's zone: with it, the principals of Kuma's workloads are those of MeshIdentity.
    pub kuma_zone: Option<String>,
    /// How long a connection waits for the identities of its ends.
    #[serde(with = "duration")]
    pub wait: Duration,
    /// How late an update about an address may arrive: the peer of a connection is identified after this time.
    #[serde(with = "duration")]
    pub settle: Duration,
}

/// Whether the cluster's objects are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// In a pod with a service account, or when KUBECONFIG names a cluster.
    #[default]
    Auto,
    /// They are read, and it is an error when there is no cluster.
    On,
    /// They are not read.
    Off,
}

/// Whose identities are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of all pods of the cluster.
    #[default]
    Cluster,
    /// Those of this node's pods; pods on other nodes stay unknown.
    Node,
}

/// Settings of the cluster.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Whether the cluster's objects are read.
    pub mode: Mode,
    /// Whose identities are known.
    pub scope: Scope,
    /// The name of this node in the cluster; if not set, the host name.
    pub node: Option<String>,
    /// `<namespace>/<name>` of Istio's config map, the source of the trust domain.
    pub mesh_config_map: Option<String>,
}

/// Settings of the kernel programs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// Whether maps and programs are pinned in the BPF file system, so that the kernel continues to count while no agent runs (for
    /// up to 15 minutes), and the next one continues from there.
    pub pin: bool,
    /// The directory of pinned maps and programs; its parent must be on a BPF file system.
    pub pins: PathBuf,
    /// Optional kernel programs (as in `narrows check`), or optional kernel fields (`structure.path`), to switch off. Signals
    /// that need them are then off, and reported as off: without `sched_switch` no program runs at context switches, without
    /// `data_arrived`, `data_read` and `data_sent` none when a socket is read or written.
    pub off: Vec<String>,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            pin: true,
            pins: PathBuf::from(PINS),
            off: Vec::new(),
        }
    }
}

impl Kernel {
    /// The directory of pinned maps and programs; `None` if nothing is pinned.
    pub fn pins(&self) -> Option<&Path> {
        self.pin.then_some(&*self.pins)
    }

    /// Checks the directory, and the names in `off`.
    pub(super) fn validate(&self) -> Result<(), String> {
        if !self.pins.is_absolute() {
            return Err(format!(
                "kernel.pins is {}, but must be an absolute path",
                self.pins.display()
            ));
        }
        for name in &self.off {
            let program = signals::programs().find(|program| program.name == name);
            let field = Field::ALL.iter().find(|field| field_name(**field) == *name);
            let required = field
                .map(|field| field.off_without().is_none())
                .or(program.map(|_| false));
            match required {
                Some(false) => {}
                Some(true) => return Err(format!("kernel.off names {name}, without which nothing can be counted")),
                None => {
                    return Err(format!(
                        "kernel.off names {name}, which is neither a kernel program nor a kernel field that Narrows uses: \
                         `narrows check` lists the programs, /api/v1/status the fields"
                    ));
                }
            }
        }
        let names = LIFE_CYCLE.map(|program| program.name);
        if names.iter().all(|name| self.off.iter().any(|off| off == name)) {
            return Err(format!(
                "kernel.off names {}, without one of which nothing can be counted",
                names.join(" and ")
            ));
        }
        Ok(())
    }
}

/// Limits of tables and series; each has a gauge, and a counter of rejected entries.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Flows in the kernel's table.
    pub flows: u32,
    /// Flows of one owner (container, service) in that table; connections beyond it are counted by owner only.
    pub flows_per_owner: u32,
    /// Open sockets that have a record in the kernel; others are counted when they close.
    pub sockets: u32,
    /// Dependents of a point that have series of their own.
    pub dependents: usize,
    /// Points that have series.
    pub points: usize,
    /// Pairs of caller and target that have series of their own.
    pub pairs: usize,
    /// Pods of the cluster that are kept, and objects of each other kind.
    pub pods: usize,
    /// Counts of flows that wait for an identity.
    pub waiting: usize,
    /// Cgroups that are kept.
    pub cgroups: usize,
    /// Failed connections that are kept for `/api/v1/failures`.
    pub failure_events: usize,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            trust_domain: None,
            kuma_zone: None,
            wait: Duration::from_secs(30),
            settle: Duration::from_secs(2),
        }
    }
}

/// Settings of the recognition of points.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Points {
    /// The user's own rules; they take precedence over the built-in ones.
    pub rules: Vec<Rule>,
}

/// Which connections past an expected point are no bypasses (`bypass`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bypass {
    /// Connections that are meant to pass by points.
    pub exclude: Vec<Exclusion>,
    /// Whether those of scrapers and of the mesh's control plane are excluded, as far as labels tell who that is.
    pub exclude_infrastructure: bool,
}

/// How much is exported as metrics (`metrics`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// How much is exported in general.
    pub detail: Detail,
    /// How much is exported for points of these kinds.
    pub kinds: BTreeMap<Kind, Detail>,
    /// Sidecars on this node, beyond which they are minimal, unless `kinds` says otherwise.
    pub sidecars: usize,
}

/// Which nodes of the cluster are to have an agent (`coverage`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coverage {
    /// Labels of nodes that cannot run one.
    pub except: Vec<LabelCondition>,
}

impl Default for Coverage {
    fn default() -> Self {
        // Nodes without a Linux kernel of their own: virtual kubelets, AWS Fargate
        // (https://docs.aws.amazon.com/eks/latest/userguide/fargate-pod-configuration.html), Windows.
        let except = [
            "type=virtual-kubelet",
            "eks.amazonaws.com/compute-type=fargate",
            "kubernetes.io/os=windows",
        ];
        Self {
            except: except.into_iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            detail: Detail::Full,
            kinds: BTreeMap::new(),
            sidecars: 20,
        }
    }
}

impl Default for Bypass {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            exclude_infrastructure: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            flows_per_owner: 16_384,
            sockets: 200_000,
            dependents: 200,
            points: 1_000,
            pairs: 2_000,
            pods: 200_000,
            waiting: 20_000,
            cgroups: 20_000,
            failure_events: 10_000,
        }
    }
}
