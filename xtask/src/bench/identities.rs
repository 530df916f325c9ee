//! The cost of a large cluster: the first lists, and then changes.

use super::{
    cluster::{self, Cluster, PODS, PODS_OF_THE_NODE},
    measure::{INTERVAL, peak},
    report::Report,
    rollout,
};
use anyhow::{Context as _, Result, bail};
use narrows_testbed::{agent::Agent, kubernetes::ApiServer, scrape::Metrics, wait};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The time limit until all lists are complete.
const SYNC: Duration = Duration::from_secs(180);

/// How long an idle agent is measured.
const IDLE: Duration = Duration::from_secs(15);

/// The interval between changes: a hundred per second.
const STEP: Duration = Duration::from_millis(10);
const CHANGES: usize = 3_000;

/// The time limit until a change is known.
const LONGEST_LAG: Duration = Duration::from_secs(30);

/// The cost of an agent without a cluster.
struct Empty {
    resident: f64,
    start: f64,
}

/// Measures the agent without a cluster and in one of a hundred thousand pods, at its start and while pods are replaced.
pub(crate) fn measure(report: &mut Report, agent: &Path) -> Result<()> {
    println!("identities: generating a cluster of {PODS} pods");
    let (server, cluster) = (ApiServer::start()?, Cluster::new());
    let bytes = cluster.fill(&server);

    println!("identities: an agent without a cluster");
    let empty = empty(report, agent)?;

    println!("identities: reading the cluster");
    let begin = Instant::now();
    let agent = Agent::start_in_cluster(
        agent,
        server.kubeconfig(),
        &cluster::the_node(),
        &["--interval", INTERVAL],
    )?;
    let synced = wait::until("the agent to know the cluster", SYNC, || {
        let metrics = Metrics::fetch(agent.address()).ok()?;
        (known(&metrics, "cluster_pods") == elsewhere() && is_synced(&metrics)).then_some(metrics)
    });
    let synced = synced.with_context(|| agent.stderr())?;
    report.add(
        "identities: known after the start",
        begin.elapsed().as_secs_f64(),
        "s",
        format!("{PODS} pods of {bytes:.0} B; seen at a tick of {INTERVAL} s"),
    );
    sync_of_each(report, &agent);
    report.add(
        "identities: processor, start",
        processor(&synced),
        "s",
        format!("{:.2} s of it without a cluster", empty.start),
    );
    memory(report, "after the start", &synced, &empty);
    report.add(
        "identities: memory, peak",
        peak(agent.pid())? / 1e6,
        "MB",
        "resident, until then",
    );

    println!("identities: {CHANGES} changes");
    changes(report, &server, &cluster, &agent, &empty)
}

fn empty(report: &mut Report, agent: &Path) -> Result<Empty> {
    let args = ["--kubernetes", "off", "--interval", INTERVAL];
    let agent = Agent::start(agent, "workloads: []\n", &args)?;
    let start = processor(&agent.metrics());
    let begin = Instant::now();
    // Not scraped meanwhile, as answering costs more than idling.
    thread::sleep(IDLE);
    let metrics = agent.metrics();
    report.add(
        "identities: CPU, no cluster",
        100.0 * (processor(&metrics) - start) / begin.elapsed().as_secs_f64(),
        "% of a core",
        format!("tick {INTERVAL} s"),
    );
    let resident = resident(&metrics);
    report.add("identities: memory, no cluster", resident / 1e6, "MB", "resident");
    agent.stop().context("the agent did not exit")?;
    Ok(Empty { resident, start })
}

/// The time of each list, as reported by the agent.
fn sync_of_each(report: &mut Report, agent: &Agent) {
    let status = agent.get_json("/api/v1/status");
    for source in status["kubernetes"]["sources"].as_array().into_iter().flatten() {
        report.add(
            format!("identities: list of {}", source["source"].as_str().unwrap_or_default()),
            source["sync_seconds"].as_f64().unwrap_or(f64::NAN),
            "s",
            format!("{} objects", source["objects"]),
        );
    }
}

