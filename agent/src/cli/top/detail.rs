//! Everything about a point, as lines.

use super::{
    columns::{padded, severity},
    ends::{self, Ends},
    words::{UNKNOWN, bytes, count, or_unknown, percent, rate, seconds, time_of_day},
};
use crate::{
    api::{Delay, Delays, Load, PointDetail, Resource, SideLoad, Vantage},
    failures::printable,
};

/// A line, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Begins a part.
    Heading(String),
    /// Says something.
    Text(String),
}

/// The cells of a bar.
const BAR: usize = 20;

/// What is known of it, the most urgent first, in parts with a heading each: as many lines whatever the width, in characters, to which
/// tables are fitted.
pub fn lines(detail: &PointDetail, width: usize) -> Vec<Line> {
    let mut page = Page::default();
    trouble(&mut page, detail);
    saturation(&mut page, detail);
    load(&mut page, detail);
    delays(&mut page, detail);
    failures(&mut page, detail);
    dependents(&mut page, detail, width);
    served(&mut page, detail, width);
    accept_queues(&mut page, detail);
    drain(&mut page, detail);
    control_plane(&mut page, detail);
    missing(&mut page, detail);
    page.0
}

#[derive(Default)]
struct Page(Vec<Line>);

impl Page {
    fn heading(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.say("");
        }
        self.0.push(Line::Heading(text.to_owned()));
    }

    fn say(&mut self, text: impl AsRef<str>) {
        // Names come from other users.
        self.0.push(Line::Text(printable(text.as_ref()).into_owned()));
    }
}

fn trouble(page: &mut Page, detail: &PointDetail) {
    let point = &detail.point;
    let name = &point.name;
    page.heading("TROUBLE");
    page.say(format!(
        "{}: {} {}, processes on this node: {}",
        severity(point.trouble.severity),
        name.mesh.label(),
        name.kind.label(),
        point.processes
    ));
    for reason in &point.trouble.reasons {
        page.say(format!("  {:<8} {}", severity(reason.severity), reason.text));
    }
    let risk = &point.choke_risk;
    page.say(match (risk.ratio, &risk.missing) {
        (Some(ratio), _) => format!(
            "choke risk {}: {} of the workloads with traffic on this node depend on it",
            percent(ratio),
            or_unknown(risk.dependents_ratio, percent)
        ),
        (None, why) => format!("choke risk {UNKNOWN}: {}", why.as_deref().unwrap_or("not known")),
    });
}

fn saturation(page: &mut Page, detail: &PointDetail) {
    page.heading("SATURATION  by resource");
    for Resource {
        resource,
        ratio,
        missing,
    } in &detail.point.saturation.resources
    {
        page.say(match ratio {
            Some(ratio) => {
                // At most BAR, as a ratio is at most 1; cut off all the same.
                let full = ((ratio * BAR as f64).ceil().max(0.0) as usize).min(BAR);
                format!(
                    "{resource:<16} [{}{}] {:>4}",
                    "#".repeat(full),
                    ".".repeat(BAR - full),
                    percent(*ratio)
                )
            }
            None => format!(
                "{resource:<16} {UNKNOWN}  {}",
                missing.as_deref().unwrap_or("not known")
            ),
        });
    }
}

fn load(page: &mut Page, detail: &PointDetail) {
    page.heading("LOAD  by side, by the point's own sockets");
    let Some(Load { downstream, upstream }) = &detail.point.load else {
        return page.say(format!("{UNKNOWN}  it does not run on this node"));
    };
    page.say("SIDE          OPEN  CONN/S  RECEIVED/S      SENT/S  RETRANSMITTED");
    for (side, load) in [("downstream", downstream), ("upstream", upstream)] {
        let SideLoad {
            open_connections,
            opened_per_second,
            retransmitted_segments_total,
            ..
        } = load;
        page.say(format!(
            "{side:<10} {:>7} {:>7} {:>11} {:>11} {:>14}",
            count(*open_connections),
            or_unknown(*opened_per_second, rate),
            or_unknown(load.received_bytes_per_second, bytes),
            or_unknown(load.sent_bytes_per_second, bytes),
            count(*retransmitted_segments_total),
        ));
    }
}

/// A request and its response as blocks, with the time from each to the next.
fn delays(page: &mut Page, detail: &PointDetail) {
    page.heading("DELAYS  median, 99th percentile; last tick; approximate");
    let Some(Delays {
        read,
        forward,
        read_missing,
        forward_missing,
    }) = &detail.point.delays
    else {
        return page.say(format!("{UNKNOWN}  it does not run on this node"));
    };
    let way = |name: &str, read: &Delay, forward: &Delay| {
        format!(
            "{name:<8} [arrived] {} [read] {} [forwarded]",
            arrow(read),
            arrow(forward)
        )
    };
    page.say(way("request", &read.downstream, &forward.upstream));
    page.say(way("response", &read.upstream, &forward.downstream));
    for (what, missing) in [
        ("arrived to read", read_missing),
        ("read to forwarded", forward_missing),
    ] {
        if let Some(why) = missing {
            page.say(format!("{what} {UNKNOWN}  {why}"));
        }
    }
}

