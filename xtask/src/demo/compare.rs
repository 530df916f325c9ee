//! The end of the demo: compares the counts of the load generator with those of narrows.

use std::fmt::{self, Display, Write as _};

use narrows_testbed::scrape::Metrics;

use super::mesh::{CLIENTS, Tallies, WAYPOINT_NAME as WAYPOINT};

const ZTUNNEL: &str = "istio-system/ztunnel";

/// A number that both sides have counted.
pub(super) struct Check {
    what: &'static str,
    told: u64,
    counted: f64,
    /// Whether the number must not be 0, as the check would be meaningless.
    must_happen: bool,
}

impl Check {
    pub(super) fn holds(&self) -> bool {
        self.counted == self.told as f64 && (self.told > 0 || !self.must_happen)
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the load generator says {}, narrows {}",
            self.what, self.told, self.counted
        )
    }
}

/// All checks of a demo whose load has ended.
pub(super) fn checks(tallies: &Tallies, metrics: &Metrics) -> Vec<Check> {
    let opened = |point, side| metrics.sum("narrows_connections_opened_total", &[("point", point), ("side", side)]);
    let failed = |point, side, reason| {
        let labels = [("point", point), ("side", side), ("reason", reason)];
        metrics.sum("narrows_connection_failures_total", &labels)
    };
    let bytes = |name, point, side| metrics.sum(name, &[("point", point), ("side", side)]);
    let callers_failed = |point, reason| {
        metrics.sum(
            "narrows_client_connection_failures_total",
            &[("point", point), ("reason", reason)],
        )
    };
    let callers_opened = |point| metrics.sum("narrows_client_connections_opened_total", &[("point", point)]);
    let dependents = |point| metrics.sum("narrows_dependents", &[("point", point), ("scope", "workload")]);
    let active = metrics.sum("narrows_connections_active", &[]);

    let Tallies {
        clients,
        ztunnel,
        servers,
        waypoint_lives,
    } = tallies;
    let everyone = CLIENTS.len() as u64;
    let mut traffic = vec![
        (
            "completed by clients = accepted by the ztunnel",
            clients.connected,
            opened(ZTUNNEL, "downstream"),
        ),
        (
            "opened by the ztunnel to the waypoint",
            ztunnel.connected,
            opened(ZTUNNEL, "upstream"),
        ),
        (
            "the same, as callers of the waypoint see it",
            ztunnel.connected,
            callers_opened(WAYPOINT),
        ),
        (
            "accepted by the servers = opened by the waypoint",
            servers.accepted,
            opened(WAYPOINT, "upstream"),
        ),
        ("workloads that depend on the ztunnel", everyone, dependents(ZTUNNEL)),
        ("workloads that depend on the waypoint", everyone, dependents(WAYPOINT)),
    ];
    let refused = clients.refused + ztunnel.refused;
    let mut failures = vec![
        (
            "refused to all callers of the waypoint",
            refused,
            callers_failed(WAYPOINT, "refused"),
        ),
        (
            "refused to the ztunnel among them",
            ztunnel.refused,
            failed(ZTUNNEL, "upstream", "refused"),
        ),
        ("connections still open", 0, active),
    ];
    if *waypoint_lives {
        // When the waypoint is killed, these depend on microseconds: a connection in its accept queue is open for its
        // caller only, and whether one of its own connections ends with a reset depends on unread data.
        let by_servers = (
            "reset by servers",
            servers.reset,
            failed(WAYPOINT, "upstream", "reset_by_peer"),
        );
        let passed_on = (
            "passed on by the waypoint",
            servers.reset,
            failed(WAYPOINT, "downstream", "reset_by_self"),
        );
        let felt = (
            "passed on by the ztunnel",
            clients.reset,
            failed(ZTUNNEL, "downstream", "reset_by_self"),
        );
        let asked = (
            "bytes of requests, at the ztunnel",
            clients.sent_bytes,
            bytes("narrows_received_bytes_total", ZTUNNEL, "downstream"),
        );
        let told = (
            "bytes of replies, at the ztunnel",
            clients.received_bytes,
            bytes("narrows_sent_bytes_total", ZTUNNEL, "downstream"),
        );
        traffic.extend([asked, told]);
        failures.extend([by_servers, passed_on, felt]);
        traffic.push((
            "accepted by the waypoint",
            ztunnel.connected,
            opened(WAYPOINT, "downstream"),
        ));
    }
    let check = |must_happen| {
        move |(what, told, counted)| Check {
            what,
            told,
            counted,
            must_happen,
        }
    };
    traffic
        .into_iter()
        .map(check(true))
        .chain(failures.into_iter().map(check(false)))
        .collect()
}

/// The table of checks.
pub(super) fn render(checks: &[Check]) -> String {
    let mut text = format!("{:<52} {:>14} {:>9}\n", "WHAT", "LOAD GENERATOR", "NARROWS");
    for check in checks {
        let verdict = if check.holds() { "equal" } else { "NOT EQUAL" };
        let _infallible = writeln!(
            text,
            "{:<52} {:>14} {:>9}  {verdict}",
            check.what, check.told, check.counted
        );
    }
    text
}
