//! Packets that get lost on their way into a namespace.
//!
//! They are dropped where they arrive: their sender's kernel has sent them and knows nothing, as with a real network. (What a
//! filter drops on its way out counts as a local failure there, and retransmissions of it as not sent.)

use std::net::IpAddr;

use anyhow::Result;

use crate::netns::{Fabric, Netns};

/// How packets are made to get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A rule of the packet filter in the receiver's namespace.
    PacketFilter,
    /// The queue `netem` on the way there (`CONFIG_NET_SCH_NETEM`).
    Netem,
}

/// Packets are lost until the guard goes away.
#[derive(Debug)]
pub struct Loss<'a> {
    netns: &'a Netns,
    undo: Vec<String>,
    means: Means,
}

impl<'a> Loss<'a> {
    /// All TCP segments that arrive in `netns` are lost from now on; with `from`, those of that address. The other direction
    /// works, and so does the resolution of addresses, without which the kernel would call the destination unreachable.
    pub fn all(netns: &'a Netns, from: Option<IpAddr>) -> Result<Self> {
        Self::filter(netns, from, "")
    }

    /// Of the TCP segments that arrive in `netns` (with `from`, of those of that address), each `n`-th is lost. Each address
    /// family is counted by itself.
    pub fn every(n: u32, netns: &'a Netns, from: Option<IpAddr>) -> Result<Self> {
        Self::filter(
            netns,
            from,
            &format!("-m statistic --mode nth --every {n} --packet {}", n - 1),
        )
    }

    /// Of all packets on their way through `fabric` into `netns`, this share (0 to 100) is lost by chance: by `netem` where
    /// the kernel has it, else by the packet filter, then TCP segments alone.
    pub fn percent(percent: u32, fabric: &'a Fabric, netns: &'a Netns) -> Result<Self> {
        let port = fabric.port(netns)?;
        let device = format!("tc qdisc add dev {port} root netem loss {percent}%");
        if fabric.netns().exec(&device).is_ok() {
            return Ok(Self {
                netns: fabric.netns(),
                undo: vec![format!("tc qdisc del dev {port} root")],
                means: Means::Netem,
            });
        }
        let probability = f64::from(percent) / 100.0;
        Self::filter(
            netns,
            None,
            &format!("-m statistic --mode random --probability {probability}"),
        )
    }

    /// What was used.
    pub fn means(&self) -> Means {
        self.means
    }

    fn filter(netns: &'a Netns, from: Option<IpAddr>, which: &str) -> Result<Self> {
        let mut loss = Self {
            netns,
            undo: Vec::new(),
            means: Means::PacketFilter,
        };
        let families = match from {
            None => vec![("iptables", String::new()), ("ip6tables", String::new())],
            Some(from @ IpAddr::V4(_)) => vec![("iptables", format!("-s {from}"))],
            Some(from @ IpAddr::V6(_)) => vec![("ip6tables", format!("-s {from}"))],
        };
        for (program, source) in families {
            let rule = format!("INPUT -i eth0 -p tcp {source} {which} -j DROP");
            netns.exec(&format!("{program} -w -I {rule}"))?;
            // An error in the second of them drops the guard, which takes back the first.
            loss.undo.push(format!("{program} -w -D {rule}"));
        }
        Ok(loss)
    }
}

impl Drop for Loss<'_> {
    fn drop(&mut self) {
        for line in &self.undo {
            let _gone_with_its_namespace = self.netns.exec(line);
        }
    }
}
