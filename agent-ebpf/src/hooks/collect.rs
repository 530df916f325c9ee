//! What changed in a flow table since the last time, and what can be taken out of it.

use super::{argument, output, write};
use crate::{
    atomic::exchange32,
    maps::{FLOWS, OVERFLOW, settings},
};
use agent_common::{Flow, FlowKey};
use core::ffi::c_void;

/// `struct bpf_iter__bpf_map_elem { meta; map; void *key; void *value }`
///
/// Runs in one process at a time, the agent. Counting goes on meanwhile: the mark is taken off, with a barrier, before
/// the counters are read, so what comes later marks the flow again.
#[unsafe(link_section = "iter/bpf_map_elem")]
#[unsafe(no_mangle)]
extern "C" fn collect(ctx: *mut c_void) -> i32 {
    let key: *mut FlowKey = argument(ctx, 2);
    let value: *mut Flow = argument(ctx, 3);
    if key.is_null() || value.is_null() {
        return 0;
    }
    // SAFETY: the iterator's own pointers, checked by the verifier.
    let (copy, flow) = unsafe { (*key, &mut *value) };
    if flow.retired != 0 {
        return 0;
    }
    let seq = output(ctx);
    // Once more in the collection after the last change: on processors that reorder stores, the mark may have been seen
    // before the count that it stands for.
    if flow.dirty != 0 || flow.idle == 0 {
        if flow.dirty != 0 {
            let Some(entry) = entry(&copy) else { return 0 };
            exchange32(&mut entry.dirty, 0);
            flow.idle = 0;
        } else {
            flow.idle = 1;
        }
        if !(write(seq, key) && write(seq, value)) {
            flow.dirty = 1;
        }
        return 0;
    }
    // What has connections open stays, and so do the overflow entries, which have no port: what finds no place in the
    // flow table is written to them whatever they look like.
    if flow.opened + flow.adopted > flow.closed || copy.port == 0 {
        return 0;
    }
    if flow.idle < settings().idle_collections {
        flow.idle += 1;
        return 0;
    }
    // One generation at a time: the other one takes over.
    let mut other = copy;
    other.generation ^= 1;
    if entry(&other).is_some_and(|other| other.retired != 0) {
        return 0;
    }
    // Mark now; the agent takes it at a later tick, when no program can still hold it as unmarked.
    flow.retired = 1;
    if !(write(seq, key) && write(seq, value)) {
        flow.retired = 0;
    }
    0
}

/// The entry itself: the iterator's view of it is not one that the atomic instructions accept.
#[inline(always)]
fn entry(key: &FlowKey) -> Option<&'static mut Flow> {
    let entry = FLOWS.get_ptr_mut(key).or_else(|| OVERFLOW.get_ptr_mut(key))?;
    // SAFETY: map values live until the program ends (RCU).
    Some(unsafe { &mut *entry })
}
