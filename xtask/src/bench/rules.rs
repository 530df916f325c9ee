//! The cost of the recording rules and alerts in a Prometheus that scrapes the agents of a large cluster.

use super::report::Report;
use crate::workspace;
use anyhow::{Context as _, Result};
use narrows_testbed::{
    agent::free_address,
    http,
    prometheus::{Options, Prometheus, Target},
    scrape::Metrics,
    wait,
};
use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Nodes, each with an agent and a ztunnel.
const NODES: u16 = 500;

/// Points that serve the whole cluster, with an instance on each 20th node: one on every node, of one of them.
const POINTS: u16 = 20;

/// Workloads of a node, which depend on its ztunnel and are reached through it.
const WORKLOADS: u16 = 10;

/// Of them, as many call each of the points.
const CALLERS: u16 = 3;

/// Time between two scrapes, and between two evaluations.
const INTERVAL: Duration = Duration::from_secs(30);

/// After so long all ranges of up to ten minutes are filled.
const WARM: Duration = Duration::from_secs(11 * 60);

/// So many rules are named.
const SLOWEST: usize = 8;

const PATIENCE: Duration = Duration::from_secs(60);

/// Measures series, memory and how long evaluation takes, as a part of the interval.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    println!(
        "rules: {NODES} nodes, {POINTS} points; Prometheus is watched for {} minutes",
        WARM.as_secs() / 60
    );
    let port = free_address()?.port();
    let begin = Instant::now();
    let names: Vec<String> = (0..NODES).map(|n| format!("node-{n}")).collect();
    let mut targets = Vec::new();
    for (n, node) in (0..NODES).zip(&names) {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x7f01_0001 + u32::from(n))), port);
        serve(address, n, begin)?;
        targets.push(Target { node, address });
    }
    let rules = ["rules.yaml", "alerts.yaml"].map(|file| workspace::root().join("deploy/prometheus").join(file));
    let options = Options {
        interval: INTERVAL,
        hurry: 1,
    };
    let prometheus = Prometheus::start(&targets, &[&rules[0], &rules[1]], options)?;
    wait::until("all agents to be scraped", INTERVAL + PATIENCE, || {
        let up = prometheus.query("sum(up)").ok()?;
        (up.first()?.value == f64::from(NODES)).then_some(())
    })?;
    while begin.elapsed() < WARM {
        thread::sleep(INTERVAL);
        println!("rules: {} s", begin.elapsed().as_secs());
    }
    figures(report, &prometheus)
}

fn figures(report: &mut Report, prometheus: &Prometheus) -> Result<()> {
    let metrics = http::get(prometheus.address(), "/metrics", "*/*")?.body;
    let metrics = Metrics::parse(&metrics)?;
    let sum = |name: &str| metrics.sum(name, &[]);
    let one = |query: &str| -> Result<f64> {
        let found = prometheus.query(query)?;
        Ok(found.first().context("no value")?.value)
    };
    let note = format!("{NODES} nodes, {POINTS} points; without histograms, which no rule reads");
    let evaluation = sum("prometheus_rule_group_last_duration_seconds");
    report.add(
        "rules: series of the agents",
        one("count({__name__=~\"narrows_[a-z_]+\"})")?,
        "series",
        &note,
    );
    report.add(
        "rules: recorded series",
        one("count({__name__=~\"narrows[a-z_]*:.+\"})")?,
        "series",
        "",
    );
    report.add(
        "rules: evaluation of all",
        evaluation,
        "s",
        "one core of this machine, which also scrapes",
    );
    report.add(
        "rules: share of an interval of 30 s",
        evaluation / INTERVAL.as_secs_f64(),
        "",
        "within a tenth is the aim",
    );
    report.add(
        "rules: memory of Prometheus",
        sum("process_resident_memory_bytes") / 1e6,
        "MB",
        "with all series of the agents in its head",
    );
    for (rule, seconds) in prometheus.evaluation_times()?.into_iter().take(SLOWEST) {
        report.add(format!("rules: {rule}"), seconds, "s", "one of the slowest");
    }
    let firing = prometheus.firing()?;
    report.add(
        "rules: alerts that fire",
        firing.len() as f64,
        "alerts",
        "nothing is wrong",
    );
    Ok(())
}

/// Answers scrapes of the agent of a node, until the process ends.
fn serve(address: SocketAddr, node: u16, begin: Instant) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    thread::Builder::new().stack_size(256 * 1024).spawn(move || {
        for stream in listener.incoming().flatten() {
            // Prometheus asks again.
            let _given_up = answer(&stream, node, begin);
        }
    })?;
    Ok(())
}

