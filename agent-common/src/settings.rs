/// What the agent tells the programs before it loads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow without open connections is retired after so many collections without news.
    pub idle_collections: u32,
    /// Failure events a flow may send in a second.
    pub failure_events_per_second: u32,
    /// Numbers of the system calls `accept` and `accept4` on this architecture.
    pub accept_calls: [u32; 2],
}

impl Settings {
    /// Before the agent has its say.
    pub const DEFAULT: Self = Self {
        idle_collections: 12,
        failure_events_per_second: 10,
        accept_calls: [u32::MAX; 2],
    };
}

/// Bits that the agent sets while the programs run, when it has attached what they stand for.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The sockets that were open at the start have their records, and at each tick the open ones that have none get
    /// theirs. Until then every connection gets a record when it is established.
    OpenSocketsAreFound = 1,
    /// `reset` is attached. Without it, a socket that closes without an error and without a farewell is taken to have
    /// sent a reset.
    ResetsAreSeen = 2,
    /// There are points on this node: what is only about them is looked for.
    PointsAreHere = 4,
    /// Reads and writes of points are seen (`received`, `sent`), so the course of a connection is known.
    ExchangesAreSeen = 8,
}
