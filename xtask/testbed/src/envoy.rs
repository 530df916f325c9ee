//! A real Envoy as a TCP proxy in a workload's namespace and cgroup.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Child;
use crate::workload::Workload;
use crate::{http, tools, wait};

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

/// A running Envoy; killed when the guard goes away.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    // Holds the configuration, the log and the admin socket.
    directory: TempDir,
}

impl Envoy {
    /// Starts Envoy inside a workload, with `concurrency` workers, and returns when it accepts connections.
    ///
    /// Its admin port is a Unix socket, so that asking it adds nothing to what the tests count.
    pub fn start(workload: &Workload, listeners: &[Listener], concurrency: u32) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("narrows-envoy-").tempdir()?;
        let admin = directory.path().join("admin");
        let bootstrap = json!({
            "admin": { "address": { "pipe": { "path": admin } } },
            "static_resources": {
                "listeners": listeners.iter().enumerate().map(listener).collect::<Vec<_>>(),
                "clusters": listeners.iter().enumerate().map(cluster).collect::<Vec<_>>(),
            },
        });
        let file = directory.path().join("envoy.json");
        fs::write(&file, serde_json::to_vec_pretty(&bootstrap)?)?;
        let log = File::create(directory.path().join("log"))?;
        let mut command = Command::new(tools::envoy()?);
        command
            .arg("--config-path")
            .arg(&file)
            .args(["--concurrency", &concurrency.to_string()]);
        command.args(["--disable-hot-restart", "--log-level", "warning"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut envoy = Self {
            child: workload.spawn(&mut command)?,
            directory,
        };
        let ready = wait::until("Envoy to be ready", START, || match envoy.child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => envoy
                .admin("/ready")
                .is_ok_and(|answer| answer.status == 200)
                .then_some(Ok(())),
        });
        match ready {
            Ok(Ok(())) => Ok(envoy),
            Ok(Err(status)) => bail!("Envoy ended ({status}):\n{}", envoy.log()),
            Err(error) => Err(error.context(envoy.log())),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One of Envoy's own counters or gauges, e.g. `listener.10.90.0.2_15008.downstream_cx_total`.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let answer = self.admin(&format!("/stats?usedonly&filter=^{name}$"))?;
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
    pub fn kill(mut self) -> Result<()> {
        self.child.kill_now()?;
        Ok(())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn admin(&self, path: &str) -> Result<http::Response> {
        http::exchange(
            UnixStream::connect(self.directory.path().join("admin"))?,
            "GET",
            "envoy",
            path,
            "*/*",
        )
    }
}

fn listener((index, listener): (usize, &Listener)) -> Value {
    let (ip, port) = (listener.address.ip(), listener.address.port());
    let filters = match listener.route {
        Route::To(_) => json!([]),
        Route::AsAsked => json!([typed(
            "envoy.filters.listener.proxy_protocol",
            "filters.listener.proxy_protocol.v3.ProxyProtocol",
            json!({})
        )]),
    };
    let proxy = typed(
        "envoy.filters.network.tcp_proxy",
        "filters.network.tcp_proxy.v3.TcpProxy",
        json!({ "stat_prefix": format!("tcp_{port}"), "cluster": format!("cluster_{index}") }),
    );
    json!({
        "name": format!("listener_{index}"),
        "address": address(SocketAddr::new(ip, port)),
        "listener_filters": filters,
        "filter_chains": [{ "filters": [proxy] }],
    })
}

fn cluster((index, listener): (usize, &Listener)) -> Value {
    let mut cluster = json!({ "name": format!("cluster_{index}"), "connect_timeout": "5s" });
    match &listener.route {
        Route::To(endpoints) => {
            cluster["type"] = json!("STATIC");
            let endpoints: Vec<Value> = endpoints
                .iter()
                .map(|endpoint| json!({ "endpoint": { "address": address(*endpoint) } }))
                .collect();
            cluster["load_assignment"] =
                json!({ "cluster_name": cluster["name"], "endpoints": [{ "lb_endpoints": endpoints }] });
        }
        Route::AsAsked => {
            cluster["type"] = json!("ORIGINAL_DST");
            cluster["lb_policy"] = json!("CLUSTER_PROVIDED");
        }
    }
    cluster
}

fn address(of: SocketAddr) -> Value {
    json!({ "socket_address": { "address": of.ip(), "port_value": of.port() } })
}

/// An extension of Envoy with its configuration.
fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    json!({ "name": name, "typed_config": config })
}
