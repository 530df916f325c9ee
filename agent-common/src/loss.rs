/// What can be lost in the kernel; the index into the `LOSS` map.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Connections whose peer is not known because the flow table was full; the owner's totals have them.
    FlowDetail = 0,
    /// Connections whose owner is not known either, because the overflow table was full; the node's totals have them.
    FlowOwner = 1,
    /// Connections not counted, because the kernel had no memory for their record.
    SocketRecord = 2,
    /// Connections that ended and had never been seen: they were open, but not in a file table, at the start.
    Unseen = 3,
    /// Failure events not sent because their flow had many in that second. The counters have them.
    FailureEventsLimited = 4,
    /// Failure events not sent because the ring buffer was full. The counters have them.
    FailureEventsDropped = 5,
}

impl Loss {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::FlowDetail,
        Self::FlowOwner,
        Self::SocketRecord,
        Self::Unseen,
        Self::FailureEventsLimited,
        Self::FailureEventsDropped,
    ];

    /// The value of the `what` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FlowDetail => "flow_detail",
            Self::FlowOwner => "flow_owner",
            Self::SocketRecord => "socket_record",
            Self::Unseen => "unseen_connection",
            Self::FailureEventsLimited => "failure_event_rate_limited",
            Self::FailureEventsDropped => "failure_event_ring_full",
        }
    }
}
