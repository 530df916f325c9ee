//! What is known of a pod of this node.

use crate::{
    clock::Millis,
    identity::Workload,
    node::ContainerId,
    points::{PodFacts, Point},
};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// A pod of this node.
#[derive(Clone, Debug)]
pub struct LocalPod {
    /// The uid of its object.
    pub uid: u128,
    /// The facts that rules match on.
    pub facts: PodFacts,
    /// The workload that it belongs to.
    pub workload: Arc<Workload>,
    /// The point that the whole pod is, if it is one.
    pub point: Option<Arc<Point>>,
    /// Whether it uses the host network.
    pub host_network: bool,
    /// The addresses that it has.
    pub addresses: Arc<[IpAddr]>,
    /// When it got its addresses.
    pub begin: Millis,
    /// Names of its containers.
    pub containers: HashMap<ContainerId, String>,
    /// Its deletion was requested: when its grace ends, and what runs then is killed.
    pub deletion: Option<Millis>,
    /// When its deletion was noticed.
    pub gone: Option<Millis>,
}

impl LocalPod {
    /// What distinguishes the pod from those that its workload made from another template: labels that the controllers of
    /// Deployments, DaemonSets and StatefulSets add.
    pub fn revision(&self) -> Option<&str> {
        const LABELS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];
        LABELS
            .iter()
            .find_map(|label| self.facts.labels.get(*label))
            .map(String::as_str)
    }
}
