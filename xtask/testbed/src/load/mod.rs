//! Load with exact accounting: clients record the result of each connection, and servers do the same.
//!
//! A request starts with two big-endian 32-bit numbers, its own length and that of the reply it asks for. The client
//! closes first and then waits for the server's end, so a connection that counts as `ok` is closed on both sides and
//! never ends in a reset.

mod board;
mod client;
mod crowd;
mod forged;
mod handshakes;
mod latency;
mod rapid;
mod server;
mod steady;
mod stubborn;
mod tally;

pub(crate) use board::Board;
pub use client::{Client, Plan};
pub use crowd::{Crowd, CrowdTally, reset};
pub use forged::forged_syns;
pub use handshakes::{Ending, HandshakeTally, Handshakes, Version};
pub use latency::Latencies;
pub use rapid::{RapidServer, rapid_connections};
pub use server::{Behaviour, Server};
pub use steady::{Pace, PaceTally, Steady};
pub use stubborn::{Manner, Stubborn};
pub use tally::{ClientTally, ServerTally};

/// The two lengths at the start of a request.
pub(crate) const HEADER: usize = 8;
