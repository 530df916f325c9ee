//! The kernel programs: what they are for, and how each is loaded and attached.

use super::{
    Options, bpf,
    restrictions::{Lockdown, lockdown},
};
use agent_common::{ABSENT, Offsets};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Iter, ProgramError, ProgramFd, RawTracePoint},
};
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `tp_btf`: a tracepoint with typed arguments.
    Tracepoint(&'static str),
    /// The same, attached while there are points on this node: it is about nothing else.
    Points(&'static str),
    /// The same, attached while there is a reason to look: it would cost too much all the time.
    OnDemand(&'static str),
    /// `iter`: runs when the agent reads.
    Iterator(&'static str),
    /// Attached nowhere: the agent runs it itself.
    Run,
}

/// A kernel program.
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// What it is for, in the words of the metrics.
    pub signal: &'static str,
    /// What it cannot do without: kernel fields, by their names in [`Offsets`], and other programs.
    pub needs: &'static [&'static str],
}

/// The programs of which one is enough to see connections begin and end: the twin handles what the kernel does not let the first
/// one handle, and everything where the first one is not there.
pub const LIFE_CYCLE: [&str; 2] = ["set_state", "set_state_twin"];

/// All of them, in the order in which they are attached: the kernel runs those at the same hook in this order. The life cycle
/// comes before the walk that takes in open sockets, so that none is missed in between.
pub const PROGRAMS: [Program; 19] = [
    Program {
        name: "set_state",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        signal: "connections opened, closed, failed; bytes; connect duration",
        needs: &[],
    },
    Program {
        name: "set_state_twin",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        signal: "the same, where the kernel leaves out runs of set_state (else counts drift under interrupts, see \
                 narrows_lost_total)",
        needs: &[],
    },
    Program {
        name: "reset",
        hook: Hook::Tracepoint("tcp_send_reset"),
        signal: "resets that this end sends, for certain (else inferred)",
        needs: &[],
    },
    Program {
        name: "retransmit",
        hook: Hook::Tracepoint("tcp_retransmit_skb"),
        signal: "retransmits as they happen (else once a tick); handshakes with a repeated SYN",
        needs: &[],
    },
    Program {
        name: "retransmit_synack",
        hook: Hook::Tracepoint("tcp_retransmit_synack"),
        signal: "SYN-ACK retransmits",
        needs: &[],
    },
    Program {
        name: "cgroup_mkdir",
        hook: Hook::Tracepoint("cgroup_mkdir"),
        signal: "names of containers that live for less than a tick",
        needs: &[],
    },
    Program {
        name: "cgroup_rmdir",
        hook: Hook::Tracepoint("cgroup_rmdir"),
        signal: "the moment a container is gone (else up to a tick later)",
        needs: &[],
    },
    Program {
        name: "walk",
        hook: Hook::Iterator("task_file"),
        signal: "open connections: bytes, round trip; accept queues; what was open before the start; cheap short connections \
                 (else bytes are counted at the end of a connection)",
        needs: &["socket_sk"],
    },
    Program {
        name: "amend",
        hook: Hook::Run,
        signal: "idle flows leave the table (else it fills up, and later flows are counted by owner)",
        needs: &[],
    },
    Program {
        name: "process_fork",
        hook: Hook::Points("sched_process_fork"),
        signal: "new threads and processes of points",
        needs: &["task_pid", "task_tgid"],
    },
    Program {
        name: "process_exit",
        hook: Hook::Points("sched_process_exit"),
        signal: "exits and OOM kills of points",
        needs: &[
            "task_pid",
            "task_signal",
            "task_exit_code",
            "signal_live",
            "signal_group_exit_code",
            "process_fork",
        ],
    },
    Program {
        name: "process_exec",
        hook: Hook::Points("sched_process_exec"),
        signal: "starts of points, also between two ticks",
        needs: &[
            "task_pid",
            "task_tgid",
            "task_flags",
            "task_cgroups",
            "css_set_dfl_cgrp",
            "process_exit",
        ],
    },
    Program {
        name: "sched_wakeup",
        hook: Hook::Points("sched_wakeup"),
        signal: "run-queue delay of points that are woken up",
        needs: &["task_pid", "task_on_cpu", "process_exit"],
    },
    Program {
        name: "sched_wakeup_new",
        hook: Hook::Points("sched_wakeup_new"),
        signal: "run-queue delay of new threads of points",
        needs: &["task_pid", "task_on_cpu", "process_exit"],
    },
    Program {
        name: "sched_switch",
        hook: Hook::Points("sched_switch"),
        signal: "run-queue delay of points, and who has the processor meanwhile",
        needs: &[
            "task_pid",
            "task_state",
            "task_flags",
            "task_cgroups",
            "css_set_dfl_cgrp",
            "process_exit",
        ],
    },
    Program {
        name: "data_arrived",
        hook: Hook::Points("sk_data_ready"),
        signal: "read delay of points (else only the bytes that are unread at a tick)",
        needs: &["tp_rcv_nxt", "tp_copied_seq"],
    },
    Program {
        name: "data_read",
        hook: Hook::Points("sock_recv_length"),
        signal: "read and forward delay of points; failed TLS handshakes among what was closed early",
        needs: &["tp_rcv_nxt", "tp_copied_seq"],
    },
    Program {
        name: "data_sent",
        hook: Hook::Points("sock_send_length"),
        signal: "forward delay of points; failed TLS handshakes among what was closed early",
        needs: &["process_exit"],
    },
    Program {
        name: "accept_error",
        hook: Hook::OnDemand("sys_exit"),
        signal: "failed accepts of points, while connections are stuck in their queues",
        needs: &["regs_call", "process_exit"],
    },
];

/// How a program fared.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramStatus {
    /// Its name.
    pub program: &'static str,
    /// Its hook, as `tp_btf/...`, `iter/...`, or `raw_tp` for one that the agent runs.
    pub hook: String,
    /// Whether it is attached, or is whenever there is something to see: points, or what they are stuck with.
    pub active: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What it is for.
    pub signal: &'static str,
}

