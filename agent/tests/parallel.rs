//! Very many requests at a time: each is answered, and ticks go on.

mod common;

use common::{World, inventory, start};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// As many clients, each with a connection of its own.
const CLIENTS: usize = 10_000;

/// The time that all of them have: the agent answers 512 at a time, and others of this machine compete with it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Asks until there is an answer, as browsers do. Where the agent is slow to accept, the kernel gives up a connection that waits: the
/// caller's end when its SYN was dropped for two minutes, and the agent's end, which then resets what the caller sends, when the
/// caller's ACK was dropped for one.
async fn ask(address: SocketAddr) -> io::Result<bool> {
    loop {
        match ask_once(address).await {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::TimedOut | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) => {}
            answer => return answer,
        }
    }
}

async fn ask_once(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /api/v1/points HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.starts_with("HTTP/1.1 200 ") && answer.contains("shop/waypoint"))
}

async fn ask_all(address: SocketAddr) -> usize {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(address));
    }
    let mut answered = 0;
    while let Some(answer) = clients.join_next().await {
        answered += usize::from(matches!(answer, Ok(Ok(true))));
    }
    answered
}

#[test]
fn ten_thousand_requests_at_a_time_are_answered_and_ticks_go_on() {
    let world = World::new();
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[], &[&waypoint]));
    agent.wait_for("the point", |metrics| metrics.sum("narrows_points", &[]) > 0.0);
    let ticks = || {
        let metrics = agent.metrics();
        let value = |name| metrics.sum(name, &[]);
        (value("narrows_tick_seconds_count"), value("narrows_tick_seconds_sum"))
    };
    let first = ticks();
    agent.settle();
    let quiet = ticks();
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let answered = runtime.block_on(async { timeout(PATIENCE, ask_all(agent.address())).await });
    let took = begin.elapsed();
    let busy = ticks();
    let mean = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0) * 1e3;
    println!(
        "{CLIENTS} requests in {:.1} s; {} ticks meanwhile, {:.1} ms each; before, {:.1} ms each",
        took.as_secs_f64(),
        busy.0 - quiet.0,
        mean(quiet, busy),
        mean(first, quiet)
    );
    assert_eq!(answered.expect("all in time"), CLIENTS);
    assert!(busy.0 > quiet.0, "ticks went on");
    agent.settle();
    assert_eq!(agent.get_json("/api/v1/status")["tick_error"], serde_json::Value::Null);
}
