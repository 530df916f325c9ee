//! Startup: loads what a tick needs, and reports what is missing.

use super::{InventoryFile, tick::Ticker};
use crate::{
    clock::Millis,
    config::{Config, Scope},
    failures::Ring,
    identity::{
        Observer,
        kubernetes::{self, Meshes},
    },
    kernel::{self, Kernel, Options},
    networks::Networks,
    node::{self, Cgroups},
    points::Rules,
    program::LIFE_CYCLE,
    signals::paths,
    uninstall,
};
use agent_common::Settings;
use anyhow::bail;
use std::{path::Path, sync::Arc};

/// Loads everything a tick needs.
///
/// # Errors
/// A capability, a kernel feature or a required program is missing, or a file is not valid.
pub fn start(config: &Config, failures: Arc<Ring>) -> anyhow::Result<Ticker> {
    let missing = kernel::missing_capabilities()?;
    if !missing.is_empty() {
        bail!(
            "missing {}: run as root or grant it; `narrows check` shows what works without",
            missing.join(" and ")
        );
    }
    let cgroups = Cgroups::find()?;
    let rules = Rules::new(config.points.rules.clone())?;
    let networks = Networks::new(&config.networks).map_err(anyhow::Error::msg)?;
    let inventory = InventoryFile::open(config.inventory.as_deref())?;
    let cluster = kubernetes::Kubernetes::start(config, setup(config, &rules))?;
    match &cluster {
        Some(cluster) if cluster.scope == Scope::Node => tracing::info!(
            node = cluster.node,
            "reading the objects of this node only: workloads on other nodes stay unknown"
        ),
        Some(cluster) => tracing::info!(node = cluster.node, "reading the cluster's objects"),
        None => tracing::info!("no cluster: identities are those of the inventory"),
    }
    let options = options(config, &cgroups);
    say_footprint(&options, cgroups.own_memory_limit());
    if options.pins.is_none() && config.kernel.pins.exists() {
        // They would continue to count, without an agent that reads the counters.
        match uninstall::run(&config.kernel.pins) {
            Ok(said) => tracing::info!("--no-pin: {said}"),
            Err(error) => tracing::warn!("what an earlier agent has left is not removed: {error:#}"),
        }
    }
    let kernel = Kernel::open(&options)?;
    say_what_is_off(&kernel)?;
    if !kernel.sees_life_cycle() {
        let [first, _] = LIFE_CYCLE;
        let status = kernel.programs().iter().find(|status| status.program == first.name);
        let why = status.and_then(|status| status.reason.as_deref()).unwrap_or("unknown");
        bail!(
            "the kernel program {} cannot be attached, nor can its twin, and nothing can be counted without one of them: {why}",
            first.name
        );
    }
    let shared = cluster.as_ref().map(|cluster| cluster.shared.clone());
    let observer = Observer::new(cgroups, rules, shared, networks.into(), config.limits.cgroups);
    Ok(Ticker::new(config, kernel, observer, inventory, cluster, failures))
}

/// How the kernel programs are to be loaded.
fn options(config: &Config, cgroups: &Cgroups) -> Options {
    Options {
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
        cgroups: cgroups.mount().to_owned(),
        pins: config.kernel.pins().map(Path::to_owned),
    }
}

/// Reports what this kernel, these privileges and this configuration disable; everything else works.
fn say_what_is_off(kernel: &Kernel) -> anyhow::Result<()> {
    match kernel.is_lasting() {
        Ok(()) => {}
        Err(None) => tracing::info!("--no-pin: the kernel counts only while this agent runs"),
        Err(Some(why)) => tracing::warn!(
            "the kernel counts only while this agent runs, so that a restart misses what happens meanwhile: {why}"
        ),
    }
    for program in kernel.programs().iter().filter(|program| !program.active) {
        let why = program.reason.as_deref().unwrap_or("unknown");
        let (name, signal) = (program.program, program.signal);
        // The manifests do not ask for what these need.
        if paths::PROGRAMS.iter().any(|program| program.name == name) {
            tracing::info!("{name} is not attached, so this is off: {signal}. {why}");
        } else {
            tracing::warn!("{name} is not attached, so this is off: {signal}. {why}");
        }
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
    Ok(())
}

/// Reports how much memory the kernel tables may take, and how much is available: they are charged to the agent's own cgroup (Linux
/// 5.11), and a cgroup with too low a limit is OOM-killed when they fill up.
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

/// How the cluster's objects are to be interpreted.
fn setup(config: &Config, rules: &Rules) -> kubernetes::Setup {
    kubernetes::Setup {
        rules: rules.clone(),
        meshes: Meshes {
            trust_domain: config.identity.trust_domain.clone(),
            kuma_zone: config.identity.kuma_zone.clone(),
        },
        uncovered: config.coverage.except.clone(),
        pods: config.limits.pods,
        settle: config.identity.settle.as_millis() as Millis,
    }
}
