/// What can be lost in the kernel; the index into the `LOSS` map.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Events (an opening, an end, a sampling) of connections whose peer is not known because the flow table was full;
    /// the owner's totals have them.
    FlowDetail = 0,
    /// Events of connections whose owner is not known either, because the overflow table was full; the node's totals have
    /// them.
    FlowOwner = 1,
    /// Records not made, because the kernel had no memory: the connection is not sampled while it is open.
    SocketRecord = 2,
    /// Failure events not sent because their flow had many in that second. The counters have them.
    FailureEventsLimited = 3,
    /// Failure events not sent because the ring buffer was full. The counters have them.
    FailureEventsDropped = 4,
    /// Cgroups that came or went without the agent being told, because the ring buffer was full. It looks for them itself.
    CgroupEvents = 5,
    /// Threads of points that are not watched, because there was no room: how long they wait for a processor is missing.
    Threads = 6,
    /// Interruptions of points that were not counted, because there was no room for another culprit.
    Preemptions = 7,
    /// Sockets of points whose delays are not measured, because the kernel had no memory.
    Delays = 8,
    /// Cgroups of points that are not looked into, because there are too many. (Counted by the agent.)
    PointCgroups = 9,
    /// Events of connections whose peer is not known because their owner had as many flows as one owner may have; the owner's
    /// totals have them.
    FlowQuota = 10,
    /// Sockets without a record because there were as many records as there may be: what they carry is counted at their end.
    SocketBound = 11,
}

impl Loss {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::FlowDetail,
        Self::FlowOwner,
        Self::SocketRecord,
        Self::FailureEventsLimited,
        Self::FailureEventsDropped,
        Self::CgroupEvents,
        Self::Threads,
        Self::Preemptions,
        Self::Delays,
        Self::PointCgroups,
        Self::FlowQuota,
        Self::SocketBound,
    ];

    /// The value of the `what` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FlowDetail => "flow_detail",
            Self::FlowOwner => "flow_owner",
            Self::SocketRecord => "socket_record",
            Self::FailureEventsLimited => "failure_event_rate_limited",
            Self::FailureEventsDropped => "failure_event_ring_full",
            Self::CgroupEvents => "cgroup_event",
            Self::Threads => "point_thread",
            Self::Preemptions => "preemption",
            Self::Delays => "delay_record",
            Self::PointCgroups => "point_cgroup",
            Self::FlowQuota => "flow_quota",
            Self::SocketBound => "socket_bound",
        }
    }
}
