//! Output of the commands: the requested data to stdout, remarks to stderr.

use anyhow::Context as _;
use std::io::{self, ErrorKind, Write as _};

/// Writes to stdout. That the reader has closed the pipe, as `head` does, is not an error.
///
/// # Errors
/// When it cannot be written, such as to a full disk.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    is_read(text).map(|_| ())
}

/// Writes to stdout; `false` when the reader has closed the pipe, and nobody reads what else is written.
///
/// # Errors
/// When it cannot be written, such as to a full disk.
pub fn is_read(text: impl AsRef<[u8]>) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.context("cannot write to stdout").map(|()| true),
    }
}

/// Writes a remark to stderr. A closed stderr is not an error.
pub fn remark(text: std::fmt::Arguments<'_>) {
    let _closed = writeln!(io::stderr(), "narrows: {text}");
}
