//! Multipath TCP, by which programs in Go (1.24) listen unless they say otherwise: what a process has open is no TCP socket, but one
//! that has TCP sockets. What the agent sees only when it walks over open files it does not see of these: ARCHITECTURE.md names
//! what that is, and these tests hold it to that.

use super::{
    DOWN, POINT,
    common::{World, expect, inventory, start, v4},
};
use nix::{
    errno::Errno,
    sys::socket::{self, Backlog, SockaddrStorage},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

const PORT: &[(&str, &str)] = &[("point", "shop/waypoint"), ("port", "15008")];
const REQUEST: usize = 300;
const REPLY: usize = 700;

/// A kind of socket: of Multipath TCP, or of TCP alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Multipath,
    Plain,
}

fn stream_socket(kind: Kind) -> Result<OwnedFd, Errno> {
    let protocol = match kind {
        Kind::Multipath => libc::IPPROTO_MPTCP,
        Kind::Plain => libc::IPPROTO_TCP,
    };
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: it is new, and nobody else's.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a program gets that asks for Multipath TCP, as Go does: without it in the kernel, TCP.
fn wanted() -> Kind {
    match stream_socket(Kind::Multipath) {
        Ok(_) => Kind::Multipath,
        Err(error) => {
            assert_eq!(error, Errno::EPROTONOSUPPORT);
            println!("this kernel has no Multipath TCP: programs that ask for it get TCP, and so does this test");
            Kind::Plain
        }
    }
}

fn listen(kind: Kind, address: SocketAddr) -> TcpListener {
    let fd = stream_socket(kind).expect("a socket");
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).expect("bound");
    socket::listen(&fd, Backlog::new(128).expect("valid")).expect("it listens");
    TcpListener::from(fd)
}

fn connect(kind: Kind, address: SocketAddr) -> TcpStream {
    let fd = stream_socket(kind).expect("a socket");
    socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address)).expect("connected");
    TcpStream::from(fd)
}

/// A request and its reply.
fn exchange(caller: &mut TcpStream, accepted: &mut TcpStream) {
    caller.write_all(&[1; REQUEST]).expect("sent");
    accepted.read_exact(&mut [0; REQUEST]).expect("received");
    accepted.write_all(&[1; REPLY]).expect("sent");
    caller.read_exact(&mut [0; REPLY]).expect("received");
}

/// The end of a connection, in order.
fn finish(mut caller: TcpStream, mut accepted: TcpStream) {
    caller.shutdown(Shutdown::Write).expect("closed");
    assert_eq!(accepted.read(&mut [0]).expect("the end"), 0);
    drop(accepted);
    assert_eq!(caller.read(&mut [0]).expect("the end"), 0);
}

/// What the kernel says of a socket (`SO_PROTOCOL`): who calls without Multipath TCP is accepted as TCP.
fn protocol(stream: &TcpStream) -> i32 {
    let (mut protocol, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            (&raw mut protocol).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0);
    protocol
}

