//! A snapshot as metrics. The names and labels are a contract with users' dashboards and alerts.

use super::{
    boundary, dependency,
    families::{Encoder, Labels, counters, gauges, histograms},
    inside, own,
    rows::{ACCEPT_QUEUE, by_reason, local, point_labels, with},
    saturation,
    series::Series,
    snapshot::{Shared, Snapshot},
};
use crate::model::{CalledPoint, Side};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::fmt;

/// Encodes the newest snapshot at each scrape.
#[derive(Debug)]
pub struct SnapshotCollector(pub Shared);

impl Collector for SnapshotCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.load();
        encode(&snapshot, &mut Encoder::text(encoder, snapshot.before.clone()))
    }
}

/// What the agents up to this one have counted, for the next one; as of `now`, in milliseconds since 1970.
///
/// # Errors
/// None that is known.
pub fn series(snapshot: &Snapshot, now: i64) -> Result<Series, fmt::Error> {
    let mut series = Series::default();
    encode(snapshot, &mut Encoder::kept(&mut series, now, snapshot.before.clone()))?;
    Ok(series)
}

fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    load(snapshot, encoder)?;
    accept_queues(snapshot, encoder)?;
    inside::encode(snapshot, encoder)?;
    failures(snapshot, encoder)?;
    called(snapshot, encoder)?;
    saturation::encode(snapshot, encoder)?;
    dependency::encode(snapshot, encoder)?;
    boundary::encode(snapshot, encoder)?;
    own::encode(snapshot, encoder)
}

/// Both sides of every point that runs here.
fn sides(snapshot: &Snapshot) -> impl Iterator<Item = (Labels<'_>, &Side)> {
    local(snapshot).flat_map(|row| {
        [("downstream", &row.load.downstream), ("upstream", &row.load.upstream)]
            .map(|(name, side)| (with(point_labels(row), [("side", name)]), side))
    })
}

fn upstream(snapshot: &Snapshot) -> impl Iterator<Item = (Labels<'_>, &Side)> {
    local(snapshot).map(|row| (with(point_labels(row), [("side", "upstream")]), &row.load.upstream))
}

fn load(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    macro_rules! side_counters {
        ($($name:literal, $help:literal, $field:ident;)*) => {
            $(counters(encoder, $name, $help, sides(snapshot).map(|(labels, side)| (labels, side.$field)))?;)*
        };
    }
    side_counters! {
        "narrows_connections_opened", "TCP connections whose handshake completed", opened;
        "narrows_connections_closed", "Established TCP connections that ended", closed;
        "narrows_received_bytes", "Payload bytes received", received;
        "narrows_sent_bytes", "Payload bytes sent, without retransmissions", sent;
        "narrows_retransmitted_segments", "Segments retransmitted on established connections", retransmits;
        "narrows_syn_retransmits", "Retransmitted SYNs (upstream) and SYN-ACKs (downstream)", syn_retransmits;
    }
    gauges(
        encoder,
        "narrows_connections_active",
        "TCP connections open now",
        sides(snapshot).map(|(labels, side)| (labels, side.active as f64)),
    )?;
    histograms(
        encoder,
        "narrows_connect_duration_seconds",
        "Time from SYN to established, of connections the point opened",
        upstream(snapshot).map(|(labels, side)| (labels, &side.connect)),
    )?;
    histograms(
        encoder,
        "narrows_round_trip_seconds",
        "Smoothed round-trip time of open connections with traffic, one sample a connection and tick",
        sides(snapshot).map(|(labels, side)| (labels, &side.round_trip)),
    )
}

fn accept_queues(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let queues = || {
        local(snapshot).flat_map(|row| {
            row.load.queues.iter().map(move |(port, queue)| {
                let mut labels = point_labels(row);
                labels.push(("port", port.to_string().into()));
                (labels, queue)
            })
        })
    };
    // A port that nobody listens on any more has drops to show, but no queue.
    let open = || queues().filter(|(_, queue)| queue.listeners > 0);
    let length = ACCEPT_QUEUE.iter().all(|field| snapshot.has(field));
    let drops = snapshot.has("sock.sk_drops");
    gauges(
        encoder,
        "narrows_accept_queue_connections",
        "Connections whose handshake completed and that wait for accept, over all listeners of the port",
        open()
            .filter(|_| length)
            .map(|(labels, queue)| (labels, queue.queued as f64)),
    )?;
    gauges(
        encoder,
        "narrows_accept_queue_limit_connections",
        "Backlog given to listen, over all listeners of the port",
        open().map(|(labels, queue)| (labels, queue.limit as f64)),
    )?;
    gauges(
        encoder,
        "narrows_accept_queue_utilization_ratio",
        "How full the fullest accept queue of the port is (1: the next handshake is dropped)",
        open()
            .filter(|_| length)
            .map(|(labels, queue)| (labels, queue.utilization)),
    )?;
    gauges(
        encoder,
        "narrows_accept_queue_oldest_seconds",
        "How long the connection has waited for accept that has waited the longest (0: none waits); not there when a waiting \
         connection does not tell, as after a SYN cookie",
        open()
            .filter(|_| length)
            .filter_map(|(labels, queue)| Some((labels, queue.oldest_us? as f64 / 1e6))),
    )?;
    counters(
        encoder,
        "narrows_accept_queue_drops",
        "Handshakes that listeners of the port dropped",
        queues().filter(|_| drops).map(|(labels, queue)| (labels, queue.drops)),
    )
}

fn failures(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    counters(
        encoder,
        "narrows_connection_failures",
        "TCP connections that failed, by how, as the point's own sockets show it; never_accepted also counts callers that reset before \
         the proxy accepted, as health checks do",
        sides(snapshot).flat_map(|(labels, side)| by_reason(labels, &side.failures)),
    )
}

fn called(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    fn labels(point: &CalledPoint) -> Labels<'_> {
        vec![
            ("point", point.name.as_str().into()),
            ("kind", point.kind.label().into()),
            ("mesh", point.mesh.label().into()),
        ]
    }
    let all = || snapshot.called.iter().map(|(point, called)| (labels(point), called));
    counters(
        encoder,
        "narrows_client_connections_opened",
        "TCP connections to the point whose handshake completed, as its callers on this node see it",
        all().map(|(labels, called)| (labels, called.opened)),
    )?;
    counters(
        encoder,
        "narrows_client_connection_failures",
        "TCP connections to the point that failed, by how, as its callers on this node see it",
        all().flat_map(|(labels, called)| by_reason(labels, &called.failures)),
    )?;
    counters(
        encoder,
        "narrows_client_syn_retransmits",
        "SYNs to the point that its callers on this node had to repeat",
        all().map(|(labels, called)| (labels, called.syn_retransmits)),
    )?;
    histograms(
        encoder,
        "narrows_client_connect_duration_seconds",
        "Time from SYN to established, as the point's callers on this node see it",
        all().map(|(labels, called)| (labels, &called.connect)),
    )
}