fn arrow(delay: &Delay) -> String {
    match (delay.p50_seconds, delay.p99_seconds) {
        (Some(p50), Some(p99)) => format!("-- {}, {} -->", seconds(p50), seconds(p99)),
        _ => format!("-- {UNKNOWN} -->"),
    }
}

fn failures(page: &mut Page, detail: &PointDetail) {
    page.heading("FAILURES  at both vantages; one may be in both");
    let both = [
        (
            "point's sockets",
            &detail.point.failures.point,
            "it does not run on this node",
        ),
        (
            "callers' sockets",
            &detail.point.failures.callers,
            "nobody on this node has called an address of its own",
        ),
    ];
    for (whose, vantage, without) in both {
        let Some(Vantage {
            failures_total,
            failures_per_second,
            by_reason,
            ..
        }) = vantage
        else {
            page.say(format!("{whose:<16} {UNKNOWN}  {without}"));
            continue;
        };
        page.say(format!(
            "{whose:<16} {}/s, {} in all",
            or_unknown(*failures_per_second, rate),
            count(*failures_total)
        ));
        for reason in by_reason {
            page.say(format!(
                "  {:<14} {:<11} {:<10} {:>6}/s {:>7} in all",
                reason.reason,
                reason.phase,
                reason.side.as_deref().unwrap_or_default(),
                or_unknown(reason.failures_per_second, rate),
                count(reason.failures_total)
            ));
        }
    }
}

fn dependents(page: &mut Page, detail: &PointDetail, width: usize) {
    workloads(page, &ends::table(detail, Ends::Dependents, width));
    for caller in &detail.unnamed_callers {
        page.say(format!(
            "accepted from {} (no workload): {}",
            caller.caller,
            count(caller.accepted_total)
        ));
    }
}

fn served(page: &mut Page, detail: &PointDetail, width: usize) {
    workloads(page, &ends::table(detail, Ends::Served, width));
}

fn workloads(page: &mut Page, table: &ends::Table) {
    page.heading(&table.title);
    if table.rows.is_empty() {
        return page.say("none");
    }
    page.say(&table.header);
    table.rows.iter().for_each(|row| page.say(row));
}

fn accept_queues(page: &mut Page, detail: &PointDetail) {
    page.heading("ACCEPT QUEUES  by port");
    let Some(queues) = &detail.accept_queues else {
        let why = detail.missing.accept_queues.as_deref().unwrap_or("not known");
        return page.say(format!("{UNKNOWN}  {why}"));
    };
    if queues.is_empty() {
        return page.say("no listening socket was found on this node");
    }
    page.say("PORT   LISTENERS  QUEUED  LIMIT  FULL    OLDEST  DROPPED");
    for queue in queues {
        page.say(format!(
            "{:<6} {:>9} {:>7} {:>6} {:>5} {:>9} {:>8}",
            queue.port,
            count(queue.listeners),
            or_unknown(queue.queued_connections, count),
            count(queue.limit_connections),
            or_unknown(queue.utilization_ratio, percent),
            or_unknown(queue.oldest_seconds, seconds),
            or_unknown(queue.drops_total, count),
        ));
    }
}

fn drain(page: &mut Page, detail: &PointDetail) {
    page.heading("DRAIN");
    let Some(drain) = &detail.point.drain else {
        return page.say("it is not to go");
    };
    page.say(format!(
        "{} since {}, grace ends {}: {} connections hang on it, about {} will be cut",
        drain.cause.label(),
        time_of_day(&drain.since),
        drain.deadline.as_deref().map_or(UNKNOWN, time_of_day),
        count(drain.connections),
        or_unknown(drain.cut_estimate, rate),
    ));
}

fn control_plane(page: &mut Page, detail: &PointDetail) {
    page.heading("CONTROL PLANE");
    if detail.point.control_plane.is_empty() {
        return page.say("no link was seen");
    }
    for link in &detail.point.control_plane {
        let state = match link.open_connections {
            0 => "DISCONNECTED".to_owned(),
            n => format!("connected ({n})"),
        };
        page.say(format!(
            "{}/{}: {state} since {}, last heard of {}, {} failures",
            link.namespace,
            link.name,
            time_of_day(&link.changed),
            link.last_received.as_deref().map_or(UNKNOWN, time_of_day),
            count(link.failures_total)
        ));
    }
}

fn missing(page: &mut Page, detail: &PointDetail) {
    page.heading("MISSING SIGNALS  on this node");
    let mut is_complete = true;
    for signal in detail.signals.iter().filter(|signal| !signal.active) {
        is_complete = false;
        let why = signal.reason.as_deref().unwrap_or("off");
        page.say(format!("{} {}: {why}", padded(&signal.name, 20, false), signal.what));
    }
    if let Some(why) = detail.threads.as_ref().and_then(|threads| threads.missing.as_ref()) {
        is_complete = false;
        page.say(format!("{} {why}", padded("threads", 20, false)));
    }
    if is_complete {
        page.say("none");
    }
}
