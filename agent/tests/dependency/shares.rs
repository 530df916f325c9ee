//! Who depends on which point, and with how much of its traffic.

use super::{
    Watched, call,
    common::{World, expect, inventory, v4},
    proxy, rounded, serve,
};
use narrows_testbed::{
    cgroup::Cgroup,
    load::Plan,
    process::Placement,
    workload::Workload,
    ztunnel::{self, Ztunnel, exempt},
};
use std::{fmt::Write as _, net::TcpStream};

const SHARE: &str = "narrows_dependent_share_ratio";
const ONE: (&str, &str) = ("point", "shop/one");
const TWO: (&str, &str) = ("point", "shop/two");

/// Two points in front of two servers, and five callers.
struct Shop {
    world: World,
    callers: Vec<Workload>,
    one: Workload,
    two: Workload,
    catalog: Workload,
    orders: Workload,
}

impl Shop {
    fn new() -> Self {
        let world = World::new();
        let names = ["a", "b", "c", "d", "e"];
        let numbers = 11..;
        let callers = names.into_iter().zip(numbers);
        Self {
            callers: callers.map(|(name, n)| world.workload(name, n)).collect(),
            one: world.workload("one", 2),
            two: world.workload("two", 3),
            catalog: world.workload("catalog", 21),
            orders: world.workload("orders", 22),
            world,
        }
    }

    fn inventory(&self) -> String {
        let mut workloads: Vec<&Workload> = self.callers.iter().collect();
        workloads.extend([&self.catalog, &self.orders]);
        inventory(&workloads, &[&self.one, &self.two])
    }
}

#[test]
fn shares_reach_and_concentration_are_as_the_connections_were() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(), "");
    let agent = &watched.agent;
    let _servers = [serve(&shop.catalog, v4(21, 8080)), serve(&shop.orders, v4(22, 8080))];
    let _one = proxy(&Placement::from(&shop.one), v4(2, 8080), v4(21, 8080));
    let _two = proxy(&Placement::from(&shop.two), v4(3, 8080), v4(22, 8080));
    // (to one, to two, past both)
    let plan = [(40, 0, 0), (30, 10, 0), (10, 0, 10), (0, 25, 0), (0, 0, 5)];
    for (caller, (one, two, direct)) in shop.callers.iter().zip(plan) {
        for (to, n) in [(v4(2, 8080), one), (v4(3, 8080), two), (v4(21, 8080), direct)] {
            if n > 0 {
                call(caller, to, n);
            }
        }
    }
    agent.wait_for("all connections of the points to end", |m| {
        m.sum("narrows_connections_closed_total", &[]) == 2.0 * (80.0 + 35.0)
    });
    let metrics = agent.settle();
    let shares = ["a", "b", "c", "d", "e"].map(|who| {
        let who = ("source_workload", who);
        [ONE, TWO].map(|point| rounded(&metrics, SHARE, &[point, who]))
    });
    let share = |text: &str| Some(text.to_owned());
    assert_eq!(
        shares,
        [
            [share("1.000"), None],
            [share("0.750"), share("0.250")],
            [share("0.500"), None],
            [None, share("1.000")],
            [None, None],
        ]
    );
    let workloads = ("scope", "workload");
    expect(
        &metrics,
        &[
            ("narrows_dependents", &[ONE, workloads], 3.0),
            ("narrows_dependents", &[TWO, workloads], 2.0),
            ("narrows_dependents", &[ONE, ("scope", "service_account")], 3.0),
            ("narrows_dependents", &[ONE, ("scope", "namespace")], 1.0),
            ("narrows_served", &[ONE, workloads], 1.0),
            (
                "narrows_served_connections_total",
                &[ONE, ("destination_workload", "catalog")],
                80.0,
            ),
            (
                "narrows_served_connections_total",
                &[TWO, ("destination_workload", "orders")],
                35.0,
            ),
            ("narrows_served_active", &[], 2.0),
            ("narrows_served_failures_total", &[], 0.0),
            // 40, 30 and 10 of 80.
            (
                "narrows_dependent_concentration_ratio",
                &[ONE],
                (1600.0 + 900.0 + 100.0) / 6400.0,
            ),
            ("narrows_traffic_share_ratio", &[ONE], 80.0 / 115.0),
            ("narrows_traffic_share_ratio", &[TWO], 35.0 / 115.0),
            // Five that call, two that are called.
            ("narrows_active_workloads", &[], 7.0),
        ],
    );
    let [saturation, risk] = ["narrows_saturation_ratio", "narrows_choke_risk_ratio"].map(|name| {
        let found = metrics.matching(name, &[ONE]).map(|series| series.value);
        found.fold(0.0, f64::max)
    });
    assert!((risk - saturation * 3.0 / 7.0).abs() < 1e-9, "{risk} {saturation}");
}

