//! Runs the agent from its start to SIGTERM.

use super::{
    listen::{Listening, listen},
    start::start,
    tick::Ticker,
    tick_loop::run_loop,
};
use crate::{
    clock,
    config::Config,
    export::{self, Api, Fleet, Gate, Publisher, Reviews, Service, authenticate},
    failures::{Log, Ring},
    identity::kubernetes::Reviewer,
    node,
};
use anyhow::{Context, bail};
use axum::middleware;
use futures_util::future::try_join_all;
use std::sync::Arc;
use tokio::{
    runtime::{Handle, Runtime},
    signal::unix::{SignalKind, signal},
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: the address is in use, a capability, a kernel feature or a required program is missing, or a file is not
/// valid.
pub fn run(config: &Config) -> anyhow::Result<()> {
    tracing::info!(config = %serde_json::to_string(config)?, "starting");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    // First, as it fails quickly when this is a second instance.
    let gate = gate(config, &runtime)?;
    let fleet = fleet(config)?;
    let listening = listen(config.listen, config.api_listen, gate.is_some())?;
    let failures = Arc::new(Ring::new(config.limits.failure_events, clock::now()));
    let ticker = start(config, failures.clone())?;
    runtime.block_on(serve(config, listening, gate, ticker, (failures, fleet)))
}

/// This agent, and those of other nodes. Its node is named as in the cluster, also without one.
fn fleet(config: &Config) -> anyhow::Result<Fleet> {
    let node = match &config.kubernetes.node {
        Some(node) => node.clone(),
        None => node::host_name().context("cannot tell this node's name: give it with --node")?,
    };
    Fleet::new(&node, &config.api.peers, config.api.token_file.as_deref())
}

/// TLS and credentials at the API's own address, if they are configured. Tokens are reviewed within the runtime that serves, so that
/// requests do not wait while the cluster's objects are read.
fn gate(config: &Config, runtime: &Runtime) -> anyhow::Result<Option<Gate>> {
    let Some(files) = config.api.files() else {
        return Ok(None);
    };
    let _inside = runtime.enter();
    let reviewer = config.api.kubernetes.then(|| Reviewer::new(config)).transpose()?;
    Gate::new(&files, reviewer.map(Reviews::new)).map(Some)
}

async fn serve(
    config: &Config,
    listening: Vec<Listening>,
    gate: Option<Gate>,
    ticker: Ticker,
    (failures, fleet): (Arc<Ring>, Fleet),
) -> anyhow::Result<()> {
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
    let publisher = Publisher::new(interval);
    let service = Service::new(publisher.published().clone(), failures, fleet);
    let thread = std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || run_loop(ticker, interval, publisher, &stopped))
        .context("cannot start a thread")?;

    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let servers = listening
        .into_iter()
        .map(|listening| serve_on(listening, &service, gate.as_ref()));
    tokio::select! {
        served = try_join_all(servers) => drop(served?),
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

/// Serves on one address until the end.
async fn serve_on(listening: Listening, service: &Service, gate: Option<&Gate>) -> anyhow::Result<()> {
    let Listening { socket, api } = listening;
    let listener = tokio::net::TcpListener::from_std(socket).context("cannot prepare the HTTP server")?;
    let address = listener.local_addr()?;
    let gate = gate.filter(|_| api == Api::Authenticated);
    match api {
        Api::Open => tracing::info!("metrics at http://{address}/metrics, the API at http://{address}/api/v1/"),
        Api::Loopback => {
            let port = address.port();
            tracing::info!("metrics at http://{address}/metrics, the API at http://127.0.0.1:{port}/api/v1/ only");
        }
        Api::Authenticated => tracing::info!("the API at https://{address}/api/v1/, with credentials"),
        Api::At(_) => tracing::info!("metrics at http://{address}/metrics"),
    }
    let mut routes = service.router(api);
    if let Some(gate) = gate {
        routes = routes.layer(middleware::from_fn_with_state(gate.credentials.clone(), authenticate));
    }
    export::serve(listener, routes, gate).await;
    Ok(())
}
