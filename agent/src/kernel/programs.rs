//! How each kernel program is loaded, and its resulting status.

use super::{
    bpf,
    capabilities::administers_network,
    offsets::Found,
    options::Options,
    restrictions::{Lockdown, lockdown},
};
use crate::program::{Hook, Need, Program};
use agent_common::ABSENT;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupSockAddr, Iter, ProgramError, ProgramFd, RawTracePoint},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};

/// The status of a program.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProgramStatus {
    /// The program's name in the object.
    pub program: &'static str,
    /// Its hook, as `tp_btf/...`, `cgroup/...`, `iter/...`, or `raw_tp` for a program that the agent runs.
    pub hook: String,
    /// Whether it is attached, or will be whenever it is needed: while there are points, or connections are stuck.
    pub active: bool,
    /// Why it is not active.
    pub reason: Option<String>,
    /// What the program is for.
    pub signal: &'static str,
}

impl ProgramStatus {
    /// Marks a program as inactive, for this reason.
    pub fn switch_off(&mut self, reason: String) {
        self.active = false;
        self.reason = Some(reason);
    }
}

/// Whether a program is active.
pub fn is_active(statuses: &[ProgramStatus], program: &Program) -> bool {
    let mut all = statuses.iter();
    all.any(|status| status.program == program.name && status.active)
}

/// The status of a program that is active.
pub fn active_mut<'a>(statuses: &'a mut [ProgramStatus], program: &Program) -> Option<&'a mut ProgramStatus> {
    let mut all = statuses.iter_mut();
    all.find(|status| status.program == program.name && status.active)
}

impl Program {
    /// Why the program is not even loaded: it is disabled, or something that it needs is missing. `earlier` are the programs before
    /// it in the list.
    pub fn obstacle(&self, options: &Options, found: &Found, earlier: &[ProgramStatus]) -> Option<String> {
        if options.off.iter().any(|name| name == self.name) {
            return Some("it is switched off in the configuration (kernel.off)".to_owned());
        }
        self.needs.iter().find_map(|need| match need {
            Need::Program(other) => {
                (!is_active(earlier, other)).then(|| format!("it needs {}, which is not active", other.name))
            }
            Need::Field(field) if found.offsets.get(*field) == ABSENT => {
                Some(format!("this kernel has no {}.{}", field.structure(), field.path()))
            }
            Need::Argument(tracepoint, number) if found.arguments.get(tracepoint).is_some_and(|n| n < number) => {
                Some(format!("the tracepoint {tracepoint} of this kernel does not have its argument {number}"))
            }
            Need::KernelMemory if lockdown() == Lockdown::Confidentiality => {
                Some("lockdown=confidentiality forbids programs to read kernel memory".to_owned())
            }
            Need::KernelNumbers if !options.numbers => Some(
                "the agent has a process namespace of its own, in which threads have other numbers than in the kernel: run it in \
                 the node's (hostPID)"
                    .to_owned(),
            ),
            Need::NetworkAdministration if !administers_network() => Some(
                "it needs CAP_NET_ADMIN, which the manifests do not ask for (docs/security.md says how to add it)".to_owned(),
            ),
            Need::Field(_)
            | Need::Argument(..)
            | Need::NetworkAdministration
            | Need::KernelMemory
            | Need::KernelNumbers => None,
        })
    }

    /// The status that follows from the outcome of loading the program.
    pub fn status(&self, outcome: Result<(), String>) -> ProgramStatus {
        let hook = match self.hook {
            Hook::Tracepoint(name) | Hook::Points(name) | Hook::OnDemand(name) => format!("tp_btf/{name}"),
            Hook::Cgroups(hook) => format!("cgroup/{}", hook.name()),
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

    /// Loads the program into the kernel, where the verifier checks it.
    ///
    /// # Errors
    /// A message about what failed, with the end of the verifier's log when the verifier refused the program.
    pub fn load(&self, ebpf: &mut Ebpf, btf: &Btf) -> Result<OwnedFd, String> {
        let program = ebpf
            .program_mut(self.name)
            .ok_or_else(|| format!("the kernel object has no program {}", self.name))?;
        let loaded = match self.hook {
            Hook::Tracepoint(name) | Hook::Points(name) | Hook::OnDemand(name) => {
                let program: &mut BtfTracePoint = program.try_into().map_err(explain)?;
                program.load(name, btf).and_then(|()| program.fd())
            }
            Hook::Cgroups(_) => {
                let program: &mut CgroupSockAddr = program.try_into().map_err(explain)?;
                program.load().and_then(|()| program.fd())
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
            // Whether it can be run must be known before it is needed; without arguments it does nothing.
            bpf::run(program.as_fd(), &[u64::MAX; 12])
                .map_err(|error| format!("the kernel does not run it: {error}"))?;
        }
        Ok(program)
    }
}

/// The last lines of the verifier's log give its objection.
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
