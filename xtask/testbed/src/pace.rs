//! The speed of this machine. A virtual machine without hardware acceleration is many times slower: there, time limits are
//! longer, and tests repeat operations less often.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// The variable with the factor by which this machine is slower than others, a whole number; 1 if not set.
pub const SLOWNESS: &str = "NARROWS_TEST_SLOWNESS";

/// Scales a time limit for this machine.
pub fn patience(limit: Duration) -> Duration {
    limit * slowness()
}

/// Scales a number of repetitions, so that they take no longer here than `count` elsewhere; at least one.
pub fn fewer(count: u64) -> u64 {
    (count / u64::from(slowness())).max(1)
}

/// The first number at full speed, the second one under emulation, where a proportional number would still take too long.
pub fn either(full: u64, emulated: u64) -> u64 {
    if slowness() == 1 { full } else { emulated }
}

/// Reads [`SLOWNESS`] once.
///
/// # Panics
/// When it is not a whole number above 0.
fn slowness() -> u32 {
    static SET: OnceLock<u32> = OnceLock::new();
    *SET.get_or_init(|| match env::var(SLOWNESS) {
        Ok(text) => {
            let slowness = text.parse().ok().filter(|slowness| *slowness > 0);
            slowness.unwrap_or_else(|| panic!("{SLOWNESS} is {text:?}: a whole number above 0 is needed"))
        }
        Err(_) => 1,
    })
}
