//! The running agent: one thread that turns the wheel, and a server that shows what it found.

mod inside;
mod inventory_file;
mod state;
mod tick;
mod wake;

pub use inventory_file::InventoryFile;

use crate::{
    clock::{self, Millis},
    config::{Config, Scope},
    export::{Shared, Snapshot, router},
    failures::{Log, Ring},
    identity::kubernetes::{self, Meshes},
    kernel::{self, Kernel, Options},
    node::{self, Cgroups},
    points::Rules,
    program::LIFE_CYCLE,
    uninstall,
};
use agent_common::Settings;
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use axum::serve::ListenerExt;
use std::{
    io::{ErrorKind, PipeReader},
    net::TcpListener,
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tick::Ticker;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use wake::{Plan, REST, Woken};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin: the address is taken, a capability, a kernel feature or a required program is missing, or a
/// file is not as it should be.
pub fn run(config: &Config) -> anyhow::Result<()> {
    tracing::info!(config = %serde_json::to_string(config)?, "starting");
    // First what is quickly said: whether this is a second instance.
    let listener = TcpListener::bind(config.listen).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => ": is another agent running? (--listen chooses another address)",
            _ => "",
        };
        anyhow::anyhow!("cannot listen on {}{hint}: {error}", config.listen)
    })?;
    listener
        .set_nonblocking(true)
        .context("cannot prepare the HTTP server")?;
    let failures = Arc::new(Ring::new(config.limits.failure_events, clock::now()));
    let ticker = begin(config, failures.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    runtime.block_on(serve(config, listener, ticker, failures))
}

async fn serve(config: &Config, listener: TcpListener, ticker: Ticker, failures: Arc<Ring>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot prepare the HTTP server")?;
    let address = listener.local_addr()?;
    // Who follows failures is not to wait until the one before is acknowledged. Without it, it is only slower.
    let listener = listener.tap_io(|connection| {
        let _slower = connection.set_nodelay(true);
    });
    let shared: Shared = Arc::new(ArcSwap::from_pointee(Snapshot::default()));

    let end = match ticker.is_lasting() {
        true => {
            "the kernel goes on counting for the next agent, for up to 15 minutes (narrows uninstall ends that at once)"
        }
        false => "all kernel programs are detached",
    };
    let log = match config.log_failures {
        true => Some(Log::start(&failures, Handle::current())?),
        false => None,
    };
    let (stopped, stop) = std::io::pipe().context("cannot make a pipe")?;
    let interval = config.interval;
    let publish = shared.clone();
    let thread = std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || turn(ticker, interval, &publish, &stopped))
        .context("cannot start a thread")?;

    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    tracing::info!("metrics at http://{address}/metrics");
    tokio::select! {
        served = axum::serve(listener, router(shared, failures)) => served.context("the HTTP server failed")?,
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    drop(stop);
    // The thread owns the kernel programs: with its end those that have no name are detached.
    if thread.join().is_err() {
        bail!("the tick thread panicked");
    }
    if let Some(log) = log {
        log.finish();
    }
    tracing::info!("{end}");
    Ok(())
}

