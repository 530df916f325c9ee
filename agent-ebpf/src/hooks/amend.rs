//! Changes to a flow that the agent requests: it runs this program itself (`BPF_PROG_TEST_RUN`), for one flow at a time.
//!
//! An update of the map from user space would replace the whole entry, and lose what programs count meanwhile.

use crate::{
    flows::entry,
    maps::{FLOWS, OVERFLOW},
    points,
};
use agent_common::{Amendment, FlowKey};
use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

/// Not attached to a hook. Arguments: an [`Amendment`], the four words of a [`FlowKey`], and a number of connections or a thread
/// id. Returns 1 on success.
#[raw_tracepoint(tracepoint = "sys_enter")]
fn amend(ctx: RawTracePointContext) -> i32 {
    let what: u64 = ctx.arg(0);
    if what == Amendment::Mark as u64 {
        points::mark(ctx.arg(5));
        return 1;
    }
    let words: [u64; 4] = [ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4)];
    // SAFETY: a key is 32 bytes of integers without padding.
    let key: FlowKey = unsafe { core::mem::transmute(words) };
    let Some(flow) = entry(&FLOWS, &key).or_else(|| entry(&OVERFLOW, &key)) else {
        return 0;
    };
    if what == Amendment::Retire as u64 {
        if flow.closed.get() < flow.opened.get() + flow.adopted.get() {
            return 0;
        }
        flow.retired.exchange(1);
        return 1;
    }
    if what == Amendment::End as u64 {
        flow.closed.add(ctx.arg(5));
        return 1;
    }
    0
}
