//! What happens inside points, as metrics. A series is there while what it rests on is active: nothing is shown as 0 that
//! nobody has looked at.

use super::{
    families::{Encoder, Labels, counters, counters_f64, gauges, histograms_fine},
    rows::{point_labels, with},
    snapshot::{PointRow, Snapshot},
};
use crate::model::{Culprit, Inside, STATE_LABELS};
use agent_common::{AcceptError, Exit};
use std::fmt;

/// What unread bytes rest on.
pub(super) const UNREAD: &[&str] = &["tcp_sock.rcv_nxt", "tcp_sock.copied_seq"];

/// What the time that threads wait for a processor rests on.
pub(super) const SCHEDULING: &[&str] = &["sched_switch", "sched_wakeup"];

/// By role, as the kernel counts them.
const SIDES: [&str; 2] = ["upstream", "downstream"];

pub(super) fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    delays(snapshot, encoder)?;
    scheduling(snapshot, encoder)?;
    processes(snapshot, encoder)?;
    sockets(snapshot, encoder)?;
    ports(snapshot, encoder)
}

/// The points that run here, when all of these programs and kernel fields are there.
fn points<'a>(snapshot: &'a Snapshot, needs: &[&str]) -> impl Iterator<Item = (&'a PointRow, &'a Inside)> + use<'a> {
    let active = needs.iter().all(|name| snapshot.has(name));
    let local = snapshot.points.iter().filter(move |row| active && row.load.local);
    local.map(|row| (row, &row.load.inside))
}

