//! Very many short connections, as fast as possible: one after the other on each of a few threads that are pinned to CPUs.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket;
use nix::unistd::Pid;

/// The bytes that are sent in each direction.
const WORD: &[u8; 5] = b"hello";

/// How long each end waits for the other one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that answers five bytes with five bytes, and closes.
#[derive(Debug)]
pub struct RapidServer {
    listener: Arc<TcpListener>,
    threads: Vec<JoinHandle<u64>>,
}

impl RapidServer {
    /// Listens with `threads` threads on CPU `core`; the sockets are created in the namespace of the calling thread.
    pub fn start(address: SocketAddr, threads: usize, core: usize) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(address)?);
        let threads = (0..threads).map(|_| {
            let listener = listener.clone();
            thread::spawn(move || {
                pin(core);
                let mut answered = 0;
                // `stop` shuts the socket down, which is an error here.
                while let Ok((stream, _)) = listener.accept() {
                    answered += u64::from(answer(stream).is_ok());
                }
                answered
            })
        });
        Ok(Self {
            threads: threads.collect(),
            listener,
        })
    }

    /// Stops listening, and returns the number of answered connections.
    pub fn stop(mut self) -> u64 {
        self.close()
    }

    fn close(&mut self) -> u64 {
        let _closed = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        let threads = self.threads.drain(..);
        threads
            .map(|thread| thread.join().expect("a thread of the server does not panic"))
            .sum()
    }
}

impl Drop for RapidServer {
    fn drop(&mut self) {
        self.close();
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut [0; WORD.len()])?;
    stream.write_all(WORD)
}

/// Makes `count` connections on each of `threads` threads on CPU `core`, and returns how many succeeded: all bytes were received,
/// and the server's FIN after them.
///
/// # Panics
/// When a connection fails: with a server that runs there is no reason for it.
pub fn rapid_connections(to: SocketAddr, threads: usize, count: u64, core: usize) -> u64 {
    let call = move || {
        pin(core);
        for number in 0..count {
            connect(to).unwrap_or_else(|error| panic!("connection {number} of {count} to {to}: {error}"));
        }
        count
    };
    let threads: Vec<_> = (0..threads).map(|_| thread::spawn(call)).collect();
    let threads = threads.into_iter();
    threads.map(|thread| thread.join().expect("no connection fails")).sum()
}

fn connect(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(WORD)?;
    let mut answer = [0; WORD.len()];
    stream.read_exact(&mut answer)?;
    match stream.read(&mut answer)? {
        0 => Ok(()),
        _ => Err(io::Error::other("more bytes than requested")),
    }
}

/// Pins the calling thread to one CPU; without effect if the machine does not have it.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // Where this is not allowed, the number of connections is the same.
    let _anywhere = set
        .set(core % cores)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
}
