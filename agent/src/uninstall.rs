//! Removing the pinned programs and maps of earlier agents.

use crate::kernel::{Pins, Unusable};
use anyhow::{anyhow, bail};
use std::path::Path;

/// Removes the directory and everything in it, and returns a sentence about the result.
///
/// # Errors
/// An agent still runs, or the directory cannot be removed.
pub fn run(root: &Path) -> anyhow::Result<String> {
    let exists = root.try_exists().map_err(|error| {
        let shown = root.display();
        anyhow!("cannot look for {shown}: {error}; run as root, or as the owner of the directory above it")
    })?;
    if !exists {
        return Ok(format!("nothing to remove: {} does not exist", root.display()));
    }
    match Pins::open(root) {
        Ok(pins) => pins.remove()?,
        Err(Unusable::Busy(_)) => bail!(
            "cannot remove {}: a running agent uses it; stop the agent first",
            root.display()
        ),
        Err(Unusable::Refused(why)) => bail!(why),
    }
    Ok(format!(
        "removed {}: its kernel programs are detached, and their counters are deleted",
        root.display()
    ))
}