fn by_side<'a, T: 'a>(
    points: impl Iterator<Item = (&'a PointRow, &'a Inside)>,
    of: impl Fn(&'a Inside) -> &'a [T; 2],
) -> impl Iterator<Item = (Labels<'a>, &'a T)> {
    points.flat_map(move |(row, inside)| {
        let each = SIDES.into_iter().zip(of(inside));
        each.map(move |(side, value)| (with(point_labels(row), [("side", side)]), value))
    })
}

fn delays(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let read = points(snapshot, &["data_arrived", "data_read"]);
    histograms_fine(
        encoder,
        "narrows_read_delay_seconds",
        "Time from data coming in on the point's socket to the point reading it",
        by_side(read, |inside| &inside.read_delay),
    )?;
    let forward = points(snapshot, &["data_read", "data_sent"]);
    histograms_fine(
        encoder,
        "narrows_forward_delay_seconds",
        "Time from a read to the next write of the same thread to another socket, by the side of the write; approximate \
         where work moves between threads",
        by_side(forward, |inside| &inside.forward_delay),
    )
}

fn scheduling(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let all = || points(snapshot, SCHEDULING);
    histograms_fine(
        encoder,
        "narrows_run_queue_seconds",
        "Time that the point's threads were ready to run and waited for a processor",
        all().map(|(row, inside)| (point_labels(row), &inside.run_queue)),
    )?;
    counters_f64(
        encoder,
        "narrows_cpu_wait_seconds",
        "Seconds that the point's threads were ready to run and waited for a processor",
        all().map(|(row, inside)| (point_labels(row), inside.run_queue.sum())),
    )?;
    counters(
        encoder,
        "narrows_preemptions",
        "Times that a thread of the point was ready to run and another one ran: it was interrupted, or had to wait after it \
         was woken up. Not counted while the point's own quota of processor time was used up",
        all().flat_map(|(row, inside)| {
            Culprit::ALL.into_iter().map(move |by| {
                (
                    with(point_labels(row), [("by", by.label())]),
                    inside.preemptions[by as usize],
                )
            })
        }),
    )
}

fn processes(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let all = || points(snapshot, &["process_exit"]);
    counters(
        encoder,
        "narrows_point_starts",
        "Processes that began as the point since the agent runs",
        all().map(|(row, inside)| (point_labels(row), inside.starts)),
    )?;
    counters(
        encoder,
        "narrows_point_exits",
        "Processes of the point that ended; those that it had started itself only when they were killed",
        all().flat_map(|(row, inside)| {
            Exit::ALL
                .into_iter()
                .map(move |how| (with(point_labels(row), [("reason", how.label())]), inside.exits(how)))
        }),
    )?;
    counters(
        encoder,
        "narrows_accept_errors",
        "Calls of accept that failed, while connections were stuck in a queue of a point (the first of them for more than a \
         second at a tick)",
        points(snapshot, &["accept_error"]).flat_map(|(row, inside)| {
            let occurred = AcceptError::ALL
                .into_iter()
                .filter(|error| inside.accept_errors(*error) > 0);
            occurred.map(move |error| {
                (
                    with(point_labels(row), [("error", error.label())]),
                    inside.accept_errors(error),
                )
            })
        }),
    )
}

fn sockets(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    const UNACKNOWLEDGED: &[&str] = &["tcp_sock.write_seq", "tcp_sock.snd_una"];
    const ZERO_WINDOW: &[&str] = &["tcp_sock.write_seq", "tcp_sock.snd_una", "tcp_sock.snd_wnd"];
    gauges(
        encoder,
        "narrows_unread_bytes",
        "Bytes that have come in and that the point has not read",
        by_side(points(snapshot, UNREAD), |inside| &inside.backlog.unread).map(|(labels, n)| (labels, *n as f64)),
    )?;
    gauges(
        encoder,
        "narrows_unacknowledged_bytes",
        "Bytes that the point has written and its peers have not acknowledged",
        by_side(points(snapshot, UNACKNOWLEDGED), |inside| {
            &inside.backlog.unacknowledged
        })
        .map(|(labels, n)| (labels, *n as f64)),
    )?;
    gauges(
        encoder,
        "narrows_connections_stalled",
        "Connections that do not move: for a tick the point has read nothing of what waits (unread), the peer has closed its \
         window (zero_window), or for a tick the peer has acknowledged nothing of what waits (unacknowledged)",
        [
            ("unread", UNREAD),
            ("zero_window", ZERO_WINDOW),
            ("unacknowledged", UNACKNOWLEDGED),
        ]
        .into_iter()
        .flat_map(|(cause, needs)| {
            let stalled = by_side(points(snapshot, needs), move |inside| match cause {
                "unread" => &inside.backlog.stalled_unread,
                "zero_window" => &inside.backlog.stalled_zero_window,
                _ => &inside.backlog.stalled_unacknowledged,
            });
            stalled.map(move |(labels, n)| (with(labels, [("cause", cause)]), f64::from(*n)))
        }),
    )?;
    gauges(
        encoder,
        "narrows_sockets",
        "Sockets that the point has open, by TCP state",
        points(snapshot, &["walk"]).flat_map(|(row, inside)| {
            SIDES.into_iter().enumerate().flat_map(move |(n, side)| {
                let states = STATE_LABELS.into_iter().zip(inside.backlog.states[n]);
                states
                    .filter(|(state, n)| *n > 0 && !state.is_empty())
                    .map(move |(state, n)| {
                        (
                            with(point_labels(row), [("side", side), ("state", state)]),
                            f64::from(n),
                        )
                    })
            })
        }),
    )
}

fn ports(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    gauges(
        encoder,
        "narrows_ephemeral_ports",
        "Local ports that the point's connections to one destination take up, at the destination with the most",
        points(snapshot, &["walk"]).map(|(row, inside)| (point_labels(row), inside.ports_used as f64)),
    )?;
    let known = points(snapshot, &["walk"]).filter(|(_, inside)| inside.ports > 0);
    gauges(
        encoder,
        "narrows_ephemeral_ports_limit",
        "Local ports for connections that there are in the point's network namespace (net.ipv4.ip_local_port_range)",
        known.map(|(row, inside)| (point_labels(row), inside.ports as f64)),
    )
}
