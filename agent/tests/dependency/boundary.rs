//! What carries a connection to its workload, and what passes by the point that was expected.

use super::{
    Watched, call,
    common::{
        World, binary,
        delivery::{connect_as, lead_back},
        expect, inventory, v4,
    },
    proxy, serve,
};
use narrows_testbed::{
    agent::Agent,
    cgroup::Cgroup,
    command,
    haproxy::Haproxy,
    load::Server,
    process::Placement,
    workload::Workload,
    ztunnel::{Ztunnel, exempt},
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
};

const ENFORCED: &str = "narrows_enforced_connections_total";
const BYPASSED: &str = "narrows_bypassed_connections_total";
const EXCLUDED: &str = "narrows_excluded_bypasses_total";
const MODE: &str = "narrows_workload_mode";

/// A caller, a server, a waypoint, and cgroups of proxies of theirs.
struct Shop {
    checkout: Workload,
    catalog: Workload,
    waypoint: Workload,
    sidecar: Cgroup,
    ztunnel: Cgroup,
    world: World,
}

impl Shop {
    fn new() -> Self {
        let world = World::new();
        let cgroup = |name: &str| Cgroup::new(&format!("{}/{name}", world.top)).expect("a cgroup");
        Self {
            checkout: world.workload("checkout", 11),
            catalog: world.workload("catalog", 21),
            waypoint: world.workload("waypoint", 2),
            sidecar: cgroup("sidecar"),
            ztunnel: cgroup("ztunnel"),
            world,
        }
    }

    /// `catalog` is to be reached through the waypoint or not.
    fn inventory(&self, waypoint: bool) -> String {
        let mut text = inventory(&[&self.checkout, &self.catalog], &[&self.waypoint]);
        if waypoint {
            text = text.replace("{ name: catalog,", "{ name: catalog, waypoint: waypoint,");
        }
        for (name, namespace, kind, mesh, cgroup) in [
            ("catalog", "shop", "sidecar", "istio", &self.sidecar),
            ("ztunnel", "istio-system", "ztunnel", "istio", &self.ztunnel),
        ] {
            text += &format!(
                "  - {{ name: {name}, namespace: {namespace}, kind: {kind}, mesh: {mesh}, cgroup: {} }}\n",
                cgroup.path()
            );
        }
        text
    }

    /// What stands in for its sidecar, on port 15006.
    fn start_sidecar(&self) -> Haproxy {
        let place = Placement::new(Some(&self.catalog.netns), Some(&self.sidecar));
        proxy(&place, v4(21, 15006), SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
    }

    /// The server, for calls from within and from outside.
    fn serve(&self) -> Server {
        serve(&self.catalog, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))
    }
}

fn pair<'a>(source: &'a str, by: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("source_workload", source),
        ("destination_workload", "catalog"),
        ("enforced_by", by),
    ]
}

fn mode(workload: &str, mode: &str) -> impl Fn(&narrows_testbed::scrape::Metrics) -> bool {
    move |m| {
        let of = [("workload", workload)];
        let all: Vec<_> = m.matching(MODE, &of).collect();
        all.len() == 1 && all[0].label("mode") == Some(mode)
    }
}

#[test]
fn a_sidecar_carries_what_comes_through_it_and_is_bypassed_by_the_rest() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(false), "");
    let agent = &watched.agent;
    let _server = shop.serve();
    agent.wait_for("no proxy", mode("catalog", "none"));
    call(&shop.checkout, v4(21, 8080), 3);
    agent.wait_for("connections without a point", |m| {
        m.sum(ENFORCED, &pair("checkout", "none")) == 3.0
    });
    let _sidecar = shop.start_sidecar();
    agent.wait_for("the sidecar", mode("catalog", "sidecar"));
    call(&shop.checkout, v4(21, 15006), 20);
    // Its health check, say: from within.
    call(&shop.catalog, SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), 5);
    agent.wait_for("20 by the sidecar", |m| {
        m.sum(ENFORCED, &pair("checkout", "sidecar")) == 20.0
    });
    expect(
        &agent.settle(),
        &[
            (ENFORCED, &[], 23.0),
            // Before there was a sidecar there was none to bypass.
            (BYPASSED, &[], 0.0),
        ],
    );
    call(&shop.checkout, v4(21, 8080), 7);
    agent.wait_for("seven past it", |m| m.sum(BYPASSED, &[]) == 7.0);
    expect(
        &agent.settle(),
        &[
            (ENFORCED, &pair("checkout", "none"), 10.0),
            (
                BYPASSED,
                &[
                    ("point", "shop/catalog"),
                    ("kind", "sidecar"),
                    ("source_workload_namespace", "shop"),
                    ("source_workload", "checkout"),
                    ("destination_workload_namespace", "shop"),
                    ("destination_workload", "catalog"),
                ],
                7.0,
            ),
        ],
    );
}

