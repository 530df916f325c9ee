//! Declarations of kernel programs: name, hook, purpose and needs. The `kernel` module loads them; those that concern only points
//! are declared in their signals.

use agent_common::Field;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `tp_btf`: a tracepoint with typed arguments.
    Tracepoint(&'static str),
    /// A tracepoint, attached while there are points on this node: the program concerns nothing else.
    Points(&'static str),
    /// A hook of cgroups, attached to the whole tree while there are points on this node.
    Cgroups(CgroupHook),
    /// A tracepoint, attached only while needed: it would cost too much all the time.
    OnDemand(&'static str),
    /// `iter`: runs when the agent reads.
    Iterator(&'static str),
    /// Attached nowhere: the agent runs it itself.
    Run,
}

/// A hook that runs for the processes in a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupHook {
    /// A process asks for the peer's name of an IPv4 socket, as `accept` with an address does.
    PeerName4,
    /// The same for IPv6.
    PeerName6,
}

impl CgroupHook {
    /// Its name, as in the section names of programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeerName4 => "getpeername4",
            Self::PeerName6 => "getpeername6",
        }
    }
}

/// A dependency of a program, or of a family of metrics.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Another program that must be active.
    Program(&'static Program),
    /// A field of a kernel structure.
    Field(Field),
    /// A tracepoint that passes at least this many arguments.
    Argument(&'static str, usize),
    /// The right to attach programs to cgroups (`CAP_NET_ADMIN`).
    NetworkAdministration,
    /// Reading kernel memory whose type the verifier does not know, which `lockdown=confidentiality` forbids.
    KernelMemory,
    /// The process ids seen here are those of the kernel: the agent is in the initial pid namespace.
    KernelNumbers,
}

/// What this kernel provides: the active programs, and the fields with a known offset.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The names of the active programs.
    pub programs: Vec<&'static str>,
    /// The fields with a known offset.
    pub fields: Vec<Field>,
}

impl Offer {
    /// Whether a need is met. (Other kinds are needs of programs, and are reflected in these.)
    pub fn has(&self, need: &Need) -> bool {
        match need {
            Need::Program(program) => self.programs.contains(&program.name),
            Need::Field(field) => self.fields.contains(field),
            Need::Argument(..) | Need::NetworkAdministration | Need::KernelMemory | Need::KernelNumbers => true,
        }
    }

    /// Whether all of these needs are met.
    pub fn has_all(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| self.has(need))
    }
}

/// The declaration of a kernel program.
#[derive(Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// What it is for, in terms of the metrics.
    pub signal: &'static str,
    /// What it depends on. Programs among these come before it in the list.
    pub needs: &'static [Need],
}

/// Runs at each state change of a TCP socket: handshakes and ends of connections.
pub const SET_STATE: Program = Program {
    name: "set_state",
    hook: Hook::Tracepoint("inet_sock_set_state"),
    signal: "connections opened, closed, failed; bytes; connect duration",
    needs: &[],
};

/// Handles the runs of [`SET_STATE`] that the kernel skipped, and all state changes where that program is not attached.
pub const SET_STATE_TWIN: Program = Program {
    name: "set_state_twin",
    hook: Hook::Tracepoint("inet_sock_set_state"),
    signal: "the same, where the kernel leaves out runs of set_state (else counts drift under interrupts, see \
             narrows_lost_total)",
    needs: &[],
};

/// Runs when this end sends a reset.
pub const RESET: Program = Program {
    name: "reset",
    hook: Hook::Tracepoint("tcp_send_reset"),
    signal: "resets that this end sends, for certain (else inferred)",
    needs: &[],
};

/// Runs when a segment is retransmitted.
pub const RETRANSMIT: Program = Program {
    name: "retransmit",
    hook: Hook::Tracepoint("tcp_retransmit_skb"),
    signal: "retransmits as they happen (else once a tick); handshakes with a repeated SYN",
    needs: &[],
};

/// Runs when a SYN-ACK is retransmitted.
pub const RETRANSMIT_SYNACK: Program = Program {
    name: "retransmit_synack",
    hook: Hook::Tracepoint("tcp_retransmit_synack"),
    signal: "SYN-ACK retransmits",
    needs: &[],
};

/// Runs when a cgroup is created.
pub const CGROUP_MKDIR: Program = Program {
    name: "cgroup_mkdir",
    hook: Hook::Tracepoint("cgroup_mkdir"),
    signal: "names of containers that live for less than a tick",
    needs: &[Need::KernelMemory],
};

/// Runs when a cgroup is removed.
pub const CGROUP_RMDIR: Program = Program {
    name: "cgroup_rmdir",
    hook: Hook::Tracepoint("cgroup_rmdir"),
    signal: "the moment a container is gone (else up to a tick later)",
    needs: &[],
};

/// Walks over open sockets, at the start and at each tick.
pub const WALK: Program = Program {
    name: "walk",
    hook: Hook::Iterator("task_file"),
    signal: "open connections: bytes, round trip; accept queues; what was open before the start; cheap short connections \
             (else bytes are counted at the end of a connection)",
    needs: &[Need::Field(Field::socket_sk)],
};

/// Modifies single flows.
pub const AMEND: Program = Program {
    name: "amend",
    hook: Hook::Run,
    signal: "idle flows leave the table (else it fills up, and later flows are counted by owner)",
    needs: &[],
};

/// The programs of which at least one is needed to see connections begin and end.
pub const LIFE_CYCLE: [&Program; 2] = [&SET_STATE, &SET_STATE_TWIN];

/// The programs that everything depends on; those that concern only points are in `signals`.
///
/// In the order in which they are attached: the kernel runs programs at the same hook in this order. The life cycle comes before
/// the walk that registers open sockets, so that none is missed in between.
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
    /// Whether it is one of the programs that see connections begin and end.
    pub fn is_life_cycle(&self) -> bool {
        LIFE_CYCLE.iter().any(|program| program.name == self.name)
    }

    /// Whether it continues while no agent runs: it counts by itself, and not at the agent's request.
    pub const fn is_lasting(&self) -> bool {
        matches!(self.hook, Hook::Tracepoint(_)) || self.concerns_points()
    }

    /// Whether it is attached while there are points on this node.
    pub const fn concerns_points(&self) -> bool {
        matches!(self.hook, Hook::Points(_) | Hook::Cgroups(_))
    }
}

/// Programs have unique names.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
