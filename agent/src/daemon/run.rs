//! Runs the agent from its start to SIGTERM.

use super::{start::start, tick::Ticker, tick_loop::run_loop};
use crate::{
    clock,
    config::Config,
    export::{Shared, Snapshot, router},
    failures::{Log, Ring},
};
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use axum::serve::ListenerExt;
use std::{io::ErrorKind, net::TcpListener, sync::Arc};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: the address is in use, a capability, a kernel feature or a required program is missing, or a file is not
/// valid.
pub fn run(config: &Config) -> anyhow::Result<()> {
    tracing::info!(config = %serde_json::to_string(config)?, "starting");
    // First, as it fails quickly when this is a second instance.
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
    let ticker = start(config, failures.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    runtime.block_on(serve(config, listener, ticker, failures))
}

async fn serve(config: &Config, listener: TcpListener, ticker: Ticker, failures: Arc<Ring>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot prepare the HTTP server")?;
    let address = listener.local_addr()?;
    // Events to followers must not wait until the previous one is acknowledged (TCP_NODELAY). A failure to set it only adds delay.
    let listener = listener.tap_io(|connection| {
        let _slower = connection.set_nodelay(true);
    });
    let shared: Shared = Arc::new(ArcSwap::from_pointee(Snapshot::default()));

    let end = match ticker.is_lasting() {
        true => {
            "the kernel continues to count for the next agent, for up to 15 minutes (narrows uninstall ends that at once)"
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
        .spawn(move || run_loop(ticker, interval, &publish, &stopped))
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
    // The thread owns the kernel programs: those that are not pinned are detached when it ends.
    if thread.join().is_err() {
        bail!("the tick thread panicked");
    }
    if let Some(log) = log {
        log.finish();
    }
    tracing::info!("{end}");
    Ok(())
}