#[test]
fn who_does_not_come_from_the_waypoint_has_bypassed_it() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(true), "");
    let agent = &watched.agent;
    let _server = shop.serve();
    let _waypoint = proxy(&Placement::from(&shop.waypoint), v4(2, 15008), v4(21, 8080));
    call(&shop.checkout, v4(2, 15008), 20);
    agent.wait_for("20 by the waypoint", |m| {
        m.sum(ENFORCED, &pair("waypoint", "waypoint")) == 20.0
    });
    expect(&agent.settle(), &[(BYPASSED, &[], 0.0), (ENFORCED, &[], 20.0)]);
    call(&shop.checkout, v4(21, 8080), 6);
    agent.wait_for("six past it", |m| m.sum(BYPASSED, &[]) == 6.0);
    let bypass = [
        ("point", "shop/waypoint"),
        ("kind", "waypoint"),
        ("source_workload", "checkout"),
        ("destination_workload", "catalog"),
    ];
    expect(
        &agent.settle(),
        &[(BYPASSED, &bypass, 6.0), (ENFORCED, &pair("checkout", "none"), 6.0)],
    );
}

#[test]
fn what_a_ztunnel_delivers_counts_for_whom_it_speaks() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(true), "");
    let agent = &watched.agent;
    let _server = shop.serve();
    lead_back(&shop.catalog.netns);
    // It listens in the workload's namespace, and delivers from the address of who called.
    let tunnel = shop
        .ztunnel
        .enter(|| shop.catalog.netns.run(|| std::net::TcpListener::bind(v4(21, 15008))))
        .expect("it listens");
    agent.wait_for("its place in the mesh", mode("catalog", "ambient_waypoint"));
    let accept = |from: &Workload| {
        let caller = from.run(|| TcpStream::connect(v4(21, 15008))).expect("connected");
        (caller, tunnel.accept().expect("accepted").0)
    };
    let deliver = |n: u8| {
        shop.ztunnel.enter(|| {
            shop.catalog
                .netns
                .run(|| connect_as(Ipv4Addr::new(10, 90, 0, n), v4(21, 8080)).expect("connected"))
        })
    };
    // One tunnel from the waypoint with three connections in it, one from the caller itself with two.
    let right = (accept(&shop.waypoint), [deliver(2), deliver(2), deliver(2)]);
    agent.wait_for("three by the waypoint", |m| {
        m.sum(ENFORCED, &pair("waypoint", "waypoint")) == 3.0
    });
    expect(&agent.settle(), &[(BYPASSED, &[], 0.0), (ENFORCED, &[], 3.0)]);
    let wrong = (accept(&shop.checkout), [deliver(11), deliver(11)]);
    agent.wait_for("two by the ztunnel", |m| {
        m.sum(ENFORCED, &pair("checkout", "ztunnel")) == 2.0
    });
    let bypass = [("point", "shop/waypoint"), ("source_workload", "checkout")];
    expect(
        &agent.settle(),
        &[
            (ENFORCED, &[], 5.0),
            // The tunnel, which is where it should have come from the waypoint.
            (BYPASSED, &bypass, 1.0),
            (BYPASSED, &[], 1.0),
            (
                "narrows_served_connections_total",
                &[("point", "istio-system/ztunnel"), ("destination_workload", "catalog")],
                5.0,
            ),
        ],
    );
    drafts(agent);
    drop((right, wrong));
}

/// What `narrows policy` makes of the five: two are of a caller with an identity, and three of the waypoint, whose identity is in no
/// series.
fn drafts(agent: &Agent) {
    let url = format!("http://{}", agent.address());
    let draft = |more: &[&str]| {
        let mut program = Command::new(binary());
        program
            .args(["policy", "--point", "istio-system/ztunnel", "--agent", &url])
            .args(more);
        command::output(&mut program).expect("it starts")
    };
    let refused = draft(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("40.0 % of its 5 connections") && said.contains("waypoint shop/waypoint (3)"),
        "{said}"
    );
    let drafted = draft(&["--min-coverage", "0.4"]);
    let text = String::from_utf8_lossy(&drafted.stdout).into_owned();
    for part in [
        "# - 1 pair of caller and destination, and no other caller at these destinations.\n",
        "# - At shop/catalog: waypoint shop/waypoint: 3 connections of a point, whose identity is in no series; they would be denied.\n",
        "\n  name: narrows-catalog\n  namespace: shop\n",
        "/ns/shop/sa/checkout # shop/checkout: 2 connections\n",
    ] {
        assert!(
            text.contains(part),
            "{part}\n{text}{}",
            String::from_utf8_lossy(&drafted.stderr)
        );
    }
}

#[test]
fn sidecar_and_ambient_on_one_workload_are_mixed() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(false), "");
    let agent = &watched.agent;
    let _server = shop.serve();
    let sidecar = shop.start_sidecar();
    agent.wait_for("a sidecar", mode("catalog", "sidecar"));
    let ztunnel = Ztunnel::start(&shop.ztunnel, &[&shop.catalog.netns], v4(2, 15008)).expect("a ztunnel");
    agent.wait_for("both", mode("catalog", "mixed"));
    assert!(mode("checkout", "none")(&agent.settle()));
    sidecar.kill().expect("it ends");
    agent.wait_for("one of them", mode("catalog", "ambient"));
    drop(ztunnel);
    agent.wait_for("none", mode("catalog", "none"));
}

