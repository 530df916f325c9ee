//! Readings one after another.

use super::*;
use crate::node::resources::Machine;

const SECOND: Duration = Duration::from_secs(1);
const MACHINE: Machine = Machine {
    processors: Some(4),
    memory: Some(1000),
};

fn group(inode: u64, used: Duration) -> Group {
    Group {
        id: GroupId {
            tree: Tree::Unified,
            inode,
        },
        own: true,
        counters: Counters {
            used: Some(used),
            ..Counters::default()
        },
        cpu_limit: None,
        memory: None,
        memory_limit: None,
    }
}

fn reading(at: Instant, groups: &[Group]) -> Reading {
    Reading {
        at,
        groups: groups.to_vec(),
        cpu_limit: None,
        memory: None,
        memory_limit: None,
        files: OpenFiles::Unknown,
        machine: MACHINE,
    }
}

fn throttled(mut group: Group, periods: u64, throttled_periods: u64, throttled: Duration) -> Group {
    group.counters.bandwidth = Some(Bandwidth {
        periods,
        throttled_periods,
        throttled,
    });
    group
}

#[test]
fn a_new_group_of_a_known_point_counts_from_its_beginning() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    // What was used before the agent started is not counted.
    resources.advance(&reading(begin, &[group(1, SECOND * 1000)]));
    assert_eq!((resources.cpu, resources.now.cpu_use), (Some(Duration::ZERO), None));
    resources.advance(&reading(begin + SECOND, &[group(1, SECOND * 1002)]));
    assert_eq!((resources.cpu, resources.now.cpu_use), (Some(SECOND * 2), Some(0.5)));
    // The container is restarted.
    resources.advance(&reading(begin + SECOND * 2, &[group(2, SECOND)]));
    assert_eq!(resources.cpu, Some(SECOND * 3));
    // The old group reappears as it was, and then continues.
    let old = group(1, SECOND * 1002);
    resources.advance(&reading(begin + SECOND * 3, &[old, group(2, SECOND)]));
    assert_eq!(resources.cpu, Some(SECOND * 3));
    let groups = [group(1, SECOND * 1003), group(2, SECOND * 2)];
    resources.advance(&reading(begin + SECOND * 4, &groups));
    assert_eq!(resources.cpu, Some(SECOND * 5));
}

#[test]
fn an_old_group_that_joins_counts_from_now_on() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    resources.advance(&reading(begin, &[group(1, SECOND)]));
    // More than four CPUs can provide in a second.
    resources.advance(&reading(begin + SECOND, &[group(1, SECOND), group(2, SECOND * 60)]));
    assert_eq!(resources.cpu, Some(Duration::ZERO));
    resources.advance(&reading(begin + SECOND * 2, &[group(1, SECOND), group(2, SECOND * 61)]));
    assert_eq!(resources.cpu, Some(SECOND));
    // A counter that decreases is invalid.
    resources.advance(&reading(begin + SECOND * 3, &[group(1, SECOND), group(2, SECOND)]));
    assert_eq!(resources.cpu, Some(SECOND));
}

#[test]
fn sums_stay_while_it_does_not_run_and_nothing_else_does() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    resources.advance(&reading(begin, &[group(1, SECOND)]));
    let mut second = reading(begin + SECOND, &[group(1, SECOND * 2)]);
    second.memory = Some(500);
    second.files = OpenFiles::Closest(Files { open: 9, limit: 10 });
    resources.advance(&second);
    assert_eq!(resources.now.memory_use, Some(0.5));
    let mut third = reading(begin + SECOND * 2, &[group(1, SECOND * 2)]);
    third.files = OpenFiles::AsBefore;
    resources.advance(&third);
    assert_eq!(resources.now.files, Some(Files { open: 9, limit: 10 }));
    resources.rest();
    assert_eq!((resources.now, resources.cpu), (Now::default(), Some(SECOND)));
    assert_eq!(resources.cpu_saturation(None), None);
}

