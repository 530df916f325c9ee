//! A bridge in its own namespace, to which other namespaces are attached.

use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Netns, ip};
use crate::command;
use crate::sync::lock;
use crate::wait;

/// How long the kernel may take to bring a link up.
const LINK_UP: Duration = Duration::from_secs(5);

/// A virtual switch: every attached namespace reaches every other one.
#[derive(Debug)]
pub struct Fabric {
    netns: Netns,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ports: u32,
    /// Addresses (without the prefix length) of the default gateways of attached namespaces.
    gateways: Vec<String>,
}

impl Fabric {
    /// Creates the namespace `name` and a bridge in it.
    pub fn new(name: &str) -> Result<Self> {
        let netns = Netns::new(name)?;
        // Multicast snooping would delay neighbour discovery until the first listener reports.
        ip(
            name,
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up",
        )?;
        Ok(Self {
            netns,
            state: Mutex::default(),
        })
    }

    /// The namespace of the bridge, e.g. to add a route of kind `unreachable`.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Gives the bridge addresses (`10.90.0.1/24`) and enables forwarding; namespaces that are attached later use it as
    /// their default gateway.
    pub fn gateway(&self, addresses: &[&str]) -> Result<()> {
        let mut batch = String::new();
        for address in addresses {
            batch += &format!("addr add {address} dev br0{}\n", nodad(address));
        }
        ip(self.netns.name(), &batch)?;
        self.netns.sysctl("net/ipv4/ip_forward", "1")?;
        self.netns.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        let bare = addresses.iter().filter_map(|address| address.split('/').next());
        self.state().gateways.extend(bare.map(str::to_owned));
        Ok(())
    }

    /// Adds a link from `netns` (as `eth0`, with these addresses) to the bridge, and returns when it carries packets.
    pub fn attach(&self, netns: &Netns, addresses: &[&str]) -> Result<()> {
        ensure!(!addresses.is_empty(), "attach {} without an address", netns.name());
        let (port, gateways) = {
            let mut state = self.state();
            state.ports += 1;
            (format!("p{}", state.ports), state.gateways.clone())
        };
        let (fabric, name) = (self.netns.name(), netns.name());
        ip(
            fabric,
            &format!("link add {port} type veth peer name eth0 netns {name}\nlink set {port} master br0 up"),
        )?;
        let mut batch = String::new();
        for address in addresses {
            batch += &format!("addr add {address} dev eth0{}\n", nodad(address));
        }
        batch += "link set eth0 up\n";
        for gateway in &gateways {
            let all = if gateway.contains(':') { "::/0" } else { "0.0.0.0/0" };
            batch += &format!("route add {all} via {gateway}\n");
        }
        ip(name, &batch)?;
        // Before this, the first packet is lost and the first connection takes a second longer.
        let listing = || {
            command::run(
                Command::new("bridge").args(["-n", fabric, "link", "show", "dev", &port]),
                None,
            )
        };
        wait::until(&format!("the link of namespace {name}"), LINK_UP, || {
            listing()
                .is_ok_and(|text| text.contains("state forwarding"))
                .then_some(())
        })
    }

    /// The port of the bridge that leads to `netns`: its queue affects packets to that namespace.
    pub fn port(&self, netns: &Netns) -> Result<String> {
        // `2: eth0@if5: …` is the other end of `5: p1@if2: …`.
        let link = netns.exec("ip -oneline link show eth0")?;
        let index = link.split_once("@if").and_then(|(_, rest)| rest.split(':').next());
        let links = self.netns.exec("ip -oneline link")?;
        let found = links.lines().find_map(|line| {
            let (number, rest) = line.split_once(": ")?;
            (Some(number) == index).then(|| rest.split(['@', ':']).next())?
        });
        let found = found.with_context(|| format!("{} is not attached to {}", netns.name(), self.netns.name()))?;
        Ok(found.to_owned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Addresses must be usable at once, without a second of duplicate address detection.
fn nodad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}
