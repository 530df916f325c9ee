//! How often a process ends.

use super::{
    POINT, and,
    common::{World, expect, inventory, start, v4},
};
use narrows_testbed::{actor::Actor, load::Plan, pace};
use nix::sys::signal::Signal;

const STARTS: &str = "narrows_point_starts_total";
const EXITS: &str = "narrows_point_exits_total";

/// Before Linux 6.16 the kernel tells of a thread's end after the thread has left its memory, and by then several of a process may
/// see that none is left.
#[test]
fn a_process_of_many_threads_ends_once() {
    // It is a matter of chance.
    let times = pace::either(20, 5) as u32;
    let world = World::new();
    let waypoint = world.workload("waypoint", 2);
    let agent = start(&inventory(&[], &[&waypoint]));
    let idle = Plan {
        workers: 16,
        rate: 0.0,
        count: None,
        ..Plan::burst(v4(2, 15008), 0)
    };
    for time in 1..=times {
        let client = Actor::client(&waypoint, &idle).expect("it starts");
        let threads = format!("/proc/{}/task", client.pid());
        let threads = std::fs::read_dir(threads).expect("it runs").count();
        assert!(threads > 16, "{threads} threads");
        // Its threads are registered as they begin, and at each tick.
        let metrics = agent.settle();
        expect(&metrics, &[(STARTS, POINT, f64::from(time))]);
        client.signal(Signal::SIGKILL);
        agent.wait_for("its end", |m| m.sum(EXITS, POINT) >= f64::from(time));
        drop(client);
        expect(
            &agent.settle(),
            &[
                (EXITS, POINT, f64::from(time)),
                (EXITS, &and(POINT, &[("reason", "killed")]), f64::from(time)),
            ],
        );
    }
}
