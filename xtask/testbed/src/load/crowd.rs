//! Many connections at once, which are kept open.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use super::Board;
use crate::abort::abort;

/// The results of a crowd's handshakes: `attempts` is the sum of the others once none is in progress.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CrowdTally {
    /// Calls of `connect` by the crowd.
    pub attempts: u64,
    /// Handshakes that are complete for the client. A server whose queue was full at that time may not have the connection.
    pub connected: u64,
    /// Handshakes that were refused.
    pub refused: u64,
    /// Handshakes that a reset ended.
    pub reset: u64,
    /// Handshakes that the client cancelled at its time limit.
    pub gave_up: u64,
    /// Handshakes that timed out in the kernel.
    pub timed_out: u64,
    /// Everything else, e.g. no route.
    pub failed: u64,
}

/// Clients that connect all at once; open connections are closed when the guard is dropped.
#[derive(Debug)]
pub struct Crowd {
    board: Arc<Board<CrowdTally>>,
    waiting: JoinHandle<Vec<TcpStream>>,
}

impl Crowd {
    /// Sends `size` SYNs, from sockets in the caller's namespace and cgroup, and returns. A handshake may then take
    /// `patience` before the client gives up and closes its socket.
    pub fn start(target: SocketAddr, size: usize, patience: Duration) -> io::Result<Self> {
        let board = Arc::<Board<CrowdTally>>::default();
        let deadline = Instant::now() + patience;
        let mut begun = Vec::with_capacity(size);
        for _ in 0..size {
            board.note(|tally| tally.attempts += 1);
            match begin(target)? {
                (socket, Ok(()) | Err(Errno::EINPROGRESS)) => begun.push(socket),
                (_, Err(error)) => board.note(|tally| tally.failed_with(error)),
            }
        }
        let waiting = {
            let board = board.clone();
            thread::spawn(move || wait(begun, deadline, &board))
        };
        Ok(Self { board, waiting })
    }

    /// The tally so far; handshakes under way count as attempts only.
    pub fn tally(&self) -> CrowdTally {
        self.board.read()
    }

    /// Waits until no handshake is in progress, and returns the open connections.
    pub fn finish(self) -> (CrowdTally, Vec<TcpStream>) {
        let open = self.waiting.join().expect("the waiting does not panic");
        (self.board.read(), open)
    }
}

/// Resets connections, as a client that crashes or gives up.
pub fn reset(connections: Vec<TcpStream>) {
    connections.into_iter().for_each(abort);
}

impl CrowdTally {
    fn failed_with(&mut self, error: Errno) {
        let counter = match error {
            Errno::ECONNREFUSED => &mut self.refused,
            Errno::ECONNRESET => &mut self.reset,
            Errno::ETIMEDOUT => &mut self.timed_out,
            _ => &mut self.failed,
        };
        *counter += 1;
    }
}

fn begin(target: SocketAddr) -> io::Result<(OwnedFd, nix::Result<()>)> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    let begun = socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(target));
    Ok((socket, begun))
}

/// Waits until all handshakes end, or until the deadline; closes the remaining sockets then.
fn wait(mut under_way: Vec<OwnedFd>, deadline: Instant, board: &Board<CrowdTally>) -> Vec<TcpStream> {
    let mut open = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let done = ready(&under_way, left);
        let mut still = Vec::new();
        for (socket, done) in under_way.into_iter().zip(done) {
            if !done {
                still.push(socket);
                continue;
            }
            match socket::getsockopt(&socket, sockopt::SocketError) {
                Ok(0) => {
                    board.note(|tally| tally.connected += 1);
                    let stream = TcpStream::from(socket);
                    stream.set_nonblocking(false).expect("a socket can block");
                    open.push(stream);
                }
                Ok(error) => board.note(|tally| tally.failed_with(Errno::from_raw(error))),
                Err(error) => board.note(|tally| tally.failed_with(error)),
            }
        }
        under_way = still;
        if under_way.is_empty() {
            return open;
        }
        if left.is_zero() {
            board.note(|tally| tally.gave_up += under_way.len() as u64);
            return open;
        }
    }
}

/// Which of these handshakes have ended, after at most `limit`.
fn ready(sockets: &[OwnedFd], limit: Duration) -> Vec<bool> {
    let mut asked: Vec<PollFd> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
        .collect();
    // Rounded up, so that the last check is after the deadline.
    let timeout = PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    match poll(&mut asked, timeout) {
        Ok(_) => asked.iter().map(|socket| socket.any().unwrap_or(true)).collect(),
        Err(_interrupted) => vec![false; sockets.len()],
    }
}
