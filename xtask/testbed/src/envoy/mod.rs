//! A real Envoy as a TCP proxy in a workload's namespace and cgroup.

mod bootstrap;
mod listener;
mod options;

use std::fs;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Daemon, Placement};
use crate::workload::Workload;
use crate::{http, tools};

pub use listener::{Listener, Route};
pub use options::{Options, Tls};

/// How long Envoy may take to start; it is a big program.
const START: Duration = Duration::from_secs(30);

/// A running Envoy; killed when the guard is dropped.
#[derive(Debug)]
pub struct Envoy(Daemon);

impl Envoy {
    /// Starts Envoy inside a workload, with `concurrency` workers, and returns when it accepts connections.
    ///
    /// Its admin interface is a Unix socket, so that requests to it do not add to the connections that the tests count.
    pub fn start(workload: &Workload, listeners: &[Listener], concurrency: u32) -> Result<Self> {
        let options = Options {
            workers: concurrency,
            ..Options::default()
        };
        Self::start_with(&workload.into(), listeners, &options)
    }

    /// Like [`Envoy::start`], at a placement and with options. It needs at least some 30 open files to start.
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

    /// Makes it close its listening sockets; open connections stay.
    pub fn drain(&self) -> Result<()> {
        let answer = ask(self.directory(), "POST", "/drain_listeners")?;
        ensure!(
            answer.status == 200,
            "Envoy's /drain_listeners answered {}",
            answer.status
        );
        Ok(())
    }

    /// Kills it (SIGKILL); the kernel closes its connections.
    pub fn kill(self) -> Result<()> {
        self.0.kill()
    }

    /// Stops it as a service manager would (SIGTERM).
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
    ask(directory, "GET", path)
}

fn ask(directory: &Path, method: &str, path: &str) -> Result<http::Response> {
    let stream = UnixStream::connect(directory.join("admin"))?;
    http::exchange(stream, method, "envoy", path, "*/*")
}
