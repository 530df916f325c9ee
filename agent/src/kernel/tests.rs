mod retired;

use super::*;
use crate::{
    program::{Need, RESET, SET_STATE, WALK},
    signals::{accepts, delays, drops, processes, scheduling},
};
use agent_common::{Field, Settings};
use std::path::Path;

fn options() -> Options {
    let mounts = procfs::mounts().expect("there are some");
    let cgroups = mounts.into_iter().find(|mount| mount.fs_vfstype == "cgroup2");
    Options {
        flows: 64,
        settings: Settings::DEFAULT,
        off: Vec::new(),
        idle_readings: 12,
        numbers: true,
        cgroups: cgroups.expect("cgroup2 is mounted").fs_file.into(),
        pins: None,
    }
}

fn types() -> offsets::Found {
    offsets::find(
        &KernelTypes::read(Path::new(VMLINUX)).expect("this kernel has BTF"),
        &[],
        false,
    )
}

#[test]
fn a_refused_program_shows_the_end_of_the_verifiers_log() {
    let mut types = types();
    // Beyond the end of the structure.
    types.offsets.sk_err = 1 << 20;
    let kernel = Kernel::open_with(&options(), types).expect("the others load");
    assert!(!kernel.sees_life_cycle());
    let missing: Vec<_> = (kernel.programs().iter()).filter(|status| !status.active).collect();
    assert_eq!(
        missing.iter().map(|status| status.program).collect::<Vec<_>>(),
        LIFE_CYCLE.map(|program| program.name)
    );
    let reason = missing[0].reason.as_deref().expect("a reason");
    assert!(
        reason.contains("verifier refused it") && reason.contains("access beyond struct sock"),
        "{reason}"
    );
    assert!(
        reason.lines().count() <= 10,
        "the end of the log, not all of it: {reason}"
    );
}

#[test]
fn a_program_that_is_switched_off_takes_along_only_what_needs_it() {
    let options = Options {
        off: vec!["process_fork".to_owned(), "tcp_sock.rcv_nxt".to_owned()],
        ..options()
    };
    let types = KernelTypes::read(Path::new(VMLINUX)).expect("this kernel has BTF");
    let types = offsets::find(&types, &options.off, false);
    let kernel = Kernel::open_with(&options, types).expect("it loads");
    let reason = |name: &str| {
        let mut all = kernel.programs().iter();
        let status = all.find(|status| status.program == name).expect("there is one");
        status.reason.clone().unwrap_or_default()
    };
    assert!(
        reason("process_fork").contains("kernel.off"),
        "{}",
        reason("process_fork")
    );
    assert_eq!(reason("process_exit"), "it needs process_fork, which is not active");
    assert_eq!(reason("sched_switch"), "it needs process_exit, which is not active");
    assert_eq!(reason("data_read"), "this kernel has no tcp_sock.rcv_nxt");
    assert!(kernel.is_active(&SET_STATE) && kernel.is_active(&WALK) && kernel.is_active(&RESET));
}

#[test]
fn threads_with_other_numbers_are_not_watched() {
    let options = Options {
        numbers: false,
        ..options()
    };
    let types = types();
    let kernel = Kernel::open_with(&options, types).expect("it loads");
    for program in [
        processes::FORK,
        processes::EXIT,
        processes::EXEC,
        scheduling::SWITCH,
        accepts::ERROR,
    ] {
        assert!(!kernel.is_active(&program), "{}", program.name);
    }
    assert!(kernel.is_active(&delays::READ) && kernel.is_active(&delays::ARRIVED));
}

#[test]
fn an_absent_optional_field_switches_off_only_its_signal() {
    let mut types = types();
    for field in Field::ALL.iter().filter(|field| field.off_without().is_some()) {
        types.offsets.set(*field, agent_common::ABSENT);
    }
    let kernel = Kernel::open_with(&options(), types).expect("it loads");
    for (program, status) in signals::programs().zip(kernel.programs()) {
        let reason = status.reason.as_deref().unwrap_or_default();
        // Programs that depend on a missing field report it, and are not even loaded.
        let off = reason.starts_with("this kernel has no ") || reason.starts_with("it needs ");
        let needs_one = (program.needs.iter()).any(|need| matches!(need, Need::Field(_) | Need::Program(_)));
        assert_eq!((status.active, off), (!needs_one, needs_one), "{status:?}");
    }
}

