//! Seccomp profiles of containers, made filters of as a runtime does.

use std::{env, io};

use anyhow::{Context as _, Result, ensure};
use seccompiler::{BpfProgram, apply_filter, compile_from_json};
use serde::Deserialize;
use serde_json::{Value, json};

/// A profile in the form of the OCI runtime specification, as far as Narrows' own uses it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: u32,
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    #[serde(rename = "comment")]
    _comment: String,
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    value_two: u64,
    op: String,
}

/// The filters of a profile. A runtime makes one; here each errno has its own, and a system call has to pass them all.
#[derive(Clone, Debug)]
pub struct Seccomp(Vec<BpfProgram>);

impl Seccomp {
    /// Compiles a profile for this machine.
    ///
    /// # Errors
    /// The text is no profile, or has something that is not known here, such as a system call that this architecture lacks.
    pub fn of(profile: &str) -> Result<Self> {
        let profile: Profile = serde_json::from_str(profile).context("a seccomp profile")?;
        ensure!(
            profile.default_action == "SCMP_ACT_ERRNO",
            "default action {}",
            profile.default_action
        );
        let (mut filters, mut known) = (Vec::new(), Vec::new());
        for rule in profile.syscalls {
            let calls = rule.calls()?;
            if let Some(errno) = rule.errno_ret {
                ensure!(rule.action == "SCMP_ACT_ERRNO", "action {} with an errno", rule.action);
                filters.push(filter(&json!("allow"), &json!({ "errno": errno }), &calls)?);
            } else {
                ensure!(rule.action == "SCMP_ACT_ALLOW", "action {}", rule.action);
            }
            known.extend(calls);
        }
        // The last one, as it forbids to install another.
        let default = json!({ "errno": profile.default_errno_ret });
        filters.push(filter(&default, &json!("allow"), &known)?);
        Ok(Self(filters))
    }

    /// Installs the filters in this process.
    pub(super) fn install(&self) -> io::Result<()> {
        self.0
            .iter()
            .try_for_each(|filter| apply_filter(filter).map_err(io::Error::other))
    }
}

impl Rule {
    /// The rule's system calls in the form of seccompiler.
    fn calls(&self) -> Result<Vec<Value>> {
        let condition = |argument: &Argument| {
            ensure!(argument.op == "SCMP_CMP_MASKED_EQ", "comparison {}", argument.op);
            let op = json!({ "masked_eq": argument.value });
            Ok(json!({ "index": argument.index, "type": "qword", "op": op, "val": argument.value_two }))
        };
        let conditions: Vec<_> = self.args.iter().map(condition).collect::<Result<_>>()?;
        let call = |name| match &conditions[..] {
            [] => json!({ "syscall": name }),
            conditions => json!({ "syscall": name, "args": conditions }),
        };
        Ok(self.names.iter().map(call).collect())
    }
}

fn filter(otherwise: &Value, action: &Value, calls: &[Value]) -> Result<BpfProgram> {
    let text = json!({ "it": { "mismatch_action": otherwise, "match_action": action, "filter": calls } }).to_string();
    let architecture = env::consts::ARCH.try_into().context("this architecture")?;
    let mut filters = compile_from_json(text.as_bytes(), architecture).context("compile a filter")?;
    filters.remove("it").context("no filter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_here_is_an_error() {
        let profile = |action: &str, call: &str| {
            json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 1,
                "syscalls": [{ "comment": "", "names": [call], "action": action }],
            })
            .to_string()
        };
        assert!(Seccomp::of(&profile("SCMP_ACT_ALLOW", "read")).is_ok());
        for (action, call) in [("SCMP_ACT_LOG", "read"), ("SCMP_ACT_ALLOW", "no_such_call")] {
            assert!(Seccomp::of(&profile(action, call)).is_err(), "{action} {call}");
        }
    }
}
