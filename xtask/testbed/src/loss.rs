//! Loss of packets on their way into a namespace.
//!
//! They are dropped at the receiver, so that the sender's kernel does not notice, as in a real network. (The kernel would count a
//! packet that a filter drops at the sender as a local failure, and retransmissions of it as not sent.)

use std::net::IpAddr;

use anyhow::Result;

use crate::netns::{Fabric, Netns};

/// The mechanism that drops packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A rule of the packet filter in the receiver's namespace.
    PacketFilter,
    /// The queueing discipline `netem` on the way there (`CONFIG_NET_SCH_NETEM`).
    Netem,
}

/// Drops packets until the guard is dropped.
#[derive(Debug)]
pub struct Loss<'a> {
    netns: &'a Netns,
    undo: Vec<String>,
    means: Means,
}

impl<'a> Loss<'a> {
    /// Drops all TCP segments that arrive in `netns`; with `from`, those of that address. The other direction
    /// works, and so does address resolution, without which the kernel would report the destination as unreachable.
    pub fn all(netns: &'a Netns, from: Option<IpAddr>) -> Result<Self> {
        Self::filter(netns, from, "")
    }

    /// Drops every `n`-th TCP segment that arrives in `netns`; with `from`, of those of that address. Each address
    /// family is counted separately.
    pub fn every(n: u32, netns: &'a Netns, from: Option<IpAddr>) -> Result<Self> {
        Self::filter(
            netns,
            from,
            &format!("-m statistic --mode nth --every {n} --packet {}", n - 1),
        )
    }

    /// Drops a random share (0 to 100) of all packets through `fabric` into `netns`: by `netem` where
    /// the kernel has it, else by the packet filter, and then of TCP segments only.
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

    /// The mechanism that is used.
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
            // An error in the second command drops the guard, which removes the first rule.
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
