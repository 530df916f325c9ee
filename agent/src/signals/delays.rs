//! How long data waits in points: until it is read, and until it is forwarded.

use super::{processes, sides::by_side};
use crate::{
    histogram::Histogram,
    metrics::{
        Detail, Encoder, Labels, families,
        labels::{POINT, SIDE},
    },
    program::{Hook, Need, Program},
};
use agent_common::Field;
use std::fmt;

/// Runs when data arrives at a socket.
pub const ARRIVED: Program = Program {
    name: "data_arrived",
    hook: Hook::Points("sk_data_ready"),
    signal: "read delay of points (else only the bytes that are unread at a tick)",
    needs: &[Need::Field(Field::tp_rcv_nxt), Need::Field(Field::tp_copied_seq)],
};

/// Runs when data is read.
pub const READ: Program = Program {
    name: "data_read",
    hook: Hook::Points("sock_recv_length"),
    signal: "read and forward delay of points; failed TLS handshakes among what was closed early; callers of what points open",
    needs: &[Need::Field(Field::tp_rcv_nxt), Need::Field(Field::tp_copied_seq)],
};

/// Runs when data is written.
pub const SENT: Program = Program {
    name: "data_sent",
    hook: Hook::Points("sock_send_length"),
    signal: "forward delay of points; failed TLS handshakes among what was closed early; callers of what points open",
    needs: &[Need::Program(&processes::EXIT)],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 3] = [&ARRIVED, &READ, &SENT];

families! {
    READ_DELAY: fine_histogram(
        "narrows_read_delay_seconds",
        "Time from data arriving at a socket of the point until the point reads it"
    )
        .by(&[POINT, SIDE])
        .needs(&[Need::Program(&ARRIVED), Need::Program(&READ)])
        .at(Detail::Points);

    FORWARD_DELAY: fine_histogram(
        "narrows_forward_delay_seconds",
        "Time from a read of the point to the next write of the same thread to another socket, by the side of the write"
    )
        .by(&[POINT, SIDE])
        .caveat("Approximate where work moves between threads")
        .needs(&[Need::Program(&READ), Need::Program(&SENT)])
        .at(Detail::Points);
}

/// The delays of a point, by side: upstream, downstream.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    /// From the arrival of data to its being read.
    pub read: [Histogram; 2],
    /// From a read to the next write to another socket.
    pub forward: [Histogram; 2],
}

impl Delays {
    /// Adds what the kernel has counted since the last reading.
    pub fn add(&mut self, new: &agent_common::Delays) {
        for side in 0..2 {
            self.read[side].add(&new.read[side], new.read_ns[side] / 1000);
            self.forward[side].add(&new.forward[side], new.forward_ns[side] / 1000);
        }
    }
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Delays)> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    encoder.write(
        &READ_DELAY,
        by_side(points.clone().map(|(labels, of)| (labels, &of.read))),
    )?;
    encoder.write(
        &FORWARD_DELAY,
        by_side(points.map(|(labels, of)| (labels, &of.forward))),
    )
}
