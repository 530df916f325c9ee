//! Reading kernel structures: direct loads at offsets from BTF, through pointers whose type the verifier knows.

use crate::maps::offset;
use agent_common::{ABSENT, FlowKey, Role};
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use core::{ffi::c_void, ptr::read_volatile};

/// Loads a field of a kernel structure. Volatile, so that the compiler does not move the load to where the verifier no longer knows
/// the pointer's type.
macro_rules! load {
    ($base:expr, $field:ident) => {
        // SAFETY: the offset is that of the running kernel, and the verifier checks type, bounds and alignment.
        unsafe { core::ptr::read_volatile($base.wrapping_add($crate::maps::offset!($field) as usize).cast()) }
    };
}
pub(crate) use load;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Bit numbers in `sk_flags` (`enum sock_flags`).
const SOCK_DEAD: u32 = 0;
const SOCK_DONE: u32 = 1;

/// A pointer to `struct sock` whose type and validity the verifier has checked.
#[derive(Clone, Copy)]
pub(crate) struct Sock(*const u8);

impl Sock {
    /// The socket at `pointer`.
    ///
    /// # Safety
    /// `pointer` is a `struct sock` (or `struct request_sock`, which begins with the same `struct sock_common`) that exists until
    /// the program ends: an argument of its hook, or a field of one, whose type the verifier knows.
    #[inline(always)]
    pub(crate) unsafe fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    pub(crate) const fn as_ptr(self) -> *const u8 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn state(self) -> i32 {
        let state: u8 = load!(self.0, sk_state);
        i32::from(state)
    }

    /// Whether its family is IPv4 or IPv6: some hooks run for all sockets.
    #[inline(always)]
    pub(crate) fn is_ip(self) -> bool {
        let family: u16 = load!(self.0, sk_family);
        family == AF_INET || family == AF_INET6
    }

    /// Whether no process has ever had it open: a connection whose handshake completed, and that was not accepted.
    ///
    /// `accept` links it to a `struct socket` (`sock_graft`); closing it (`sock_orphan`) removes the link, but sets
    /// SOCK_DEAD. This does not hold for subflows of a Multipath TCP socket (`__mptcp_close`): see [`Tcp::is_multipath`].
    #[inline(always)]
    pub(crate) fn was_never_accepted(self) -> bool {
        if offset!(sk_socket) == ABSENT {
            return false;
        }
        let socket: u64 = load!(self.0, sk_socket);
        socket == 0 && !self.is_orphan()
    }

    /// The pending error, a positive errno or 0.
    #[inline(always)]
    pub(crate) fn error(self) -> i32 {
        load!(self.0, sk_err)
    }

    /// The peer's port, host byte order.
    #[inline(always)]
    pub(crate) fn peer_port(self) -> u16 {
        let port: u16 = load!(self.0, sk_dport);
        u16::from_be(port)
    }

    /// The peer's address as IPv6; IPv4 is mapped. Also works on a `struct request_sock`, which begins with the same
    /// `struct sock_common`.
    #[inline(always)]
    pub(crate) fn peer_address(self) -> [u32; 4] {
        let family: u16 = load!(self.0, sk_family);
        if family == AF_INET6 && offset!(sk_v6_daddr) != ABSENT {
            let field = self.0.wrapping_add(offset!(sk_v6_daddr) as usize);
            four_words(field)
        } else {
            mapped(load!(self.0, sk_daddr))
        }
    }

    /// Its own address in the same form.
    #[inline(always)]
    pub(crate) fn own_address(self) -> [u32; 4] {
        let family: u16 = load!(self.0, sk_family);
        if family == AF_INET6 && offset!(sk_v6_rcv_saddr) != ABSENT {
            let field = self.0.wrapping_add(offset!(sk_v6_rcv_saddr) as usize);
            four_words(field)
        } else {
            mapped(load!(self.0, sk_rcv_saddr))
        }
    }

