//! Data that is moved inside the kernel: nothing tells of its being read.

use super::{
    DOWN, POINT,
    common::{World, expect, inventory, start, v4},
};
use std::{
    io::{self, PipeReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};

const DELAYS: &str = "narrows_read_delay_seconds_count";
const WAITED: &str = "narrows_read_delay_seconds_sum";

/// Moves so many bytes from a socket into a pipe, and reads them there.
fn splice(from: &TcpStream, pipe: &mut (PipeReader, io::PipeWriter), bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        // SAFETY: both descriptors are open; without offsets.
        let moved = unsafe {
            libc::splice(
                from.as_raw_fd(),
                std::ptr::null_mut(),
                pipe.1.as_raw_fd(),
                std::ptr::null_mut(),
                left,
                libc::SPLICE_F_MOVE,
            )
        };
        assert!(moved > 0, "{}", io::Error::last_os_error());
        let moved = moved.cast_unsigned();
        pipe.0.read_exact(&mut vec![0; moved]).expect("it is in the pipe");
        left -= moved;
    }
}

#[test]
fn what_was_spliced_at_once_does_not_wait_until_the_next_read() {
    /// Between what is spliced and what is read.
    const PAUSE: Duration = Duration::from_secs(4);
    const ROUNDS: usize = 2;
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let listener = waypoint.run(|| TcpListener::bind(v4(2, 15008))).expect("it listens");
    let mut caller = checkout.run(|| TcpStream::connect(v4(2, 15008))).expect("connected");
    let mut accepted = listener.accept().expect("accepted").0;
    agent.settle();
    // It waits for everything before it comes.
    let proxy = thread::spawn(move || {
        let mut pipe = io::pipe().expect("a pipe");
        for _ in 0..ROUNDS {
            splice(&accepted, &mut pipe, 100);
            accepted.write_all(b".").expect("sent");
            accepted.read_exact(&mut [0; 100]).expect("received");
            accepted.write_all(b".").expect("sent");
        }
    });
    for _ in 0..ROUNDS {
        for pause in [PAUSE, Duration::ZERO] {
            caller.write_all(&[1; 100]).expect("sent");
            // It was taken at once.
            caller.read_exact(&mut [0]).expect("received");
            thread::sleep(pause);
        }
    }
    drop(caller);
    proxy.join().expect("it ends");
    agent.wait_for("the end", |m| m.sum("narrows_connections_closed_total", DOWN) == 1.0);
    let metrics = agent.settle();
    expect(
        &metrics,
        &[
            ("narrows_received_bytes_total", DOWN, 200.0 * ROUNDS as f64),
            ("narrows_connection_failures_total", POINT, 0.0),
        ],
    );
    // Before Linux 6.3 the kernel does not show it: then there is no series, and `inside` looks at the reason.
    if metrics.get("narrows_program_active", &[("program", "data_read")]) == Some(0.0) {
        assert_eq!(metrics.series(DELAYS).count(), 0);
        println!("this kernel does not show reads");
        return;
    }
    // What is spliced is not seen to be read, and counts no delay.
    expect(&metrics, &[(DELAYS, DOWN, ROUNDS as f64)]);
    let waited = metrics.sum(WAITED, DOWN);
    assert!(
        waited < PAUSE.as_secs_f64() / 2.0,
        "what was read at once waited for {waited} s"
    );
}
