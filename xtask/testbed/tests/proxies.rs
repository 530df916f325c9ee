//! The stand-in ztunnel and the real Envoy carry load with nothing lost. Needs root and `cargo xtask setup`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use narrows_testbed::actor::Actor;
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::envoy::{Envoy, Listener, Route};
use narrows_testbed::isolate;
use narrows_testbed::load::{Behaviour, Plan};
use narrows_testbed::netns::Fabric;
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