#[test]
fn connections_of_a_multipath_listener_are_exact_when_they_close() {
    const EACH: usize = 20;
    let wanted = wanted();
    for calls in [Kind::Plain, wanted] {
        let world = World::new();
        let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
        let agent = start(&inventory(&[&checkout], &[&waypoint]));
        let listener = waypoint.run(|| listen(wanted, v4(2, 15008)));
        let mut open: Vec<_> = (0..EACH)
            .map(|_| {
                let caller = checkout.run(|| connect(calls, v4(2, 15008)));
                (caller, listener.accept().expect("accepted").0)
            })
            .collect();
        let is_multipath = protocol(&open[0].1) == libc::IPPROTO_MPTCP;
        println!("called by {calls:?}: accepted as Multipath TCP: {is_multipath}");
        for (caller, accepted) in &mut open {
            exchange(caller, accepted);
        }
        let total = EACH as f64;
        agent.wait_for("all of them", |m| {
            m.sum("narrows_connections_opened_total", DOWN) == total
        });
        // Who calls without Multipath TCP is accepted as TCP, and seen while it is open; others only when they close.
        let seen = if is_multipath { 0.0 } else { total };
        agent.wait_for("what is seen of them", |m| {
            m.sum("narrows_sent_bytes_total", DOWN) == seen * REPLY as f64
                && m.get("narrows_accept_queue_connections", PORT).is_some() == (wanted == Kind::Plain)
        });
        let metrics = agent.settle();
        expect(&metrics, &[("narrows_connections_active", DOWN, total)]);
        expect(
            &metrics,
            &[
                ("narrows_received_bytes_total", DOWN, seen * REQUEST as f64),
                ("narrows_sent_bytes_total", DOWN, seen * REPLY as f64),
            ],
        );
        // Nor is the listener seen.
        let queue = metrics.get("narrows_accept_queue_connections", PORT);
        assert_eq!(queue, (wanted == Kind::Plain).then_some(0.0));
        for (caller, accepted) in open {
            finish(caller, accepted);
        }
        agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == total);
        expect(
            &agent.settle(),
            &[
                ("narrows_connections_opened_total", DOWN, total),
                ("narrows_connections_closed_total", DOWN, total),
                ("narrows_connections_active", DOWN, 0.0),
                ("narrows_received_bytes_total", DOWN, total * REQUEST as f64),
                ("narrows_sent_bytes_total", DOWN, total * REPLY as f64),
                ("narrows_connection_failures_total", POINT, 0.0),
                ("narrows_client_connections_opened_total", POINT, total),
                ("narrows_client_connection_failures_total", POINT, 0.0),
                (
                    "narrows_dependent_bytes_total",
                    &[("source_workload", "checkout")],
                    total * (REQUEST + REPLY) as f64,
                ),
            ],
        );
    }
}

#[test]
fn multipath_connections_from_before_the_start_are_not_seen_until_they_close() {
    const EACH: usize = 5;
    let wanted = wanted();
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let listener = waypoint.run(|| listen(wanted, v4(2, 15008)));
    let mut open: Vec<_> = (0..EACH)
        .map(|_| {
            let caller = checkout.run(|| connect(wanted, v4(2, 15008)));
            (caller, listener.accept().expect("accepted").0)
        })
        .collect();
    for (caller, accepted) in &mut open {
        exchange(caller, accepted);
    }
    let is_multipath = protocol(&open[0].1) == libc::IPPROTO_MPTCP;
    assert_eq!(is_multipath, wanted == Kind::Multipath);
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let total = EACH as f64;
    let seen = if is_multipath { 0.0 } else { total };
    let before = agent.settle();
    expect(
        &before,
        &[
            ("narrows_connections_active", DOWN, seen),
            ("narrows_received_bytes_total", DOWN, 0.0),
        ],
    );
    for (caller, accepted) in &mut open {
        exchange(caller, accepted);
    }
    for (caller, accepted) in open {
        finish(caller, accepted);
    }
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == total);
    let metrics = agent.settle();
    // What they carried before the start is counted as well, as nobody had noted it.
    let carried = total * if is_multipath { 2.0 } else { 1.0 };
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, 0.0),
            ("narrows_connections_active", DOWN, 0.0),
            ("narrows_received_bytes_total", DOWN, carried * REQUEST as f64),
            ("narrows_sent_bytes_total", DOWN, carried * REPLY as f64),
            ("narrows_connection_failures_total", POINT, 0.0),
        ],
    );
    // Nobody had seen either end of them begin; others of this machine may be among these.
    let unseen = [("what", "unseen_connection")];
    let unseen = [&metrics, &before].map(|metrics| metrics.sum("narrows_lost_total", &unseen));
    assert!(!is_multipath || unseen[0] >= unseen[1] + 2.0 * total, "{unseen:?}");
}
