//! Failed calls of `accept`.

use super::processes;
use crate::{
    metrics::{
        Encoder, Labels, families,
        labels::{POINT, label},
        with,
    },
    program::{Hook, Need, Program},
};
use agent_common::{AcceptError, Accepts, Field};
use std::fmt;

/// Runs when a system call returns.
pub const ERROR: Program = Program {
    name: "accept_error",
    hook: Hook::OnDemand("sys_exit"),
    signal: "failed accepts of points, while connections are stuck in their queues",
    needs: &[Need::Field(Field::regs_call), Need::Program(&processes::EXIT)],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 1] = [&ERROR];

families! {
    ERRORS: counter("narrows_accept_errors_total", "Failed calls of accept by the point")
        .by(&[POINT, &[label("error", "EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EPERM or other")]])
        .caveat("Counted only while connections are stuck in an accept queue of the point: the first of them for more than a second at a tick")
        .needs(&[Need::Program(&ERROR)]);
}

/// Writes the family, with a series for each error that has occurred.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Accepts)>,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    let errors = points.flat_map(|(labels, of)| {
        let by = AcceptError::ALL.into_iter().zip(of.errors);
        by.filter(|(_, n)| *n > 0)
            .map(|(error, n)| (with(labels.clone(), [("error", error.label())]), n))
    });
    encoder.write(&ERRORS, errors)
}
