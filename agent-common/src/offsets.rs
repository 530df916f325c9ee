/// The offset that stands for a field which this kernel does not have. The programs then leave out the signal that needs it.
pub const ABSENT: u32 = u32::MAX;

/// The field of `pt_regs` with the number of the system call, which depends on the architecture.
const REGISTER_OF_CALL: &str = if cfg!(target_arch = "aarch64") {
    "syscallno"
} else {
    "orig_ax"
};

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal . $path:expr, $need:ident $(($off:literal))?;)*) => {
        /// A field of a kernel structure that the programs read.
        #[allow(non_camel_case_types, reason = "a variant has the name of its place in `Offsets`")]
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// All fields, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kernel structure that has this field.
            #[must_use]
            pub const fn structure(self) -> &'static str {
                match self { $(Self::$name => $structure,)* }
            }

            /// Its path within the structure.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// What is off on a kernel without it; `None` when nothing can be counted without it.
            #[must_use]
            pub const fn off_without(self) -> Option<&'static str> {
                match self { $(Self::$name => offsets!(@ $need $($off)?),)* }
            }
        }

        /// The offsets of kernel fields, in bytes from the start of the named structure.
        ///
        /// The agent fills in the offsets from the running kernel's BTF before it loads the programs, which read them from a frozen
        /// global: rustc does not emit CO-RE relocations.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)* }

        impl Offsets {
            /// Offsets of which none is set.
            pub const NONE: Self = Self { $($name: ABSENT,)* };

            /// The offset of a field; [`ABSENT`] when this kernel does not have it.
            #[must_use]
            pub const fn get(&self, field: Field) -> u32 {
                match field { $(Field::$name => self.$name,)* }
            }

            /// Sets the offset of a field.
            pub const fn set(&mut self, field: Field, offset: u32) {
                match field { $(Field::$name => self.$name = offset,)* }
            }
        }
    };
    (@ required) => { None };
    (@ optional $off:literal) => { Some($off) };
}

