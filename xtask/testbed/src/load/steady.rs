//! A closed-loop client: a few permanent connections, a fixed rate of requests, and their latencies.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::sleep_until;
use super::{Board, HEADER, Latencies};

/// What the client does.
#[derive(Debug, Clone, clap::Args)]
pub struct Pace {
    /// Where to connect to.
    pub target: SocketAddr,
    /// Connections that stay open.
    #[arg(long, default_value_t = 4)]
    pub connections: u32,
    /// Requests per second, over all connections; fewer if replies take too long for this rate.
    #[arg(long, default_value_t = 1000.0)]
    pub rate: f64,
    /// Bytes of a request, at least 8.
    #[arg(long, default_value_t = 128)]
    pub request: u32,
    /// Bytes of a reply.
    #[arg(long, default_value_t = 512)]
    pub reply: u32,
    /// Milliseconds that a handshake or a reply may take.
    #[arg(long, default_value_t = 30_000)]
    pub patience_ms: u64,
}

impl Pace {
    /// Four connections with a thousand small requests per second.
    pub fn to(target: SocketAddr) -> Self {
        Self {
            target,
            connections: 4,
            rate: 1000.0,
            request: 128,
            reply: 512,
            patience_ms: 30_000,
        }
    }
}

/// The results of the requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaceTally {
    /// Completed TCP handshakes of the client.
    pub connected: u64,
    /// Replies that were received completely.
    pub replies: u64,
    /// Connections that ended before the client was stopped.
    pub broken: u64,
    /// From the first byte of a request that is sent to the last byte of its reply that is read.
    pub latencies: Latencies,
}

/// A running closed-loop client; its sockets are created in the namespace of the thread that started it.
#[derive(Debug)]
pub struct Steady {
    board: Arc<Board<PaceTally>>,
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<()>>,
}

impl Steady {
    /// Starts a thread for each connection.
    pub fn start(pace: Pace) -> Self {
        let board = Arc::<Board<PaceTally>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (pace, start) = (Arc::new(pace), Instant::now());
        let connections = (0..pace.connections).map(|number| {
            let (pace, board, stop) = (pace.clone(), board.clone(), stop.clone());
            thread::spawn(move || {
                if pace.follow(number, start, &board, &stop).is_err() {
                    board.note(|tally| tally.broken += 1);
                }
            })
        });
        let connections = connections.collect();
        Self {
            board,
            stop,
            connections,
        }
    }

    /// The tally so far.
    pub fn tally(&self) -> PaceTally {
        self.board.read()
    }

    /// Closes the connections in order, once pending requests are answered.
    pub fn stop(mut self) -> PaceTally {
        self.stop.store(true, Ordering::Relaxed);
        for connection in self.connections.drain(..) {
            connection.join().expect("a connection of the load does not panic");
        }
        self.tally()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // Not joined: a reply may take as long as the client's time limit.
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Pace {
    /// One connection from start to end.
    fn follow(&self, number: u32, start: Instant, board: &Board<PaceTally>, stop: &AtomicBool) -> io::Result<()> {
        let patience = Duration::from_millis(self.patience_ms);
        let mut stream = TcpStream::connect_timeout(&self.target, patience)?;
        board.note(|tally| tally.connected += 1);
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let length = self.request.max(HEADER as u32);
        let mut request = vec![b'q'; length as usize];
        request[..4].copy_from_slice(&length.to_be_bytes());
        request[4..HEADER].copy_from_slice(&self.reply.to_be_bytes());
        let mut reply = vec![0; self.reply as usize];
        // The connections send in turns, so that all together keep the rate.
        let interval = Duration::from_secs_f64(f64::from(self.connections) / self.rate.max(1e-3));
        let mut due = start + interval * number / self.connections.max(1);
        while sleep_until(due, stop) {
            let sent = Instant::now();
            stream.write_all(&request)?;
            stream.read_exact(&mut reply)?;
            let latency = sent.elapsed();
            board.note(|tally| {
                tally.replies += 1;
                tally.latencies.note(latency);
            });
            // Requests that could not be sent in time are not caught up, as that would exceed the rate.
            due = (due + interval).max(Instant::now());
        }
        stream.shutdown(Shutdown::Write)?;
        match stream.read(&mut reply)? {
            0 => Ok(()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}
