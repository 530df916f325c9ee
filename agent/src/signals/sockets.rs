//! The open sockets of points, as the last walk over open files found them: the data waiting in them, those on which it does not
//! move, and the local ports they use.

use super::sides::{SIDES, by_side};
use crate::{
    metrics::{
        Detail, Encoder, Labels, families,
        labels::{POINT, SIDE, label},
        with,
    },
    program::{Need, WALK},
};
use agent_common::{Backlog, Count, Field};
use std::fmt;

families! {
    UNREAD: gauge("narrows_unread_bytes", "Bytes that have arrived at sockets of the point and that the point has not read")
        .by(&[POINT, SIDE])
        .needs(UNREAD_NEEDS)
        .at(Detail::Points);

    UNACKNOWLEDGED: gauge(
        "narrows_unacknowledged_bytes",
        "Bytes that the point has written and its peers have not acknowledged"
    )
        .by(&[POINT, SIDE])
        .needs(UNACKNOWLEDGED_NEEDS)
        .at(Detail::Points);

    STALLED: gauge("narrows_connections_stalled", "Connections of the point on which waiting data does not move")
        .by(&[POINT, SIDE, &[label(
            "cause",
            "unread: the point has read nothing of the waiting data for a tick; zero_window: the peer has closed its window; \
             unacknowledged: the peer has acknowledged nothing for a tick"
        )]])
        .at(Detail::Points);

    SOCKETS: gauge("narrows_sockets", "TCP sockets that the point has open, by state")
        .by(&[POINT, SIDE, &[label("state", "The TCP state, such as established, close_wait or listen")]])
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);

    PORTS: gauge(
        "narrows_ephemeral_ports",
        "Local ports in use by connections of the point to one destination, for the destination with the most"
    )
        .by(&[POINT])
        .needs(PORTS_NEEDS)
        .at(Detail::Points);

    PORTS_LIMIT: gauge(
        "narrows_ephemeral_ports_limit",
        "Local ports for connections in the point's network namespace (net.ipv4.ip_local_port_range)"
    )
        .by(&[POINT])
        .needs(PORTS_NEEDS)
        .at(Detail::Points);
}

/// What unread bytes depend on.
pub const UNREAD_NEEDS: &[Need] = &[
    Need::Field(Field::tp_rcv_nxt),
    Need::Field(Field::tp_copied_seq),
    Need::Program(&WALK),
];

/// What unacknowledged bytes depend on.
pub const UNACKNOWLEDGED_NEEDS: &[Need] = &[
    Need::Field(Field::tp_write_seq),
    Need::Field(Field::tp_snd_una),
    Need::Program(&WALK),
];

/// What local ports in use depend on.
pub const PORTS_NEEDS: &[Need] = &[Need::Program(&WALK)];

const ZERO_WINDOW_NEEDS: &[Need] = &[
    Need::Field(Field::tp_write_seq),
    Need::Field(Field::tp_snd_una),
    Need::Field(Field::tp_snd_wnd),
    Need::Program(&WALK),
];

/// Labels of the TCP states by their numbers; 0 is not a state. The kernel's last one, `new_syn_recv`, is that of requests, which
/// are not sockets.
pub const STATE_LABELS: [&str; 12] = [
    "",
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// The result of the last pass.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// Sums over sockets, by side: upstream, downstream.
    pub backlog: Backlog,
    /// The number of open connections toward the destination with the most.
    pub ports_used: u64,
    /// The number of local ports available in its network namespace; 0 if not known.
    pub ports: u64,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            backlog: Backlog::ZERO,
            ports_used: 0,
            ports: 0,
        }
    }
}

impl Sockets {
    /// Starts a new pass.
    pub const fn begin(&mut self) {
        self.backlog = Backlog::ZERO;
        self.ports_used = 0;
    }

    /// Adds the sockets of one of the point's cgroups.
    pub fn find(&mut self, found: &Backlog) {
        self.backlog = self.backlog.plus(*found);
    }

    /// Connections with waiting data of which the point has read nothing for a tick.
    pub fn unread(&self) -> u64 {
        self.backlog.stalled_unread.iter().copied().map(u64::from).sum()
    }
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Sockets)> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    let by = |of: fn(&Backlog) -> &[u64; 2]| {
        by_side(
            points
                .clone()
                .map(move |(labels, sockets)| (labels, of(&sockets.backlog))),
        )
        .map(|(labels, n)| (labels, *n))
    };
    encoder.write(&UNREAD, by(|backlog| &backlog.unread))?;
    encoder.write(&UNACKNOWLEDGED, by(|backlog| &backlog.unacknowledged))?;
    stalled(&points, encoder)?;
    let states = points.clone().flat_map(|(labels, sockets)| {
        SIDES
            .into_iter()
            .zip(sockets.backlog.states)
            .flat_map(move |(side, counts)| {
                let states = STATE_LABELS.into_iter().zip(counts);
                states
                    .filter(|(state, n)| *n > 0 && !state.is_empty())
                    .map(move |(state, n)| (with(labels.clone(), [("side", side), ("state", state)]), n))
            })
    });
    encoder.write(&SOCKETS, states)?;
    let used = points
        .clone()
        .map(|(labels, sockets)| (labels.clone(), sockets.ports_used));
    encoder.write(&PORTS, used)?;
    let known = points.filter(|(_, sockets)| sockets.ports > 0);
    encoder.write(
        &PORTS_LIMIT,
        known.map(|(labels, sockets)| (labels.clone(), sockets.ports)),
    )
}

/// The causes depend on different fields, so each may be available or not.
fn stalled<'a>(
    points: &(impl Iterator<Item = (&'a Labels<'a>, &'a Sockets)> + Clone),
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    type Of = fn(&Backlog) -> &[u32; 2];
    let causes: [(_, _, Of); 3] = [
        ("unread", UNREAD_NEEDS, |backlog| &backlog.stalled_unread),
        ("zero_window", ZERO_WINDOW_NEEDS, |backlog| &backlog.stalled_zero_window),
        ("unacknowledged", UNACKNOWLEDGED_NEEDS, |backlog| {
            &backlog.stalled_unacknowledged
        }),
    ];
    let there: Vec<_> = causes
        .into_iter()
        .filter(|(_, needs, _)| encoder.has_all(needs))
        .collect();
    let rows = there.into_iter().flat_map(|(cause, _, of)| {
        by_side(
            points
                .clone()
                .map(move |(labels, sockets)| (labels, of(&sockets.backlog))),
        )
        .map(move |(labels, n)| (with(labels, [("cause", cause)]), *n))
    });
    encoder.write(&STALLED, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_one_point_are_added_up_and_old_findings_forgotten() {
        let mut sockets = Sockets::default();
        let mut found = Backlog::ZERO;
        found.unread[0] = 5;
        found.states[1][8] = 1;
        sockets.find(&found);
        sockets.find(&found);
        assert_eq!((sockets.backlog.unread[0], sockets.backlog.states[1][8]), (10, 2));
        assert_eq!(STATE_LABELS[8], "close_wait");
        sockets.begin();
        assert_eq!(sockets.backlog, Backlog::ZERO);
    }
}
