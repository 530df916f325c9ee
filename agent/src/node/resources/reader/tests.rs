//! The layouts of nodes, in a directory: cgroup2 with all controllers, cgroup2 beside cgroup v1, and neither.

use super::*;
use crate::{
    node::resources::{Files, GroupId},
    points::{Kind, Mesh},
};
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

struct Node(TempDir);

const MIB: u64 = 1 << 20;

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().expect("a directory"));
        node.write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  1 kB\n");
        node.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
        node.write("proc/self/status", "CapEff:\t000001ffffffffff\n");
        node.write("proc/self/cgroup", "0::/\n");
        node
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Files of one directory.
    fn group(&self, path: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.write(&format!("{path}/{name}"), text);
        }
    }

    /// A process with open files, in these groups.
    fn process(&self, pid: i32, cgroup: &str, open: usize, limit: u64, anonymous_kib: u64) {
        self.write(&format!("proc/{pid}/cgroup"), cgroup);
        self.write(
            &format!("proc/{pid}/status"),
            &format!("Name:\tx\nVmRSS:\t999999 kB\nRssAnon:\t{anonymous_kib} kB\nRssFile:\t99 kB\nRssShmem:\t0 kB\n"),
        );
        self.write(
            &format!("proc/{pid}/limits"),
            &format!("Max open files            {limit}                524288               files     \n"),
        );
        for n in 0..open {
            self.write(&format!("proc/{pid}/fd/{n}"), "");
        }
    }

    fn reader(&self, hierarchies: &[(&str, &str)]) -> Reader {
        let mount = |(place, options): &(&str, &str)| {
            let place = self.path(place);
            let line = format!("36 35 0:30 / {} rw - cgroup cgroup rw,{options}", place.display());
            MountInfo::from_line(&line).expect("a line of mountinfo")
        };
        let mounts: Vec<_> = hierarchies.iter().map(mount).collect();
        Reader::with(&self.path("cgroup2"), self.path("proc"), &mounts, Way::List)
    }

    fn id(&self, tree: Tree, path: &str) -> GroupId {
        let inode = fs::metadata(self.path(path)).expect("a directory").ino();
        GroupId { tree, inode }
    }
}

/// The reading of a point with these cgroups.
fn read(reader: &mut Reader, paths: &[&str]) -> Reading {
    let point = Arc::new(Point {
        name: "shop/waypoint".to_owned(),
        kind: Kind::Waypoint,
        mesh: Mesh::Istio,
        instance: "waypoint".to_owned(),
    });
    let mut readings = reader.read(paths.iter().map(|path| (*path, &point)));
    readings.remove(&point).expect("a reading")
}

fn active(reader: &Reader) -> Vec<&'static str> {
    let signals = reader.signals().iter().filter(|signal| signal.active);
    signals.map(|signal| signal.name).collect()
}

#[track_caller]
fn reason(reader: &Reader, name: &str) -> String {
    let signal = reader.signals().iter().find(|signal| signal.name == name);
    signal.and_then(|signal| signal.reason.clone()).expect("a reason")
}