#[test]
fn who_stops_leaves_after_the_window_and_who_holds_a_connection_stays() {
    let shop = Shop::new();
    let watched = Watched::start(&shop.inventory(), "dependency_window: 10\n");
    let agent = &watched.agent;
    let _server = serve(&shop.catalog, v4(21, 8080));
    let _one = proxy(&Placement::from(&shop.one), v4(2, 8080), v4(21, 8080));
    let (stops, stays) = (&shop.callers[0], &shop.callers[1]);
    call(stops, v4(2, 8080), 5);
    let open = stays.run(|| TcpStream::connect(v4(2, 8080))).expect("connected");
    let active = |who| [ONE, ("source_workload", who)];
    let both = agent.wait_for("two dependents", |m| m.sum("narrows_dependent_active", &[ONE]) == 2.0);
    expect(
        &both,
        &[
            ("narrows_dependent_open_connections", &active("a"), 0.0),
            ("narrows_dependent_open_connections", &active("b"), 1.0),
            (SHARE, &active("b"), 1.0),
        ],
    );
    let later = agent.wait_for("one to leave", |m| {
        m.get("narrows_dependent_active", &active("a")) == Some(0.0)
    });
    expect(
        &later,
        &[
            ("narrows_dependents", &[ONE, ("scope", "workload")], 1.0),
            ("narrows_dependent_active", &active("b"), 1.0),
            // What was counted stays.
            ("narrows_dependent_connections_total", &active("a"), 5.0),
        ],
    );
    assert_eq!(later.get(SHARE, &active("a")), None);
    drop(open);
    agent.wait_for("nobody to be left", |m| {
        m.sum("narrows_dependents", &[ONE]) == 0.0 && m.sum("narrows_served", &[ONE]) == 0.0
    });
}

#[test]
fn what_a_ztunnel_takes_in_is_its_own_share_and_the_waypoints() {
    let shop = Shop::new();
    let ztunnel_cgroup = Cgroup::new(&format!("{}/ztunnel", shop.world.top)).expect("a cgroup");
    let mut text = shop.inventory();
    writeln!(
        text,
        "  - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: {} }}",
        ztunnel_cgroup.path()
    )
    .expect("written");
    let watched = Watched::start(&text, "");
    let agent = &watched.agent;
    let _server = serve(&shop.catalog, v4(21, 8080));
    let _one = proxy(&Placement::from(&shop.one), v4(2, 15008), v4(21, 8080));
    let caller = &shop.callers[0];
    let config = ztunnel::Config {
        netns: vec![caller.netns.path().to_owned()],
        waypoint: Some(v4(2, 15008)),
        raw: true,
    };
    let running = Ztunnel::start_with(&ztunnel_cgroup, &[&caller.netns], &config).expect("a ztunnel");
    exempt(&caller.netns, 9090).expect("an exemption");
    agent.wait_for("the ztunnel to be seen", |m| {
        m.get("narrows_workload_mode", &[("workload", "a"), ("mode", "ambient")]) == Some(1.0)
    });
    call(caller, v4(21, 8080), 30);
    // A port that the ztunnel leaves alone, where nobody listens.
    assert_eq!(caller.run(|| Plan::burst(v4(21, 9090), 10).run()).refused, 10);
    agent.wait_for("all of it", |m| {
        m.sum("narrows_connections_closed_total", &[("point", "istio-system/ztunnel")]) == 60.0
    });
    let metrics = agent.settle();
    let share = |point| rounded(&metrics, SHARE, &[("point", point), ("source_workload", "a")]);
    // 30 of the 40 that it opened, or tried to, and 30 of the 40 that left its namespace.
    assert_eq!(
        (share("istio-system/ztunnel"), share("shop/one")),
        (Some("0.750".into()), Some("0.750".into()))
    );
    drop(running);
}