    /// A random number of the connection (`sk_txhash`); 0 where the kernel has none.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        if offset!(sk_txhash) == ABSENT {
            return 0;
        }
        load!(self.0, sk_txhash)
    }

    /// Limit of the accept queue: set by `listen`, inherited by the sockets that are accepted from the queue, else 0.
    #[inline(always)]
    pub(crate) fn backlog_limit(self) -> u32 {
        load!(self.0, sk_max_ack_backlog)
    }

    /// The number of connections that wait for `accept`.
    #[inline(always)]
    pub(crate) fn backlog(self) -> u32 {
        if offset!(sk_ack_backlog) == ABSENT {
            return 0;
        }
        load!(self.0, sk_ack_backlog)
    }

    /// A listener's dropped handshakes (`tcp_listendrop` counts them in `sk_drops`).
    #[inline(always)]
    pub(crate) fn drops(self) -> u32 {
        if offset!(sk_drops) == ABSENT {
            return 0;
        }
        load!(self.0, sk_drops)
    }

    /// The owner's cgroup id and the network namespace of the socket. Never taken from the current task, which in softirq context
    /// is the interrupted one.
    #[inline(always)]
    pub(crate) fn owner(self) -> (u64, u32) {
        (self.cgroup(), self.netns())
    }

    /// The inode number of its network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net: *const u8 = load!(self.0, sk_net);
        load!(net, net_inum)
    }

    /// The id of the owner's cgroup.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        let cgroup: *const u8 = load!(self.0, sk_cgroup);
        let kn: *const u8 = load!(cgroup, cgroup_kn);
        load!(kn, kn_id)
    }

    /// The key of the flow in which this socket's connection, or this listener's drops, are counted.
    #[inline(always)]
    pub(crate) fn key(self, tcp: Tcp, role: Role) -> FlowKey {
        let (cgroup, netns) = self.owner();
        let (peer, port) = match role {
            Role::Client => (self.peer_address(), self.peer_port()),
            Role::Server => (self.peer_address(), tcp.own_port()),
            Role::Listener => ([0; 4], tcp.own_port()),
        };
        FlowKey {
            cgroup,
            peer,
            netns,
            port,
            role: role as u8,
            generation: 0,
        }
    }

    /// The role of a connection without a record. `listen` sets the limit of the accept queue, and the
    /// sockets in the queue are copies of the listener (`sk_clone`): all others have 0.
    ///
    /// This is wrong in two cases, which get a record when they begin: connections of a listener whose limit is 0, and a socket
    /// that has listened before it connects.
    #[inline(always)]
    pub(crate) fn role(self) -> Role {
        if self.backlog_limit() > 0 {
            Role::Server
        } else {
            Role::Client
        }
    }

    /// Whether no process has the socket open any more.
    #[inline(always)]
    pub(crate) fn is_orphan(self) -> bool {
        self.flag(SOCK_DEAD)
    }

    /// Whether the peer's FIN was received.
    #[inline(always)]
    pub(crate) fn is_done(self) -> bool {
        self.flag(SOCK_DONE)
    }

    #[inline(always)]
    fn flag(self, bit: u32) -> bool {
        let flags: u64 = load!(self.0, sk_flags);
        flags >> bit & 1 != 0
    }

    /// Its `struct tcp_sock`, if it is a full TCP socket: the tracepoints also run for other protocols.
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Tcp> {
        // SAFETY: the helper takes any sock_common, and returns NULL if it is not a TCP socket.
        let tp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast::<c_void>()) } as *const u8;
        (!tp.is_null()).then_some(Tcp { tp, sk: self.0 })
    }
}

/// A pointer to `struct tcp_sock` whose type and validity the verifier has checked.
#[derive(Clone, Copy)]
pub(crate) struct Tcp {
    tp: *const u8,
    sk: *const u8,
}

impl Tcp {
    #[inline(always)]
    pub(crate) const fn pointer(self) -> *const u8 {
        self.tp
    }

    /// The local port that it has or had, host byte order; 0 when it never got one.
    #[inline(always)]
    pub(crate) fn own_port(self) -> u16 {
        let port: u16 = load!(self.tp, tp_sport);
        u16::from_be(port)
    }

    /// Payload bytes sent, without retransmissions. `bytes_acked` would count the SYN, `bytes_sent` counts retransmissions.
    #[inline(always)]
    pub(crate) fn sent(self) -> u64 {
        let (sent, again): (u64, u64) = (load!(self.tp, tp_bytes_sent), load!(self.tp, tp_bytes_retrans));
        sent.wrapping_sub(again)
    }

    /// Payload bytes received. `bytes_received` counts the peer's FIN as a byte (`tcp_rcv_nxt_update` goes by sequence
    /// numbers); `tcp_fin` sets SOCK_DONE right after that.
    #[inline(always)]
    pub(crate) fn received(self) -> u64 {
        let (received, flags): (u64, u64) = (load!(self.tp, tp_bytes_received), load!(self.sk, sk_flags));
        received.wrapping_sub((flags >> SOCK_DONE) & 1)
    }

