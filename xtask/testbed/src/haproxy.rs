//! A real HAProxy as a TCP proxy: small, and quick to start even on an emulated machine.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Daemon, Placement};

/// How long HAProxy may take to start on an emulated machine.
const START: Duration = Duration::from_secs(60);

/// How long it may take to answer on its admin socket.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listening address, with its upstreams.
#[derive(Debug, Clone)]
pub struct Frontend {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Where its connections are forwarded, in turn.
    pub upstreams: Vec<SocketAddr>,
    /// As HTTP/1.1 instead: requests for `/0`, `/1`, … to the upstream with that number.
    pub by_path: bool,
}

/// Settings that differ from the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The backlog of the listening sockets; by default `connections`.
    pub backlog: Option<u32>,
    /// The number of open connections at which it stops accepting.
    pub connections: u32,
    /// Worker threads. They share the listening sockets.
    pub threads: u32,
    /// Forwards inside the kernel (`splice`) where it can, rather than by reading and writing.
    pub splice: bool,
}

impl Default for Options {
    /// One thread that reads and writes, and a thousand connections.
    fn default() -> Self {
        Self {
            backlog: None,
            connections: 1000,
            threads: 1,
            splice: false,
        }
    }
}

/// A running HAProxy; killed when the guard is dropped.
#[derive(Debug)]
pub struct Haproxy(Daemon);

impl Haproxy {
    /// Starts HAProxy and returns when it accepts connections.
    pub fn start(place: &Placement<'_>, frontends: &[Frontend], options: &Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("narrows-haproxy-").tempdir()?;
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, configuration(frontends, options, &socket(directory.path())))?;
        let mut command = Command::new("haproxy");
        // In the foreground, in one process.
        command.arg("-db").arg("-f").arg(&file);
        let ready = |directory: &Path| ask(directory, "show info").is_ok();
        Daemon::start("HAProxy", directory, place, &mut command, START, ready)
            .context("`cargo xtask setup` installs haproxy")
            .map(Self)
    }

    /// A number from its admin socket (`show info`), e.g. `CumConns` or `CurrConns`. Each request is itself a connection that it
    /// counts.
    pub fn info(&self, name: &str) -> Result<u64> {
        let answer = ask(self.directory(), "show info")?;
        let value = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = value.with_context(|| format!("HAProxy does not report {name}"))?;
        value
            .trim()
            .parse()
            .with_context(|| format!("HAProxy's {name} is {value:?}"))
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

impl Deref for Haproxy {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.0
    }
}

fn ask(directory: &Path, question: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket(directory))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn socket(directory: &Path) -> String {
    directory.join("socket").display().to_string()
}

fn configuration(frontends: &[Frontend], options: &Options, socket: &str) -> String {
    let Options {
        connections, threads, ..
    } = options;
    // With `maxconn` it does not allocate memory for as many connections as its limit of open files allows.
    let mut text = format!(
        "global\n  maxconn {connections}\n  nbthread {threads}\n  stats socket {socket} level admin\n{}\
         defaults\n  mode tcp\n  maxconn {connections}\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n",
        if options.splice { "" } else { "  nosplice\n" },
    );
    if let Some(backlog) = options.backlog {
        text += &format!("  backlog {backlog}\n");
    }
    if options.splice {
        text += "  option splice-request\n  option splice-response\n";
    }
    for (
        n,
        Frontend {
            address,
            upstreams,
            by_path,
        },
    ) in frontends.iter().enumerate()
    {
        if *by_path {
            let _infallible = writeln!(text, "frontend front{n}\n  mode http\n  bind {address}");
            for m in 0..upstreams.len() {
                let _infallible = writeln!(text, "  use_backend back{n}_{m} if {{ path_beg /{m} }}");
            }
            for (m, upstream) in upstreams.iter().enumerate() {
                let _infallible = writeln!(text, "backend back{n}_{m}\n  mode http\n  server server {upstream}");
            }
            continue;
        }
        let _infallible = write!(text, "frontend front{n}\n  bind {address}\n  default_backend back{n}\n");
        let _infallible = writeln!(text, "backend back{n}");
        for (m, upstream) in upstreams.iter().enumerate() {
            let _infallible = writeln!(text, "  server server{m} {upstream}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_configured() {
        let front = Frontend {
            address: SocketAddr::from(([10, 90, 0, 2], 8080)),
            upstreams: vec![SocketAddr::from(([10, 90, 0, 21], 80))],
            by_path: false,
        };
        let options = Options {
            backlog: Some(8),
            ..Options::default()
        };
        let text = configuration(&[front], &options, "/run/s");
        for line in [
            "  nosplice\n",
            "  backlog 8\n",
            "  bind 10.90.0.2:8080\n",
            "  server server0 10.90.0.21:80\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let splice = Options {
            splice: true,
            ..Options::default()
        };
        assert!(!configuration(&[], &splice, "/run/s").contains("nosplice"));
    }
}
