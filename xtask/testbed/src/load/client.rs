//! Clients: connections at a steady rate, each followed to its end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Board, ClientTally, HEADER};

/// How often a waiting worker checks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// What a client does.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Where to connect to.
    pub target: SocketAddr,
    /// Connections per second, over all workers.
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// End after this number of connections; by default only when stopped.
    #[arg(long)]
    pub count: Option<u64>,
    /// Connections that may be open at once.
    #[arg(long, default_value_t = 4)]
    pub workers: usize,
    /// Bytes of a request, at least 8.
    #[arg(long, default_value_t = 512)]
    pub request: u32,
    /// Bytes of a reply.
    #[arg(long, default_value_t = 2048)]
    pub reply: u32,
    /// Milliseconds that a handshake or a reply may take.
    #[arg(long, default_value_t = 30_000)]
    pub patience_ms: u64,
    /// Milliseconds to keep a connection open after the reply.
    #[arg(long, default_value_t = 0)]
    pub hold_ms: u64,
}

impl Plan {
    /// As many connections as `count` says, as fast as four workers can.
    pub fn burst(target: SocketAddr, count: u64) -> Self {
        Self {
            target,
            rate: f64::INFINITY,
            count: Some(count),
            workers: 4,
            request: 512,
            reply: 2048,
            patience_ms: 30_000,
            hold_ms: 0,
        }
    }

    /// Carries the plan out and returns when the last connection has ended. Needs a `count`.
    ///
    /// # Panics
    /// Without a `count`, as it would never end.
    pub fn run(&self) -> ClientTally {
        assert!(
            self.count.is_some(),
            "a plan without a count runs as a Client, which can be stopped"
        );
        Client::start(self.clone()).finish()
    }

    /// When connection `number` is due, counted from the start.
    fn due(&self, number: u64) -> Duration {
        // A rate of zero would wait without end; one per hour is equivalent here and stays in range.
        Duration::from_secs_f64((number as f64 / self.rate.max(1.0 / 3600.0)).min(1e9))
    }

    /// One connection from start to end.
    fn call(&self, board: &Board<ClientTally>) {
        board.note(|tally| tally.attempts += 1);
        let patience = Duration::from_millis(self.patience_ms);
        let stream = TcpStream::connect_timeout(&self.target, patience);
        // A reset that arrived before this thread woke up: for a failed handshake, the error would be "refused".
        let reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
        if stream.as_ref().map_or_else(reset, |_| true) {
            board.note(|tally| tally.connected += 1);
        }
        let outcome = stream.and_then(|stream| {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            self.converse(stream, board)
        });
        board.note(|tally| {
            let counter = match outcome.map_err(|error| error.kind()) {
                Ok(()) => &mut tally.ok,
                Err(ErrorKind::ConnectionRefused) => &mut tally.refused,
                Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => &mut tally.reset,
                Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => &mut tally.timed_out,
                Err(ErrorKind::UnexpectedEof) => &mut tally.cut_short,
                Err(_) => &mut tally.failed,
            };
            *counter += 1;
        });
    }

    fn converse(&self, mut stream: TcpStream, board: &Board<ClientTally>) -> io::Result<()> {
        let length = self.request.max(HEADER as u32);
        let mut request = vec![b'q'; length as usize];
        request[..4].copy_from_slice(&length.to_be_bytes());
        request[4..HEADER].copy_from_slice(&self.reply.to_be_bytes());
        stream.write_all(&request)?;
        board.note(|tally| tally.sent_bytes += u64::from(length));
        let mut buffer = vec![0; 64 * 1024];
        let mut missing = self.reply as usize;
        while missing > 0 {
            let wanted = missing.min(buffer.len());
            let read = stream.read(&mut buffer[..wanted])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            board.note(|tally| tally.received_bytes += read as u64);
            missing -= read;
        }
        thread::sleep(Duration::from_millis(self.hold_ms));
        stream.shutdown(Shutdown::Write)?;
        // The server's FIN shows that the connection is closed in order along the whole path.
        match stream.read(&mut buffer)? {
            0 => Ok(()),
            _ => Err(io::Error::other("more than the requested reply")),
        }
    }
}

/// A running client; its sockets are created in the namespace of the thread that started it.
#[derive(Debug)]
pub struct Client {
    board: Arc<Board<ClientTally>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Client {
    /// Starts the workers of a plan.
    pub fn start(plan: Plan) -> Self {
        let board = Arc::<Board<ClientTally>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(0));
        let (plan, start) = (Arc::new(plan), Instant::now());
        let work = || {
            let (plan, board, stop, next) = (plan.clone(), board.clone(), stop.clone(), next.clone());
            move || loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if plan.count.is_some_and(|count| number >= count) || !sleep_until(start + plan.due(number), &stop) {
                    return;
                }
                plan.call(&board);
            }
        };
        let workers = (0..plan.workers.max(1)).map(|_| thread::spawn(work())).collect();
        Self { board, stop, workers }
    }

    /// The tally so far; connections under way count as attempts only.
    pub fn tally(&self) -> ClientTally {
        self.board.read()
    }

    /// Waits until a plan with a `count` is complete.
    pub fn finish(mut self) -> ClientTally {
        self.join();
        self.tally()
    }

    /// Starts no more connections, and waits for those under way.
    pub fn stop(mut self) -> ClientTally {
        self.stop.store(true, Ordering::Relaxed);
        self.join();
        self.tally()
    }

    /// Whether the plan is done.
    pub fn is_done(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    fn join(&mut self) {
        for worker in self.workers.drain(..) {
            worker.join().expect("a worker of the load does not panic");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Not joined: a connection may hang for the plan's time limit.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Keeps the rate; false when it is time to stop.
pub(super) fn sleep_until(due: Instant, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(STOP_CHECK));
    }
}
