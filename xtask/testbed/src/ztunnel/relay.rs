//! Relaying bytes in both directions between two connections, with half-close and resets.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::abort::abort;

/// The size of the buffer of one direction, in bytes.
const BUFFER: usize = 64 * 1024;

/// Relays until both sides have closed, and returns the bytes of each direction: (a to b, b to a). When one side resets,
/// the other one is reset, too, and an error is returned.
pub(super) fn relay(a: TcpStream, b: TcpStream) -> (u64, u64, Result<()>) {
    let (mut forth, mut back) = (Way::new(), Way::new());
    let outcome = pump(&a, &b, &mut forth, &mut back);
    if outcome.is_err() {
        abort(a);
        abort(b);
    }
    (forth.carried, back.carried, outcome)
}

fn pump(a: &TcpStream, b: &TcpStream, forth: &mut Way, back: &mut Way) -> Result<()> {
    a.set_nonblocking(true)?;
    b.set_nonblocking(true)?;
    while !(forth.done && back.done) {
        let mut ready = [
            PollFd::new(a.as_fd(), forth.reads() | back.writes()),
            PollFd::new(b.as_fd(), back.reads() | forth.writes()),
        ];
        poll(&mut ready, PollTimeout::NONE)?;
        forth.step(a, b)?;
        back.step(b, a)?;
    }
    Ok(())
}

/// The state of one direction.
struct Way {
    buffer: Vec<u8>,
    filled: usize,
    ended: bool,
    done: bool,
    carried: u64,
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            filled: 0,
            ended: false,
            done: false,
            carried: 0,
        }
    }

    /// The events to wait for on the side that it reads from.
    fn reads(&self) -> PollFlags {
        if !self.ended && self.filled < BUFFER {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        }
    }

    /// The events to wait for on the side that it writes to.
    fn writes(&self) -> PollFlags {
        if self.filled > 0 {
            PollFlags::POLLOUT
        } else {
            PollFlags::empty()
        }
    }

    /// Reads available data and writes as much as fits; forwards the FIN when everything is written.
    fn step(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> Result<()> {
        if !self.ended && self.filled < BUFFER {
            match from.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if self.filled > 0 {
            match to.write(&self.buffer[..self.filled]) {
                Ok(written) => {
                    self.buffer.copy_within(written..self.filled, 0);
                    self.filled -= written;
                    self.carried += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.filled == 0 && !self.done {
            self.done = true;
            // The other side may have closed both directions already.
            let _closed = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }
}
