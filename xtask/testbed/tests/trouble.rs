//! What the testbed does to a proxy and to those around it. Needs root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use narrows_testbed::actor::Actor;
use narrows_testbed::busy::Busy;
use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::load::{self, Crowd, Manner, Pace, Plan, Stubborn};
use narrows_testbed::loss::{Loss, Means};
use narrows_testbed::netns::Fabric;
use narrows_testbed::process::{Child, Placement};
use narrows_testbed::workload::Workload;
use narrows_testbed::{isolate, wait};

const PATIENCE: Duration = Duration::from_secs(10);

fn pair() -> Result<(Fabric, Workload, Workload)> {
    isolate()?;
    let top = cgroup::unique("narrows-testbed");
    let fabric = Fabric::new("fabric")?;
    let shop = Workload::new(&fabric, &top, "shop", &["10.90.0.11/24", "fd00:90::11/64"])?;
    let bank = Workload::new(&fabric, &top, "bank", &["10.90.0.12/24", "fd00:90::12/64"])?;
    Ok((fabric, shop, bank))
}

fn at(workload: &Workload, port: u16) -> SocketAddr {
    SocketAddr::new(workload.addresses[0], port)
}

/// A line of `/proc/<pid>/<file>` that begins with `key`.
fn line(child: &Child, file: &str, key: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{}/{file}", child.id()))?;
    let found = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(found.with_context(|| format!("no {key} in {file}"))?.trim().to_owned())
}

#[test]
fn a_process_is_pinned_bounded_and_held_up() -> Result<()> {
    let sleep = || {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    };
    let child = Placement::default().core(1).open_files(64).spawn(&mut sleep())?;
    assert_eq!(line(&child, "status", "Cpus_allowed_list:")?, "1");
    let limit = |child| line(child, "limits", "Max open files").map(|line| line.replace(' ', ""));
    assert_eq!(limit(&child)?, "6464files");
    child.pin(0)?;
    assert_eq!(line(&child, "status", "Cpus_allowed_list:")?, "0");
    child.limit_open_files(32)?;
    assert_eq!(limit(&child)?, "3264files");
    child.pause()?;
    assert!(line(&child, "status", "State:")?.starts_with('T'));
    child.resume()?;
    assert!(!line(&child, "status", "State:")?.starts_with('T'));
    let mut child = child;
    child.pause()?;
    child.stop()?;

    let ahead = Placement::default().ahead().spawn(&mut sleep())?;
    let stat = line(&ahead, "stat", "")?;
    let nice = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(16));
    assert_eq!(nice, Some("-20"), "{stat}");
    let group = fs::read_to_string(format!("/proc/{}/autogroup", ahead.id()));
    // Where the kernel has such groups and uses them.
    assert!(group.is_err() || group.is_ok_and(|group| group.contains("nice -20")));
    let first = Placement::default().first().spawn(&mut sleep())?;
    let policy = || -> Result<String> {
        let stat = line(&first, "stat", "")?;
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        Ok(fields.split(' ').nth(38).unwrap_or_default().to_owned())
    };
    assert_eq!(policy()?, "1", "SCHED_FIFO");
    first.step_back()?;
    assert_eq!(policy()?, "0", "SCHED_OTHER");
    Ok(())
}

#[test]
fn busy_processes_burn_one_processor_for_another_cgroup() -> Result<()> {
    let group = Cgroup::new(&cgroup::unique("narrows-testbed"))?;
    let busy = Busy::start(3, 1, Some(&group))?;
    let pids = group.pids();
    assert_eq!(pids.len(), 3);
    let running = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| stat.contains(") R "))
    };
    assert!(pids.iter().all(running));
    for pid in &pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        assert!(status.contains("Cpus_allowed_list:\t1\n"), "{status}");
    }
    drop(busy);
    assert!(group.pids().is_empty());
    Ok(())
}

