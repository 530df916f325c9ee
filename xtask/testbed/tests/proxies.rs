//! The stand-in ztunnel and the real Envoy carry load with nothing lost. Needs root and `cargo xtask setup`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use narrows_testbed::actor::Actor;
use narrows_testbed::authority::Authority;
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::envoy::{self, Envoy, Listener, Route, Tls};
use narrows_testbed::haproxy::{self, Frontend, Haproxy};
use narrows_testbed::isolate;
use narrows_testbed::load::{Behaviour, Crowd, Ending, Handshakes, Plan, Server, Version};
use narrows_testbed::netns::Fabric;
use narrows_testbed::process::Placement;
use narrows_testbed::wait;
use narrows_testbed::workload::Workload;
use narrows_testbed::ztunnel::{Ztunnel, exempt};

struct World {
    client: Workload,
    waypoint: Workload,
    server: Workload,
    ztunnel: Cgroup,
    _fabric: Fabric,
}

impl World {
    fn new() -> Result<Self> {
        isolate()?;
        let top = cgroup::unique("narrows-testbed");
        let fabric = Fabric::new("fabric")?;
        let workload = |name: &str, number: u8| {
            let (v4, v6) = (format!("10.90.0.{number}/24"), format!("fd00:90::{number}/64"));
            Workload::new(&fabric, &top, name, &[&v4, &v6])
        };
        Ok(Self {
            client: workload("client", 11)?,
            waypoint: workload("waypoint", 2)?,
            server: workload("server", 21)?,
            ztunnel: Cgroup::new(&format!("{top}/ztunnel"))?,
            _fabric: fabric,
        })
    }
}

/// The first address of a workload, with a port.
fn at(workload: &Workload, port: u16) -> SocketAddr {
    SocketAddr::new(workload.addresses[0], port)
}

#[test]
fn captured_connections_pass_the_waypoint_and_arrive_where_they_were_sent() -> Result<()> {
    let world = World::new()?;
    let waypoint = at(&world.waypoint, 15008);
    let envoy = Envoy::start(
        &world.waypoint,
        &[Listener {
            address: waypoint,
            route: Route::AsAsked,
        }],
        2,
    )?;
    let mut ztunnel = Ztunnel::start(&world.ztunnel, &[&world.client.netns], waypoint)?;
    let mut accepted = 0;
    for ip in world.server.addresses.clone() {
        let address = SocketAddr::new(ip, 8080);
        let server = Actor::server(
            &world.server,
            address,
            Behaviour {
                reset_every: Some(20),
                delay_ms: 0,
            },
        )?;
        let tally = world.client.run(|| Plan::burst(address, 100).run());
        assert_eq!((tally.connected, tally.ok), (100, 95), "{tally:?}");
        assert_eq!((tally.reset, tally.cut_short), (5, 0), "{tally:?}");
        let served = server.stop()?;
        assert_eq!(
            (served.accepted, served.answered, served.reset),
            (100, 95, 5),
            "{served:?}"
        );
        let carried = ztunnel.tally()?;
        accepted += 100;
        assert_eq!(
            (carried.accepted, carried.connected),
            (accepted, accepted),
            "{carried:?}"
        );
        assert_eq!(envoy.stat("listener.10.90.0.2_15008.downstream_cx_total")?, accepted);
    }
    assert!(world.ztunnel.pids().contains(&ztunnel.pid()));
    assert_eq!(world.waypoint.cgroup.pids(), [envoy.pid()]);
    Ok(())
}

#[test]
fn without_the_waypoint_its_callers_are_refused() -> Result<()> {
    let world = World::new()?;
    let waypoint = at(&world.waypoint, 15008);
    let server = at(&world.server, 8080);
    let envoy = Envoy::start(
        &world.waypoint,
        &[Listener {
            address: waypoint,
            route: Route::To(vec![server]),
        }],
        1,
    )?;
    let ztunnel = Ztunnel::start(&world.ztunnel, &[&world.client.netns], waypoint)?;
    envoy.kill()?;
    let tally = world.client.run(|| Plan::burst(server, 20).run());
    // The stand-in accepted them before it knew better, as the real one does.
    assert_eq!((tally.connected, tally.reset), (20, 20), "{tally:?}");
    let carried = ztunnel.stop()?;
    assert_eq!((carried.accepted, carried.refused), (20, 20), "{carried:?}");
    Ok(())
}