fn changes(report: &mut Report, server: &ApiServer, cluster: &Cluster, agent: &Agent, empty: &Empty) -> Result<()> {
    let (begin, before) = (Instant::now(), agent.metrics());
    let made = rollout::replace(server, cluster, CHANGES, STEP);
    let (seconds, after) = (begin.elapsed().as_secs_f64(), agent.metrics());
    let (shown, lag) = lag(server, cluster, agent)?;
    let last = agent.settle();
    let disturbances = last.sum("narrows_identity_failures_total", &[])
        + last.sum("narrows_identity_unreadable_objects_total", &[])
        + last.sum("narrows_identity_lists_total", &[("source", "cluster_pods")])
        - 1.0;
    if disturbances > 0.0 {
        bail!(
            "the agent did not follow the changes without errors:\n{}",
            agent.stderr()
        );
    }
    report.add(
        "identities: processor, changes",
        100.0 * (processor(&after) - processor(&before)) / seconds,
        "% of a core",
        format!("at {:.0} changes/s, tick {INTERVAL} s", made as f64 / seconds),
    );
    report.add(
        "identities: lag",
        lag * 1e3,
        "ms",
        format!(
            "at most, from the API server to the agent's tables, in steps of {} ms",
            STEP.as_millis()
        ),
    );
    report.add(
        "identities: until a scrape shows it",
        shown,
        "s",
        format!("a new pod, with a tick of {INTERVAL} s"),
    );
    memory(report, "after changes", &last, empty);
    report.add(
        "identities: memory, peak at the end",
        peak(agent.pid())? / 1e6,
        "MB",
        "resident, since the start",
    );
    Ok(())
}

/// Continues with changes that only add pods until a scrape shows some. Their number gives the age of the newest one at the
/// tick, which is the lag; the age of the first one is the time until a scrape shows a pod.
fn lag(server: &ApiServer, cluster: &Cluster, agent: &Agent) -> Result<(f64, f64)> {
    let mut put: Vec<Instant> = Vec::new();
    loop {
        let begin = Instant::now();
        let metrics = agent.metrics();
        let seen = (known(&metrics, "cluster_pods") - elsewhere()).max(0.0) as usize;
        // A single additional pod may be one that was being replaced at the last tick.
        if seen > 1
            && let (Some(first), Some(newest)) = (put.first(), put.get(seen - 1))
        {
            return Ok((first.elapsed().as_secs_f64(), newest.elapsed().as_secs_f64()));
        }
        if put.first().is_some_and(|first| first.elapsed() > LONGEST_LAG) {
            bail!(
                "new pods were not known within {LONGEST_LAG:?}; the agent says:\n{}",
                agent.stderr()
            );
        }
        rollout::add(server, cluster, put.len());
        put.push(Instant::now());
        thread::sleep(STEP.saturating_sub(begin.elapsed()));
    }
}

/// Pods that are not on the agent's node.
fn elsewhere() -> f64 {
    (PODS - PODS_OF_THE_NODE) as f64
}

fn is_synced(metrics: &Metrics) -> bool {
    let mut sources = metrics.series("narrows_identity_synced").peekable();
    sources.peek().is_some() && sources.all(|source| source.value > 0.0)
}

fn known(metrics: &Metrics, source: &str) -> f64 {
    metrics.sum("narrows_identity_objects", &[("source", source)])
}

fn processor(metrics: &Metrics) -> f64 {
    metrics.sum("process_cpu_seconds_total", &[])
}

fn resident(metrics: &Metrics) -> f64 {
    metrics.sum("process_resident_memory_bytes", &[])
}

fn memory(report: &mut Report, when: &str, metrics: &Metrics, empty: &Empty) {
    let resident = resident(metrics);
    report.add(
        format!("identities: memory, {when}"),
        resident / 1e6,
        "MB",
        format!(
            "resident, {:.1} MB over no cluster, {:.0} workloads",
            (resident - empty.resident) / 1e6,
            metrics.sum("narrows_workloads", &[])
        ),
    );
}
