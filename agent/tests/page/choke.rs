//! A waypoint that chokes slowly, as in `cargo xtask demo --choke`: a real Envoy with a small quota, and a neighbour who opens more
//! and more. What the page shows is held against the load generator, and against the agent's own numbers of the same tick.

use super::common::{World, inventory, start_with, v4};
use narrows_testbed::{
    actor::Actor,
    agent::Agent,
    browser::Browser,
    envoy::{Envoy, Listener, Route},
    limits::Limits,
    load::{Behaviour, ClientTally, Plan},
    wait,
    workload::Workload,
};
use serde_json::Value;
use std::time::Duration;

/// What the waypoint may use of a CPU: some ten connections per second leave most of it, and some tens take it.
const QUOTA: f64 = 0.05;

/// By how many connections per second the neighbour grows at each tick, and how often at most.
const STEP: f64 = 30.0;
const STEPS: usize = 12;

/// One in so many connections is reset by the server, so that there are failures which the load generator counts: too few to be
/// trouble by themselves.
const RESET_EVERY: u64 = 150;

/// The first point that the agent lists, and the tick that its answer describes.
fn point(agent: &Agent) -> (u64, Value) {
    let mut answer = agent.get_json("/api/v1/points");
    let tick = answer["as_of"]["tick"].as_u64().expect("a tick");
    (tick, answer["points"][0].take())
}

fn cpu(point: &Value) -> f64 {
    let resources = point["saturation"]["resources"].as_array().expect("resources");
    let cpu = resources.iter().find(|resource| resource["resource"] == "cpu");
    cpu.expect("a CPU")["ratio"].as_f64().unwrap_or_default()
}

/// Notes each tick that the page describes, and whether `holds` was true of it.
fn watch(browser: &mut Browser, holds: &str) {
    let watch = format!(
        "{{ window.ticks = new Map(); \
           const look = () => {{ const tick = Number(document.querySelector('header p')?.innerText.match(/tick (\\d+)/)?.[1]); \
             if (tick) ticks.set(tick, ticks.get(tick) || Boolean({holds})); }}; \
           new MutationObserver(look).observe(document.body, {{ subtree: true, childList: true, characterData: true, attributes: true }}); \
           look(); }}"
    );
    browser.evaluate(&watch).expect("watched");
}

/// How many ticks after `begin` the page has described when what is watched was true for the first time.
fn ticks_until(browser: &mut Browser, begin: u64) -> usize {
    let holds = format!("[...ticks].some(([tick, holds]) => tick >= {begin} && holds)");
    browser.wait_for(&holds).expect("it becomes true");
    let later = format!("[...ticks].filter(([tick]) => tick > {begin}).map(([, holds]) => holds)");
    let later = browser.evaluate(&later).expect("ticks");
    let later: Vec<bool> = serde_json::from_value(later).expect("for each whether it holds");
    let at_once = format!("ticks.get({begin}) === true");
    match browser.evaluate(&at_once).expect("a value") == true {
        true => 0,
        false => 1 + later.iter().position(|holds| *holds).expect("it became true"),
    }
}

fn client(of: &Workload, rate: f64) -> Actor<ClientTally> {
    let plan = Plan {
        rate,
        count: None,
        workers: 64,
        ..Plan::burst(v4(2, 15008), 0)
    };
    Actor::client(of, &plan).expect("it starts")
}

