//! The running agent: one thread that turns the wheel, and a server that shows what it found.

mod inventory_file;
mod tick;

pub use inventory_file::InventoryFile;

use crate::{
    config::{Config, Scope},
    export::{Shared, Snapshot, router},
    identity::{Meshes, kubernetes},
    kernel::{self, Kernel, Options},
    node::Cgroups,
    points::Rules,
};
use agent_common::Settings;
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use std::{
    io::ErrorKind,
    net::TcpListener,
    sync::{Arc, mpsc},
    time::Instant,
};
use tick::Ticker;
use tokio::signal::unix::{SignalKind, signal};

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
    let ticker = begin(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    runtime.block_on(serve(config, listener, ticker))
}

async fn serve(config: &Config, listener: TcpListener, ticker: Ticker) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot prepare the HTTP server")?;
    let shared: Shared = Arc::new(ArcSwap::from_pointee(Snapshot::default()));

    let (stop, stopped) = mpsc::channel();
    let interval = config.tick();
    let publish = shared.clone();
    let thread = std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || turn(ticker, interval, &publish, &stopped))
        .context("cannot start a thread")?;

    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    tracing::info!("metrics at http://{}/metrics", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, router(shared)) => served.context("the HTTP server failed")?,
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    drop(stop);
    // The thread owns the kernel programs: with its end they are detached.
    if thread.join().is_err() {
        bail!("the tick thread panicked");
    }
    tracing::info!("all kernel programs are detached");
    Ok(())
}

/// Loads everything a tick needs.
fn begin(config: &Config) -> anyhow::Result<Ticker> {
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
    let kernel = Kernel::open(&Options {
        flows: config.limits.flows,
        settings: Settings {
            idle_collections: config.idle_collections(),
            failure_events_per_second: config.failure_events_per_second,
        },
    })?;
    for program in kernel.programs().iter().filter(|program| !program.active) {
        let why = program.reason.as_deref().unwrap_or("unknown");
        tracing::warn!(
            "{} is not attached, so this is off: {}. {why}",
            program.program,
            program.signal
        );
    }
    if !kernel::sees_processes()? {
        tracing::warn!(
            "CAP_SYS_PTRACE is missing: no point is recognised by its processes, and a pod without sockets of its own is not \
             found in its network namespace"
        );
    }
    if let Some(program) = kernel.missing_programs().first() {
        let why = program.reason.as_deref().unwrap_or("unknown");
        bail!(
            "the kernel program {} cannot be attached, and nothing works without it: {why}",
            program.program
        );
    }
    Ok(Ticker::new(config, kernel, cgroups, rules, inventory, cluster))
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
        settle: (config.identity.settle * 1000.0) as kubernetes::Millis,
    }
}

fn turn(mut ticker: Ticker, interval: std::time::Duration, shared: &Shared, stop: &mpsc::Receiver<()>) {
    let mut next = Instant::now();
    loop {
        shared.store(Arc::new(ticker.tick()));
        // A tick that took too long is not made up for.
        next = (next + interval).max(Instant::now());
        match stop.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}
