//! The parts of the miniature mesh do what they promise. Needs root.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result};
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::isolate;
use narrows_testbed::load::{Behaviour, Plan, Server};
use narrows_testbed::netns::{Fabric, Netns};
use narrows_testbed::wait;
use narrows_testbed::workload::Workload;

/// The cgroup that the calling process is in, as the kernel tells.
fn own_cgroup() -> Result<String> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .context("no cgroup2 line")?
        .to_owned())
}

#[test]
fn namespaces_come_and_go() -> Result<()> {
    isolate()?;
    isolate()?;
    let here = fs::metadata("/proc/thread-self/ns/net")?.ino();
    let netns = Netns::new("comes")?;
    assert_eq!(netns.path(), Path::new("/run/netns/comes"));
    let inside = netns.run(|| fs::metadata("/proc/thread-self/ns/net").map(|data| data.ino()))?;
    assert_eq!(inside, u64::from(netns.inode()));
    assert_ne!(inside, here);
    assert_eq!(fs::metadata("/proc/thread-self/ns/net")?.ino(), here);
    assert!(netns.exec("ip -o link show lo")?.contains("UP"));
    assert!(Netns::new("comes").is_err(), "a name is taken once");
    assert!(netns.path().exists(), "the failed attempt left the namespace alone");
    let refused = netns
        .exec("ip link set nothing up")
        .map_err(|error| format!("{error:#}"));
    assert!(
        refused.is_err_and(|text| text.contains("nothing")),
        "an error carries stderr"
    );
    let path = netns.path().to_owned();
    drop(netns);
    assert!(!path.exists());
    Ok(())
}

#[test]
fn isolation_hides_names_from_the_host_and_reaches_later_threads() -> Result<()> {
    isolate()?;
    let netns = Netns::new("hidden")?;
    let (main_thread, path) = (format!("/proc/{}/root", std::process::id()), netns.path());
    assert!(!Path::new(&main_thread).join("run/netns/hidden").exists());
    let seen = std::thread::scope(|scope| {
        scope
            .spawn(|| isolate().map(|()| path.exists()))
            .join()
            .map_err(|_| io::Error::other("panicked"))
    })??;
    assert!(seen, "isolating again would have hidden it");
    Ok(())
}

#[test]
fn a_panic_inside_a_namespace_continues_outside() -> Result<()> {
    isolate()?;
    let netns = Netns::new("panics")?;
    let caught = catch_unwind(AssertUnwindSafe(|| netns.run(|| panic!("from inside"))));
    let message = caught.err().and_then(|panic| panic.downcast::<&str>().ok());
    assert_eq!(message.as_deref(), Some(&"from inside"));
    Ok(())
}

#[test]
fn cgroups_are_entered_left_and_removed() -> Result<()> {
    let top = cgroup::unique("narrows-testbed");
    let (first, second) = (
        Cgroup::new(&format!("{top}/first"))?,
        Cgroup::new(&format!("{top}/second"))?,
    );
    assert_eq!(first.path(), format!("/{top}/first"));
    assert_eq!(first.id(), fs::metadata(cgroup::root().join(&top).join("first"))?.ino());
    assert!(
        Cgroup::new(first.path()).is_err(),
        "two guards of one cgroup would remove it under each other"
    );
    let inside = first.enter(own_cgroup)?;
    assert_eq!(inside, first.path());
    assert!(!own_cgroup()?.contains(&top));
    let panicked = catch_unwind(AssertUnwindSafe(|| second.enter(|| panic!("inside"))));
    assert!(panicked.is_err());
    assert!(!own_cgroup()?.contains(&top), "a panic also leaves");
    drop(first);
    assert!(cgroup::root().join(&top).join("second").exists());
    drop(second);
    assert!(
        !cgroup::root().join(&top).exists(),
        "the last one takes the parent along"
    );
    Ok(())
}

#[test]
fn a_cgroup_takes_its_processes_along() -> Result<()> {
    let top = cgroup::unique("narrows-testbed");
    let group = Cgroup::new(&format!("{top}/sleeper"))?;
    let mut child = group.spawn(Command::new("sleep").arg("600"))?;
    assert_eq!(group.pids(), [child.id()]);
    drop(group);
    let status = child.ended(Duration::from_secs(5))?;
    assert!(!status.success());
    assert!(!cgroup::root().join(&top).exists());
    Ok(())
}

#[test]
fn workloads_reach_each_other_over_both_families() -> Result<()> {
    isolate()?;
    let top = cgroup::unique("narrows-testbed");
    let fabric = Fabric::new("fabric")?;
    let shop = Workload::new(&fabric, &top, "shop", &["10.90.0.11/24", "fd00:90::11/64"])?;
    let bank = Workload::new(&fabric, &top, "bank", &["10.90.0.12/24", "fd00:90::12/64"])?;
    for ip in &bank.addresses {
        let address = SocketAddr::new(*ip, 8080);
        let server = bank.run(|| {
            Server::start(
                address,
                Behaviour {
                    reset_every: Some(10),
                    delay_ms: 0,
                },
            )
        })?;
        let tally = shop.run(|| Plan::burst(address, 50).run());
        assert_eq!(
            (tally.attempts, tally.connected, tally.ok, tally.reset),
            (50, 50, 45, 5),
            "{tally:?}"
        );
        let served = server.stop();
        assert_eq!(
            (served.accepted, served.answered, served.reset),
            (50, 45, 5),
            "{served:?}"
        );
        assert_eq!(served.received_bytes, tally.sent_bytes);
        assert_eq!(served.sent_bytes, tally.received_bytes);
        let closed = shop.run(|| Plan::burst(address, 7).run());
        assert_eq!((closed.refused, closed.connected), (7, 0), "{closed:?}");
    }
    Ok(())
}

#[test]
fn a_gateway_routes_and_refuses_routes() -> Result<()> {
    isolate()?;
    let fabric = Fabric::new("fabric")?;
    fabric.gateway(&["10.90.0.1/24", "fd00:90::1/64"])?;
    fabric
        .netns()
        .exec("ip route add unreachable 10.91.0.0/24; ip -6 route add unreachable fd00:91::/64")?;
    let pod = Netns::new("pod")?;
    fabric.attach(&pod, &["10.90.0.11/24", "fd00:90::11/64"])?;
    for target in ["10.91.0.1", "fd00:91::1"] {
        let target: IpAddr = target.parse()?;
        let error = pod.run(|| TcpStream::connect_timeout(&(target, 80).into(), Duration::from_secs(5)));
        let kind = error.err().map(|error| error.kind());
        assert!(
            matches!(
                kind,
                Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
            ),
            "{target}: {kind:?}"
        );
    }
    Ok(())
}

#[test]
fn a_stopped_client_leaves_nothing_under_way() -> Result<()> {
    isolate()?;
    let netns = Netns::new("steady")?;
    let listener = netns.run(|| TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    drop(listener);
    let server = netns.run(|| Server::start(address, Behaviour::default()))?;
    let plan = Plan {
        rate: 200.0,
        count: None,
        ..Plan::burst(address, 0)
    };
    let client = netns.run(|| narrows_testbed::load::Client::start(plan));
    wait::until("ten connections", Duration::from_secs(5), || {
        (client.tally().ok >= 10).then_some(())
    })?;
    let tally = client.stop();
    assert_eq!(tally.attempts, tally.ok, "{tally:?}");
    assert_eq!(server.stop().answered, tally.ok);
    Ok(())
}
