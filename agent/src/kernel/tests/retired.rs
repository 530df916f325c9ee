//! Flows that are removed from their table, while connections begin and end.

use super::*;
use crate::kernel::tables::{QUARANTINE, Retired};
use agent_common::{Flow, FlowKey, Role};
use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

const PORTS: usize = 6;

/// Connections of this process to itself, what readings of the tables found of them, and the tables.
struct Traffic {
    kernel: Kernel,
    listeners: Vec<TcpListener>,
    netns: u32,
    last: HashMap<FlowKey, Flow>,
    gone: Vec<FlowKey>,
    /// Opened, closed and received, at both ends.
    counted: [u64; 3],
    made: u64,
}

impl Traffic {
    fn new() -> Self {
        let options = Options {
            flows: 8_192,
            // A flow is idle when a reading finds nothing new.
            idle_readings: 0,
            ..options()
        };
        let netns = fs::metadata("/proc/thread-self/ns/net")
            .expect("this thread's network")
            .ino();
        Self {
            kernel: Kernel::open_with(&options, types()).expect("it loads"),
            listeners: (0..PORTS)
                .map(|_| TcpListener::bind("127.0.0.1:0").expect("it listens"))
                .collect(),
            netns: u32::try_from(netns).expect("32 bits"),
            last: HashMap::new(),
            gone: Vec::new(),
            counted: [0; 3],
            made: 0,
        }
    }

    /// Opens one more connection to each port, with ten bytes in one direction.
    fn connect(&mut self) {
        for listener in &self.listeners {
            let mut caller = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            let mut accepted = listener.accept().expect("accepted").0;
            caller.write_all(&[1; 10]).expect("sent");
            drop(caller);
            assert_eq!(accepted.read_to_end(&mut Vec::new()).expect("read"), 10);
            self.made += 1;
        }
    }

    fn is_mine(&self) -> impl Fn(&FlowKey) -> bool + use<> {
        let ports = self
            .listeners
            .iter()
            .map(|each| each.local_addr().expect("bound").port());
        let (ports, netns): (HashSet<u16>, u32) = (ports.collect(), self.netns);
        move |key| key.netns == netns && key.role != Role::Listener as u8 && ports.contains(&key.port)
    }

    /// Performs one reading, as the model does.
    fn collect(&mut self) -> anyhow::Result<()> {
        let is_mine = self.is_mine();
        let (last, gone, counted) = (&mut self.last, &mut self.gone, &mut self.counted);
        self.kernel.collect(|key, reading| {
            if !is_mine(key) {
                return true;
            }
            let (Reading::Now(flow) | Reading::Gone(flow)) = reading;
            let before = last.insert(*key, *flow).unwrap_or(Flow::ZERO);
            let fields = |flow: &Flow| [flow.opened, flow.closed, flow.received];
            for (sum, (now, before)) in counted.iter_mut().zip(fields(flow).into_iter().zip(fields(&before))) {
                *sum += now - before;
            }
            if let Reading::Gone(_) = reading {
                last.remove(key);
                gone.push(*key);
            }
            fields(flow) != fields(&before)
        })
    }

    #[track_caller]
    fn collect_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "no {what}: {:?}",
                self.counted
            );
            self.collect().expect("no error");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_exact(&self) -> bool {
        self.counted == [2 * self.made, 2 * self.made, 10 * self.made]
    }

    /// Its marked flows.
    fn retired(&self) -> Vec<FlowKey> {
        let is_mine = self.is_mine();
        let keys = self.kernel.tables.retired.iter().map(|retired| retired.key);
        keys.filter(|key| is_mine(key)).collect()
    }

    /// Opens some connections, whose flows are about to be removed, and some more, which go to the other generation.
    fn retire(&mut self) -> Vec<FlowKey> {
        for _ in 0..3 {
            self.connect();
        }
        self.collect_until("end of all connections", Self::is_exact);
        self.collect_until("mark", |all| all.retired().len() == 2 * PORTS);
        self.connect();
        for Retired { since, .. } in &mut self.kernel.tables.retired {
            *since = since.checked_sub(QUARANTINE).expect("the machine runs for longer");
        }
        self.retired()
    }

    #[track_caller]
    fn each_is_gone_once(&self, retired: &[FlowKey]) {
        let gone: HashSet<_> = self.gone.iter().collect();
        assert_eq!(self.gone.len(), gone.len(), "handed over twice: {:?}", self.gone);
        assert_eq!(gone, retired.iter().collect());
    }
}

#[test]
fn retired_flows_outlive_one_that_cannot_be_read() {
    let mut traffic = Traffic::new();
    let retired = traffic.retire();
    // One in the middle is missing.
    let missing = retired[PORTS];
    let flow = traffic.kernel.tables.flows.get(&missing, 0).expect("it is there");
    traffic.kernel.tables.flows.remove(&missing).expect("taken out");
    let error = traffic.collect().expect_err("one is missing");
    assert!(error.to_string().contains("a retired flow cannot be read"), "{error:#}");
    traffic.each_is_gone_once(&retired[..PORTS]);
    assert_eq!(traffic.retired(), retired[PORTS..]);

    traffic.kernel.tables.flows.insert(missing, flow, 0).expect("put back");
    traffic.collect().expect("no error");
    traffic.each_is_gone_once(&retired);
    traffic.collect_until("exact count", Traffic::is_exact);
}

#[test]
fn an_error_after_retired_flows_were_taken_out_loses_nothing() {
    let mut traffic = Traffic::new();
    let retired = traffic.retire();
    let owner = retired[0].cgroup;
    // Wrong until the kernel's count is corrected.
    traffic.kernel.tables.owners.insert(owner, 1_000_000, 0).expect("set");
    let no_map = OwnedFd::from(File::open("/dev/null").expect("it is there"));
    let overflow = std::mem::replace(&mut traffic.kernel.tables.overflow_fd, no_map);
    for _ in 0..3 {
        let error = traffic.collect().expect_err("a table is missing");
        assert!(
            error.to_string().contains("the table of owners without room"),
            "{error:#}"
        );
        traffic.each_is_gone_once(&retired);
    }
    // Flows of other tests are of the same cgroup, and count as well.
    assert!(traffic.kernel.tables.owners.get(&owner, 0).expect("it has flows") >= 1_000_000);

    traffic.kernel.tables.overflow_fd = overflow;
    traffic.collect().expect("no error");
    traffic.each_is_gone_once(&retired);
    let number = traffic.kernel.tables.owners.get(&owner, 0).expect("it has flows");
    assert!(number < 1_000_000, "{number}");
    traffic.collect_until("exact count", Traffic::is_exact);
}