/// A pod of a waypoint: its proxy with limits, in a pod with a larger limit, below a slice that others have nearly filled.
fn unified() -> Node {
    let node = Node::new();
    node.write("cgroup2/cgroup.controllers", "cpuset cpu io memory pids\n");
    let memory = |current: &str, max: &str, stat: &str| {
        [
            ("memory.current".to_owned(), current.to_owned()),
            ("memory.max".to_owned(), max.to_owned()),
            ("memory.stat".to_owned(), stat.to_owned()),
        ]
    };
    for (path, procs, cpu_max, memory) in [
        (
            "kubepods",
            "",
            "max 100000\n",
            memory("5000000000\n", "6000000000\n", "anon 1\ninactive_file 0\n"),
        ),
        (
            "kubepods/pod",
            "",
            "200000 100000\n",
            memory("300000000\n", "max\n", "inactive_file 0\n"),
        ),
        (
            "kubepods/pod/proxy",
            "11\n12\n",
            "50000 100000\n",
            memory(
                "209715200\n",
                "268435456\n",
                "anon 7\ninactive_file 104857600\nactive_file 5\n",
            ),
        ),
        (
            "kubepods/pod/pause",
            "13\n",
            "max 100000\n",
            memory("1048576\n", "1048576\n", "inactive_file 0\n"),
        ),
    ] {
        let path = format!("cgroup2/{path}");
        node.group(
            &path,
            &[
                ("cgroup.procs", procs),
                ("cpu.max", cpu_max),
                (
                    "cpu.stat",
                    "usage_usec 7000000\nnr_periods 20\nnr_throttled 5\nthrottled_usec 3000000\n",
                ),
                (
                    "cpu.pressure",
                    "some avg10=0.00 avg60=0.00 avg300=0.00 total=400\nfull avg10=0.00 total=300\n",
                ),
                (
                    "memory.pressure",
                    "some avg10=0.00 avg60=0.00 avg300=0.00 total=200\nfull avg10=0.00 total=100\n",
                ),
                ("memory.events", "low 0\nhigh 0\nmax 4\noom 3\noom_kill 2\n"),
            ],
        );
        for (name, text) in memory {
            node.write(&format!("{path}/{name}"), &text);
        }
    }
    node.process(11, "0::/kubepods/pod/proxy\n", 10, 1024, 100);
    node.process(12, "0::/kubepods/pod/proxy\n", 5, 8, 100);
    node.process(13, "0::/kubepods/pod/pause\n", 1, 1024, 100);
    node
}

#[test]
fn cgroup2_with_all_controllers() {
    let node = unified();
    let mut reader = node.reader(&[]);
    assert_eq!(
        active(&reader),
        ["cpu_throttling", "memory_limit", "pressure", "open_files"]
    );
    let reading = read(&mut reader, &["/kubepods/pod/proxy"]);
    assert_eq!(reading.machine.memory, Some(8192 * MIB));
    assert_eq!(reading.memory, Some(100 * MIB), "without what was read once");
    assert_eq!(reading.memory_limit, Some(256 * MIB));
    assert_eq!(reading.cpu_limit, Some(0.5));
    assert_eq!(reading.files, OpenFiles::Closest(Files { open: 5, limit: 8 }));

    let of = |path: &str| {
        let id = node.id(Tree::Unified, &format!("cgroup2/{path}"));
        reading.groups.iter().find(|group| group.id == id).expect("it is read")
    };
    let own = of("kubepods/pod/proxy");
    assert!(own.own);
    assert_eq!(own.counters.used, Some(Duration::from_secs(7)));
    assert_eq!(own.counters.oom_kills, Some(2));
    assert_eq!(
        own.counters.cpu_pressure.map(|it| it.some),
        Some(Duration::from_micros(400))
    );
    assert_eq!(
        own.counters.memory_pressure.map(|it| it.full),
        Some(Duration::from_micros(100))
    );
    // Of those above, only what a limit concerns; what others count is not the point's.
    let pod = of("kubepods/pod");
    assert_eq!(
        (pod.own, pod.cpu_limit, pod.memory_limit, pod.memory),
        (false, Some(2.0), None, None)
    );
    assert_eq!(pod.counters.bandwidth.map(|it| it.periods), Some(20));
    assert_eq!((pod.counters.oom_kills, pod.counters.cpu_pressure), (None, None));
    let slice = of("kubepods");
    assert_eq!(
        (slice.memory, slice.memory_limit),
        (Some(5_000_000_000), Some(6_000_000_000))
    );
    assert_eq!((slice.cpu_limit, slice.counters.bandwidth), (None, None));
    assert_eq!(reading.groups.len(), 3);
}

#[test]
fn several_groups_of_one_point_add_up() {
    let node = unified();
    let mut reader = node.reader(&[]);
    let reading = read(&mut reader, &["/kubepods/pod/proxy", "/kubepods/pod/pause"]);
    assert_eq!(
        (reading.memory, reading.memory_limit),
        (Some(101 * MIB), Some(257 * MIB))
    );
    // The second may use all that the pod may.
    assert_eq!(reading.cpu_limit, Some(2.0));
    // A group within another of the point is counted with it, and its limit counts.
    let reading = read(&mut reader, &["/kubepods/pod", "/kubepods/pod/proxy"]);
    assert_eq!(reading.memory, Some(300_000_000));
    assert_eq!(reading.memory_limit, Some(257 * MIB));
    assert_eq!(reading.groups.iter().filter(|group| group.own).count(), 1);
    // The processes below count, too.
    assert_eq!(reading.files, OpenFiles::Closest(Files { open: 5, limit: 8 }));
}

