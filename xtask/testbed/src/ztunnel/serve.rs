//! The stand-in's threads: one acceptor per workload namespace and address family, one relay per connection.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::{CAPTURE_PORT, Config, MARK, ZtunnelTally, relay};
use crate::abort::abort;
use crate::load::Board;

/// How long a real ztunnel waits for an upstream handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// A ztunnel that runs in threads of this process.
#[derive(Debug)]
pub struct Tunnel {
    board: Arc<Board<ZtunnelTally>>,
    listeners: Vec<Arc<TcpListener>>,
    acceptors: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// The tally so far.
    pub fn tally(&self) -> ZtunnelTally {
        self.board.read()
    }

    /// Stops accepting and waits for the open connections.
    pub fn stop(self) -> ZtunnelTally {
        for listener in &self.listeners {
            // The only way to interrupt the call of `accept`.
            let _closed = socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Both);
        }
        for acceptor in self.acceptors {
            let _panicked = acceptor.join();
        }
        self.board.read()
    }
}

/// Listens in each namespace of `config` and returns when all listeners are in place.
pub fn serve(config: &Config) -> Result<Tunnel> {
    let board = Arc::<Board<ZtunnelTally>>::default();
    let (mut listeners, mut acceptors) = (Vec::new(), Vec::new());
    for path in &config.netns {
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let namespace = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let (board, config) = (board.clone(), config.clone());
            let (bound, listener) = std::sync::mpsc::sync_channel(1);
            // Each acceptor runs in its workload's namespace, and so do the relays that it starts.
            acceptors.push(thread::spawn(move || {
                let listen = || -> io::Result<Arc<TcpListener>> {
                    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                    Ok(Arc::new(TcpListener::bind((loopback, CAPTURE_PORT))?))
                };
                let listener = listen();
                let own = listener.as_ref().ok().cloned();
                let _receiver_gone = bound.send(listener);
                if let Some(listener) = own {
                    accept(&listener, &config, &board);
                }
            }));
            let listener = listener.recv().context("the acceptor has exited")?;
            listeners.push(listener.with_context(|| format!("listen on {loopback} in {}", path.display()))?);
        }
    }
    Ok(Tunnel {
        board,
        listeners,
        acceptors,
    })
}

fn accept(listener: &TcpListener, config: &Config, board: &Arc<Board<ZtunnelTally>>) {
    let mut relays: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((stream, client)) = listener.accept() {
        board.note(|tally| tally.accepted += 1);
        relays.retain(|relay| !relay.is_finished());
        let (config, board) = (config.clone(), board.clone());
        relays.push(thread::spawn(move || carry(stream, client, &config, &board)));
    }
    for relay in relays {
        let _panicked = relay.join();
    }
}

/// Handles one captured connection until it ends.
fn carry(downstream: TcpStream, client: SocketAddr, config: &Config, board: &Board<ZtunnelTally>) {
    let upstream = original_destination(&downstream).and_then(|destination| {
        // Connections to the waypoint itself are direct, as it is not a service behind a waypoint.
        let waypoint = config.waypoint.filter(|waypoint| waypoint.ip() != destination.ip());
        let Some(waypoint) = waypoint else {
            return connect(destination);
        };
        let mut upstream = connect(waypoint)?;
        if !config.raw {
            upstream.write_all(proxy_header(client, destination).as_bytes())?;
        }
        Ok(upstream)
    });
    board.note(|tally| match upstream.as_ref().map_err(io::Error::kind) {
        Ok(_) => tally.connected += 1,
        Err(io::ErrorKind::ConnectionRefused) => tally.refused += 1,
        Err(io::ErrorKind::TimedOut) => tally.timed_out += 1,
        Err(_) => tally.failed += 1,
    });
    // A ztunnel without an upstream drops the application's connection with its request unread, which resets it.
    let Ok(upstream) = upstream else {
        return abort(downstream);
    };
    let (sent, received, outcome) = relay::relay(downstream, upstream);
    board.note(|tally| {
        tally.sent_bytes += sent;
        tally.received_bytes += received;
        tally.reset += u64::from(outcome.is_err());
    });
}

/// Opens a connection that the capture rules exempt.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket: OwnedFd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Mark, &MARK)?;
    // It also limits `connect`, which then fails with EINPROGRESS.
    setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::seconds(CONNECT.as_secs().cast_signed()),
    )?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => Ok(TcpStream::from(socket)),
        Err(Errno::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
    }
}

/// The destination that the application called, from the connection tracking entry of the redirection.
fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    if stream.local_addr()?.is_ipv4() {
        let raw = socket::getsockopt(stream, sockopt::OriginalDst)?;
        let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
        Ok(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
    } else {
        let raw = socket::getsockopt(stream, sockopt::Ip6tOriginalDst)?;
        let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
        Ok(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, 0).into())
    }
}

/// The first line of a tunnelled connection (PROXY protocol, version 1).
fn proxy_header(client: SocketAddr, destination: SocketAddr) -> String {
    let family = if destination.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), destination.ip());
    format!(
        "PROXY {family} {from} {to} {} {}\r\n",
        client.port(),
        destination.port()
    )
}
