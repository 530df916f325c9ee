//! Reads the limits and the usage of one group.

use super::{
    Counters, Group, GroupId, Tree, cpu, memory,
    place::Controller,
    pressure,
    survey::{Places, Role},
};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Reads a group's limits and, if it has a limit or is the point's own, its usage. `None` when the group has been
/// removed.
pub fn read(places: &Places, tree: Tree, path: &str, role: Role, machine_memory: Option<u64>) -> Option<Group> {
    let directory = places.directory(tree, path)?;
    let mut group = Group {
        id: GroupId {
            tree,
            inode: fs::metadata(&directory).ok()?.ino(),
        },
        own: role.own,
        counters: Counters::default(),
        cpu_limit: None,
        memory: None,
        memory_limit: None,
    };
    let file = |name: &str| text(&directory, name);
    let counters = &mut group.counters;
    let has = |controller| places.tree(controller) == Some(tree);
    match tree {
        Tree::Unified => {
            if has(Controller::Cpu) {
                group.cpu_limit = file("cpu.max").and_then(|text| cpu::limit(&text));
            }
            if role.own || role.holds || group.cpu_limit.is_some() {
                let stat = file("cpu.stat").map(|text| cpu::stat(&text)).unwrap_or_default();
                (counters.used, counters.bandwidth) = (stat.used, stat.bandwidth);
            }
            if has(Controller::Memory) {
                group.memory_limit = file("memory.max").and_then(|text| memory::limit(&text, machine_memory));
                if role.own || group.memory_limit.is_some() {
                    group.memory = file("memory.current")
                        .zip(file("memory.stat"))
                        .and_then(|(charged, stat)| memory::working_set(&charged, &stat, "inactive_file"));
                }
            }
            if role.own {
                counters.cpu_pressure = file("cpu.pressure").and_then(|text| pressure::totals(&text));
                counters.memory_pressure = file("memory.pressure").and_then(|text| pressure::totals(&text));
                counters.oom_kills = file("memory.events").and_then(|text| memory::oom_kills(&text));
            }
        }
        Tree::OldCpu => {
            group.cpu_limit = file("cpu.cfs_quota_us")
                .zip(file("cpu.cfs_period_us"))
                .and_then(|(quota, period)| cpu::limit_v1(&quota, &period));
            if role.holds || group.cpu_limit.is_some() {
                counters.bandwidth = file("cpu.stat").and_then(|text| cpu::stat_v1(&text));
                // Works where both controllers are mounted together, as almost everywhere.
                counters.used = file("cpuacct.usage").and_then(|text| cpu::used_v1(&text));
            }
        }
        Tree::OldMemory => {
            group.memory_limit = file("memory.limit_in_bytes").and_then(|text| memory::limit(&text, machine_memory));
            if role.own || group.memory_limit.is_some() {
                group.memory = file("memory.usage_in_bytes")
                    .zip(file("memory.stat"))
                    .and_then(|(charged, stat)| memory::working_set(&charged, &stat, "total_inactive_file"));
            }
            if role.own {
                counters.oom_kills = file("memory.oom_control").and_then(|text| memory::oom_kills(&text));
            }
        }
    }
    Some(group)
}

/// The contents of a file; `None` if it does not exist or cannot be read.
fn text(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok()
}
