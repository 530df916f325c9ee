//! Agents that follow one another, and what the kernel counts of paths meanwhile.

use super::{
    common::pins::Pins,
    matrix::{Proxy, call_all, expect_rounds},
    shop::{DESTINATIONS, Shop},
};
use narrows_testbed::load::Behaviour;

#[test]
fn no_connection_loses_its_caller_when_an_agent_is_killed() {
    let pins = Pins::new().expect("a BPF file system");
    let arguments = ["--pins", pins.path()];
    let mut shop = Shop::watched_with(&arguments);
    let all = 0..DESTINATIONS.len();
    let _servers: Vec<_> = all.map(|n| shop.serve(n, Behaviour::default())).collect();
    let _proxy = Proxy::Haproxy.start(&shop);
    shop.agent().settle();
    shop.agent().settle();
    // While an agent runs, while none does, and while the next one does.
    const KILLS: u64 = 3;
    for _ in 0..KILLS {
        call_all(&shop);
        shop.kill_agent();
        call_all(&shop);
        shop.start_agent(&arguments);
        call_all(&shop);
    }
    expect_rounds(&shop, 3 * KILLS);
}
