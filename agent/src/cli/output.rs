//! What commands write: to stdout what was asked for, to stderr what is to be said beside it.

use anyhow::Context as _;
use std::io::{self, ErrorKind, Write as _};

/// Writes to stdout. Who has closed it, as `head` does, has had enough: that is no error.
///
/// # Errors
/// When it cannot be written, such as to a full disk.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// Says something beside what is asked for. Whoever has closed stderr does not want to know.
pub fn remark(text: std::fmt::Arguments<'_>) {
    let _closed = writeln!(io::stderr(), "narrows: {text}");
}