#[test]
fn a_steady_client_measures_each_request() -> Result<()> {
    let (_fabric, shop, bank) = pair()?;
    let mut server = Actor::server(&bank, at(&bank, 8080), load::Behaviour::default())?;
    let pace = Pace {
        rate: 500.0,
        request: 100,
        reply: 3000,
        ..Pace::to(at(&bank, 8080))
    };
    let mut client = Actor::steady(&Placement::from(&shop).core(1), &pace)?;
    let mut after = |replies: u64| {
        wait::until("a hundred replies", PATIENCE, || {
            client.tally().ok().filter(|tally| tally.replies >= replies + 100)
        })
    };
    let slow = |tally: &load::PaceTally| tally.latencies.buckets[19..].iter().sum::<u64>();
    // A server that is held up is seen in the slowest request of each connection, and in no other. Once more where the machine
    // has held up something, too.
    wait::until("four slow replies", PATIENCE, || {
        let before = after(0).ok()?;
        server.process().pause().ok()?;
        std::thread::sleep(Duration::from_secs(1));
        server.process().resume().ok()?;
        let after = after(before.replies).ok()?;
        (slow(&after) - slow(&before) == 4).then_some(())
    })?;
    let tally = client.stop()?;
    assert_eq!((tally.connected, tally.broken), (4, 0), "{tally:?}");
    assert_eq!(tally.latencies.count(), tally.replies);
    assert!(tally.latencies.percentile(50.0) < Some(0.1), "{tally:?}");
    let served = server.tally()?;
    assert_eq!(served.answered, 4, "{served:?}");
    assert_eq!(served.received_bytes, tally.replies * 100);
    assert_eq!(served.sent_bytes, tally.replies * 3000);
    Ok(())
}

#[test]
fn a_crowd_waits_before_a_server_that_never_accepts() -> Result<()> {
    let (_fabric, shop, bank) = pair()?;
    let target = at(&bank, 8080);
    let manner = Manner::NeverAccepts { backlog: 7 };
    let server = bank.run(|| Stubborn::start(target, manner))?;
    let crowd = shop.run(|| Crowd::start(target, 50, Duration::from_millis(2500)))?;
    let (tally, open) = crowd.finish();
    assert_eq!(
        tally,
        load::CrowdTally {
            attempts: 50,
            connected: 8,
            gave_up: 42,
            ..load::CrowdTally::default()
        },
        "the kernel takes one more than the backlog"
    );
    assert_eq!(open.len(), 8);
    load::reset(open);
    drop(server);
    let (tally, open) = shop.run(|| Crowd::start(target, 5, PATIENCE))?.finish();
    assert_eq!((tally.attempts, tally.refused, open.len()), (5, 5, 0), "{tally:?}");
    Ok(())
}

#[test]
fn a_crowd_that_nobody_answers_is_given_up_by_its_kernel() -> Result<()> {
    let (_fabric, shop, bank) = pair()?;
    shop.netns.sysctl("net/ipv4/tcp_syn_retries", "1")?;
    // Up to Linux 6.5 there is no such setting, and retries take turns that grow from the first on.
    let _older = shop.netns.sysctl("net/ipv4/tcp_syn_linear_timeouts", "0");
    let _loss = Loss::all(&bank.netns, Some(shop.addresses[0]))?;
    let (tally, _) = shop.run(|| Crowd::start(at(&bank, 8080), 10, 3 * PATIENCE))?.finish();
    assert_eq!((tally.attempts, tally.timed_out), (10, 10), "{tally:?}");
    Ok(())
}

