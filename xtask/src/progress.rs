//! Numbered steps on the terminal; the output of a long command is reduced to one live line unless it fails.

use std::{
    io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::workspace::command_line;

/// Counts the steps of a task: `[2/4] building bpf-linker …`.
pub(crate) struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Announces the next step.
    pub(crate) fn next(&mut self, what: &str) {
        self.done += 1;
        println!("[{}/{}] {what} …", self.done, self.total);
    }
}

/// Runs a long command and shows its progress as one live line (none if the output is not a terminal).
///
/// # Errors
/// The command fails; its whole output is printed first.
pub(crate) fn run_reduced(command: &mut Command) -> Result<()> {
    let name = command_line(command);
    let start = Instant::now();
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot copy a pipe")?)
        .stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
    // `command` owns copies of the pipe's write end; the reader would wait without end unless they are dropped.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let live = io::stdout().is_terminal();
    let mut log = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.with_context(|| format!("cannot read from `{name}`"))?).into_owned();
        if live {
            print!("\r\x1b[2K      {}", shorten(&line, 70));
            io::stdout().flush().ok();
        }
        log.push(line);
    }
    if live {
        print!("\r\x1b[2K");
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    if !status.success() {
        eprintln!("{}", log.join("\n"));
        bail!("`{name}` failed ({status}); see its output above");
    }
    println!("      done in {:.0?}", start.elapsed());
    Ok(())
}

/// The visible part of a line (after its last carriage return), truncated to `width` characters.
fn shorten(line: &str, width: usize) -> String {
    let shown = line.trim_end().rsplit('\r').next().unwrap_or_default();
    shown
        .trim()
        .chars()
        .filter(|character| !character.is_control())
        .take(width)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_line_is_one_short_line() {
        assert_eq!(shorten("  10%\r  50%\r  Compiling libc v0.2\r", 12), "Compiling li");
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run_reduced(Command::new("sh").args(["-c", "echo broken; exit 3"])).expect_err("exit 3");
        assert!(
            error
                .to_string()
                .starts_with("`sh -c echo broken; exit 3` failed (exit status: 3)"),
            "{error}"
        );
    }
}