#[test]
fn a_closed_port_of_the_waypoint_is_called_directly() -> Result<()> {
    let world = World::new()?;
    let waypoint = at(&world.waypoint, 15008);
    let mut ztunnel = Ztunnel::start(&world.ztunnel, &[&world.client.netns], waypoint)?;
    let tally = world.client.run(|| Plan::burst(at(&world.waypoint, 9), 6).run());
    assert_eq!(tally.reset, 6, "{tally:?}");
    assert_eq!(ztunnel.tally()?.refused, 6);
    exempt(&world.client.netns, 9)?;
    let tally = world.client.run(|| Plan::burst(at(&world.waypoint, 9), 4).run());
    assert_eq!(
        (tally.connected, tally.refused),
        (0, 4),
        "an exempt port is refused to the client itself: {tally:?}"
    );
    assert_eq!(ztunnel.tally()?.accepted, 6);
    Ok(())
}

#[test]
fn an_actor_tells_its_tally_while_it_works() -> Result<()> {
    let world = World::new()?;
    let address = SocketAddr::new(IpAddr::from([10, 90, 0, 21]), 8080);
    let mut server = Actor::server(&world.server, address, Behaviour::default())?;
    let plan = Plan {
        rate: 100.0,
        count: None,
        hold_ms: 20,
        ..Plan::burst(address, 0)
    };
    let mut client = Actor::client(&world.client, &plan)?;
    wait::until("ten replies", Duration::from_secs(10), || {
        client.tally().is_ok_and(|tally| tally.ok >= 10).then_some(())
    })?;
    assert!(server.tally()?.accepted >= 10);
    let tally = client.stop()?;
    assert_eq!(tally.attempts, tally.ok, "{tally:?}");
    assert_eq!(server.stop()?.answered, tally.ok);
    Ok(())
}

#[test]
fn haproxy_carries_load_by_reading_and_writing_or_inside_the_kernel() -> Result<()> {
    let world = World::new()?;
    let (proxy, target) = (at(&world.waypoint, 8080), at(&world.server, 8080));
    let front = Frontend {
        address: proxy,
        upstreams: vec![target],
        by_path: false,
    };
    for splice in [false, true] {
        let options = haproxy::Options {
            splice,
            ..haproxy::Options::default()
        };
        let haproxy = Haproxy::start(&(&world.waypoint).into(), std::slice::from_ref(&front), &options)?;
        let server = world.server.run(|| Server::start(target, Behaviour::default()))?;
        let before = haproxy.info("CumConns")?;
        let plan = Plan {
            reply: 200_000,
            ..Plan::burst(proxy, 100)
        };
        assert_eq!(world.client.run(|| plan.run()).ok, 100);
        // Each question is a connection, too.
        assert_eq!(haproxy.info("CumConns")? - before, 101);
        assert_eq!(haproxy.info("TotalSplicdedBytesOut")? > 0, splice);
        assert_eq!(world.waypoint.cgroup.pids(), [haproxy.pid()]);
        assert_eq!(server.stop().answered, 100);
        haproxy.stop()?;
    }
    Ok(())
}

#[test]
fn a_proxy_that_is_held_up_keeps_as_many_as_its_backlog_says() -> Result<()> {
    let world = World::new()?;
    let (first, second) = (at(&world.waypoint, 8080), at(&world.waypoint, 8081));
    let upstreams = vec![at(&world.server, 8080)];
    let front = Frontend {
        address: first,
        upstreams: upstreams.clone(),
        by_path: false,
    };
    let options = haproxy::Options {
        backlog: Some(8),
        ..haproxy::Options::default()
    };
    let place = Placement::from(&world.waypoint);
    let haproxy = Haproxy::start(&place, &[front], &options)?;
    let listener = Listener {
        address: second,
        route: Route::To(upstreams),
    };
    let options = envoy::Options {
        backlog: Some(8),
        ..envoy::Options::default()
    };
    let envoy = Envoy::start_with(&place.core(1), &[listener], &options)?;
    for (process, address) in [(haproxy.process(), first), (envoy.process(), second)] {
        process.pause()?;
        let patience = Duration::from_millis(500);
        let (tally, open) = world.client.run(|| Crowd::start(address, 30, patience))?.finish();
        assert_eq!(open.len(), 9, "{tally:?}");
        process.resume()?;
        drop(open);
    }
    Ok(())
}