#[test]
fn a_group_that_has_gone_has_no_reading() {
    let node = unified();
    let point = Arc::new(Point {
        name: "shop/waypoint".to_owned(),
        kind: Kind::Waypoint,
        mesh: Mesh::Istio,
        instance: "waypoint".to_owned(),
    });
    assert!(
        node.reader(&[])
            .read(std::iter::once(("/kubepods/gone", &point)))
            .is_empty()
    );
}

const OLD: [(&str, &str); 2] = [("cpu", "cpu,cpuacct"), ("memory", "memory")];

/// cgroup2 without controllers, and cgroup v1 with them, where the processes are in groups of other paths.
fn hybrid() -> Node {
    let node = Node::new();
    node.write("cgroup2/cgroup.controllers", "\n");
    for (path, procs) in [("proxy", "11\n12\n"), ("other", "21\n")] {
        node.group(
            &format!("cgroup2/{path}"),
            &[
                ("cgroup.procs", procs),
                ("cpu.stat", "usage_usec 7000000\nuser_usec 1\nsystem_usec 1\n"),
            ],
        );
    }
    let cpu = |path: &str, procs: &str, quota: &str| {
        node.group(
            &format!("cpu/{path}"),
            &[
                ("cgroup.procs", procs),
                ("cpu.cfs_quota_us", quota),
                ("cpu.cfs_period_us", "100000\n"),
                ("cpu.stat", "nr_periods 20\nnr_throttled 5\nthrottled_time 3000000000\n"),
                ("cpuacct.usage", "9000000000\n"),
            ],
        );
    };
    cpu("slice", "", "150000\n");
    cpu("slice/all", "11\n12\n21\n", "-1\n");
    let memory = |path: &str, procs: &str, limit: &str| {
        node.group(
            &format!("memory/{path}"),
            &[
                ("cgroup.procs", procs),
                ("memory.usage_in_bytes", "209715200\n"),
                ("memory.limit_in_bytes", limit),
                ("memory.stat", "inactive_file 1\ntotal_inactive_file 104857600\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n"),
            ],
        );
    };
    memory("alone", "11\n12\n", "268435456\n");
    memory("shared", "11\n12\n21\n", "9223372036854771712\n");
    node.group("memory/bounded", &[("memory.limit_in_bytes", "536870912\n")]);
    memory("bounded/shared", "11\n12\n21\n", "9223372036854771712\n");
    memory("proxy", "11\n", "268435456\n");
    node
}

impl Node {
    fn in_memory_group(&self, path: &str) -> &Self {
        for pid in [11, 12] {
            let cgroup = format!("4:memory:{path}\n3:cpu,cpuacct:/slice/all\n0::/proxy\n");
            self.process(pid, &cgroup, 3, 1024, 1024);
        }
        self
    }
}

#[test]
fn cgroup_v1_has_the_controllers_where_cgroup2_has_none() {
    let node = hybrid();
    node.in_memory_group("/alone");
    let mut reader = node.reader(&OLD);
    assert_eq!(
        active(&reader),
        ["cpu_throttling", "memory_limit", "pressure", "open_files"]
    );
    let reading = read(&mut reader, &["/proxy"]);
    let of = |tree, path: &str| {
        let id = node.id(tree, path);
        reading.groups.iter().find(|group| group.id == id).expect("it is read")
    };
    // cgroup2 counts processor time without a controller, and nobody else's.
    let own = of(Tree::Unified, "cgroup2/proxy");
    assert_eq!((own.own, own.counters.used), (true, Some(Duration::from_secs(7))));
    assert_eq!(own.counters.bandwidth, None);
    let cpu = of(Tree::OldCpu, "cpu/slice/all");
    assert_eq!((cpu.own, cpu.cpu_limit), (false, None));
    let slice = of(Tree::OldCpu, "cpu/slice");
    assert_eq!(
        (slice.cpu_limit, slice.counters.used),
        (Some(1.5), Some(Duration::from_secs(9)))
    );
    assert_eq!(
        slice.counters.bandwidth.map(|it| it.throttled),
        Some(Duration::from_secs(3))
    );
    assert_eq!(reading.cpu_limit, Some(1.5));
    let memory = of(Tree::OldMemory, "memory/alone");
    assert_eq!((memory.own, memory.counters.oom_kills), (true, Some(6)));
    assert_eq!(
        (reading.memory, reading.memory_limit),
        (Some(100 * MIB), Some(256 * MIB))
    );
}

