//! Servers that do not accept, read or answer.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};

use super::Board;

/// The receive buffer of a server that does not read, in bytes, so that its window closes soon; the kernel enlarges it.
const SMALL_BUFFER: usize = 4096;

/// The backlog of a queue that must not become full.
const LONG: i32 = 1024;

/// What a server does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It listens and never accepts; the kernel admits one connection more than `backlog`.
    NeverAccepts {
        /// The backlog of its listening socket.
        backlog: i32,
    },
    /// It accepts and never reads: soon its window is zero.
    NeverReads,
    /// It reads everything and never answers.
    NeverAnswers,
}

/// Such a server; its sockets are created in the namespace of the thread that started it, and closed when the guard is dropped.
pub struct Stubborn {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    board: Arc<Board<u64>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Stubborn {
    /// Starts to listen on `address`.
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

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of connections that it has accepted.
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
        // The only way to interrupt the call of `accept`.
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
        // Accepted sockets inherit the size.
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

/// Keeps accepted connections open until the listener is shut down.
fn accept(listener: &TcpListener, reads: bool, board: &Arc<Board<u64>>) {
    let mut open: Vec<TcpStream> = Vec::new();
    let mut readers = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        board.note(|accepted| *accepted += 1);
        if reads {
            let reader = stream.try_clone();
            readers.extend(reader.map(|mut stream| {
                // A larger buffer than what clients send at a time, so that all received data are read at once.
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
