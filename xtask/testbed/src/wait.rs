//! Bounded waiting for a state.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::pace;

/// The first interval between checks; intervals grow, as what takes long need not be checked often.
const FIRST_STEP: Duration = Duration::from_millis(1);
const LAST_STEP: Duration = Duration::from_millis(50);

/// The least time that a state is given: a machine that others use, too, may stand still for seconds.
const LEAST: Duration = Duration::from_secs(60);

/// Calls `probe` until it returns a value, for at most `limit`, or a minute (see [`pace::patience`]); `what` names the awaited state in the
/// error.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let limit = pace::patience(limit.max(LEAST));
    let deadline = Instant::now() + limit;
    let mut step = FIRST_STEP;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} for {what}, which did not happen");
        }
        thread::sleep(step);
        step = (step * 3 / 2).min(LAST_STEP);
    }
}