#[test]
fn a_group_of_cgroup_v1_that_others_are_in_shows_the_limit_but_not_the_use() {
    let node = hybrid();
    node.in_memory_group("/shared");
    let reading = read(&mut node.reader(&OLD), &["/proxy"]);
    assert_eq!(
        (reading.memory, reading.memory_limit),
        (Some(2 * MIB), None),
        "the sum of the processes"
    );
    assert!(
        reading.groups.iter().all(|group| group.counters.oom_kills.is_none()),
        "others' kills"
    );
    node.in_memory_group("/bounded/shared");
    let reading = read(&mut node.reader(&OLD), &["/proxy"]);
    assert_eq!((reading.memory, reading.memory_limit), (Some(2 * MIB), Some(512 * MIB)));
    // In the root of the hierarchy.
    node.in_memory_group("/");
    let reading = read(&mut node.reader(&OLD), &["/proxy"]);
    assert_eq!((reading.memory, reading.memory_limit), (Some(2 * MIB), None));
    // The same path means the same group, as with systemd and container runtimes.
    node.in_memory_group("/proxy");
    let reading = read(&mut node.reader(&OLD), &["/proxy"]);
    assert_eq!(reading.memory, Some(100 * MIB));
}

#[test]
fn without_controllers_processes_are_added_up_and_the_rest_is_off() {
    let node = hybrid();
    node.in_memory_group("/alone");
    fs::remove_dir_all(node.path("proc/pressure")).expect("removed");
    let mut reader = node.reader(&[]);
    assert_eq!(active(&reader), ["open_files"]);
    assert!(reason(&reader, "memory_limit").contains("memory controller"));
    assert!(reason(&reader, "cpu_throttling").contains("cpu controller"));
    assert!(reason(&reader, "pressure").contains("psi=1"));
    let reading = read(&mut reader, &["/proxy"]);
    assert_eq!(reading.memory, Some(2 * MIB));
    assert_eq!((reading.memory_limit, reading.cpu_limit), (None, None));
    let group = &reading.groups[0];
    assert_eq!(
        (reading.groups.len(), group.counters.used),
        (1, Some(Duration::from_secs(7)))
    );
    assert_eq!(
        (
            group.counters.bandwidth,
            group.counters.cpu_pressure,
            group.counters.oom_kills
        ),
        (None, None, None)
    );
    // No process of it is left.
    node.write("cgroup2/proxy/cgroup.procs", "");
    let reading = read(&mut reader, &["/proxy"]);
    assert_eq!((reading.memory, reading.files), (None, OpenFiles::Unknown));
}

#[test]
fn files_that_may_not_be_listed_are_off() {
    let node = unified();
    node.write("proc/self/status", "CapEff:\t000000c000080000\n");
    let mut reader = node.reader(&[]);
    assert!(reason(&reader, "open_files").contains("CAP_DAC_READ_SEARCH"));
    assert_eq!(read(&mut reader, &["/kubepods/pod/proxy"]).files, OpenFiles::Unknown);
}

#[test]
fn files_are_counted_less_often_where_that_takes_long() {
    let node = unified();
    let mut reader = node.reader(&[]);
    assert_ne!(read(&mut reader, &["/kubepods/pod/proxy"]).files, OpenFiles::AsBefore);
    // Twice in a row, it took longer than it may at each tick.
    for _ in 0..2 {
        reader.counts_of_files.took(Instant::now(), Duration::from_secs(1));
    }
    assert_eq!(read(&mut reader, &["/kubepods/pod/proxy"]).files, OpenFiles::AsBefore);
}
