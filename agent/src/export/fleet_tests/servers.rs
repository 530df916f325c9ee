//! Agents of made-up nodes, and what else may be at a peer's address.

use super::super::{
    api::Fleet,
    http::{Api, Service},
    publish::Publisher,
    server::{self, Gate, authenticate},
    snapshot::Snapshot,
};
use crate::{
    config::{Files, Peers},
    failures::Ring,
};
use axum::middleware;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

/// What listens at an address, until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The agent of a node, with these peers.
pub struct Agent {
    pub running: Running,
    pub ring: Arc<Ring>,
}

impl Agent {
    pub async fn start(node: &str, snapshots: impl IntoIterator<Item = Snapshot>, peers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::at(listener, node, snapshots, peers)
    }

    /// Where its own address is known before.
    pub fn at(
        listener: TcpListener,
        node: &str,
        snapshots: impl IntoIterator<Item = Snapshot>,
        peers: &[String],
    ) -> Self {
        let peers = Peers {
            addresses: peers.to_vec(),
            ..Peers::default()
        };
        let fleet = Fleet::new(node, &peers, None).expect("valid peers");
        Self::serve(listener, fleet, snapshots, None)
    }

    /// With what it takes to ask its peers.
    pub async fn of(fleet: Fleet, snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::serve(listener, fleet, snapshots, None)
    }

    /// With TLS and credentials.
    pub async fn guarded(fleet: Fleet, snapshots: impl IntoIterator<Item = Snapshot>, files: &Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let gate = Gate::new(files, None).expect("files that can be used");
        Self::serve(listener, fleet, snapshots, Some(gate))
    }

    fn serve(
        listener: TcpListener,
        fleet: Fleet,
        snapshots: impl IntoIterator<Item = Snapshot>,
        gate: Option<Gate>,
    ) -> Self {
        let mut publisher = Publisher::new(Duration::from_secs(5));
        let begin = Instant::now();
        for (n, snapshot) in (0..).zip(snapshots) {
            publisher.publish(snapshot, begin + Duration::from_secs(5) * n);
        }
        let ring = Arc::new(Ring::new(100, 7));
        let mut routes = Service::new(publisher.published().clone(), ring.clone(), fleet).router(Api::Open);
        if let Some(gate) = &gate {
            routes = routes.layer(middleware::from_fn_with_state(gate.credentials.clone(), authenticate));
        }
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move { server::serve(listener, routes, gate.as_ref()).await });
        Self {
            running: Running { address, task },
            ring,
        }
    }
}

/// Something else than an agent: it sends this when it is asked, and keeps the connection open where `stays`.
pub async fn other(answer: Vec<u8>, stays: bool) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let serve = async move {
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await;
                let _gone = stream.write_all(&answer).await;
                if stays {
                    std::future::pending::<()>().await;
                }
            };
            // They end with this task's runtime at the latest.
            kept.push(tokio::spawn(serve));
        }
    });
    Running { address, task }
}

/// An address at which nobody listens, for as long as the socket is there.
pub fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}
