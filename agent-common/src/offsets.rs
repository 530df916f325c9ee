/// The offset of a field that this kernel does not have. The programs then leave that signal out.
pub const ABSENT: u32 = u32::MAX;

/// Where an architecture keeps the number of a system call.
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
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kernel structure that it is in.
            #[must_use]
            pub const fn structure(self) -> &'static str {
                match self { $(Self::$name => $structure,)* }
            }

            /// Its path in there.
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

        /// Where the programs find kernel fields, in bytes from the start of the named structure.
        ///
        /// The agent fills it from the running kernel's BTF before it loads the programs, which read it as a frozen
        /// global: rustc has no CO-RE relocations.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)* }

        impl Offsets {
            /// Nothing found.
            pub const NONE: Self = Self { $($name: ABSENT,)* };

            /// Where a field is; [`ABSENT`] when this kernel does not have it.
            #[must_use]
            pub const fn get(&self, field: Field) -> u32 {
                match field { $(Field::$name => self.$name,)* }
            }

            /// Sets where a field is.
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
    /// Address family.
    sk_family: "sock"."__sk_common.skc_family", required;
    /// TCP state.
    sk_state: "sock"."__sk_common.skc_state", required;
    /// Peer's IPv4 address, network byte order.
    sk_daddr: "sock"."__sk_common.skc_daddr", required;
    /// Own IPv4 address, network byte order.
    sk_rcv_saddr: "sock"."__sk_common.skc_rcv_saddr", required;
    /// Peer's IPv6 address; absent in kernels without IPv6.
    sk_v6_daddr: "sock"."__sk_common.skc_v6_daddr", optional("IPv6 peers");
    /// Own IPv6 address.
    sk_v6_rcv_saddr: "sock"."__sk_common.skc_v6_rcv_saddr", optional("IPv6 peers");
    /// Peer's port, network byte order.
    sk_dport: "sock"."__sk_common.skc_dport", required;
    /// Flags, `enum sock_flags`.
    sk_flags: "sock"."__sk_common.skc_flags", required;
    /// The pending error: how the connection ended.
    sk_err: "sock"."sk_err", required;
    /// The cgroup that holds the socket.
    sk_cgroup: "sock"."sk_cgrp_data.cgroup", required;
    /// Connections waiting for accept.
    sk_ack_backlog: "sock"."sk_ack_backlog", optional("accept queue length");
    /// Bound of the accept queue; inherited by the sockets that came out of it.
    sk_max_ack_backlog: "sock"."sk_max_ack_backlog", required;
    /// A listener's dropped handshakes.
    sk_drops: "sock"."sk_drops", optional("accept queue drops");
    /// A random number of the connection.
    sk_txhash: "sock"."sk_txhash", optional("telling interrupted programs' notes apart: counts drift under interrupts");
    /// What programs keep with the socket; NULL for nothing.
    sk_bpf_storage: "sock"."sk_bpf_storage", optional("nothing: it saves the time of looking for records that are not there");
    /// Inode number of a network namespace.
    net_inum: "net"."ns.inum", required;
    /// A cgroup's node in its file system.
    cgroup_kn: "cgroup"."kn", required;
    /// That node's id.
    kn_id: "kernfs_node"."id", required;
    /// The hierarchy that a cgroup belongs to.
    cgroup_root: "cgroup"."root", required;
    /// The hierarchy's number; 0 is cgroup2.
    root_hierarchy: "cgroup_root"."hierarchy_id", required;
    /// A socket file's socket.
    socket_sk: "socket"."sk", optional("connections open before the start");
    /// Own port, network byte order; unlike `skc_num` it outlives the port (`inet_put_port` comes before CLOSE).
    tp_sport: "tcp_sock"."inet_conn.icsk_inet.inet_sport", required;
    /// Bytes handed to the network, retransmissions included.
    tp_bytes_sent: "tcp_sock"."bytes_sent", required;
    /// Bytes retransmitted.
    tp_bytes_retrans: "tcp_sock"."bytes_retrans", required;
    /// Payload bytes received.
    tp_bytes_received: "tcp_sock"."bytes_received", required;
    /// Whether it carries a connection of Multipath TCP.
    tp_is_mptcp: "tcp_sock"."is_mptcp", optional("nothing where the kernel has no Multipath TCP (else its connections end as never accepted)");
    /// Segments retransmitted.
    tp_total_retrans: "tcp_sock"."total_retrans", optional("retransmits");
    /// In SYN_SENT, when the first SYN went out, in milliseconds.
    tp_retrans_stamp: "tcp_sock"."retrans_stamp", optional("connect duration of handshakes with retransmits");
    /// Smoothed round-trip time, in eighths of a microsecond.
    tp_srtt_us: "tcp_sock"."srtt_us", optional("round trip, connect duration");
    /// The process's end of the socket; NULL before `accept`.
    sk_socket: "sock"."sk_socket", optional("connections that were never accepted (else reset)");
    /// What the peer will send next: the end of what has come in.
    tp_rcv_nxt: "tcp_sock"."rcv_nxt", optional("unread bytes, stalled connections that are not read; read delay");
    /// The end of what was read.
    tp_copied_seq: "tcp_sock"."copied_seq", optional("unread bytes, stalled connections that are not read; read delay");
    /// The end of what was written.
    tp_write_seq: "tcp_sock"."write_seq", optional("unacknowledged bytes, stalled connections");
    /// The end of what was acknowledged.
    tp_snd_una: "tcp_sock"."snd_una", optional("unacknowledged bytes, stalled connections");
    /// The peer's window.
    tp_snd_wnd: "tcp_sock"."snd_wnd", optional("connections stalled by a closed window (else counted as unacknowledged)");
    /// The first connection in a listener's accept queue.
    tp_accept_head: "tcp_sock"."inet_conn.icsk_accept_queue.rskq_accept_head", optional("how long the first connection in an accept queue has waited");
    /// The socket of a connection that waits in an accept queue.
    req_sk: "request_sock"."sk", optional("how long the first connection in an accept queue has waited");
    /// When a handshake's answer is to be repeated, in jiffies.
    req_timer: "request_sock"."rsk_timer.expires", optional("telling accept queue drops from SYNs that came twice (counted as drops)");
    /// When a listener first answered a SYN, in microseconds of the boot clock; 0 after a SYN cookie.
    treq_snt_synack: "tcp_request_sock"."snt_synack", optional("how long the first connection in an accept queue has waited");
    /// The range of ports for connections: two numbers, in one word or in two.
    net_local_ports: "net"."ipv4.ip_local_ports.range", optional("ephemeral ports in use against their range");
    /// A thread's number.
    task_pid: "task_struct"."pid", optional("run-queue delay, starts and exits of points: see the programs");
    /// The number of its process.
    task_tgid: "task_struct"."tgid", optional("run-queue delay, starts and exits of points: see the programs");
    /// What it waits for; 0 when it is ready to run.
    task_state: "task_struct"."__state", optional("run-queue delay, starts and exits of points: see the programs");
    /// Whether it runs at the moment.
    task_on_cpu: "task_struct"."on_cpu", optional("run-queue delay, starts and exits of points: see the programs");
    /// Flags, `PF_*`.
    task_flags: "task_struct"."flags", optional("run-queue delay, starts and exits of points: see the programs");
    /// The cgroups it is in.
    task_cgroups: "task_struct"."cgroups", optional("run-queue delay, starts and exits of points: see the programs");
    /// What its process has in common.
    task_signal: "task_struct"."signal", optional("run-queue delay, starts and exits of points: see the programs");
    /// How it ended.
    task_exit_code: "task_struct"."exit_code", optional("run-queue delay, starts and exits of points: see the programs");
    /// The queue that it waits for a processor in.
    task_cfs_rq: "task_struct"."se.cfs_rq", optional("telling a point's own quota from other processes that interrupt it");
    /// How many limits of processor time that queue has run into.
    cfs_rq_throttle_count: "cfs_rq"."throttle_count", optional("telling a point's own quota from other processes that interrupt it");
    /// The cgroup2 group of a set of cgroups.
    css_set_dfl_cgrp: "css_set"."dfl_cgrp", optional("run-queue delay, starts and exits of points: see the programs");
    /// Threads of a process that have not ended.
    signal_live: "signal_struct"."live.counter", optional("run-queue delay, starts and exits of points: see the programs");
    /// How a process ended as a whole.
    signal_group_exit_code: "signal_struct"."group_exit_code", optional("run-queue delay, starts and exits of points: see the programs");
    /// Set when the process was chosen to die because memory ran out.
    signal_oom_mm: "signal_struct"."oom_mm", optional("OOM kills (else counted as killed)");
    /// The number of a system call.
    regs_call: "pt_regs".REGISTER_OF_CALL, optional("failed accepts");
}
