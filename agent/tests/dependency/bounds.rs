//! A thousand dependents cost no more series than there may be, and no count.

use super::{
    Watched, call,
    common::{World, inventory, v4},
    proxy, serve,
};
use narrows_testbed::{cgroup::Cgroup, process::Placement, scrape::Metrics};
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

const OPENED: &str = "narrows_connections_opened_total";
const DETAIL: &str = "narrows_metrics_detail";

#[test]
fn a_thousand_dependents_are_two_hundred_and_the_others() {
    let world = World::new();
    let (crowd, waypoint) = (world.workload("crowd", 10), world.workload("waypoint", 2));
    let address = |n: u16| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 91, 0, 0)) + u32::from(n) + 1);
    let mut lines = String::new();
    for n in 0..1000 {
        writeln!(lines, "ip address add {}/32 dev eth0", address(n)).expect("written");
    }
    crowd.netns.exec(&lines).expect("addresses");
    waypoint
        .netns
        .exec("ip route add 10.91.0.0/16 dev eth0\n")
        .expect("a route");
    let mut text = inventory(&[&crowd], &[&waypoint]);
    let mut workloads = String::new();
    for n in 0..1000 {
        let namespace = n % 10;
        writeln!(
            workloads,
            "  - {{ name: w{n}, namespace: team-{namespace}, addresses: [{}] }}",
            address(n)
        )
        .expect("written");
    }
    text = text.replace("points:\n", &format!("{workloads}points:\n"));
    // Places are given to busier ones once in a fifth of the window.
    let watched = Watched::start(&text, "dependency_window: 60\n");
    let agent = &watched.agent;
    let _server = serve(&waypoint, v4(2, 8080));
    // Each once, and the last ten far more often than anybody.
    crowd.run(|| {
        for n in (0..1000).chain((0..30).flat_map(|_| 990..1000)) {
            talk_from(IpAddr::V4(address(n)), v4(2, 8080));
        }
    });
    let total = 1000.0 + 300.0;
    let down = [("point", "shop/waypoint"), ("side", "downstream")];
    agent.wait_for("all of them", |m| {
        m.sum("narrows_connections_closed_total", &down) == total
    });
    // Places may have been given anew while the load ran, when only some of the ten were the busiest.
    let metrics = agent.wait_for("places for the ten busiest", |m| busy(m) == 10);
    let detail = metrics.series("narrows_dependent_connections_total").filter(|series| {
        series
            .label("source_workload")
            .is_some_and(|name| name.starts_with('w'))
    });
    assert_eq!(detail.count(), 200);
    let sum = |name| {
        let at = [("point", "shop/waypoint"), ("source_workload", name)];
        metrics.sum("narrows_dependent_connections_total", &at)
    };
    let all = metrics.sum("narrows_dependent_connections_total", &[("point", "shop/waypoint")]);
    assert_eq!(all, total, "tracked, former and others are the point's total");
    assert!(sum("_other") >= 800.0, "{}", sum("_other"));
    assert_eq!(sum("unknown"), 0.0);
    let count = |scope| metrics.sum("narrows_dependents", &[("scope", scope)]);
    assert_eq!((count("workload"), count("namespace")), (1000.0, 10.0));
    assert_eq!(metrics.sum("narrows_dependents_untracked", &[]), 800.0);
    let open = metrics.sum("narrows_dependent_open_connections", &[]);
    assert_eq!(open, 0.0);
    // They keep their places.
    assert_eq!(busy(&agent.settle()), 10);
}

/// How many of the ten busiest have places.
fn busy(metrics: &Metrics) -> usize {
    let names = (990..1000).map(|n| format!("w{n}"));
    let active = names.filter(|name| {
        let label = [("source_workload", name.as_str())];
        metrics.matching("narrows_dependent_active", &label).count() == 1
    });
    active.count()
}

/// One connection from this address, answered or not.
fn talk_from(from: IpAddr, to: SocketAddr) {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd as _;
    let (IpAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
        panic!("this test is of IPv4")
    };
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let from = SockaddrIn::from(std::net::SocketAddrV4::new(from, 0));
    bind(fd.as_raw_fd(), &from).expect("bound");
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).expect("connected");
}

#[test]
fn beyond_the_limit_sidecars_are_minimal_and_no_counter_goes_back() {
    let world = World::new();
    let (checkout, catalog) = (world.workload("checkout", 11), world.workload("catalog", 21));
    let path = |name: &str| format!("{}/{name}", world.top);
    let mut text = inventory(&[&checkout, &catalog], &[]);
    text.push_str("points:\n");
    for name in ["first", "second"] {
        text += &format!(
            "  - {{ name: {name}, namespace: shop, kind: sidecar, mesh: istio, cgroup: /{} }}\n",
            path(name)
        );
    }
    let first = Cgroup::new(&path("first")).expect("a cgroup");
    let place = Placement::new(Some(&catalog.netns), Some(&first));
    let _server = serve(&catalog, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)));
    let _sidecar = proxy(&place, v4(21, 15006), SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    let watched = Watched::start(&text, "metrics: { sidecars: 1 }\n");
    let agent = &watched.agent;
    let of = [("point", "shop/first"), ("side", "downstream")];
    let detail = |detail| [("kind", "sidecar"), ("detail", detail)];
    call(&checkout, v4(21, 15006), 7);
    let full = agent.wait_for("seven in full", |m| m.sum(OPENED, &of) == 7.0);
    assert!(full.get("narrows_round_trip_seconds_count", &of).is_some());
    assert_eq!(full.sum(DETAIL, &detail("full")), 1.0);
    // The one that is too many: its cgroup is all that is needed.
    let second = Cgroup::new(&path("second")).expect("a cgroup");
    let less = agent.wait_for("minimal sidecars", |m| m.sum(DETAIL, &detail("minimal")) == 1.0);
    assert_eq!(less.sum(OPENED, &of), 7.0);
    assert_eq!(less.get("narrows_round_trip_seconds_count", &of), None);
    assert!(
        less.matching("narrows_dependent_connections_total", &[])
            .next()
            .is_none()
    );
    assert_eq!(agent.get_json("/api/v1/status")["metrics_detail"]["sidecar"], "minimal");
    call(&checkout, v4(21, 15006), 5);
    agent.wait_for("five more", |m| m.sum(OPENED, &of) == 12.0);
    // It stays so, and is said once.
    drop(second);
    assert_eq!(agent.settle().sum(DETAIL, &detail("minimal")), 1.0);
    assert_eq!(agent.stderr().matches("more sidecars than metrics.sidecars").count(), 1);
}