offsets! {
    /// The socket's network namespace.
    sk_net: "sock"."__sk_common.skc_net", required;
    /// Address family (`AF_INET`, `AF_INET6`).
    sk_family: "sock"."__sk_common.skc_family", required;
    /// TCP state, as in `include/net/tcp_states.h`.
    sk_state: "sock"."__sk_common.skc_state", required;
    /// Peer's IPv4 address, network byte order.
    sk_daddr: "sock"."__sk_common.skc_daddr", required;
    /// Own IPv4 address, network byte order.
    sk_rcv_saddr: "sock"."__sk_common.skc_rcv_saddr", required;
    /// Peer's IPv6 address; absent in kernels without IPv6.
    sk_v6_daddr: "sock"."__sk_common.skc_v6_daddr", optional("IPv6 peers");
    /// Own IPv6 address; absent in kernels without IPv6.
    sk_v6_rcv_saddr: "sock"."__sk_common.skc_v6_rcv_saddr", optional("IPv6 peers");
    /// Peer's port, network byte order.
    sk_dport: "sock"."__sk_common.skc_dport", required;
    /// Flags: a bit for each value of `enum sock_flags`.
    sk_flags: "sock"."__sk_common.skc_flags", required;
    /// The pending error: how the connection ended.
    sk_err: "sock"."sk_err", required;
    /// The cgroup that owns the socket.
    sk_cgroup: "sock"."sk_cgrp_data.cgroup", required;
    /// Connections waiting for accept.
    sk_ack_backlog: "sock"."sk_ack_backlog", optional("accept queue length");
    /// Limit of the accept queue; inherited by the sockets that are accepted from it.
    sk_max_ack_backlog: "sock"."sk_max_ack_backlog", required;
    /// A listener's dropped handshakes.
    sk_drops: "sock"."sk_drops", optional("accept queue drops");
    /// A random number of the connection (transmit hash).
    sk_txhash: "sock"."sk_txhash", optional("telling interrupted programs' notes apart: counts drift under interrupts");
    /// The socket-local storage of BPF programs; NULL when there is none.
    sk_bpf_storage: "sock"."sk_bpf_storage", optional("nothing: it saves the time of looking for records that are not there");
    /// Inode number of a network namespace.
    net_inum: "net"."ns.inum", required;
    /// A cgroup's node in its file system.
    cgroup_kn: "cgroup"."kn", required;
    /// The node's id, which is the cgroup's id.
    kn_id: "kernfs_node"."id", required;
    /// The hierarchy that a cgroup belongs to.
    cgroup_root: "cgroup"."root", required;
    /// The hierarchy's number; 0 is cgroup2.
    root_hierarchy: "cgroup_root"."hierarchy_id", required;
    /// A socket file's socket.
    socket_sk: "socket"."sk", optional("connections open before the start");
    /// Own port, network byte order; unlike `skc_num` it stays after the port is released (`inet_put_port` comes before CLOSE).
    tp_sport: "tcp_sock"."inet_conn.icsk_inet.inet_sport", required;
    /// Payload bytes sent, including retransmissions.
    tp_bytes_sent: "tcp_sock"."bytes_sent", required;
    /// Payload bytes that were retransmitted.
    tp_bytes_retrans: "tcp_sock"."bytes_retrans", required;
    /// Payload bytes received, and 1 for the peer's FIN.
    tp_bytes_received: "tcp_sock"."bytes_received", required;
    /// Whether it is a subflow of a Multipath TCP connection.
    tp_is_mptcp: "tcp_sock"."is_mptcp", optional("nothing where the kernel has no Multipath TCP (else its connections end as never accepted)");
    /// Segments that were retransmitted, including SYNs.
    tp_total_retrans: "tcp_sock"."total_retrans", optional("retransmits");
    /// In SYN_SENT, when the first SYN was sent, in milliseconds.
    tp_retrans_stamp: "tcp_sock"."retrans_stamp", optional("connect duration of handshakes with retransmits");
    /// Smoothed round-trip time, in eighths of a microsecond.
    tp_srtt_us: "tcp_sock"."srtt_us", optional("round trip, connect duration");
    /// The `struct socket` that processes have open; NULL before `accept`.
    sk_socket: "sock"."sk_socket", optional("connections that were never accepted (else reset)");
    /// The next sequence number expected from the peer: the end of the received data.
    tp_rcv_nxt: "tcp_sock"."rcv_nxt", optional("unread bytes, stalled connections that are not read; read delay");
    /// The sequence number after the last byte that the process has read.
    tp_copied_seq: "tcp_sock"."copied_seq", optional("unread bytes, stalled connections that are not read; read delay");
    /// The sequence number after the last byte that the process has written.
    tp_write_seq: "tcp_sock"."write_seq", optional("unacknowledged bytes, stalled connections");
    /// The first sequence number that the peer has not acknowledged.
    tp_snd_una: "tcp_sock"."snd_una", optional("unacknowledged bytes, stalled connections");
    /// The peer's receive window, in bytes.
    tp_snd_wnd: "tcp_sock"."snd_wnd", optional("connections stalled by a closed window (else counted as unacknowledged)");
    /// The first connection in a listener's accept queue.
    tp_accept_head: "tcp_sock"."inet_conn.icsk_accept_queue.rskq_accept_head", optional("how long the first connection in an accept queue has waited");
    /// The socket of a connection that waits in an accept queue.
    req_sk: "request_sock"."sk", optional("how long the first connection in an accept queue has waited");
    /// When the SYN-ACK is due to be retransmitted, in jiffies.
    req_timer: "request_sock"."rsk_timer.expires", optional("telling accept queue drops from SYNs that came twice (counted as drops)");
    /// When a listener first answered the SYN, in microseconds of `CLOCK_MONOTONIC`; 0 after a SYN cookie.
    treq_snt_synack: "tcp_request_sock"."snt_synack", optional("how long the first connection in an accept queue has waited");
    /// The range of ephemeral ports: two numbers, in one word or in two.
    net_local_ports: "net"."ipv4.ip_local_ports.range", optional("ephemeral ports in use against their range");
    /// The id of a thread.
    task_pid: "task_struct"."pid", optional("run-queue delay, starts and exits of points: see the programs");
    /// The id of its process.
    task_tgid: "task_struct"."tgid", optional("run-queue delay, starts and exits of points: see the programs");
    /// Its scheduler state; 0 (`TASK_RUNNING`) when it is ready to run.
    task_state: "task_struct"."__state", optional("run-queue delay, starts and exits of points: see the programs");
    /// Whether it is running on a CPU.
    task_on_cpu: "task_struct"."on_cpu", optional("run-queue delay, starts and exits of points: see the programs");
    /// Flags of the thread, `PF_*`.
    task_flags: "task_struct"."flags", optional("run-queue delay, starts and exits of points: see the programs");
    /// The set of cgroups that it is in.
    task_cgroups: "task_struct"."cgroups", optional("run-queue delay, starts and exits of points: see the programs");
    /// The `struct signal_struct`, which the threads of a process share.
    task_signal: "task_struct"."signal", optional("run-queue delay, starts and exits of points: see the programs");
    /// The exit code of the thread.
    task_exit_code: "task_struct"."exit_code", optional("run-queue delay, starts and exits of points: see the programs");
    /// The CFS run queue that it is on.
    task_cfs_rq: "task_struct"."se.cfs_rq", optional("telling a point's own quota from other processes that interrupt it");
    /// The number of CFS quotas by which that queue is throttled: its own, and those of groups above it.
    cfs_rq_throttle_count: "cfs_rq"."throttle_count", optional("telling a point's own quota from other processes that interrupt it");
    /// The cgroup2 cgroup of a set of cgroups.
    css_set_dfl_cgrp: "css_set"."dfl_cgrp", optional("run-queue delay, starts and exits of points: see the programs");
    /// The number of live threads of a process.
    signal_live: "signal_struct"."live.counter", optional("run-queue delay, starts and exits of points: see the programs");
    /// The exit code of a process as a whole.
    signal_group_exit_code: "signal_struct"."group_exit_code", optional("run-queue delay, starts and exits of points: see the programs");
    /// Set when the OOM killer has chosen the process.
    signal_oom_mm: "signal_struct"."oom_mm", optional("OOM kills (else counted as killed)");
    /// The socket that a packet belongs to.
    skb_sk: "sk_buff"."sk", optional("dropped packets of points");
    /// The index of the device by which a packet was received; 0 for a packet that is being sent.
    skb_iif: "sk_buff"."skb_iif", optional("dropped packets of points");
    /// The number of a system call.
    regs_call: "pt_regs".REGISTER_OF_CALL, optional("failed accepts");
}
