//! A real Envoy as a TCP proxy in a workload's namespace and cgroup.

mod bootstrap;

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::authority::{Authority, Identity};
use crate::process::{Daemon, Placement};
use crate::workload::Workload;
use crate::{http, tools};

/// How long Envoy may take to start; it is a big program.
const START: Duration = Duration::from_secs(30);

/// Where a listener sends its connections.
#[derive(Debug, Clone)]
pub enum Route {
    /// To these endpoints in turn.
    To(Vec<SocketAddr>),
    /// To the destination that a PROXY header at the start of the connection names, as a
    /// [`Ztunnel`](crate::ztunnel::Ztunnel) sends it.
    AsAsked,
}

/// A listener of the proxy.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its connections go.
    pub route: Route,
}

/// What is not as usual.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Worker threads, each with a listening socket of its own.
    pub workers: u32,
    /// The bound of each listening socket's queue; without one it is as large as the kernel allows.
    pub backlog: Option<u32>,
    /// TLS on all listeners, towards who connects to them.
    pub tls: Option<Tls<'a>>,
}

/// TLS with a certificate for both ends.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// What Envoy shows.
    pub identity: &'a Identity,
    /// Whose certificates of clients it accepts; without one nobody gets in.
    pub trusted: &'a Authority,
}

impl Default for Options<'_> {
    /// One worker, nothing else.
    fn default() -> Self {
        Self {
            workers: 1,
            backlog: None,
            tls: None,
        }
    }
}

/// A running Envoy; killed when the guard goes away.
#[derive(Debug)]
pub struct Envoy(Daemon);

impl Envoy {
    /// Starts Envoy inside a workload, with `concurrency` workers, and returns when it accepts connections.
    ///
    /// Its admin port is a Unix socket, so that asking it adds nothing to what the tests count.
    pub fn start(workload: &Workload, listeners: &[Listener], concurrency: u32) -> Result<Self> {
        let options = Options {
            workers: concurrency,
            ..Options::default()
        };
        Self::start_with(&workload.into(), listeners, &options)
    }

    /// Like [`Envoy::start`], anywhere and with options. It does not start with less than some 30 open files.
    pub fn start_with(place: &Placement<'_>, listeners: &[Listener], options: &Options<'_>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("narrows-envoy-").tempdir()?;
        let bootstrap = bootstrap::bootstrap(listeners, options, &directory.path().join("admin"));
        let file = directory.path().join("envoy.json");
        fs::write(&file, serde_json::to_vec_pretty(&bootstrap)?)?;
        let mut command = Command::new(tools::envoy()?);
        command
            .arg("--config-path")
            .arg(&file)
            .args(["--concurrency", &options.workers.to_string()])
            .args(["--disable-hot-restart", "--log-level", "warning"]);
        let ready = |directory: &Path| admin(directory, "/ready").is_ok_and(|answer| answer.status == 200);
        Daemon::start("Envoy", directory, place, &mut command, START, ready).map(Self)
    }

    /// One of Envoy's own counters or gauges, e.g. `listener.10.90.0.2_15008.downstream_cx_total`.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let answer = admin(self.directory(), &format!("/stats?usedonly&filter=^{name}$"))?;
        ensure!(answer.status == 200, "Envoy's /stats answered {}", answer.status);
        let value = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        value.map_or(Ok(0), |value| {
            value
                .trim()
                .parse()
                .with_context(|| format!("Envoy's {name} is {value:?}"))
        })
    }

    /// Ends it without a word to its peers' applications (SIGKILL); the kernel closes its connections.
    pub fn kill(self) -> Result<()> {
        self.0.kill()
    }

    /// Ends it as a service manager would (SIGTERM).
    pub fn stop(self) -> Result<ExitStatus> {
        self.0.stop()
    }
}

impl Deref for Envoy {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.0
    }
}

fn admin(directory: &Path, path: &str) -> Result<http::Response> {
    http::exchange(
        UnixStream::connect(directory.join("admin"))?,
        "GET",
        "envoy",
        path,
        "*/*",
    )
}