impl ProgramStatus {
    /// Says why it is not active after all.
    pub fn switch_off(&mut self, reason: String) {
        self.active = false;
        self.reason = Some(reason);
    }
}

impl Program {
    /// Why it is not even tried: it is switched off, or something that it needs is not there. `earlier` are the programs
    /// before it in the list.
    pub fn obstacle(&self, options: &Options, offsets: &Offsets, earlier: &[ProgramStatus]) -> Option<String> {
        if options.off.iter().any(|name| name == self.name) {
            return Some("it is switched off in the configuration (kernel.off)".to_owned());
        }
        // The path of a new cgroup is a string in kernel memory.
        if self.name == "cgroup_mkdir" && lockdown() == Lockdown::Confidentiality {
            return Some("lockdown=confidentiality forbids programs to read kernel memory".to_owned());
        }
        // Threads are registered from here on; everything that needs them needs it.
        if self.name == "process_fork" && !options.numbers {
            return Some(
                "the agent has a process namespace of its own, in which threads have other numbers than in the kernel: run it in \
                 the node's (hostPID)"
                    .to_owned(),
            );
        }
        self.needs.iter().find_map(|need| {
            if let Some(other) = earlier.iter().find(|status| status.program == *need) {
                return (!other.active).then(|| format!("it needs {need}, which is not active"));
            }
            let (_, structure, path, _) = Offsets::FIELDS.iter().find(|(name, ..)| name == need)?;
            let missing = offsets.get(need) == Some(ABSENT);
            missing.then(|| format!("this kernel has no {structure}.{path}"))
        })
    }

    /// Its status.
    pub fn status(&self, outcome: Result<(), String>) -> ProgramStatus {
        let hook = match self.hook {
            Hook::Tracepoint(name) | Hook::Points(name) | Hook::OnDemand(name) => format!("tp_btf/{name}"),
            Hook::Iterator(name) => format!("iter/{name}"),
            Hook::Run => "raw_tp".to_owned(),
        };
        let reason = outcome.err();
        ProgramStatus {
            program: self.name,
            hook,
            active: reason.is_none(),
            reason,
            signal: self.signal,
        }
    }

    /// Whether it goes on while no agent runs: it counts by itself, and not at the agent's demand.
    pub const fn is_lasting(&self) -> bool {
        matches!(self.hook, Hook::Tracepoint(_) | Hook::Points(_))
    }

    /// Loads it.
    ///
    /// # Errors
    /// A sentence on what failed, with the end of the verifier's log when the verifier refused the program.
    pub fn load(&self, ebpf: &mut Ebpf, btf: &Btf) -> Result<OwnedFd, String> {
        let program = ebpf
            .program_mut(self.name)
            .ok_or_else(|| format!("the kernel object has no program {}", self.name))?;
        let loaded = match self.hook {
            Hook::Tracepoint(name) | Hook::Points(name) | Hook::OnDemand(name) => {
                let program: &mut BtfTracePoint = program.try_into().map_err(explain)?;
                program.load(name, btf).and_then(|()| program.fd())
            }
            Hook::Iterator(kind) => {
                let program: &mut Iter = program.try_into().map_err(explain)?;
                program.load(kind, btf).and_then(|()| program.fd())
            }
            Hook::Run => {
                let program: &mut RawTracePoint = program.try_into().map_err(explain)?;
                program.load().and_then(|()| program.fd())
            }
        };
        let program: &ProgramFd = loaded.map_err(explain)?;
        let program = program
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| error.to_string())?;
        if self.hook == Hook::Run {
            // Whether it can be run is to be known before it is wanted; without arguments it does nothing.
            bpf::run(program.as_fd(), &[u64::MAX; 12])
                .map_err(|error| format!("the kernel does not run it: {error}"))?;
        }
        Ok(program)
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
