/// The offset of a field that this kernel does not have. The programs then leave that signal out.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal . $path:literal, $need:ident;)*) => {
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

            /// What to look for: name, kernel structure, path of the field in it, whether counting depends on it.
            pub const FIELDS: &'static [(&'static str, &'static str, &'static str, bool)] =
                &[$((stringify!($name), $structure, $path, offsets!(@ $need)),)*];

            /// Sets the field called `name`; `false` when there is none.
            pub fn set(&mut self, name: &str, offset: u32) -> bool {
                match name {
                    $(stringify!($name) => self.$name = offset,)*
                    _ => return false,
                }
                true
            }
        }
    };
    (@ required) => { true };
    (@ optional) => { false };
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
    sk_v6_daddr: "sock"."__sk_common.skc_v6_daddr", optional;
    /// Own IPv6 address.
    sk_v6_rcv_saddr: "sock"."__sk_common.skc_v6_rcv_saddr", optional;
    /// Peer's port, network byte order.
    sk_dport: "sock"."__sk_common.skc_dport", required;
    /// Flags, `enum sock_flags`.
    sk_flags: "sock"."__sk_common.skc_flags", required;
    /// The pending error: how the connection ended.
    sk_err: "sock"."sk_err", required;
    /// The cgroup that holds the socket.
    sk_cgroup: "sock"."sk_cgrp_data.cgroup", required;
    /// Connections waiting for accept.
    sk_ack_backlog: "sock"."sk_ack_backlog", optional;
    /// Bound of the accept queue; inherited by the sockets that came out of it.
    sk_max_ack_backlog: "sock"."sk_max_ack_backlog", required;
    /// A listener's dropped handshakes.
    sk_drops: "sock"."sk_drops", optional;
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
    socket_sk: "socket"."sk", optional;
    /// Own port, network byte order; unlike `skc_num` it outlives the port (`inet_put_port` comes before CLOSE).
    tp_sport: "tcp_sock"."inet_conn.icsk_inet.inet_sport", required;
    /// Bytes handed to the network, retransmissions included.
    tp_bytes_sent: "tcp_sock"."bytes_sent", required;
    /// Bytes retransmitted.
    tp_bytes_retrans: "tcp_sock"."bytes_retrans", required;
    /// Payload bytes received.
    tp_bytes_received: "tcp_sock"."bytes_received", required;
    /// Segments retransmitted.
    tp_total_retrans: "tcp_sock"."total_retrans", optional;
    /// In SYN_SENT, when the first SYN went out, in milliseconds.
    tp_retrans_stamp: "tcp_sock"."retrans_stamp", optional;
    /// Smoothed round-trip time, in eighths of a microsecond.
    tp_srtt_us: "tcp_sock"."srtt_us", optional;
}
