//! The inventory's entries, indexed for lookup.

use super::{Entry, Identity, Inventory, Neighbourhood, Workload};
use crate::points::{Kind, Point};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// The entries, with an index for each key.
#[derive(Debug, Default)]
pub struct Entries {
    all: Vec<Entry>,
    addresses: HashMap<IpAddr, Vec<Identity>>,
    addresses_of: HashMap<Arc<Workload>, HashSet<IpAddr>>,
    namespaces: HashMap<u32, Arc<Workload>>,
    /// The waypoints named for each workload.
    waypoints: HashMap<Arc<Workload>, Arc<[String]>>,
}

impl From<Inventory> for Entries {
    fn from(inventory: Inventory) -> Self {
        let mut this = Self::default();
        for entry in &inventory.entries {
            for &address in &entry.addresses {
                this.addresses.entry(address).or_default().push(entry.identity.clone());
            }
            if let Identity::Workload(workload) = &entry.identity {
                let addresses = this.addresses_of.entry(workload.clone()).or_default();
                addresses.extend(&entry.addresses);
                if let Some(waypoint) = &entry.waypoint {
                    this.waypoints.insert(workload.clone(), Arc::new([waypoint.clone()]));
                }
            }
        }
        this.all = inventory.entries;
        this
    }
}

impl Entries {
    /// All entries of the file.
    pub fn all(&self) -> &[Entry] {
        &self.all
    }

    /// The entries that have this address.
    pub fn at(&self, address: IpAddr) -> &[Identity] {
        self.addresses.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Whether the address is one of this workload's.
    pub fn has(&self, workload: &Arc<Workload>, address: IpAddr) -> bool {
        self.addresses_of
            .get(workload)
            .is_some_and(|own| own.contains(&address))
    }

    /// The workload that a network namespace belongs to.
    pub fn in_namespace(&self, netns: u32) -> Option<&Arc<Workload>> {
        self.namespaces.get(&netns)
    }

    /// Sets the workload of a network namespace. Returns whether that is new.
    pub fn set_namespace(&mut self, netns: u32, workload: &Arc<Workload>) -> bool {
        self.namespaces.insert(netns, workload.clone()).as_ref() != Some(workload)
    }

    /// The network namespaces that were found.
    pub fn neighbourhoods(&self) -> impl Iterator<Item = (u32, Neighbourhood)> {
        self.namespaces.iter().map(|(netns, workload)| {
            let waypoints = self.waypoints.get(workload).cloned().unwrap_or_default();
            let workload = workload.clone();
            (*netns, Neighbourhood { workload, waypoints })
        })
    }

    /// The first zone egress of the inventory.
    pub fn zone_egress(&self) -> Option<&Arc<Point>> {
        self.all.iter().find_map(|entry| match &entry.identity {
            Identity::Point(point) if point.kind == Kind::ZoneEgress => Some(point),
            _ => None,
        })
    }
}
