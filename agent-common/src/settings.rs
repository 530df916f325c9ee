/// What the agent tells the programs before it loads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Flows that one owner (cgroup) may have in the table.
    pub flows_per_owner: u32,
    /// Records of sockets that there may be at a time.
    pub sockets: u32,
    /// Failure events a flow may send in a second.
    pub failure_events_per_second: u32,
    /// Numbers of the system calls `accept` and `accept4` on this architecture.
    pub accept_calls: [u32; 2],
    /// Stands for everything that the programs were made from: code, offsets and the other settings. Never 0.
    pub epoch: u32,
}

impl Settings {
    /// Before the agent has its say.
    pub const DEFAULT: Self = Self {
        flows_per_owner: u32::MAX,
        sockets: u32::MAX,
        failure_events_per_second: 10,
        accept_calls: [u32::MAX; 2],
        epoch: 1,
    };
}

/// What the agent tells the programs while they run: the only element of the map `CONTROL`.
///
/// The programs may outlive the agent (see `agent/src/kernel/pins.rs`), so it also says which of them count, and for how long.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBlock<L = u64, W = u32> {
    /// Nothing is counted after this moment of the boot clock without suspension (CLOCK_MONOTONIC), in nanoseconds: the agent has
    /// been away for too long.
    pub until_ns: L,
    /// The [`Settings::epoch`] of the programs that count; 0 while none does.
    pub epoch: W,
    /// [`Control`] bits.
    pub bits: W,
}

/// Bits that the agent sets while the programs run, when it has attached what they stand for.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// At each tick the open sockets that have no record get one. Until then, and where they are not all found, every
    /// connection gets a record when it is established.
    OpenSocketsAreFound = 1,
    /// `reset` is attached. Without it, a socket that closes without an error and without a farewell is taken to have
    /// sent a reset.
    ResetsAreSeen = 2,
    /// There are points on this node: what is only about them is looked for.
    PointsAreHere = 4,
    /// Reads and writes of points are seen (`received`, `sent`), so the course of a connection is known.
    ExchangesAreSeen = 8,
    /// The sockets that were open at the start have been taken in: what has no record now was opened since.
    OpenSocketsAreAdopted = 16,
    /// The twin of the life-cycle program is attached: what has been handled is noted for it.
    TwinIsHere = 32,
    /// The life-cycle programs of another epoch are about to take over: notes stay for their twin.
    HandsOver = 64,
    /// Ends are missing: walks over open files count, flow by flow, the connections that they find.
    OpenSocketsAreCounted = 128,
    /// Every thread in `TASKS` is marked in `MARKS`, which is cheaper to ask.
    ThreadsAreMarked = 256,
}

/// What the `amend` program is asked to do with a flow, or with a thread; its first argument.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// Mark it as about to be taken out of the table, unless it has open connections.
    Retire = 0,
    /// Count so many of its connections as ended.
    End = 1,
    /// No flow, but a thread of a point: mark its number.
    Mark = 2,
}
