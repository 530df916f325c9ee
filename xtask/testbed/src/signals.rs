//! Waiting for SIGINT and SIGTERM.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Blocks the default effect of SIGINT and SIGTERM until the guard is dropped.
#[derive(Debug)]
pub struct Stop(SignalFd);

impl Stop {
    /// Starts to wait for the signals. Call it before the process starts threads, which inherit the blocked signals.
    pub fn listen() -> Result<Self> {
        let set = asked_to_end();
        set.thread_block().context("block SIGINT and SIGTERM")?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self(descriptor))
    }

    /// Waits at most `limit`, and returns whether a signal has arrived.
    pub fn within(&self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let ready = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout);
            match ready {
                // Rounded down to milliseconds, the wait may end a little early.
                Ok(0) if left < Duration::from_millis(1) => return Ok(false),
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return Ok(self.0.read_signal()?.is_some()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let _stays = asked_to_end().thread_unblock();
    }
}

fn asked_to_end() -> SigSet {
    SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM])
}
