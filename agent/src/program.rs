//! Kernel programs, as they are declared: by name, hook, purpose and needs. The `kernel` module loads them; those about points stand in
//! the signals that they are for.

use agent_common::Field;

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

/// Something that a program, or a family of metrics, cannot do without.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Another program.
    Program(&'static Program),
    /// A field of a kernel structure.
    Field(Field),
    /// So many arguments of a tracepoint.
    Argument(&'static str, usize),
    /// Reading kernel memory beyond what the verifier knows, which `lockdown=confidentiality` forbids.
    KernelMemory,
    /// Processes have the numbers here that the kernel itself gives them: the agent is in the first process namespace.
    KernelNumbers,
}

/// What this kernel offers: the programs that are active, and the fields that are known.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Programs, by their names.
    pub programs: Vec<&'static str>,
    /// Fields.
    pub fields: Vec<Field>,
}

impl Offer {
    /// Whether a need is met. (The others are needs of programs, and show in these.)
    pub fn has(&self, need: &Need) -> bool {
        match need {
            Need::Program(program) => self.programs.contains(&program.name),
            Need::Field(field) => self.fields.contains(field),
            Need::Argument(..) | Need::KernelMemory | Need::KernelNumbers => true,
        }
    }

    /// Whether all of them are met.
    pub fn has_all(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| self.has(need))
    }
}

/// A kernel program.
#[derive(Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// What it is for, in the words of the metrics.
    pub signal: &'static str,
    /// What it cannot do without. Programs among it come before it in the list.
    pub needs: &'static [Need],
}

/// Handshakes and ends of connections.
pub const SET_STATE: Program = Program {
    name: "set_state",
    hook: Hook::Tracepoint("inet_sock_set_state"),
    signal: "connections opened, closed, failed; bytes; connect duration",
    needs: &[],
};

/// What the kernel does not let [`SET_STATE`] handle, and everything where that one is not there.
pub const SET_STATE_TWIN: Program = Program {
    name: "set_state_twin",
    hook: Hook::Tracepoint("inet_sock_set_state"),
    signal: "the same, where the kernel leaves out runs of set_state (else counts drift under interrupts, see \
             narrows_lost_total)",
    needs: &[],
};

/// Resets that this end sends.
pub const RESET: Program = Program {
    name: "reset",
    hook: Hook::Tracepoint("tcp_send_reset"),
    signal: "resets that this end sends, for certain (else inferred)",
    needs: &[],
};

/// Segments that are sent again.
pub const RETRANSMIT: Program = Program {
    name: "retransmit",
    hook: Hook::Tracepoint("tcp_retransmit_skb"),
    signal: "retransmits as they happen (else once a tick); handshakes with a repeated SYN",
    needs: &[],
};

/// SYN-ACKs that are sent again.
pub const RETRANSMIT_SYNACK: Program = Program {
    name: "retransmit_synack",
    hook: Hook::Tracepoint("tcp_retransmit_synack"),
    signal: "SYN-ACK retransmits",
    needs: &[],
};

/// Cgroups that are made.
pub const CGROUP_MKDIR: Program = Program {
    name: "cgroup_mkdir",
    hook: Hook::Tracepoint("cgroup_mkdir"),
    signal: "names of containers that live for less than a tick",
    needs: &[Need::KernelMemory],
};

/// Cgroups that are removed.
pub const CGROUP_RMDIR: Program = Program {
    name: "cgroup_rmdir",
    hook: Hook::Tracepoint("cgroup_rmdir"),
    signal: "the moment a container is gone (else up to a tick later)",
    needs: &[],
};

/// Open sockets, at the start and at each tick.
pub const WALK: Program = Program {
    name: "walk",
    hook: Hook::Iterator("task_file"),
    signal: "open connections: bytes, round trip; accept queues; what was open before the start; cheap short connections \
             (else bytes are counted at the end of a connection)",
    needs: &[Need::Field(Field::socket_sk)],
};

/// Changes of single flows.
pub const AMEND: Program = Program {
    name: "amend",
    hook: Hook::Run,
    signal: "idle flows leave the table (else it fills up, and later flows are counted by owner)",
    needs: &[],
};

/// The programs of which one is enough to see connections begin and end.
pub const LIFE_CYCLE: [&Program; 2] = [&SET_STATE, &SET_STATE_TWIN];

/// The programs that everything rests on; those about points alone are in `signals`.
///
/// In the order in which they are attached: the kernel runs those at the same hook in this order. The life cycle comes before the walk
/// that takes in open sockets, so that none is missed in between.
pub const CORE: [&Program; 9] = [
    &SET_STATE,
    &SET_STATE_TWIN,
    &RESET,
    &RETRANSMIT,
    &RETRANSMIT_SYNACK,
    &CGROUP_MKDIR,
    &CGROUP_RMDIR,
    &WALK,
    &AMEND,
];

impl Program {
    /// Whether it is one of those that see connections begin and end.
    pub fn is_life_cycle(&self) -> bool {
        LIFE_CYCLE.iter().any(|program| program.name == self.name)
    }

    /// Whether it goes on while no agent runs: it counts by itself, and not at the agent's demand.
    pub const fn is_lasting(&self) -> bool {
        matches!(self.hook, Hook::Tracepoint(_) | Hook::Points(_))
    }
}

/// Names are unique.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
