//! Loads that are fast enough for measurements: over loopback, with one thread per pair of ends.

use anyhow::{Context as _, Result};
use std::{
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Opens `count` connections, sends five bytes on each and closes them, one after the other on each of two threads. Returns the
/// duration.
pub(crate) fn short_connections(count: u32) -> Result<Duration> {
    let begin = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| scope.spawn(move || one_after_the_other(count / 2)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    Ok(begin.elapsed())
}

fn one_after_the_other(count: u32) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    for _ in 0..count {
        let mut client = TcpStream::connect(address)?;
        let mut server = listener.accept()?.0;
        client.write_all(b"hello")?;
        client.shutdown(Shutdown::Write)?;
        server.read_to_end(&mut Vec::with_capacity(16))?;
    }
    Ok(())
}

/// Sends a byte to another thread and back, `count` times: each is a read, a write and a context switch at both ends.
pub(crate) fn round_trips(count: u32) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let mut server = listener.accept()?.0;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        while server.read(&mut byte)? == 1 {
            server.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [1];
    for _ in 0..count {
        client.write_all(&byte)?;
        client.read_exact(&mut byte)?;
    }
    drop(client);
    echo.join().map_err(|_| anyhow::anyhow!("the echo panicked"))??;
    Ok(())
}

/// Sends `count` datagrams to a socket whose buffer is full. Returns the number that the kernel dropped.
pub(crate) fn dropped_packets(count: u32) -> Result<u32> {
    let (sender, receiver) = (
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
    );
    receiver.set_nonblocking(true)?;
    let address = receiver.local_addr()?;
    // Far more than fit into the buffer.
    for _ in 0..count {
        sender.send_to(&[1; 1024], address)?;
    }
    let mut room = 0;
    while receiver.recv(&mut [0; 1024]).is_ok() {
        room += 1;
    }
    Ok(count - room)
}

/// Sends as much as possible through one connection for `time`. Returns bytes per second.
pub(crate) fn bulk(time: Duration) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let mut server = listener.accept()?.0;
    let reader = thread::spawn(move || {
        let (mut buffer, mut total) = (vec![0; 1 << 18], 0_u64);
        while let Ok(n @ 1..) = server.read(&mut buffer) {
            total += n as u64;
        }
        total
    });
    let (begin, block) = (Instant::now(), vec![0; 1 << 18]);
    while begin.elapsed() < time {
        client.write_all(&block)?;
    }
    drop(client);
    let total = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    Ok(total as f64 / begin.elapsed().as_secs_f64())
}

/// The number of connections of which one process can keep both ends open, under a usual limit of open files.
const HELD_BY_ONE: u32 = 9_000;

/// Processes that keep connections open; they exit at the end of their stdin.
pub(crate) struct Held(Vec<Child>);

impl Drop for Held {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ended = child.wait();
        }
    }
}

/// Opens `count` connections, with both ends on this node, in as many processes as needed.
pub(crate) fn open(count: u32) -> Result<Held> {
    let mut held = Held(Vec::new());
    for (n, begin) in (0..count).step_by(HELD_BY_ONE as usize).enumerate() {
        let share = HELD_BY_ONE.min(count - begin);
        let mut child = Command::new(env::current_exe()?)
            .args(["bench", "--hold", &share.to_string(), "--island", &(n + 1).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process that keeps connections open")?;
        let mut ready = [0];
        let answer = child.stdout.take().context("a pipe")?.read_exact(&mut ready);
        held.0.push(child);
        answer.context("a process could not open its connections; see its message above")?;
    }
    Ok(held)
}

/// The main function of such a process: keeps `count` connections to its own address open until the end of stdin.
pub(crate) fn hold(count: u32, island: u8) -> Result<()> {
    let to = SocketAddr::from((Ipv4Addr::new(127, 0, island, 1), 0));
    let listener = TcpListener::bind(to)?;
    let to = listener.local_addr()?;
    let open = (0..count).map(|n| {
        let client = TcpStream::connect(to).with_context(|| format!("connection {n} to {to}"))?;
        Ok((client, listener.accept()?.0))
    });
    let _open: Vec<_> = open.collect::<Result<_>>()?;
    std::io::stdout().write_all(b"r")?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes one connection to each of `count` addresses, which is one flow each at both ends.
pub(crate) fn many_peers(count: u32) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    for n in 0..count {
        let to = SocketAddr::from((Ipv4Addr::new(127, 1, (n >> 8) as u8, n as u8), port));
        drop(TcpStream::connect(to)?);
        drop(listener.accept()?);
    }
    Ok(())
}