#[test]
fn what_leaves_a_zone_without_its_egress_is_a_bypass() {
    let shop = Shop::new();
    let mut text = shop
        .inventory(false)
        .replace("kind: sidecar, mesh: istio", "kind: sidecar, mesh: kuma");
    text += "  - { name: egress, namespace: kuma-system, kind: zone_egress, mesh: kuma, addresses: [10.90.0.2] }\n";
    // That address is the egress's now.
    let text = text
        .lines()
        .filter(|line| !line.contains("kind: waypoint"))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let watched = Watched::start(&text, "");
    let agent = &watched.agent;
    let egress = shop
        .waypoint
        .run(|| std::net::TcpListener::bind(v4(2, 10002)))
        .expect("it listens");
    // Outside: an address that is nobody's.
    shop.waypoint
        .netns
        .exec("ip address add 11.0.0.1/32 dev eth0\n")
        .expect("an address");
    shop.catalog
        .netns
        .exec("ip route add 11.0.0.1/32 dev eth0\n")
        .expect("a route");
    let outside = shop
        .waypoint
        .netns
        .run(|| std::net::TcpListener::bind("11.0.0.1:443"))
        .expect("it listens");
    let leave = |to: &str| {
        let to: SocketAddr = to.parse().expect("an address");
        let sidecar = shop.sidecar.enter(|| shop.catalog.netns.run(|| TcpStream::connect(to)));
        sidecar.expect("connected")
    };
    let right = [leave("10.90.0.2:10002"), leave("10.90.0.2:10002")];
    agent.wait_for("two to the egress", |m| {
        m.sum(
            "narrows_client_connections_opened_total",
            &[("point", "kuma-system/egress")],
        ) == 2.0
    });
    expect(&agent.settle(), &[(BYPASSED, &[], 0.0)]);
    let wrong = leave("11.0.0.1:443");
    agent.wait_for("one past it", |m| m.sum(BYPASSED, &[]) == 1.0);
    let bypass = [
        ("point", "kuma-system/egress"),
        ("kind", "zone_egress"),
        ("source_workload", "catalog"),
        ("destination_workload", "external"),
    ];
    expect(&agent.settle(), &[(BYPASSED, &bypass, 1.0)]);
    drop((right, wrong, egress, outside));
}

#[test]
fn what_a_proxy_leaves_alone_is_enforced_by_nobody() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(false), "");
    let agent = &watched.agent;
    let _server = shop.serve();
    let _waypoint = proxy(&Placement::from(&shop.waypoint), v4(2, 15008), v4(21, 8080));
    let config = narrows_testbed::ztunnel::Config {
        netns: vec![shop.checkout.netns.path().to_owned()],
        waypoint: Some(v4(2, 15008)),
        raw: true,
    };
    let _ztunnel = Ztunnel::start_with(&shop.ztunnel, &[&shop.checkout.netns], &config).expect("a ztunnel");
    agent.wait_for("the caller's place in the mesh", mode("checkout", "ambient"));
    call(&shop.checkout, v4(21, 8080), 10);
    exempt(&shop.checkout.netns, 8080).expect("an exemption");
    call(&shop.checkout, v4(21, 8080), 4);
    agent.wait_for("both", |m| m.sum(ENFORCED, &[]) == 14.0);
    expect(
        &agent.settle(),
        &[
            (ENFORCED, &pair("waypoint", "waypoint"), 10.0),
            (ENFORCED, &pair("checkout", "none"), 4.0),
            (BYPASSED, &[], 0.0),
        ],
    );
}

#[test]
fn a_named_range_is_an_end_of_its_own_and_what_is_excluded_is_no_bypass() {
    let shop = Shop::new();
    let stranger = shop.world.workload("stranger", 31);
    let configuration = "networks: { office: [10.90.0.0/24] }\nbypass: { exclude: [{ namespace: shop, workload: check*, port: 8080 }] }\n";
    let watched = Watched::start(&shop.inventory(true), configuration);
    let agent = &watched.agent;
    let _server = shop.serve();
    call(&shop.checkout, v4(21, 8080), 3);
    agent.wait_for("three that are excluded", |m| {
        m.sum(EXCLUDED, &[("cause", "configured")]) == 3.0
    });
    call(&stranger, v4(21, 8080), 2);
    agent.wait_for("two from the office", |m| m.sum(BYPASSED, &[]) == 2.0);
    let office = [
        ("source_workload_namespace", "external"),
        ("source_workload", "office"),
        ("destination_workload", "catalog"),
    ];
    let attributed = [("end", "remote"), ("result", "external")];
    expect(
        &agent.settle(),
        &[
            (BYPASSED, &office, 2.0),
            (BYPASSED, &[], 2.0),
            (EXCLUDED, &[], 3.0),
            (ENFORCED, &office, 2.0),
            (ENFORCED, &pair("checkout", "none"), 3.0),
            ("narrows_attributed_connections_total", &attributed, 2.0),
        ],
    );
}
