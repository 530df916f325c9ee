use crate::declare::labels;

labels! {
    /// What can be lost in the kernel: the `what` label, and the index into the `LOSS` map.
    Loss: u32 {
        /// Events (an opening, an end, a sampling) of connections whose peer is not known because the flow table was full;
        /// the owner's totals have them.
        FlowDetail = "flow_detail",
        /// Events of connections whose owner is not known either, because the overflow table was full; the node's totals have
        /// them.
        FlowOwner = "flow_owner",
        /// Records not made, because the kernel had no memory: the connection is not sampled while it is open.
        SocketRecord = "socket_record",
        /// Failure events not sent because their flow had many in that second. The counters have them.
        FailureEventsLimited = "failure_event_rate_limited",
        /// Failure events not sent because the ring buffer was full. The counters have them.
        FailureEventsDropped = "failure_event_ring_full",
        /// Cgroups that came or went without the agent being told, because the ring buffer was full. It looks for them itself.
        CgroupEvents = "cgroup_event",
        /// Threads of points that are not watched, because there was no room: how long they wait for a processor is missing.
        Threads = "point_thread",
        /// Interruptions of points that were not counted, because there was no room for another culprit.
        Preemptions = "preemption",
        /// Sockets of points whose delays are not measured, because the kernel had no memory.
        Delays = "delay_record",
        /// Cgroups of points that are not looked into, because there are too many. (Counted by the agent.)
        PointCgroups = "point_cgroup",
        /// Events of connections whose peer is not known because their owner had as many flows as one owner may have; the owner's
        /// totals have them.
        FlowQuota = "flow_quota",
        /// Sockets without a record because there were as many records as there may be: what they carry is counted at their end.
        SocketBound = "socket_bound",
    }
}
