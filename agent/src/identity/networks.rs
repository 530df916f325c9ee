//! Named ranges of addresses as ends of connections.

use super::Workload;
use crate::networks::Networks;
use std::{borrow::Cow, collections::HashMap, net::IpAddr, sync::Arc};

/// The namespace of networks in labels: that of all addresses outside the cluster.
pub const EXTERNAL: &str = "external";

/// The networks, each as what its connections are attributed to.
#[derive(Debug, Default)]
pub struct KnownNetworks {
    networks: Networks,
    by_name: HashMap<Arc<str>, Arc<Workload>>,
}

impl From<Networks> for KnownNetworks {
    fn from(networks: Networks) -> Self {
        let network = |name: &Arc<str>| Workload {
            namespace: EXTERNAL.to_owned(),
            kind: Cow::Borrowed("Network"),
            name: (**name).to_owned(),
            service_account: String::new(),
            // It is in no mesh.
            principal: String::new(),
            duty: None,
        };
        Self {
            by_name: networks
                .names()
                .map(|name| (name.clone(), Arc::new(network(name))))
                .collect(),
            networks,
        }
    }
}

impl KnownNetworks {
    /// The network that an address is in.
    pub fn at(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.by_name.get(self.networks.at(address)?)
    }
}
