//! The agent under test, as its own process in the host's namespaces.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::confine::Container;
use crate::netns::{Netns, run_in};
use crate::process::{self, Child};
use crate::scrape::Metrics;
use crate::{http, wait};

/// How long the agent may take to load its programs, and to export what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts the agent's ticks.
const TICKS: &str = "narrows_tick_seconds_count";

/// A running `narrows agent`; stopped when the guard is dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    address: SocketAddr,
    // Holds the inventory, the log and stdout.
    directory: TempDir,
    /// The network namespace from which requests are sent; `None` for the caller's.
    network: Option<File>,
}

impl Agent {
    /// Starts the agent on this inventory (YAML text) and a free port of the loopback, with a tick of 0.2 s unless
    /// `extra_args` say otherwise, and returns when it is ready.
    pub fn start(binary: &Path, inventory: &str, extra_args: &[&str]) -> Result<Self> {
        Self::start_on(binary, inventory, free_address()?, extra_args)
    }

    /// Starts the agent without an inventory, as `node` of the cluster that `kubeconfig` names; for the rest see
    /// [`Agent::start`].
    pub fn start_in_cluster(binary: &Path, kubeconfig: &Path, node: &str, extra_args: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["agent", "--kubernetes", "on", "--node", node]);
        command.env("KUBECONFIG", kubeconfig);
        Self::launch(command, free_address()?, tempdir()?, extra_args)
    }

    /// Like [`Agent::start`], listening on `address`.
    pub fn start_on(binary: &Path, inventory: &str, address: SocketAddr, extra_args: &[&str]) -> Result<Self> {
        let directory = tempdir()?;
        let inventory_file = directory.path().join("inventory.yaml");
        fs::write(&inventory_file, inventory)?;
        let mut command = Command::new(binary);
        command.arg("agent").arg("--inventory").arg(&inventory_file);
        // The user who runs the tests may have access to a real cluster.
        command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        Self::launch(command, address, directory, extra_args)
    }

    /// Starts the agent on this inventory in a network of its own, and returns when it is ready. It listens as `arguments` say; all
    /// requests to it are sent from within its network, to `address`.
    pub fn start_in_network(
        binary: &Path,
        inventory: &str,
        address: SocketAddr,
        netns: &Netns,
        arguments: &[&str],
    ) -> Result<Self> {
        let directory = tempdir()?;
        let inventory_file = directory.path().join("inventory.yaml");
        fs::write(&inventory_file, inventory)?;
        let mut command = Command::new(binary);
        command.arg("agent").arg("--inventory").arg(&inventory_file);
        command
            .args(["--kubernetes", "off", "--interval", "0.2", "--no-pin"])
            .args(arguments);
        let network = Some(netns.file().try_clone()?);
        Self::run(&mut command, address, directory, network, |command| {
            process::spawn(command, Some(netns), None)
        })
    }

    /// Starts `command`, an agent that listens on `address`, in a container, and returns when it is ready. All requests to
    /// it are sent from within its network.
    pub fn start_in_container(
        mut command: Command,
        address: SocketAddr,
        (container, netns, cgroup): (&Container, &Netns, &Cgroup),
    ) -> Result<Self> {
        let network = Some(netns.file().try_clone()?);
        Self::run(&mut command, address, tempdir()?, network, |command| {
            container.spawn(command, netns, cgroup)
        })
    }

    fn launch(mut command: Command, address: SocketAddr, directory: TempDir, extra_args: &[&str]) -> Result<Self> {
        let binary = Path::new(command.get_program());
        ensure!(
            binary.exists(),
            "no agent at {}: run `cargo build --release -p narrows`",
            binary.display()
        );
        command.args(["--listen", &address.to_string()]);
        if !extra_args.iter().any(|arg| arg.starts_with("--interval")) {
            command.args(["--interval", "0.2"]);
        }
        // The agent of another test must not find the pinned programs of this one. A variable, as older builds do not know the
        // flag.
        if !extra_args.contains(&"--pins") {
            command.env("NARROWS_NO_PIN", "true");
        }
        command.args(extra_args);
        Self::run(&mut command, address, directory, None, |command| {
            process::spawn(command, None, None)
        })
    }

    fn run(
        command: &mut Command,
        address: SocketAddr,
        directory: TempDir,
        network: Option<File>,
        start: impl FnOnce(&mut Command) -> Result<Child>,
    ) -> Result<Self> {
        let file = |name| File::create(directory.path().join(name));
        command
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("log")?);
        let mut agent = Self {
            child: start(command)?,
            address,
            directory,
            network,
        };
        agent.wait_until_ready()?;
        Ok(agent)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = wait::until("the agent to be ready", PATIENCE, || match self.child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => ask(self.network.as_ref(), || http::get(self.address, "/readyz", "*/*"))
                .is_ok_and(|answer| answer.status == 200)
                .then_some(Ok(())),
        });
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the agent exited before it was ready ({status}):\n{}", self.stderr()),
            Err(error) => Err(error.context(self.stderr())),
        }
    }

    /// The address at which it serves `/metrics`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id of the agent.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr so far: its log.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.directory.path().join("stdout")).unwrap_or_default()
    }

    /// Scrapes the agent once.
    ///
    /// # Panics
    /// When the agent does not answer, with its log.
    pub fn metrics(&self) -> Metrics {
        self.or_panic(self.fetch())
    }

    /// A JSON document of the API, e.g. `/api/v1/status`.
    ///
    /// # Panics
    /// When the agent does not answer with JSON, with its log.
    pub fn get_json(&self, path: &str) -> serde_json::Value {
        let answer = ask(self.network.as_ref(), || {
            http::get(self.address, path, "application/json")
        });
        self.or_panic(answer.and_then(|answer| {
            ensure!(
                answer.status == 200,
                "{path} answered {}: {}",
                answer.status,
                answer.body
            );
            serde_json::from_str(&answer.body).with_context(|| format!("{path} answered {:?}", answer.body))
        }))
    }

    /// Waits until a tick that began after the call is complete, and returns a scrape.
    ///
    /// # Panics
    /// When that does not happen in time, with the agent's log.
    pub fn settle(&self) -> Metrics {
        self.or_panic(self.try_settle())
    }

    /// [`Agent::settle`] without the panic.
    pub fn try_settle(&self) -> Result<Metrics> {
        let ticks = |metrics: &Metrics| metrics.sum(TICKS, &[]);
        let now = ticks(&self.fetch()?);
        // The current tick may have begun before the call; the next one did not.
        wait::until("two more ticks of the agent", PATIENCE, || match self.fetch() {
            Ok(metrics) if ticks(&metrics) < now + 2.0 => None,
            settled => Some(settled),
        })?
    }

    /// Scrapes until `holds` is true.
    ///
    /// # Panics
    /// After a minute, with the last scrape and the agent's log.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Metrics) -> bool) -> Metrics {
        let mut last = Metrics::default();
        let found = wait::until(what, PATIENCE, || {
            last = self.metrics();
            holds(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|error| {
            panic!("{error}\n{}agent log:\n{}", last.listing("narrows_"), self.stderr());
        })
    }

    /// Stops the agent as a service manager would: SIGTERM, then SIGKILL if it does not exit.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.child.stop()
    }

    /// Kills the agent without a chance to clean up (SIGKILL).
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill_now()
    }

    fn fetch(&self) -> Result<Metrics> {
        ask(self.network.as_ref(), || Metrics::fetch(self.address))
    }

    fn or_panic<T>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error:#}\nagent log:\n{}", self.stderr()))
    }
}

fn ask<R: Send>(network: Option<&File>, question: impl FnOnce() -> R + Send) -> R {
    match network {
        Some(network) => run_in(network, question),
        None => question(),
    }
}

/// A free port of the loopback address.
pub fn free_address() -> Result<SocketAddr> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // The listener is closed at the end of the expression, and the port free again.
    Ok(TcpListener::bind(loopback)?.local_addr()?)
}

fn tempdir() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("narrows-agent-").tempdir()?)
}
