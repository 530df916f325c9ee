//! The kernel programs: what they are for, and how each is loaded and attached.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Iter, ProgramError},
};
use serde::Serialize;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `tp_btf`: a tracepoint with typed arguments.
    Tracepoint(&'static str),
    /// `iter`: runs when the agent reads.
    Iterator(&'static str),
}

/// A kernel program.
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// Whether the agent is of no use without it.
    pub required: bool,
    /// What it is for, in the words of the metrics.
    pub signal: &'static str,
}

/// All of them, in the order in which they are attached. The life cycle comes before the adoption of open sockets, so
/// that none is missed in between.
pub const PROGRAMS: [Program; 9] = [
    Program {
        name: "set_state",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: true,
        signal: "connections opened, closed, failed; bytes; connect duration",
    },
    Program {
        name: "reset",
        hook: Hook::Tracepoint("tcp_send_reset"),
        required: false,
        signal: "resets that this end sends, for certain (else inferred)",
    },
    Program {
        name: "retransmit",
        hook: Hook::Tracepoint("tcp_retransmit_skb"),
        required: false,
        signal: "retransmits as they happen (else once a tick); handshakes with a repeated SYN",
    },
    Program {
        name: "retransmit_synack",
        hook: Hook::Tracepoint("tcp_retransmit_synack"),
        required: false,
        signal: "SYN-ACK retransmits",
    },
    Program {
        name: "cgroup_mkdir",
        hook: Hook::Tracepoint("cgroup_mkdir"),
        required: false,
        signal: "names of containers that live for less than a tick",
    },
    Program {
        name: "cgroup_rmdir",
        hook: Hook::Tracepoint("cgroup_rmdir"),
        required: false,
        signal: "the moment a container is gone (else up to a tick later)",
    },
    Program {
        name: "collect",
        hook: Hook::Iterator("bpf_map_elem"),
        required: true,
        signal: "reading the counters",
    },
    Program {
        name: "sample",
        hook: Hook::Iterator("bpf_sk_storage_map"),
        required: true,
        signal: "open connections: bytes, round trip; accept queues",
    },
    Program {
        name: "adopt",
        hook: Hook::Iterator("task_file"),
        required: false,
        signal: "connections and listeners open before the start; cheap short connections",
    },
];

/// How a program fared.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramStatus {
    /// Its name.
    pub program: &'static str,
    /// Its hook, as `tp_btf/...` or `iter/...`.
    pub hook: String,
    /// Whether the agent is of no use without it.
    pub required: bool,
    /// Whether it is attached.
    pub active: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What it is for.
    pub signal: &'static str,
}

impl Program {
    /// Its status.
    pub fn status(&self, outcome: Result<(), String>) -> ProgramStatus {
        let hook = match self.hook {
            Hook::Tracepoint(name) => format!("tp_btf/{name}"),
            Hook::Iterator(name) => format!("iter/{name}"),
        };
        let reason = outcome.err();
        ProgramStatus {
            program: self.name,
            hook,
            required: self.required,
            active: reason.is_none(),
            reason,
            signal: self.signal,
        }
    }

    /// Loads it, and attaches it when it is a tracepoint program. Iterators are tied to their maps by the caller.
    ///
    /// # Errors
    /// A sentence on what failed, with the end of the verifier's log when the verifier refused the program.
    pub fn load(&self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), String> {
        let program = ebpf
            .program_mut(self.name)
            .ok_or_else(|| format!("the kernel object has no program {}", self.name))?;
        match self.hook {
            Hook::Tracepoint(name) => {
                let program: &mut BtfTracePoint = program.try_into().map_err(explain)?;
                program.load(name, btf).map_err(explain)?;
                program.attach().map_err(explain)?;
            }
            Hook::Iterator(kind) => {
                let program: &mut Iter = program.try_into().map_err(explain)?;
                program.load(kind, btf).map_err(explain)?;
            }
        }
        Ok(())
    }
}

/// The last lines of the verifier's log say what it objected to.
const LOG_LINES: usize = 8;

fn explain(error: ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            if end.is_empty() {
                format!("the kernel refused to load it: {io_error}")
            } else {
                format!("the kernel's verifier refused it ({io_error}); the end of its log:\n{end}")
            }
        }
        ProgramError::Btf(error) => format!("this kernel does not have its hook: {error}"),
        ProgramError::SyscallError(error) => format!("{} failed: {}", error.call, error.io_error),
        other => other.to_string(),
    }
}
