/// Settings that the agent writes before it loads the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Flows that one owner (cgroup) may have in the table.
    pub flows_per_owner: u32,
    /// The limit of records of sockets.
    pub sockets: u32,
    /// Failure events that a flow may send per second.
    pub failure_events_per_second: u32,
    /// Numbers of the system calls `accept` and `accept4` on this architecture.
    pub accept_calls: [u32; 2],
    /// Identifies what the programs were built from: code, offsets and the other settings. Never 0.
    pub epoch: u32,
}

impl Settings {
    /// Values for when the agent sets no others.
    pub const DEFAULT: Self = Self {
        flows_per_owner: u32::MAX,
        sockets: u32::MAX,
        failure_events_per_second: 10,
        accept_calls: [u32::MAX; 2],
        epoch: 1,
    };
}

/// Settings that the agent changes while the programs run: the only element of the map `CONTROL`.
///
/// The programs may outlive the agent (see `agent/src/kernel/pins.rs`), so it also states which of them count, and until when.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBlock<L = u64, W = u32> {
    /// Nothing is counted after this time, in nanoseconds of `CLOCK_MONOTONIC`: no agent has run for too long.
    pub until_ns: L,
    /// The [`Settings::epoch`] of the programs that count; 0 while none does.
    pub epoch: W,
    /// A set of [`Control`] bits.
    pub bits: W,
}

/// Bits that the agent sets while the programs run, once it has attached the programs that they stand for.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// At each tick, open sockets without a record get one. Until this is set, and where not all sockets can be found, every
    /// connection gets a record when it is established.
    OpenSocketsAreFound = 1,
    /// `reset` is attached. Without it, a socket that closes without an error and without a FIN is assumed to have
    /// sent a reset.
    ResetsAreSeen = 2,
    /// There are points on this node: programs that only concern points do their work.
    PointsAreHere = 4,
    /// Reads and writes of points are observed, so the exchange on their connections is known.
    ExchangesAreSeen = 8,
    /// The sockets that were open at the start have been adopted: a socket without a record was opened since.
    OpenSocketsAreAdopted = 16,
    /// The twin of the life-cycle program is attached: handled changes are noted for it.
    TwinIsHere = 32,
    /// The life-cycle programs of another epoch are about to take over: notes are kept for their twin.
    HandsOver = 64,
    /// Some ends were not counted: walks over open files count the open connections of each flow.
    OpenSocketsAreCounted = 128,
    /// Every thread in `TASKS` is marked in `MARKS`, which is cheaper to check.
    ThreadsAreMarked = 256,
}

/// The operation of the `amend` program on a flow or a thread; its first argument.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// Mark the flow as about to be removed from the table, unless it has open connections.
    Retire = 0,
    /// Count the given number of the flow's connections as ended.
    End = 1,
    /// Mark the id of a thread of a point.
    Mark = 2,
}
