//! Callers whose connections have known lifetimes.

use super::common::call;
use narrows_testbed::workload::Workload;
use std::{
    io::{ErrorKind, Read as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long the kernel may take to tell that the other end is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open connection.
pub struct Held {
    stream: TcpStream,
    pub began: Instant,
    ends: Instant,
}

impl Held {
    /// Whether the other end is gone.
    fn is_cut(&self) -> bool {
        self.stream.set_nonblocking(true).expect("set");
        let read = (&self.stream).read(&mut [0; 8]);
        !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// What callers have done.
#[derive(Default)]
pub struct Book {
    pub open: Vec<Held>,
    /// Lifetimes of the connections that have ended, whoever ended them.
    pub ended: Vec<Duration>,
}

/// No connection is meant to be so old. On a machine that stands still, some are.
const LATE: Duration = Duration::from_secs(5);

impl Book {
    /// How many connections have been, or are, older than any is meant to be.
    pub fn late(&self) -> f64 {
        let open = self.open.iter().map(|held| held.began.elapsed());
        open.chain(self.ended.iter().copied())
            .filter(|age| *age >= LATE)
            .count() as f64
    }

    /// Ends what is due.
    fn close(&mut self) {
        let now = Instant::now();
        let (due, open) = self.open.drain(..).partition(|held| held.ends <= now);
        self.open = open;
        let due: Vec<Held> = due;
        self.ended.extend(due.iter().map(|held| held.began.elapsed()));
    }

    /// Takes out the connections from before `begin` that the other end has closed; waits until `expected` of them are.
    pub fn take_cut(&mut self, begin: Instant, expected: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut cut = 0;
        while cut < expected && Instant::now() < deadline {
            let (gone, open): (Vec<Held>, _) =
                (self.open.drain(..)).partition(|held| held.began < begin && held.is_cut());
            self.open = open;
            self.ended.extend(gone.iter().map(|held| held.began.elapsed()));
            cut += gone.len();
            thread::sleep(Duration::from_millis(1));
        }
        cut
    }
}

/// Callers that open connections at a steady rate; they stop when the guard is dropped.
pub struct Callers {
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How often connections are looked at whose end may be due.
const STEP: Duration = Duration::from_millis(5);

impl Callers {
    /// Opens a connection every `interval`, with each of these lifetimes in turn. Attempts that fail are not repeated.
    pub fn start(from: &Workload, to: SocketAddr, interval: Duration, lifetimes: Vec<Duration>) -> Self {
        let (book, stop) = <(Arc<Mutex<Book>>, Arc<AtomicBool>)>::default();
        let opener = from.run(|| {
            let (book, stop) = (book.clone(), stop.clone());
            thread::spawn(move || {
                let mut due = Instant::now();
                for lifetime in lifetimes.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    due += interval;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let began = Instant::now();
                    if let Ok(stream) = call(to) {
                        let ends = began + *lifetime;
                        lock(&book).open.push(Held { stream, began, ends });
                    }
                }
            })
        });
        // By another thread, as a call may take longer than others live.
        let closer = {
            let (book, stop) = (book.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(STEP);
                    lock(&book).close();
                }
            })
        };
        Self {
            book,
            stop,
            threads: vec![opener, closer],
        }
    }

    /// What they have done; they do nothing while it is held.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}
