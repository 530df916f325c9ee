//! Servers that let their clients wait.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};

use super::Board;

/// Bytes that a server which does not read is sent before its window is closed; the kernel makes more of it.
const SMALL_BUFFER: usize = 4096;

/// The bound of a queue that is not to be full.
const LONG: i32 = 1024;

/// How a server lets its clients wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It listens and never accepts; the kernel takes one connection more than `backlog`.
    NeverAccepts {
        /// The bound of its queue.
        backlog: i32,
    },
    /// It accepts and never reads: soon its window is zero.
    NeverReads,
    /// It reads everything and never answers.
    NeverAnswers,
}

/// Such a server; its sockets are made in the namespace of the thread that started it, and all closed with the guard.
pub struct Stubborn {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    board: Arc<Board<u64>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Stubborn {
    /// Listens.
    pub fn start(address: SocketAddr, manner: Manner) -> io::Result<Self> {
        let listener = Arc::new(listen(address, manner)?);
        let address = listener.local_addr()?;
        let board = Arc::<Board<u64>>::default();
        let acceptor = match manner {
            Manner::NeverAccepts { .. } => None,
            Manner::NeverReads | Manner::NeverAnswers => {
                let (listener, board) = (listener.clone(), board.clone());
                Some(thread::spawn(move || {
                    accept(&listener, manner == Manner::NeverAnswers, &board);
                }))
            }
        };
        Ok(Self {
            listener,
            address,
            board,
            acceptor,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.board.read()
    }
}

impl fmt::Debug for Stubborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stubborn({}, {} accepted)", self.address, self.accepted())
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        // Wakes the accept call, which nothing else does.
        let _closed = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _panicked = acceptor.join();
        }
    }
}

fn listen(address: SocketAddr, manner: Manner) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket: OwnedFd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if manner == Manner::NeverReads {
        // What is accepted inherits it.
        socket::setsockopt(&socket, sockopt::RcvBuf, &SMALL_BUFFER)?;
    }
    let backlog = match manner {
        Manner::NeverAccepts { backlog } => backlog,
        Manner::NeverReads | Manner::NeverAnswers => LONG,
    };
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    socket::listen(&socket, Backlog::new(backlog)?)?;
    Ok(TcpListener::from(socket))
}

/// Keeps what it accepts until the listener is shut down.
fn accept(listener: &TcpListener, reads: bool, board: &Arc<Board<u64>>) {
    let mut open: Vec<TcpStream> = Vec::new();
    let mut readers = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        board.note(|accepted| *accepted += 1);
        if reads {
            let reader = stream.try_clone();
            readers.extend(reader.map(|mut stream| {
                // Longer pieces than clients send, so that what has arrived is read at once.
                thread::spawn(move || while matches!(stream.read(&mut [0; 16 * 1024]), Ok(1..)) {})
            }));
        }
        open.push(stream);
    }
    for stream in &open {
        let _gone = stream.shutdown(std::net::Shutdown::Both);
    }
    for reader in readers {
        let _panicked = reader.join();
    }
    drop(open);
}
