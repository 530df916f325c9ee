//! The cost of the programs for points: on a node without points, on a node with one, and for the point itself.

use super::{
    args::Args,
    load, measure,
    programs::{self, Cost, Statistics},
    report::{Report, median},
};
use anyhow::Result;
use narrows_testbed::{
    agent::Agent,
    cgroup::{self, Cgroup},
};
use std::{collections::BTreeMap, path::Path};

/// Round trips in each round of the exchange.
const ROUND_TRIPS: u32 = 20_000;

/// Datagrams in each round, nearly all of which are dropped.
const DATAGRAMS: u32 = 50_000;

/// The owner of the load.
const CASES: [&str; 3] = ["no points here", "not a point's", "a point's"];

/// Programs of the agent, by what they run for; the others run when the agent reads.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "connections",
        &["set_state", "reset", "retransmit", "retransmit_synack"],
    ),
    ("reads and writes", &["data_arrived", "data_read", "data_sent"]),
    ("scheduling", &["sched_switch", "sched_wakeup", "sched_wakeup_new"]),
    ("dropped packets", &["packet_dropped", "packet_rejected"]),
];

/// Measures kernel time per short connection, per read or write, and per context switch, in the three cases.
pub(crate) fn measure(report: &mut Report, args: &Args, agent: &Path, floor: &[u8]) -> Result<()> {
    println!(
        "kernel time inside points: {} rounds in each of {} cases",
        args.rounds,
        CASES.len()
    );
    let _statistics = Statistics::on()?;
    let _floor = programs::attach_floor(floor)?;
    let others: Vec<u32> = programs::costs()?.into_keys().collect();
    for case in CASES {
        let top = cgroup::unique("narrows-bench");
        let point = Cgroup::new(&format!("{top}/point"))?;
        let inventory = match case {
            "no points here" => "workloads: []\n".to_owned(),
            _ => format!(
                "points:\n  - {{ name: bench, namespace: bench, kind: waypoint, cgroup: {} }}\n",
                point.path()
            ),
        };
        let agent = Agent::start(agent, &inventory, &["--interval", "1"])?;
        let mut rows = Rows::default();
        let mut measure = || -> Result<()> {
            agent.settle();
            for _ in 0..args.rounds {
                rows.round(&others, args.connections)?;
            }
            Ok(())
        };
        if case == "a point's" {
            point.enter(measure)?;
        } else {
            measure()?;
        }
        rows.report(report, case);
    }
    Ok(())
}

#[derive(Default)]
struct Rows {
    connection: Vec<f64>,
    exchange: Vec<f64>,
    switch: Vec<f64>,
    switch_floor: Vec<f64>,
    drop: Vec<f64>,
}

impl Rows {
    fn round(&mut self, others: &[u32], connections: u32) -> Result<()> {
        let before = programs::costs()?;
        load::short_connections(connections)?;
        let between = programs::costs()?;
        load::round_trips(ROUND_TRIPS)?;
        let after = programs::costs()?;
        let dropped = load::dropped_packets(DATAGRAMS)?;
        let end = programs::costs()?;
        let ours = |id: &u32| !others.contains(id);
        let spent: f64 = [GROUPS[0], GROUPS[1]]
            .iter()
            .map(|(_, names)| sum(&before, &between, names, ours).nanoseconds)
            .sum();
        self.connection.push(spent / f64::from(connections));
        let exchange = sum(&between, &after, GROUPS[1].1, ours);
        self.exchange.push(exchange.nanoseconds / f64::from(2 * ROUND_TRIPS));
        let floor = sum(&between, &after, &["sched_switch"], |id| others.contains(id));
        let switches = floor.runs as f64;
        self.switch_floor.push(floor.nanoseconds / switches);
        let scheduling = sum(&between, &after, GROUPS[2].1, ours);
        self.switch.push(scheduling.nanoseconds / switches);
        let drops = sum(&after, &end, GROUPS[3].1, ours);
        self.drop.push(drops.nanoseconds / f64::from(dropped));
        Ok(())
    }

    fn report(self, report: &mut Report, case: &str) {
        let floor = median(self.switch_floor);
        let switch = median(self.switch);
        report.add(
            format!("inside points: a connection, {case}"),
            median(self.connection),
            "ns",
            "both ends, five bytes; without scheduling",
        );
        report.add(
            format!("inside points: a read and its write, {case}"),
            median(self.exchange),
            "ns",
            "data_arrived, data_read, data_sent",
        );
        report.add(
            format!("inside points: a context switch, {case}"),
            switch,
            "ns",
            format!("{:.2} × an empty program ({floor:.0} ns)", switch / floor),
        );
        report.add(
            format!("inside points: a dropped packet, {case}"),
            median(self.drop),
            "ns",
            "a datagram for a full buffer; packet_dropped, packet_rejected",
        );
    }
}

/// The cost of the programs with these names.
fn sum(
    before: &BTreeMap<u32, (String, Cost)>,
    after: &BTreeMap<u32, (String, Cost)>,
    names: &[&str],
    whose: impl Fn(&u32) -> bool,
) -> Cost {
    let programs = after
        .iter()
        // The kernel truncates names to 15 characters.
        .filter(|(id, (name, _))| {
            whose(id)
                && names
                    .iter()
                    .any(|full| full.starts_with(name.as_str()) && name.len() >= full.len().min(15))
        });
    programs.fold(Cost::default(), |total, (id, _)| {
        total + measure::difference(before, after, *id)
    })
}
