//! The record of an open socket.

use crate::{
    cell::Cell,
    maps::{control, lost, offset, records, settings},
    sock::{Sock, load},
};
use agent_common::{ABSENT, Control, FlowKey, Loss};
use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE, btf_maps::SkStorage, helpers::generated::bpf_sk_storage_get, macros::btf_map,
};
use core::{ffi::c_void, ptr::null_mut};

/// Records of open sockets.
#[btf_map]
static SOCKETS: SkStorage<Socket> = SkStorage::new();

/// What is kept with an open socket; the kernel frees it with the socket.
///
/// A record costs five times as much as everything else that is done for a short connection, so most connections never
/// have one: what they carried is read from the socket when it closes. A record is made for what is still open at a
/// tick, and in the few cases where the socket itself does not tell what must be known.
#[repr(C)]
pub(crate) struct Socket {
    /// Where it is counted.
    pub(crate) key: Cell<FlowKey>,
    /// When it was first seen, or its first SYN went out; boot clock. 0: not known.
    pub(crate) since_ns: Cell<u64>,
    /// What of its counters is in the flow already.
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
    pub(crate) retransmits: Cell<u32>,
    pub(crate) drops: Cell<u32>,
    /// Of a listener: SYNs that came again, which are among its socket's drops, and are none.
    pub(crate) repeated: Cell<u32>,
    /// The number of the last walk over open files that has met it: a socket that several processes hold counts once.
    pub(crate) walk: Cell<u32>,
    /// 1 when an adopted connection is in its flow's `adopted`, a listener in its `opened`.
    pub(crate) counted: Cell<u32>,
    /// 1 when it reached CLOSE.
    pub(crate) closed: Cell<u32>,
    /// [`Socket::READY`] and others.
    pub(crate) flags: Cell<u32>,
    /// One more than the [`agent_common::Reason`] it was counted under when it closed, or [`Socket::CLEAN`].
    pub(crate) outcome: Cell<u32>,
    /// When something waited to be read, or to be acknowledged, as the last walk saw it: one more than how far it was.
    pub(crate) read_to: Cell<u64>,
    pub(crate) acknowledged_to: Cell<u64>,
}

impl Socket {
    /// It was open when the agent started.
    pub(crate) const ADOPTED: u32 = 1;
    /// This end sent a reset.
    pub(crate) const RESET_SENT: u32 = 2;
    /// The record is filled in.
    pub(crate) const READY: u32 = 4;
    /// It ended without a failure.
    pub(crate) const CLEAN: u32 = 0;

    /// Fills in a record that is new, or whose socket was disconnected and is used again (`tcp_disconnect` sets its
    /// counters back, and so do we).
    ///
    /// READY comes last and with a barrier: walks look at no other records.
    #[inline(always)]
    pub(crate) fn begin(&self, key: FlowKey, since_ns: u64, flags: u32) {
        let is_new = !self.is_live();
        if self.closed.get() != 0 {
            for counter in [&self.sent, &self.received] {
                counter.set(0);
            }
            for word in [&self.retransmits, &self.drops, &self.repeated, &self.counted] {
                word.set(0);
            }
            self.flags.set(0);
            self.outcome.set(Self::CLEAN);
            self.closed.set(0);
        }
        self.key.set(key);
        self.since_ns.set(since_ns);
        self.flags.or(flags | Self::READY);
        if is_new && let Some(records) = records() {
            records.add(1);
        }
    }

    /// Marks it as closed; `false` when it was already.
    #[inline(always)]
    pub(crate) fn end(&self) -> bool {
        if self.closed.exchange(1) != 0 {
            return false;
        }
        if let Some(records) = records() {
            records.add(u64::MAX);
        }
        true
    }

    /// Whether the record is filled in.
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        self.has(Self::READY)
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    /// Whether the record is filled in and its socket in use.
    #[inline(always)]
    pub(crate) fn is_live(&self) -> bool {
        self.is_ready() && self.closed.get() == 0
    }

    /// Its role, an [`agent_common::Role`].
    #[inline(always)]
    pub(crate) fn role(&self) -> u8 {
        self.key.get().role
    }
}

impl Sock {
    /// Its record, when it has one.
    #[inline(always)]
    pub(crate) fn record(self) -> Option<&'static Socket> {
        if self.has_no_storage() {
            return None;
        }
        storage(self, 0)
    }

    /// Its record, of zeros when it had none. `None` when the kernel has no memory for it.
    #[inline(always)]
    pub(crate) fn record_or_zero(self) -> Option<&'static Socket> {
        let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        get_or_retry(|| storage(self, flags))
    }

    /// The same, where it can be done without: `None` also when there are as many records as there may be.
    #[inline(always)]
    pub(crate) fn record_within_bound(self) -> Option<&'static Socket> {
        let bound = u64::from(settings().sockets);
        // Until open sockets are adopted, what has no record would be taken for older than the agent.
        if control(Control::OpenSocketsAreAdopted) && records().is_some_and(|records| records.get() >= bound) {
            let found = self.record();
            if found.is_none() {
                lost(Loss::SocketBound);
            }
            return found;
        }
        self.record_or_zero()
    }

    /// Whether nobody keeps anything with this socket, which is true of most: cheaper to find out than to be told.
    #[inline(always)]
    pub(crate) fn has_no_storage(self) -> bool {
        if offset!(sk_bpf_storage) == ABSENT {
            return false;
        }
        let storage: u64 = load!(self.as_ptr(), sk_bpf_storage);
        storage == 0
    }
}

/// A socket's storage, asked for once more when there was none. Of two programs that make it at the same time, say for data that
/// comes in while its owner writes, the kernel gives one of them nothing (`-EEXIST` or `-EAGAIN` of `bpf_local_storage_update` in
/// `kernel/bpf/bpf_local_storage.c`); by then the other one's is there.
#[inline(always)]
pub(crate) fn get_or_retry<T>(mut get: impl FnMut() -> Option<T>) -> Option<T> {
    match get() {
        None => get(),
        found => found,
    }
}

/// aya's SkStorage looks up by socket-address context only, hence the raw helper on the map's address.
#[inline(always)]
fn storage(sk: Sock, flags: u64) -> Option<&'static Socket> {
    let map: *mut c_void = (&raw const SOCKETS).cast_mut().cast();
    // SAFETY: the kernel returns NULL or a record that lives as long as this program runs (RCU); it is made of cells.
    unsafe {
        bpf_sk_storage_get(map, sk.as_ptr().cast_mut().cast(), null_mut(), flags)
            .cast::<Socket>()
            .as_ref()
    }
}