/// Loads everything a tick needs.
fn begin(config: &Config, failures: Arc<Ring>) -> anyhow::Result<Ticker> {
    let missing = kernel::missing_capabilities()?;
    if !missing.is_empty() {
        bail!(
            "missing {}: run as root or grant it; `narrows check` shows what works without",
            missing.join(" and ")
        );
    }
    let cgroups = Cgroups::find()?;
    let rules = Rules::new(config.points.rules.clone())?;
    let inventory = InventoryFile::open(config.inventory.as_deref())?;
    let cluster = kubernetes::Kubernetes::start(config, setup(config, &rules))?;
    match &cluster {
        Some(cluster) if cluster.scope == Scope::Node => tracing::info!(
            node = cluster.node,
            "reading the objects of this node: whoever is on another one stays unknown"
        ),
        Some(cluster) => tracing::info!(node = cluster.node, "reading the cluster's objects"),
        None => tracing::info!("no cluster: identities are those of the inventory"),
    }
    let options = Options {
        flows: config.limits.flows,
        settings: Settings {
            flows_per_owner: config.limits.flows_per_owner,
            sockets: config.limits.sockets,
            failure_events_per_second: config.failure_events_per_second,
            accept_calls: kernel::ACCEPT_CALLS,
            ..Settings::DEFAULT
        },
        off: config.kernel.off.clone(),
        idle_readings: config.idle_readings(),
        numbers: node::has_the_kernels_numbers(),
        pins: config.kernel.pins().map(Path::to_owned),
    };
    say_footprint(&options, cgroups.own_memory_limit());
    if options.pins.is_none() && config.kernel.pins.exists() {
        // It would go on counting, for nobody.
        match uninstall::run(&config.kernel.pins) {
            Ok(said) => tracing::info!("--no-pin: {said}"),
            Err(error) => tracing::warn!("what an earlier agent has left is not removed: {error:#}"),
        }
    }
    let kernel = Kernel::open(&options)?;
    match kernel.is_lasting() {
        Ok(()) => {}
        Err(None) => tracing::info!("--no-pin: the kernel counts only while this agent runs"),
        Err(Some(why)) => tracing::warn!(
            "the kernel counts only while this agent runs, so that a restart misses what happens meanwhile: {why}"
        ),
    }
    for program in kernel.programs().iter().filter(|program| !program.active) {
        let why = program.reason.as_deref().unwrap_or("unknown");
        tracing::warn!(
            "{} is not attached, so this is off: {}. {why}",
            program.program,
            program.signal
        );
    }
    if !node::has_the_kernels_numbers() {
        tracing::warn!(
            "this is a process namespace of its own: open connections of other processes are not found, and count when they close; \
             run the agent in the node's (hostPID)"
        );
    }
    if kernel::is_real_time() {
        tracing::warn!("this kernel has real-time preemption (PREEMPT_RT), on which Narrows is not tested");
    }
    if !kernel::sees_processes()? {
        tracing::warn!(
            "CAP_SYS_PTRACE is missing: no point is recognised by its processes, and a pod without sockets of its own is not \
             found in its network namespace"
        );
    }
    if !kernel.sees_life_cycle() {
        let [first, _] = LIFE_CYCLE;
        let status = kernel.programs().iter().find(|status| status.program == first.name);
        let why = status.and_then(|status| status.reason.as_deref()).unwrap_or("unknown");
        bail!(
            "the kernel program {} cannot be attached, nor can its twin, and nothing can be counted without one of them: {why}",
            first.name
        );
    }
    Ok(Ticker::new(
        config, kernel, cgroups, rules, inventory, cluster, failures,
    ))
}

/// Says how much memory the tables in the kernel may take, and how much there is: they are charged to the agent's own cgroup
/// (Linux 5.11), and one that is too small is killed when they fill up.
fn say_footprint(options: &Options, limit: Option<u64>) {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let footprint = kernel::Footprint::of(options, processors);
    match limit {
        None => tracing::info!("tables in the kernel take at most {footprint}; no memory limit is known"),
        Some(limit) if footprint.flows + footprint.sockets > limit => tracing::warn!(
            "tables in the kernel may take more than the {} MiB that this cgroup may use: at most {footprint}. Raise the memory limit, \
             or lower limits.flows and limits.sockets",
            limit >> 20
        ),
        Some(limit) => tracing::info!(
            "tables in the kernel take at most {footprint}; this cgroup may use {} MiB",
            limit >> 20
        ),
    }
}

/// How the cluster's objects are to be understood.
fn setup(config: &Config, rules: &Rules) -> kubernetes::Setup {
    kubernetes::Setup {
        rules: rules.clone(),
        meshes: Meshes {
            trust_domain: config.identity.trust_domain.clone(),
            kuma_zone: config.identity.kuma_zone.clone(),
        },
        pods: config.limits.pods,
        settle: config.identity.settle.as_millis() as Millis,
    }
}

/// Ticks, and between ticks takes in failures when they come. Until the other end of `stop` has gone.
fn turn(mut ticker: Ticker, interval: Duration, shared: &Shared, stop: &PipeReader) {
    let mut next = Instant::now();
    loop {
        if let Some(snapshot) = ticker.tick() {
            shared.store(Arc::new(snapshot));
        }
        // A tick that took too long is not made up for.
        let mut now = Instant::now();
        next = (next + interval).max(now);
        // The tick has looked for failures, too.
        let mut looked = now;
        loop {
            let again = ticker.failures_wait();
            let woken = Plan::new(now, next, looked, again).wait(stop.as_fd(), ticker.failures_ready());
            now = Instant::now();
            let due = match woken {
                Woken::End => {
                    ticker.close();
                    return;
                }
                _ if now >= next => break,
                Woken::Failures => true,
                Woken::Time => again && now >= looked + REST,
            };
            if due {
                ticker.failures();
                looked = Instant::now();
            }
        }
    }
}