#[test]
fn proxies_run_short_of_open_files() -> Result<()> {
    let world = World::new()?;
    let (first, second) = (at(&world.waypoint, 8080), at(&world.waypoint, 8081));
    let server = world
        .server
        .run(|| Server::start(at(&world.server, 8080), Behaviour::default()))?;
    let upstreams = vec![server.address()];
    let front = Frontend {
        address: first,
        upstreams: upstreams.clone(),
        by_path: false,
    };
    let place = Placement::from(&world.waypoint);
    let haproxy = Haproxy::start(&place, &[front], &haproxy::Options::default())?;
    let listener = Listener {
        address: second,
        route: Route::To(upstreams),
    };
    let envoy = Envoy::start(&world.waypoint, &[listener], 1)?;
    for (process, address) in [(haproxy.process(), first), (envoy.process(), second)] {
        let files = || std::fs::read_dir(format!("/proc/{}/fd", process.id())).map_or(0, Iterator::count);
        // A connection needs two files. Those that a proxy has besides are to leave an even number: with one file left, HAProxy
        // accepts and closes over and over, and Envoy ends itself when it gets no socket for the connection behind it.
        let limit = 64 - files() % 2;
        process.limit_open_files(limit as u64)?;
        let (tally, open) = world
            .client
            .run(|| Crowd::start(address, 100, Duration::from_secs(5)))?
            .finish();
        assert_eq!(tally.connected, 100, "the kernel goes on accepting: {tally:?}");
        wait::until("all files to be in use", Duration::from_secs(10), || {
            (files() == limit).then_some(())
        })?;
        process.limit_open_files(4096)?;
        drop(open);
    }
    Ok(())
}

#[test]
fn handshakes_with_envoy_succeed_and_fail_as_they_should() -> Result<()> {
    let world = World::new()?;
    let (mesh, stranger) = (Authority::new("mesh")?, Authority::new("stranger")?);
    let (waypoint, good, bad) = (
        mesh.issue("waypoint")?,
        mesh.issue("client")?,
        stranger.issue("client")?,
    );
    let server = world
        .server
        .run(|| Server::start(at(&world.server, 8080), Behaviour::default()))?;
    let listener = Listener {
        address: at(&world.waypoint, 15008),
        route: Route::To(vec![server.address()]),
    };
    let options = envoy::Options {
        tls: Some(Tls {
            identity: &waypoint,
            trusted: &mesh,
        }),
        ..envoy::Options::default()
    };
    let envoy = Envoy::start_with(&(&world.waypoint).into(), &[listener], &options)?;
    let (mut succeeded, mut failed) = (0, 0);
    for version in Version::ALL {
        for ending in [Ending::Close, Ending::Reset] {
            let right = Handshakes {
                target: at(&world.waypoint, 15008),
                version,
                trusted: &mesh,
                identity: Some(&good),
                ending,
            };
            let run = |handshakes: Handshakes<'_>| world.client.run(|| handshakes.run(20));
            let tally = run(right)?;
            assert_eq!(
                (tally.attempts, tally.connected, tally.ok),
                (20, 20, 20),
                "{version:?}: {tally:?}"
            );
            succeeded += 20;
            for identity in [None, Some(&bad)] {
                let tally = run(Handshakes { identity, ..right })?;
                assert_eq!((tally.connected, tally.rejected), (20, 20), "{version:?}: {tally:?}");
            }
            let tally = run(Handshakes {
                trusted: &stranger,
                ..right
            })?;
            assert_eq!((tally.connected, tally.distrusted), (20, 20), "{version:?}: {tally:?}");
            failed += 60;
        }
    }
    let stat = |name: &str| envoy.stat(&format!("listener.10.90.0.2_15008.{name}"));
    assert_eq!(stat("downstream_cx_total")?, succeeded + failed);
    // Those that were refused in TLS 1.3 had completed their handshake for the client alone.
    assert_eq!(stat("ssl.handshake")?, succeeded);
    assert_eq!(stat("ssl.fail_verify_no_cert")?, 80);
    assert_eq!(stat("ssl.fail_verify_error")?, 80);
    assert_eq!(server.stop().answered, succeeded);
    Ok(())
}