fn answer(mut stream: &TcpStream, node: u16, begin: Instant) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let body = exposition(node, begin.elapsed().as_secs_f64())?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// What the agent of a node exports, as far as rules read it, `t` seconds after the beginning.
fn exposition(node: u16, t: f64) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "narrows_build_info{{version=\"0\"}} 1\nnarrows_cluster_nodes {NODES}"
    )?;
    writeln!(text, "narrows_tick_seconds_count {}", t / 5.0)?;
    for result in ["workload", "point", "node", "external", "unknown"] {
        for end in ["local", "remote"] {
            let known = if result == "unknown" { 0.1 } else { 10.0 };
            writeln!(
                text,
                "narrows_attributed_connections_total{{end=\"{end}\",result=\"{result}\"}} {}",
                known * t
            )?;
        }
    }
    for program in 0..21 {
        writeln!(text, "narrows_program_active{{program=\"program_{program}\"}} 1")?;
    }
    for what in [
        "flow_detail",
        "failure_event",
        "state_change",
        "dependent",
        "flow_quota",
    ] {
        writeln!(text, "narrows_lost_total{{what=\"{what}\"}} 0")?;
    }
    for source in ["node_pods", "cluster_pods", "namespaces", "services", "nodes"] {
        writeln!(
            text,
            "narrows_identity_age_seconds{{source=\"{source}\"}} 10\nnarrows_identity_synced{{source=\"{source}\"}} 1"
        )?;
    }
    let ztunnel = "point=\"istio-system/ztunnel\",kind=\"ztunnel\",mesh=\"istio\"".to_owned();
    let own = format!("{ztunnel},instance_pod=\"ztunnel-{node}\"");
    instance(&mut text, &own, t)?;
    for n in 0..WORKLOADS {
        let name = format!("app-{}", (u32::from(node) * u32::from(WORKLOADS) + u32::from(n)) / 5);
        writeln!(
            text,
            "narrows_workload_mode{{workload_namespace=\"shop\",workload=\"{name}\",mode=\"ambient\"}} 1"
        )?;
        dependent(&mut text, &own, &name, t)?;
        served(&mut text, &own, &name, t)?;
    }
    let point = |n: u16| format!("point=\"shop/waypoint-{n}\",kind=\"waypoint\",mesh=\"istio\"");
    let here = format!("{},instance_pod=\"waypoint-{node}\"", point(node % POINTS));
    instance(&mut text, &here, t)?;
    for n in 0..5 {
        served(&mut text, &here, &format!("app-{}", node % POINTS * 5 + n), t)?;
    }
    for n in 0..POINTS {
        let called = point(n);
        writeln!(text, "narrows_client_connections_opened_total{{{called}}} {}", 2.0 * t)?;
        writeln!(
            text,
            "narrows_client_connection_failures_total{{{called},reason=\"timed_out\",phase=\"handshake\"}} {}",
            0.001 * t
        )?;
        for caller in 0..CALLERS {
            let name = format!(
                "app-{}",
                (u32::from(node) * u32::from(WORKLOADS) + u32::from(caller)) / 5
            );
            dependent(&mut text, &format!("{called},instance_pod=\"\""), &name, t)?;
        }
    }
    Ok(text)
}

fn instance(text: &mut String, of: &str, t: f64) -> Result<()> {
    for (name, value) in [
        ("narrows_point_processes", 1.0),
        ("narrows_dependent_concentration_ratio", 0.2),
        ("narrows_point_starts_total", 0.0),
        ("narrows_cpu_seconds_total", 0.1 * t),
        ("narrows_cpu_wait_seconds_total", 0.01 * t),
        ("narrows_cpu_throttled_seconds_total", 0.0),
    ] {
        writeln!(text, "{name}{{{of}}} {value}")?;
    }
    for side in ["downstream", "upstream"] {
        writeln!(text, "narrows_connections_active{{{of},side=\"{side}\"}} 20")?;
        writeln!(
            text,
            "narrows_connections_opened_total{{{of},side=\"{side}\"}} {}",
            20.0 * t
        )?;
        for (phase, reason) in [
            ("handshake", "refused"),
            ("handshake", "timed_out"),
            ("established", "reset_by_peer"),
            ("established", "reset_by_self"),
            ("established", "closed_early"),
        ] {
            writeln!(
                text,
                "narrows_connection_failures_total{{{of},side=\"{side}\",phase=\"{phase}\",reason=\"{reason}\"}} {}",
                0.01 * t
            )?;
        }
    }
    for resource in [
        "cpu",
        "memory",
        "accept_queue",
        "open_files",
        "backlog",
        "ephemeral_ports",
    ] {
        writeln!(text, "narrows_saturation_ratio{{{of},resource=\"{resource}\"}} 0.3")?;
    }
    for port in [15001, 15006, 15008] {
        writeln!(
            text,
            "narrows_accept_queue_oldest_seconds{{{of},port=\"{port}\"}} 0\nnarrows_accept_queue_drops_total{{{of},port=\"{port}\"}} 0"
        )?;
    }
    for by in ["itself", "workload", "system"] {
        writeln!(text, "narrows_preemptions_total{{{of},by=\"{by}\"}} {t}")?;
    }
    for reason in ["exited", "killed", "oom_killed"] {
        writeln!(text, "narrows_point_exits_total{{{of},reason=\"{reason}\"}} 0")?;
    }
    for state in ["established", "fin_wait2", "close_wait", "time_wait"] {
        writeln!(text, "narrows_sockets{{{of},state=\"{state}\"}} 5")?;
    }
    for scope in ["workload", "service_account", "namespace"] {
        writeln!(text, "narrows_dependents{{{of},scope=\"{scope}\"}} 5")?;
    }
    Ok(())
}

fn dependent(text: &mut String, of: &str, name: &str, t: f64) -> Result<()> {
    let of =
        format!("{of},source_workload_namespace=\"shop\",source_workload=\"{name}\",source_principal=\"spiffe://x\"");
    writeln!(
        text,
        "narrows_dependent_active{{{of}}} 1\nnarrows_dependent_share_ratio{{{of}}} 0.3\n\
         narrows_dependent_connections_total{{{of}}} {}\nnarrows_dependent_failures_total{{{of},reason=\"timed_out\"}} {}",
        2.0 * t,
        0.001 * t
    )?;
    Ok(())
}

fn served(text: &mut String, of: &str, name: &str, t: f64) -> Result<()> {
    let of = format!(
        "{of},destination_workload_namespace=\"shop\",destination_workload=\"{name}\",destination_principal=\"spiffe://x\""
    );
    writeln!(
        text,
        "narrows_served_active{{{of}}} 1\nnarrows_served_connections_total{{{of}}} {}\n\
         narrows_served_failures_total{{{of},reason=\"refused\"}} {}",
        2.0 * t,
        0.001 * t
    )?;
    Ok(())
}
