//! TLS handshakes that fail, as they look from outside: closed early. With a real Envoy that asks for client certificates.

use super::{
    common::expect,
    mesh::{DOWN, Mesh, POINT, and, entry},
};
use narrows_testbed::{
    authority::{Authority, Identity},
    envoy::{self, Tls},
    load::{Ending, HandshakeTally, Handshakes, Version},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

const FAILURES: &str = "narrows_connection_failures_total";

/// A hundred of each.
const N: u64 = 100;

struct Parties {
    mesh: Authority,
    stranger: Authority,
    waypoint: Identity,
    caller: Identity,
    impostor: Identity,
}

impl Parties {
    fn new() -> Self {
        let authority = |name| Authority::new(name).expect("an authority");
        let (mesh, stranger) = (authority("mesh"), authority("stranger"));
        Self {
            waypoint: mesh.issue("waypoint").expect("signed"),
            caller: mesh.issue("checkout").expect("signed"),
            impostor: stranger.issue("checkout").expect("signed"),
            mesh,
            stranger,
        }
    }

    fn options(&self) -> envoy::Options<'_> {
        envoy::Options {
            tls: Some(Tls {
                identity: &self.waypoint,
                trusted: &self.mesh,
            }),
            ..envoy::Options::default()
        }
    }

    /// What a caller of the mesh does.
    fn right(&self, version: Version) -> Handshakes<'_> {
        Handshakes {
            target: entry(),
            version,
            trusted: &self.mesh,
            identity: Some(&self.caller),
            ending: Ending::Close,
        }
    }
}

fn run(mesh: &Mesh, handshakes: Handshakes<'_>) -> HandshakeTally {
    let tally = mesh.checkout.run(|| handshakes.run(N)).expect("they can be made");
    assert_eq!((tally.attempts, tally.connected, tally.failed), (N, N, 0), "{tally:?}");
    tally
}

/// Whether so many connections have closed early, and nothing else is wrong with any of those that Envoy accepted.
#[track_caller]
fn expect_early(mesh: &Mesh, what: &str, accepted: u64, early: u64) {
    mesh.agent.wait_for("all to be closed", |m| {
        m.sum("narrows_connections_closed_total", DOWN) == accepted as f64
    });
    let metrics = mesh.agent.settle();
    println!("{what}: {}", metrics.listing(FAILURES));
    expect(
        &metrics,
        &[
            ("narrows_connections_opened_total", DOWN, accepted as f64),
            (FAILURES, &and(DOWN, &[("reason", "closed_early")]), early as f64),
            // Envoy's TCP proxy connects to the server before it has seen a certificate: that is no failure.
            (FAILURES, POINT, early as f64),
        ],
    );
}

#[test]
fn a_certificate_that_is_wrong_is_a_connection_closed_early() {
    let mesh = Mesh::new();
    let server = mesh.server();
    let parties = Parties::new();
    let envoy = mesh.envoy(&parties.options());
    let (mut accepted, mut early) = (0, 0);
    for version in Version::ALL {
        let right = parties.right(version);
        assert_eq!(run(&mesh, right).ok, N);
        accepted += N;
        expect_early(&mesh, "success", accepted, early);
        for ending in [Ending::Close, Ending::Reset] {
            let of_stranger = Handshakes {
                identity: Some(&parties.impostor),
                ending,
                ..right
            };
            let without = Handshakes {
                identity: None,
                ending,
                ..right
            };
            for wrong in [of_stranger, without] {
                assert_eq!(run(&mesh, wrong).rejected, N);
                (accepted, early) = (accepted + N, early + N);
                expect_early(&mesh, &format!("{version:?} {ending:?}"), accepted, early);
            }
            let distrustful = Handshakes {
                trusted: &parties.stranger,
                ending,
                ..right
            };
            assert_eq!(run(&mesh, distrustful).distrusted, N);
            (accepted, early) = (accepted + N, early + N);
            expect_early(&mesh, &format!("{version:?} {ending:?} distrust"), accepted, early);
        }
    }
    let stat = |name: &str| {
        envoy
            .stat(&format!("listener.10.90.0.2_15008.{name}"))
            .expect("Envoy answers")
    };
    assert_eq!(
        (stat("downstream_cx_total"), stat("ssl.handshake")),
        (accepted, accepted - early)
    );
    assert_eq!(server.stop().answered, accepted - early);
}

#[test]
fn plain_text_on_a_tls_port_is_a_connection_closed_early() {
    let mesh = Mesh::new();
    let _server = mesh.server();
    let parties = Parties::new();
    let _envoy = mesh.envoy(&parties.options());
    mesh.checkout.run(|| {
        for _ in 0..N {
            let mut stream = TcpStream::connect(entry()).expect("connected");
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n")
                .expect("sent");
            // Envoy closes, with or without a reset.
            let _either = stream.read_to_end(&mut Vec::new());
        }
    });
    expect_early(&mesh, "plain text", N, N);
}