    /// Whether it is a subflow of a Multipath TCP socket, which is the socket that the process has open.
    #[inline(always)]
    pub(crate) fn is_multipath(self) -> bool {
        if offset!(tp_is_mptcp) == ABSENT {
            return false;
        }
        let is_multipath: u8 = load!(self.tp, tp_is_mptcp);
        is_multipath != 0
    }

    /// Segments retransmitted, SYNs among them.
    #[inline(always)]
    pub(crate) fn retransmits(self) -> u32 {
        if offset!(tp_total_retrans) == ABSENT {
            return 0;
        }
        load!(self.tp, tp_total_retrans)
    }

    /// When the first SYN was sent, in nanoseconds of `CLOCK_MONOTONIC`, with a resolution of 1 ms; 0 when it is not known. Only
    /// valid in SYN_SENT: see `retrans_stamp` in `include/linux/tcp.h`.
    #[inline(always)]
    pub(crate) fn first_syn_ns(self, now_ns: u64) -> u64 {
        const LONGEST_HANDSHAKE_MS: u32 = 600_000;
        if offset!(tp_retrans_stamp) == ABSENT {
            return 0;
        }
        // The low 32 bits; older kernels have no more.
        let stamp: u32 = load!(self.tp, tp_retrans_stamp);
        let elapsed = ((now_ns / 1_000_000) as u32).wrapping_sub(stamp);
        // With microsecond timestamps (a route option) the stamp is in microseconds.
        if elapsed > LONGEST_HANDSHAKE_MS {
            0
        } else {
            now_ns - u64::from(elapsed) * 1_000_000
        }
    }

    /// Bytes that were received and not read (`tcp_inq`).
    #[inline(always)]
    pub(crate) fn unread(self, sk: Sock) -> u32 {
        if offset!(tp_rcv_nxt) == ABSENT || offset!(tp_copied_seq) == ABSENT {
            return 0;
        }
        let (end, read): (u32, u32) = (load!(self.tp, tp_rcv_nxt), load!(self.tp, tp_copied_seq));
        let unread = end.wrapping_sub(read);
        // The peer's FIN takes a sequence number, too.
        if unread > 0 && sk.is_done() { unread - 1 } else { unread }
    }

    /// The sequence number after the last received byte.
    #[inline(always)]
    pub(crate) fn received_to(self) -> u32 {
        if offset!(tp_rcv_nxt) == ABSENT {
            return 0;
        }
        load!(self.tp, tp_rcv_nxt)
    }

    /// The sequence number after the last byte that was read.
    #[inline(always)]
    pub(crate) fn read_to(self) -> u32 {
        if offset!(tp_copied_seq) == ABSENT {
            return 0;
        }
        load!(self.tp, tp_copied_seq)
    }

    /// Bytes that were written and are not acknowledged (SIOCOUTQ), without the FIN; `closing`: whether a FIN was written.
    #[inline(always)]
    pub(crate) fn unacknowledged(self, closing: bool) -> u32 {
        if offset!(tp_write_seq) == ABSENT || offset!(tp_snd_una) == ABSENT {
            return 0;
        }
        let (end, acknowledged): (u32, u32) = (load!(self.tp, tp_write_seq), load!(self.tp, tp_snd_una));
        let waiting = end.wrapping_sub(acknowledged);
        if closing && waiting > 0 { waiting - 1 } else { waiting }
    }

    /// The sequence number after the last acknowledged byte.
    #[inline(always)]
    pub(crate) fn acknowledged_to(self) -> u32 {
        if offset!(tp_snd_una) == ABSENT {
            return 0;
        }
        load!(self.tp, tp_snd_una)
    }

    /// Whether the peer's receive window is closed.
    #[inline(always)]
    pub(crate) fn window_is_closed(self) -> bool {
        if offset!(tp_snd_wnd) == ABSENT {
            return false;
        }
        let window: u32 = load!(self.tp, tp_snd_wnd);
        window == 0
    }

    /// Smoothed round-trip time in microseconds; 0 when there is none yet.
    #[inline(always)]
    pub(crate) fn round_trip(self) -> u32 {
        if offset!(tp_srtt_us) == ABSENT {
            return 0;
        }
        let eighths: u32 = load!(self.tp, tp_srtt_us);
        eighths >> 3
    }
}

#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}

#[inline(always)]
fn four_words(field: *const u8) -> [u32; 4] {
    let word = field.cast::<u32>();
    // SAFETY: four words of a field whose offset is that of the running kernel; the verifier checks the bounds of its structure.
    unsafe {
        [
            read_volatile(word),
            read_volatile(word.wrapping_add(1)),
            read_volatile(word.wrapping_add(2)),
            read_volatile(word.wrapping_add(3)),
        ]
    }
}
