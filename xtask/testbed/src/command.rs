//! Programs that run to their end.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Runs a program to its end and returns its stdout; an error carries its stderr.
pub(crate) fn output(command: &mut Command, input: Option<&str>) -> Result<String> {
    let line = format!("{command:?}");
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {line}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that ends early shows in its status, which says more than a broken pipe.
        let _closed = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| line.clone())?;
    ensure!(
        output.status.success(),
        "{line}{}: {}: {}",
        input.map(|input| format!(" with {input:?}")).unwrap_or_default(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
