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
        /// Events about created or removed cgroups not sent, because the ring buffer was full. The agent then reads the cgroup
        /// tree.
        CgroupEvents = "cgroup_event",
        /// Threads of points that are not tracked, because the table was full: their run-queue delay is missing.
        Threads = "point_thread",
        /// Preemptions of points that were not counted, because the table had no room for another pair of point and cgroup.
        Preemptions = "preemption",
        /// Sockets of points whose delays are not measured, because the kernel had no memory.
        Delays = "delay_record",
        /// Cgroups of points that are not tracked, because there are too many. (Counted by the agent.)
        PointCgroups = "point_cgroup",
        /// Events of connections whose peer is not known because their owner had reached its limit of flows; the owner's totals
        /// have them.
        FlowQuota = "flow_quota",
        /// Sockets without a record because the limit of records was reached: their bytes are counted when they close.
        SocketBound = "socket_bound",
        /// Dropped packets of points that were not counted, because the table had no room for another pair of point and reason.
        DroppedPackets = "dropped_packet",
        /// Open connections of points that a walk found and whose ages are not known by dependent, because the table was full.
        Ages = "connection_age",
        /// Upstream connections of points that are not counted by caller and destination, because a table was full.
        Paths = "path",
    }
}
