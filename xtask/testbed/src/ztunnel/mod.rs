//! A stand-in for Istio's ztunnel in in-pod mode.
//!
//! Like the real one it is a single process with its own cgroup that listens on 127.0.0.1:15001 *inside* each
//! workload's network namespace and also opens its outbound sockets there, so they have the pod's own address. The pod's
//! netfilter rules redirect the application's connections to it. Instead of HBONE, it sends the original
//! destination to the waypoint in a PROXY header.

mod relay;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use serve::{Tunnel, serve};

use crate::actor::Actor;
use crate::cgroup::Cgroup;
use crate::netns::Netns;

/// The port to which outbound connections of a pod are redirected.
pub const CAPTURE_PORT: u16 = 15001;

/// The mark on a ztunnel's own packets, which exempts them from capture; Istio's number.
pub(crate) const MARK: u32 = 0x539;

/// The settings of a ztunnel.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The network namespace of a workload it serves (repeatable).
    #[arg(long, required = true)]
    pub netns: Vec<PathBuf>,
    /// The waypoint that gets all outbound connections, except those whose destination is the waypoint's own address. Without one,
    /// they go to their destinations.
    #[arg(long)]
    pub waypoint: Option<SocketAddr>,
    /// Sends no PROXY header, for a waypoint that has only one destination.
    #[arg(long)]
    pub raw: bool,
}

/// The results of a ztunnel's connections: `accepted = connected + refused + timed_out + failed` once no handshake is in progress.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZtunnelTally {
    /// Connections captured from applications.
    pub accepted: u64,
    /// Upstream handshakes that completed.
    pub connected: u64,
    /// Upstream handshakes that were refused.
    pub refused: u64,
    /// Upstream handshakes that took longer than 10 s; it gave up on them.
    pub timed_out: u64,
    /// Upstream handshakes that failed any other way.
    pub failed: u64,
    /// Relayed connections that ended in a reset from either side.
    pub reset: u64,
    /// Bytes that applications sent, without PROXY headers.
    pub sent_bytes: u64,
    /// Bytes that applications received.
    pub received_bytes: u64,
}

/// A running stand-in, as its own process.
#[derive(Debug)]
pub struct Ztunnel(Actor<ZtunnelTally>);

impl Ztunnel {
    /// Starts it in `cgroup` for these namespaces, captures their outbound connections, and returns when it listens in
    /// each of them.
    pub fn start(cgroup: &Cgroup, workloads: &[&Netns], waypoint: SocketAddr) -> Result<Self> {
        let netns = workloads.iter().map(|netns| netns.path().to_owned()).collect();
        Self::start_with(
            cgroup,
            workloads,
            &Config {
                netns,
                waypoint: Some(waypoint),
                raw: false,
            },
        )
    }

    /// [`Ztunnel::start`] with all settings.
    pub fn start_with(cgroup: &Cgroup, workloads: &[&Netns], config: &Config) -> Result<Self> {
        let mut arguments = vec!["ztunnel".to_owned()];
        if let Some(waypoint) = config.waypoint {
            arguments.extend(["--waypoint".to_owned(), waypoint.to_string()]);
        }
        for netns in &config.netns {
            arguments.extend(["--netns".to_owned(), netns.display().to_string()]);
        }
        if config.raw {
            arguments.push("--raw".to_owned());
        }
        let actor = Actor::start(&arguments, None, Some(cgroup))?;
        for netns in workloads {
            capture(netns)?;
        }
        Ok(Self(actor))
    }

    /// The process id of the ztunnel.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// The tally so far.
    pub fn tally(&mut self) -> Result<ZtunnelTally> {
        self.0.tally()
    }

    /// Stops accepting, waits for the open connections, and exits.
    pub fn stop(self) -> Result<ZtunnelTally> {
        self.0.stop()
    }
}

/// Redirects the connections of a pod's applications to its capture port, as istio-cni does.
pub fn capture(netns: &Netns) -> Result<()> {
    let rule = |program: &str, loopback: &str| {
        format!(
            "{program} -w -t nat -A OUTPUT ! -d {loopback} -p tcp -m mark ! --mark {MARK:#x}/0xfff \
             -j REDIRECT --to-ports {CAPTURE_PORT}\n"
        )
    };
    netns.exec(&(rule("iptables", "127.0.0.0/8") + &rule("ip6tables", "::1/128")))?;
    Ok(())
}

/// Exempts connections of a pod's applications to this port, as excluded outbound ports are.
pub fn exempt(netns: &Netns, port: u16) -> Result<()> {
    let rule = |program: &str| format!("{program} -w -t nat -I OUTPUT -p tcp --dport {port} -j RETURN\n");
    netns.exec(&(rule("iptables") + &rule("ip6tables")))?;
    Ok(())
}
