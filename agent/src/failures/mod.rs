//! Failed connections, one by one and without waiting for a tick: events of the kernel, their identification, and their readers.
//!
//! ```text
//! kernel ring ──▶ intake (identity) ──▶ ring ──▶ /api/v1/failures ──▶ narrows failures
//!                                        └─────▶ stdout (--log-failures)
//! ```
//!
//! The counters include every failure. The kernel reports a bounded number of them per second, and the ring keeps a bounded
//! number of these. A record that is evicted from a full ring stays counted, and clients that follow have received it before.

mod answer;
mod failure;
mod filter;
mod intake;
mod line;
mod log;
mod record;
mod ring;

pub use answer::{Dropped, List, Lost, Start};
pub use failure::{End, Failure, PointName, Side, Vantage, WorkloadName};
pub use filter::{Filter, REASONS, Since, parse_reason, parse_workload};
pub use intake::{Intake, Patience};
pub use line::{HEADER, caller_and_called, line, printable};
pub use log::Log;
pub use record::Record;
pub use ring::{Batch, Page, Reader, Ring, Untold};

#[cfg(test)]
pub(crate) use record::tests::record as example;