#[test]
fn points_beyond_the_bound_are_lost_and_nothing_else_is() {
    let types = types();
    let mut kernel = Kernel::open_with(&options(), types).expect("it loads");
    let lost = |kernel: &Kernel| {
        let all = kernel.loss().expect("counters");
        all.into_iter()
            .find(|(what, _)| *what == Loss::PointCgroups)
            .map(|(_, n)| n)
    };
    // Ids that no cgroup has.
    let cgroups: HashSet<u64> = (0..4_100).map(|n| u64::MAX - n).collect();
    assert_eq!(kernel.set_points(&cgroups).expect("set").len(), 4_096);
    assert_eq!(lost(&kernel), Some(4));
    // Each is counted once; when there is room again, they are registered.
    assert!(kernel.set_points(&cgroups).expect("set").is_empty());
    assert_eq!(lost(&kernel), Some(4));
    let few: HashSet<u64> = cgroups.iter().copied().take(10).collect();
    kernel.set_points(&few).expect("set");
    kernel.set_points(&HashSet::new()).expect("set");
    assert_eq!(kernel.set_points(&few).expect("set").len(), 10);
}

#[test]
fn only_who_registers_a_process_first_counts_its_start() {
    let mut kernel = Kernel::open_with(&options(), types()).expect("it loads");
    // An id that no cgroup has.
    let cgroup = u64::MAX;
    kernel.set_points(&HashSet::from([cgroup])).expect("set");
    let id = std::process::id();
    let process = PointProcess {
        process: id,
        threads: vec![id],
        main: true,
    };
    assert!(kernel.enlist(cgroup, &process).expect("registered"));
    // As when a program registers it after the agent has found it unknown.
    assert!(!kernel.enlist(cgroup, &process).expect("known"));
    assert_eq!(kernel.points().mains(cgroup), 1);
}

#[test]
fn a_locked_kernel_hides_the_fields_that_only_a_probe_can_read() {
    let types = KernelTypes::read(Path::new(VMLINUX)).expect("this kernel has BTF");
    let found = offsets::find(&types, &[], true);
    let hidden: Vec<_> = (found.fields.iter())
        .filter(|field| field.reason.as_deref().is_some_and(|why| why.contains("lockdown")))
        .map(|field| field.field.as_str())
        .collect();
    assert_eq!(hidden.len(), 2, "{hidden:?}");
}

#[test]
fn an_argument_that_a_tracepoint_lacks_switches_off_what_needs_it() {
    let mut types = types();
    // As before Linux 6.11, and before 5.17.
    for (arguments, program, number) in [(3, drops::REJECTED, 4), (2, drops::DROPPED, 3)] {
        types.arguments.insert("kfree_skb", arguments);
        let kernel = Kernel::open_with(&options(), types.clone()).expect("it loads");
        let mut all = kernel.programs().iter();
        let status = all.find(|status| status.program == program.name).expect("it is listed");
        assert_eq!(
            status.reason,
            Some(format!(
                "the tracepoint kfree_skb of this kernel does not have its argument {number}"
            ))
        );
        assert_eq!(kernel.is_active(&drops::DROPPED), arguments > 2);
    }
}

#[test]
fn enumerations_and_tracepoints_are_found_by_name() {
    let types = KernelTypes::read(Path::new(VMLINUX)).expect("this kernel has BTF");
    let names = types.enumerators(drops::REASONS);
    assert!(
        names.values().any(|name| name == "SKB_DROP_REASON_NETFILTER_DROP"),
        "{names:?}"
    );
    assert!(types.enumerators("no_such_enumeration").is_empty());
    assert_eq!(types.arguments("inet_sock_set_state"), Some(3));
    assert_eq!(types.arguments("no_such_tracepoint"), None);
}
