//! Failed connections, one by one and at once: what the kernel tells of each, who it was, and everybody who wants to hear it.
//!
//! ```text
//! kernel ring ──▶ intake (who was it?) ──▶ ring ──▶ /api/v1/failures ──▶ narrows failures
//!                                           └─────▶ stdout (--log-failures)
//! ```
//!
//! The counters have every failure. The kernel tells of a bounded number of them in a second, and the ring keeps a bounded
//! number of those; a record that leaves a full ring is no loss of counting, and no loss to who follows, who has had it.

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
pub use line::{HEADER, line, printable};
pub use log::Log;
pub use record::Record;
pub use ring::{Batch, Page, Reader, Ring, Untold};

#[cfg(test)]
pub(crate) use record::tests::record as example;
