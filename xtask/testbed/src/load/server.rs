//! Servers that answer requests, and can be set to fail.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket;

use super::{Board, HEADER, ServerTally};
use crate::abort::abort;

/// Longer than any client of the testbed is silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server misbehaves.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Behaviour {
    /// Resets every n-th connection after its request, instead of answering.
    #[arg(long)]
    pub reset_every: Option<u64>,
    /// Milliseconds before it answers.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
}

/// A running server; its sockets are created in the namespace of the thread that started it.
#[derive(Debug)]
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    board: Arc<Board<ServerTally>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and answers until it is stopped.
    pub fn start(address: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(address)?);
        let address = listener.local_addr()?;
        let board = Arc::<Board<ServerTally>>::default();
        let acceptor = {
            let (listener, board) = (listener.clone(), board.clone());
            thread::spawn(move || accept(&listener, behaviour, &board))
        };
        Ok(Self {
            listener,
            address,
            board,
            acceptor: Some(acceptor),
        })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tally so far.
    pub fn tally(&self) -> ServerTally {
        self.board.read()
    }

    /// Stops accepting, closes the listening socket and waits for the open connections.
    pub fn stop(mut self) -> ServerTally {
        self.close();
        self.tally()
    }

    fn close(&mut self) {
        // The only way to interrupt the call of `accept`.
        let _closed = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor does not panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &TcpListener, behaviour: Behaviour, board: &Arc<Board<ServerTally>>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    for number in 1.. {
        let Ok((stream, _)) = listener.accept() else { break };
        board.note(|tally| tally.accepted += 1);
        let reset = behaviour.reset_every.is_some_and(|every| number % every.max(1) == 0);
        let delay = Duration::from_millis(behaviour.delay_ms);
        let board = board.clone();
        connections.retain(|connection| !connection.is_finished());
        connections.push(thread::spawn(move || {
            let outcome = answer(stream, reset, delay, &board);
            board.note(|tally| match outcome {
                Ok(()) if reset => tally.reset += 1,
                Ok(()) => tally.answered += 1,
                Err(_) => tally.broken += 1,
            });
        }));
    }
    for connection in connections {
        let _panicked = connection.join();
    }
}

/// Answers one request after the other, until the client has no more.
fn answer(mut stream: TcpStream, reset: bool, delay: Duration, board: &Board<ServerTally>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Without Nagle's algorithm, which would delay the end of a reply until the client acknowledges its beginning.
    stream.set_nodelay(true)?;
    let mut next = Some(read_header(&mut stream)?);
    while let Some(header) = next {
        let length = |at: usize| {
            u64::from(u32::from_be_bytes([
                header[at],
                header[at + 1],
                header[at + 2],
                header[at + 3],
            ]))
        };
        let (request, reply) = (length(0), length(4));
        board.note(|tally| tally.received_bytes += HEADER as u64);
        let body = io::copy(&mut (&mut stream).take(request - HEADER as u64), &mut io::sink())?;
        board.note(|tally| tally.received_bytes += body);
        thread::sleep(delay);
        if reset {
            abort(stream);
            return Ok(());
        }
        io::copy(&mut io::repeat(b'a').take(reply), &mut stream)?;
        board.note(|tally| tally.sent_bytes += reply);
        next = match peek(&stream)? {
            0 => None,
            _ => Some(read_header(&mut stream)?),
        };
    }
    stream.shutdown(Shutdown::Both)
}

/// Waits for data; retries, as a pause (SIGSTOP) interrupts a socket with a time-out.
fn peek(stream: &TcpStream) -> io::Result<usize> {
    loop {
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads the two lengths, after a PROXY header if a proxy has sent one.
fn read_header(stream: &mut TcpStream) -> io::Result<[u8; HEADER]> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    if header.starts_with(b"PROXY ") {
        let mut last = [0];
        while last != [b'\n'] {
            stream.read_exact(&mut last)?;
        }
        stream.read_exact(&mut header)?;
    }
    if u32::from_be_bytes([header[0], header[1], header[2], header[3]]) < HEADER as u32 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a request shorter than its header",
        ));
    }
    Ok(header)
}
