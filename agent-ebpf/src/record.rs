//! The record of an open socket.

use crate::{
    cell::Cell,
    maps::{control, lost, offset, records, settings},
    outcome::Outcome,
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

/// Data that is stored with an open socket (socket-local storage); the kernel frees it with the socket.
///
/// A record costs five times as much as all other work for a short connection, so most connections never
/// have one: their byte counts are read from the socket when it closes. A record is created for sockets that are open at a
/// tick, and in the few cases where the socket alone lacks necessary information.
#[repr(C)]
pub(crate) struct Socket {
    /// The flow that it is counted in.
    pub(crate) key: Cell<FlowKey>,
    /// When it was first seen, or when its first SYN was sent, in nanoseconds of `CLOCK_MONOTONIC`; 0: not known.
    pub(crate) since_ns: Cell<u64>,
    /// The part of its counters that was folded into the flow already.
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
    pub(crate) retransmits: Cell<u32>,
    pub(crate) drops: Cell<u32>,
    /// Of a listener: repeated SYNs, which the kernel counts in the socket's drops although no handshake was dropped.
    pub(crate) repeated: Cell<u32>,
    /// The number of the last walk over open files that visited it: a socket that several processes have open counts once.
    pub(crate) walk: Cell<u32>,
    /// 1 when it has been counted: an adopted connection in its flow's `adopted`, a listener in `opened`.
    pub(crate) counted: Cell<u32>,
    /// 1 when its state has changed to CLOSE.
    pub(crate) closed: Cell<u32>,
    /// Bits: [`Socket::READY`] and others.
    pub(crate) flags: Cell<u32>,
    /// How its end was counted when it closed.
    pub(crate) outcome: Cell<Outcome>,
    /// If data waited to be read (or to be acknowledged) at the last walk: 1 + the sequence number that was reached; else 0.
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

    /// Fills in a new record, or that of a socket that was disconnected and is reused (`tcp_disconnect` resets the socket's
    /// counters, so those of the record are reset, too).
    ///
    /// READY is set last and with a barrier: walks ignore records without it.
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
            self.outcome.set(Outcome::CLEAN);
            self.closed.set(0);
        }
        self.key.set(key);
        self.since_ns.set(since_ns);
        self.flags.or(flags | Self::READY);
        if is_new && let Some(records) = records() {
            records.add(1);
        }
    }

    /// Marks it as closed; `false` if it was closed already.
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

    /// Its role, as the number of an [`agent_common::Role`].
    #[inline(always)]
    pub(crate) fn role(&self) -> u8 {
        self.key.get().role
    }
}

impl Sock {
    /// The record of this socket, if it has one.
    #[inline(always)]
    pub(crate) fn record(self) -> Option<&'static Socket> {
        if self.has_no_storage() {
            return None;
        }
        storage(self, 0)
    }

    /// The record of this socket, created with zeros if it has none. `None` when the kernel has no memory for it.
    #[inline(always)]
    pub(crate) fn record_or_zero(self) -> Option<&'static Socket> {
        let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        get_or_retry(|| storage(self, flags))
    }

    /// As [`Sock::record_or_zero`], for records that are not indispensable: `None` also when the limit of records is reached.
    #[inline(always)]
    pub(crate) fn record_within_bound(self) -> Option<&'static Socket> {
        let bound = u64::from(settings().sockets);
        // Until open sockets are adopted, a socket without a record would be mistaken for one that is older than the agent.
        if control(Control::OpenSocketsAreAdopted) && records().is_some_and(|records| records.get() >= bound) {
            let found = self.record();
            if found.is_none() {
                lost(Loss::SocketBound);
            }
            return found;
        }
        self.record_or_zero()
    }

    /// Whether no program stores anything with this socket, which is true for most: cheaper than a failing look-up.
    #[inline(always)]
    pub(crate) fn has_no_storage(self) -> bool {
        if offset!(sk_bpf_storage) == ABSENT {
            return false;
        }
        let storage: u64 = load!(self.as_ptr(), sk_bpf_storage);
        storage == 0
    }
}

/// Gets a socket's storage, with one retry. When two programs create it at the same time, for example because data arrives while
/// its owner writes, the kernel returns nothing to one of them (`-EEXIST` or `-EAGAIN` of `bpf_local_storage_update` in
/// `kernel/bpf/bpf_local_storage.c`); at the retry the other one's storage exists.
#[inline(always)]
pub(crate) fn get_or_retry<T>(mut get: impl FnMut() -> Option<T>) -> Option<T> {
    match get() {
        None => get(),
        found => found,
    }
}

/// Calls the helper directly, as aya's SkStorage supports look-ups by a socket-address context only.
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
