//! Verifies that the machine has the properties that the tests rely on. If the kernel ignored a setting, tests would pass for the
//! wrong reason, unnoticed.

use std::fs;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::Checks;

/// The kernel's lockdown modes, with the active one in brackets: `none integrity [confidentiality]`.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The CPUs to which packets of the loopback device are steered. The file does not exist without `CONFIG_RPS`.
const STEERING: &str = "/sys/class/net/lo/queues/rx-0/rps_cpus";

/// Compares the machine with the orders.
///
/// # Errors
/// The first property that differs.
pub(super) fn check(ordered: &Checks) -> Result<()> {
    let processors = thread::available_parallelism().context("count the processors")?.get();
    let asked = ordered.processors as usize;
    ensure!(processors == asked, "the machine has {processors} CPUs, not {asked}");
    let modes = fs::read_to_string(LOCKDOWN).with_context(|| format!("read {LOCKDOWN}"))?;
    let mode = chosen(&modes).with_context(|| format!("{LOCKDOWN} says {modes:?}"))?;
    let asked = &ordered.lockdown;
    ensure!(
        mode == asked,
        "{LOCKDOWN} says that the kernel's lockdown is {mode}, not {asked}"
    );
    // No CPU, which is the default.
    fs::write(STEERING, "0").with_context(|| format!("write to {STEERING}: can this kernel steer packets?"))
}

/// The word in brackets.
fn chosen(modes: &str) -> Option<&str> {
    let (chosen, _) = modes.split_once('[')?.1.split_once(']')?;
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_the_one_in_brackets() {
        assert_eq!(chosen("none integrity [confidentiality]\n"), Some("confidentiality"));
        assert_eq!(chosen("[none] integrity confidentiality\n"), Some("none"));
        assert_eq!(chosen(""), None);
    }
}
