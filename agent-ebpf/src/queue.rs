//! The connection at the head of an accept queue: how long it has waited.

use crate::{
    maps::offset,
    sock::{Sock, load},
};
use agent_common::{ABSENT, ListenerSample};
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel};

/// No connection waits this long, in microseconds: a longer time was read from a request that was freed meanwhile.
const LONGEST_US: u64 = 3_600_000_000;

impl Sock {
    /// How long the first connection in a listener's queue has been waiting, in microseconds; 0 when there is none,
    /// [`ListenerSample::UNKNOWN`] when it is not known.
    ///
    /// A request stores when its SYN was first answered (`tcp_conn_request`, `tcp_v4_send_synack`); the handshake was complete one
    /// round trip after that. After a SYN cookie there is no such time. Nothing is locked here, so the queue may change
    /// during the reads: then the time is not known.
    #[inline(always)]
    pub(crate) fn oldest_waiting(self) -> u32 {
        if self.backlog() == 0 {
            return 0;
        }
        self.head_of_queue().unwrap_or(ListenerSample::UNKNOWN)
    }

    #[inline(always)]
    fn head_of_queue(self) -> Option<u32> {
        if offset!(tp_accept_head) == ABSENT || offset!(req_sk) == ABSENT || offset!(treq_snt_synack) == ABSENT {
            return None;
        }
        let tp = self.tcp()?.pointer();
        let request: *const u8 = load!(tp, tp_accept_head);
        if request.is_null() {
            return None;
        }
        let child: *const u8 = load!(request, req_sk);
        // Beyond the end of `struct request_sock`, whose type the verifier knows.
        let answered_us: u64 = field(request, offset!(treq_snt_synack))?;
        let round_trip = if child.is_null() || offset!(tp_srtt_us) == ABSENT {
            0
        } else {
            let eighths: u32 = field(child, offset!(tp_srtt_us))?;
            u64::from(eighths >> 3)
        };
        let still: *const u8 = load!(tp, tp_accept_head);
        // SAFETY: no arguments.
        let now_us = unsafe { bpf_ktime_get_ns() } / 1000;
        let waited = now_us.wrapping_sub(answered_us);
        if still != request || answered_us == 0 || waited > LONGEST_US {
            return None;
        }
        // At least 1, as 0 means that no connection waits.
        Some((waited.saturating_sub(round_trip) as u32).max(1))
    }

    /// The range of local ports for outgoing connections in its network namespace.
    #[inline(always)]
    pub(crate) fn port_range(self) -> (u16, u16) {
        if offset!(net_local_ports) == ABSENT {
            return (0, 0);
        }
        let net: *const u8 = load!(self.as_ptr(), sk_net);
        let Some([first, second]) = field::<[u32; 2]>(net, offset!(net_local_ports)) else {
            return (0, 0);
        };
        // Two numbers; since Linux 6.8 packed into one word.
        if first > 0xffff {
            (first as u16, (first >> 16) as u16)
        } else {
            (first as u16, second as u16)
        }
    }
}

#[inline(always)]
fn field<T>(base: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the read, whatever the address.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()).ok() }
}
