//! Actors: parts of the miniature mesh that run as separate processes (`narrows-actor`).
//!
//! An actor writes `ready` to stdout when it listens or has started. On a line `tally` on its stdin it writes its
//! tally as one line of JSON. On a line `stop`, or at the end of stdin, it finishes its connections, writes its
//! tally a last time and exits.

use std::io::{self, BufRead, BufReader, Write as _};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::burden::Weight;
use crate::cgroup::Cgroup;
use crate::limits::Limits;
use crate::load::{Behaviour, ClientTally, Pace, PaceTally, Plan, ServerTally};
use crate::netns::Netns;
use crate::process::{Child, Placement};
use crate::steps::{Sockets, Step};
use crate::tools;
use crate::workload::Workload;

/// How long an actor may take to exit after its last tally.
const END: Duration = Duration::from_secs(5);

/// A running actor that keeps a tally of type `T`.
#[derive(Debug)]
pub struct Actor<T> {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    tally: PhantomData<T>,
}

impl Actor<ClientTally> {
    /// Starts a client in a workload.
    pub fn client(workload: &Workload, plan: &Plan) -> Result<Self> {
        let mut arguments = vec!["client".to_owned(), plan.target.to_string()];
        let mut option = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
        option("rate", plan.rate.to_string());
        option("workers", plan.workers.to_string());
        option("request", plan.request.to_string());
        option("reply", plan.reply.to_string());
        option("patience-ms", plan.patience_ms.to_string());
        option("hold-ms", plan.hold_ms.to_string());
        if let Some(count) = plan.count {
            option("count", count.to_string());
        }
        Self::start(&arguments, Some(&workload.netns), Some(&workload.cgroup))
    }
}

impl Actor<PaceTally> {
    /// Starts a closed-loop client at a placement.
    pub fn steady(place: &Placement<'_>, pace: &Pace) -> Result<Self> {
        let mut command = Command::new(tools::actor()?);
        command.args(["steady", &pace.target.to_string()]);
        let mut option = |name: &str, value: String| {
            command.arg(format!("--{name}={value}"));
        };
        option("connections", pace.connections.to_string());
        option("rate", pace.rate.to_string());
        option("request", pace.request.to_string());
        option("reply", pace.reply.to_string());
        option("patience-ms", pace.patience_ms.to_string());
        Self::place(command, place)
    }
}

impl Actor<ServerTally> {
    /// Starts a server in a workload, and returns when it listens.
    pub fn server(workload: &Workload, address: SocketAddr, behaviour: Behaviour) -> Result<Self> {
        Self::server_at(&workload.into(), address, behaviour)
    }

    /// Starts a server at a placement, and returns when it listens.
    pub fn server_at(place: &Placement<'_>, address: SocketAddr, behaviour: Behaviour) -> Result<Self> {
        let mut command = Command::new(tools::actor()?);
        command.args(["server", &address.to_string()]);
        command.arg(format!("--delay-ms={}", behaviour.delay_ms));
        if let Some(every) = behaviour.reset_every {
            command.arg(format!("--reset-every={every}"));
        }
        Self::place(command, place)
    }
}

impl Actor<()> {
    /// Starts a process that uses resources, in a cgroup and within its limits, and returns when it has allocated them.
    pub fn burden(weight: Weight, cgroup: &Cgroup, limits: Option<&Limits>) -> Result<Self> {
        let mut command = Command::new(tools::actor()?);
        command.args(weight.arguments());
        if let Some(limits) = limits {
            limits.place(&mut command)?;
        }
        Self::run(command, None, Some(cgroup))
    }
}

impl Actor<()> {
    /// Starts a proxy in a workload that does what [`Actor::take`] says.
    pub fn steps(workload: &Workload) -> Result<Self> {
        Self::start(&["steps".to_owned()], Some(&workload.netns), Some(&workload.cgroup))
    }

    /// Lets it do these steps, and returns when the last one is done.
    pub fn take(&mut self, steps: &[Step]) -> Result<()> {
        self.ask(&serde_json::to_string(steps)?)
    }
}

impl<T: DeserializeOwned> Actor<T> {
    /// Starts `narrows-actor` with these arguments and returns when it is ready.
    pub fn start(arguments: &[String], netns: Option<&Netns>, cgroup: Option<&Cgroup>) -> Result<Self> {
        let mut command = Command::new(tools::actor()?);
        command.args(arguments);
        Self::run(command, netns, cgroup)
    }

    /// Starts an actor under another name or as another user, as `command` does, and returns when it is ready.
    pub fn run(command: Command, netns: Option<&Netns>, cgroup: Option<&Cgroup>) -> Result<Self> {
        Self::place(command, &Placement::new(netns, cgroup))
    }

    /// Like [`Actor::run`], at a placement.
    pub fn place(mut command: Command, place: &Placement<'_>) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = place.spawn(&mut command)?;
        let stdin = child.stdin.take().context("the actor has no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("the actor has no stdout")?);
        let mut actor = Self {
            child,
            stdin,
            stdout,
            tally: PhantomData,
        };
        let line = actor.line().with_context(|| format!("start actor {command:?}"))?;
        ensure!(line == "ready", "actor {command:?} wrote {line:?} instead of `ready`");
        Ok(actor)
    }

    /// The process id of the actor.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process, e.g. to pause it.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// The tally so far.
    pub fn tally(&mut self) -> Result<T> {
        self.ask("tally")
    }

    /// Lets the actor finish its connections and exit; returns the complete tally.
    pub fn stop(mut self) -> Result<T> {
        let tally = self.ask("stop")?;
        let status = self.child.ended(END)?;
        ensure!(status.success(), "an actor exited with {status}");
        Ok(tally)
    }

    fn ask(&mut self, question: &str) -> Result<T> {
        writeln!(self.stdin, "{question}").with_context(|| format!("ask an actor {question:?}"))?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("an actor's answer {line:?}"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the actor exited; its stderr has the reason");
        Ok(line.trim_end().to_owned())
    }
}

/// The actor's own side: answers questions on stdin until it is told to stop.
pub fn answer<T: Serialize>(tally: impl Fn() -> T) -> Result<()> {
    say("ready")?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "tally" => say(&serde_json::to_string(&tally())?)?,
            "stop" => break,
            other => anyhow::bail!("cannot {other:?}: say `tally` or `stop`"),
        }
    }
    Ok(())
}

/// The own side of [`Actor::steps`]: does steps until it is told to stop.
pub fn follow_steps() -> Result<()> {
    let mut sockets = Sockets::default();
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "stop" {
            break;
        }
        let steps: Vec<Step> = serde_json::from_str(&line).with_context(|| format!("steps {line:?}"))?;
        for step in steps {
            sockets.take(step).with_context(|| format!("{step:?}"))?;
        }
        say("null")?;
    }
    Ok(())
}

/// Writes a line to the parent; ignores the error if the parent has exited.
pub fn say(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