#[test]
fn the_use_of_each_limit_is_that_of_its_own_group() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    // A quota of one CPU, in a parent group with a quota of two that others have used up.
    let groups = |own, all| {
        let own = Group {
            cpu_limit: Some(1.0),
            ..throttled(group(1, own), 10, 0, Duration::ZERO)
        };
        let above = Group {
            own: false,
            cpu_limit: Some(2.0),
            ..throttled(group(2, all), 10, 0, Duration::ZERO)
        };
        [own, above]
    };
    resources.advance(&reading(begin, &groups(SECOND, SECOND)));
    let mut second = reading(begin + SECOND, &groups(SECOND * 3 / 2, SECOND * 3));
    second.cpu_limit = Some(1.0);
    resources.advance(&second);
    assert_eq!((resources.now.cpu_use, resources.now.cpu_limit), (Some(1.0), Some(1.0)));
    assert_eq!(resources.cpu, Some(SECOND / 2), "others' use is not the point's");
    assert_eq!(resources.now.throttled, None, "nobody wanted to run");
    // A limit above the size of the machine is no limit.
    let mut third = reading(begin + SECOND * 2, &groups(SECOND * 3 / 2, SECOND * 3));
    third.cpu_limit = Some(4.0);
    resources.advance(&third);
    assert_eq!(resources.now.cpu_limit, None);
}

#[test]
fn a_quota_of_cgroup_v1_is_measured_by_what_the_point_uses() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    let groups = |used, periods| {
        let quota = Group {
            id: GroupId {
                tree: Tree::OldCpu,
                inode: 1,
            },
            own: false,
            cpu_limit: Some(0.5),
            ..throttled(group(1, used), periods, periods / 2, SECOND * periods as u32)
        };
        let mut quota = quota;
        quota.counters.used = None;
        [group(1, used), quota]
    };
    resources.advance(&reading(begin, &groups(SECOND, 100)));
    assert_eq!(resources.throttling, Some(Bandwidth::default()));
    resources.advance(&reading(begin + SECOND, &groups(SECOND * 5 / 4, 110)));
    assert_eq!((resources.now.cpu_use, resources.now.throttled), (Some(0.5), Some(0.5)));
    let expected = Bandwidth {
        periods: 10,
        throttled_periods: 5,
        throttled: SECOND * 10,
    };
    assert_eq!(resources.throttling, Some(expected));
}

#[test]
fn the_quota_that_held_it_back_most_is_counted() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    let groups = |n: u64| {
        [
            throttled(group(1, SECOND), 10 * n, n, SECOND * n as u32),
            throttled(group(2, SECOND), 10 * n, 5 * n, SECOND * 3 * n as u32),
        ]
    };
    resources.advance(&reading(begin, &groups(1)));
    resources.advance(&reading(begin + SECOND, &groups(2)));
    let expected = Bandwidth {
        periods: 10,
        throttled_periods: 5,
        throttled: SECOND * 3,
    };
    assert_eq!(
        (resources.throttling, resources.now.throttled),
        (Some(expected), Some(0.5))
    );
    assert_eq!(resources.cpu_saturation(None), Some(0.5));
    // The rest of the time it waited.
    assert_eq!(resources.cpu_saturation(Some(SECOND)), Some(1.0));
}

#[test]
fn pressure_and_kills_add_up_where_they_are_told() {
    let mut resources = Resources::default();
    let begin = Instant::now();
    let groups = |n: u32| {
        let pressure = |time| {
            Some(Pressure {
                some: time,
                full: Duration::ZERO,
            })
        };
        let mut two = [group(1, SECOND), group(2, SECOND)];
        two[0].counters.memory_pressure = pressure(SECOND * n);
        two[1].counters.memory_pressure = pressure(SECOND * n * 2);
        two[0].counters.oom_kills = Some(u64::from(n));
        two[1].counters.oom_kills = Some(u64::from(n));
        two
    };
    resources.advance(&reading(begin, &groups(5)));
    resources.advance(&reading(begin + SECOND, &groups(6)));
    assert_eq!(
        resources.memory_pressure.map(|pressure| pressure.some),
        Some(SECOND * 2)
    );
    assert_eq!(resources.oom_kills, Some(2));
    assert_eq!((resources.cpu_pressure, resources.throttling), (None, None));
}
