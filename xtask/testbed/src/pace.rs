//! How fast this machine is. One without hardware acceleration is many times slower than others: there, everything may take
//! longer, and what tests do very often they do less often.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// How many times slower than others this machine is, a whole number; 1 where it is not set.
pub const SLOWNESS: &str = "NARROWS_TEST_SLOWNESS";

/// A time limit of other machines, for this one.
pub fn patience(limit: Duration) -> Duration {
    limit * slowness()
}

/// As many of something as take no longer here than `count` elsewhere; at least one.
pub fn fewer(count: u64) -> u64 {
    (count / u64::from(slowness())).max(1)
}

/// Reads [`SLOWNESS`] once.
///
/// # Panics
/// When it is no whole number above 0: limits would not be what whoever set it believes.
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