#[test]
fn a_server_that_does_not_read_closes_its_window() -> Result<()> {
    let (_fabric, shop, bank) = pair()?;
    for (manner, all) in [(Manner::NeverReads, false), (Manner::NeverAnswers, true)] {
        let server = bank.run(|| Stubborn::start(at(&bank, 0), manner))?;
        let mut stream = shop.run(|| TcpStream::connect(server.address()))?;
        let patience = if all { 60_000 } else { 500 };
        stream.set_write_timeout(Some(Duration::from_millis(patience)))?;
        // More than both kernels' buffers hold.
        let written = (0..256).map_while(|_| stream.write_all(&[0; 65536]).ok()).count();
        assert_eq!(written == 256, all, "{manner:?}: {written}");
        wait::until("the connection to be accepted", PATIENCE, || {
            (server.accepted() == 1).then_some(())
        })?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let silent = stream.read(&mut [0]).expect_err("it says nothing");
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
        wait::until("the window to be as the server reads", PATIENCE, || {
            let windows = shop.netns.exec("ss -tinoH state established").ok()?;
            (windows.contains("persist") != all).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn segments_are_lost_for_as_long_as_the_guard_lives() -> Result<()> {
    let (fabric, shop, bank) = pair()?;
    let sent_again = || -> Result<u64> {
        let text = shop.netns.exec("nstat -asz TcpRetransSegs")?;
        let line = text.lines().find(|line| line.starts_with("TcpRetransSegs"));
        Ok(line
            .and_then(|line| line.split_whitespace().nth(1))
            .context("no such count")?
            .parse()?)
    };
    // What drops packets. That nothing is sent again says less: a kernel also probes for an answer that is merely late.
    let dropping = || -> Result<String> {
        let filters = ["iptables -w -S INPUT", "ip6tables -w -S INPUT"].map(|list| bank.netns.exec(list));
        let disciplines = fabric
            .netns()
            .exec(&format!("tc qdisc show dev {}", fabric.port(&bank.netns)?));
        let all: Vec<_> = filters.into_iter().chain([disciplines]).collect::<Result<_>>()?;
        Ok(all.concat())
    };
    let nothing = dropping()?;
    for address in bank.addresses.clone() {
        let server = bank.run(|| load::Server::start(SocketAddr::new(address, 0), load::Behaviour::default()))?;
        let plan = Plan {
            request: 300_000,
            patience_ms: 60_000,
            ..Plan::burst(server.address(), 1)
        };
        let before = sent_again()?;
        let loss = Loss::every(10, &bank.netns, None)?;
        assert_ne!(dropping()?, nothing);
        assert_eq!(loss.means(), Means::PacketFilter);
        assert_eq!(shop.run(|| plan.run()).ok, 1);
        drop(loss);
        assert_eq!(dropping()?, nothing);
        let after = sent_again()?;
        assert!(after > before, "every tenth segment of some hundred is lost");
        let loss = Loss::percent(20, &fabric, &bank.netns)?;
        println!("20 % are lost by {:?}", loss.means());
        assert_ne!(dropping()?, nothing);
        // Segments go in packets of many, of which by chance none of a connection's may be lost.
        for _ in 0..20 {
            assert_eq!(shop.run(|| plan.run()).ok, 1);
            if sent_again()? > after {
                break;
            }
        }
        assert!(sent_again()? > after);
        drop(loss);
        assert_eq!(dropping()?, nothing);
        let loss = Loss::all(&bank.netns, Some(shop.addresses[0]))?;
        // The other family's address does not match.
        let matches = address.is_ipv4();
        let three = Plan {
            patience_ms: if matches { 300 } else { 60_000 },
            ..Plan::burst(server.address(), 3)
        };
        let tally = shop.run(|| three.run());
        assert_eq!((tally.timed_out, tally.ok), if matches { (3, 0) } else { (0, 3) });
        drop(loss);
        assert_eq!(dropping()?, nothing);
        assert_eq!(shop.run(|| plan.run()).ok, 1);
    }
    Ok(())
}

#[test]
fn ten_thousand_refusals_are_counted_one_by_one() -> Result<()> {
    let (_fabric, shop, bank) = pair()?;
    let begin = std::time::Instant::now();
    let tally = shop.run(|| Plan::burst(at(&bank, 9), 10_000).run());
    println!("{:?}", begin.elapsed());
    assert_eq!(
        (tally.attempts, tally.refused, tally.connected),
        (10_000, 10_000, 0),
        "{tally:?}"
    );
    Ok(())
}