#[test]
fn a_waypoint_that_a_neighbour_chokes_shows_it_and_who_hangs_on_it_within_two_ticks() {
    let world = World::new();
    let (checkout, cart) = (world.workload("checkout", 11), world.workload("cart", 12));
    let (payments, waypoint) = (world.workload("payments", 13), world.workload("waypoint", 2));
    let catalog = world.workload("catalog", 21);
    let behaviour = Behaviour {
        reset_every: Some(RESET_EVERY),
        ..Behaviour::default()
    };
    let server = Actor::server(&catalog, v4(21, 8080), behaviour).expect("it listens");
    let limits = Limits::new(&waypoint.cgroup, Some(QUOTA), None).expect("limits");
    let listener = Listener {
        address: v4(2, 15008),
        route: Route::To(vec![v4(21, 8080)]),
    };
    let envoy = Envoy::start(&waypoint, &[listener], 1).expect("a real Envoy");
    limits.take_in(envoy.pid()).expect("taken in");
    let known = inventory(&[&checkout, &cart, &payments, &catalog], &[&waypoint]);
    // The interval that is the default, as the page asks so often.
    let agent = start_with(&known, &["--interval", "5"]);
    let steady = [client(&checkout, 4.0), client(&cart, 2.0)];

    // Opened by its address, as somebody would who was sent it.
    agent.settle();
    let (_, before) = point(&agent);
    let id = before["id"].as_str().expect("an identifier");
    let mut browser = Browser::start(1280, 900).expect("a browser");
    browser
        .open(&format!("http://{}/?point={id}", agent.address()))
        .expect("a page");
    browser
        .wait_for("document.querySelectorAll('#dependents tbody tr').length === 2")
        .expect("both who call");
    browser
        .wait_for("document.querySelector('#failures').innerText.includes('live')")
        .expect("followed");
    browser
        .wait_for("/ok|notice/.test(document.querySelector('h2 .severity').innerText)")
        .expect("no trouble yet");

    let mut neighbours = Vec::new();
    watch(
        &mut browser,
        "/warning|critical/.test(document.querySelector('h2 .severity').innerText) \
         && /cpu is \\d+ % full/.test(document.querySelector('.opened .reasons').innerText) \
         && ['shop/checkout', 'shop/cart', 'shop/payments'].every((who) => document.querySelector('#dependents').innerText.includes(who))",
    );
    let (choked, _) = grow(&agent, &payments, &mut neighbours);
    let shown = ticks_until(&mut browser, choked);
    browser.picture("slow-choke").expect("a picture");
    browser
        .wait_for("/reset by peer/.test(document.querySelector('#failures tbody')?.innerText.replaceAll('_', ' '))")
        .expect("failures as they come");
    browser
        .wait_for(
            "[...document.querySelectorAll('#failures tbody tr')].some((row) => /reset by peer/.test(row.innerText) \
             && /^(≈ )?shop\\/(checkout|cart|payments)/.test(row.cells[7].innerText))",
        )
        .expect("whose traffic a reset has hit");
    println!("choked at tick {choked}, shown {shown} ticks later");
    assert!(shown <= 2, "choked at tick {choked}, shown {shown} ticks later");
    same_numbers(&agent, &mut browser);

    drop(neighbours);
    for client in steady {
        let tally = client.stop().expect("it ends");
        assert!(tally.connected > 0, "{tally:?}");
    }
    let told = server.stop().expect("it ends");
    assert!(told.reset > 0, "{told:?}");
    agent.settle();
    // All of them, and no other: what the server reset is what the waypoint saw.
    browser
        .wait_for(&format!(
            "[...document.querySelectorAll('.opened table.small tr')].some((row) => /reset.by.peer.*upstream/.test(row.innerText.replaceAll(/\\s+/g, ' ')) \
             && row.lastElementChild.innerText.replaceAll(/\\D/g, '') === '{}')",
            told.reset
        ))
        .expect("the resets of the server");
    assert_eq!(browser.problems(), [""; 0]);
    let here = format!("http://{}/", agent.address());
    let requests = browser.requests();
    let elsewhere: Vec<_> = (requests.iter())
        .filter(|url| !url.starts_with(&here) && *url != "about:blank")
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// Lets the neighbour grow at each tick until the CPU is full: the tick in which it was, and what the agent said of it.
fn grow(agent: &Agent, neighbour: &Workload, clients: &mut Vec<Actor<ClientTally>>) -> (u64, Value) {
    for _ in 0..STEPS {
        clients.push(client(neighbour, STEP));
        let (begin, _) = point(agent);
        let next = wait::until("the next tick", Duration::from_secs(60), || {
            Some(point(agent)).filter(|(tick, _)| *tick > begin)
        });
        let (tick, point) = next.expect("the agent goes on");
        if cpu(&point) > 0.85 {
            return (tick, point);
        }
    }
    panic!("{STEPS} steps do not choke it: {}", point(agent).1);
}

/// What the page says of a tick is what the agent says of it.
fn same_numbers(agent: &Agent, browser: &mut Browser) {
    let both = wait::until("page and agent at the same tick", Duration::from_secs(60), || {
        let page = browser.evaluate(
            "({ tick: Number(document.querySelector('header p').innerText.match(/tick (\\d+)/)[1]), \
              reasons: document.querySelector('.opened .reasons').innerText, \
              dependents: document.querySelectorAll('#dependents tbody tr').length })",
        );
        let (page, (tick, point)) = (page.ok()?, point(agent));
        (page["tick"] == tick).then_some((page, point))
    });
    let (page, point) = both.expect("they meet");
    assert_eq!(page["dependents"], point["dependents"]["workloads"]);
    let reasons = page["reasons"].as_str().expect("text");
    for reason in point["trouble"]["reasons"].as_array().expect("reasons") {
        let text = reason["text"].as_str().expect("text");
        assert!(reasons.contains(text), "{text}: {reasons}");
    }
}
