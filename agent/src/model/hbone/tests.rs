use super::*;
use crate::identity::Workload;
use std::sync::Arc;

const ADDRESS: [u32; 4] = [0, 0, 0xffff, 0x0a5a_0015];
const WINDOW: Duration = Duration::from_secs(900);

fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: name.into(),
        service_account: name.into(),
        principal: String::new(),
        duty: None,
    })
}

/// A node, five seconds a tick.
struct Node {
    hbone: Hbone,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        Self {
            hbone: Hbone::new(2),
            now: Instant::now(),
        }
    }

    fn tick(&mut self) {
        self.now += Duration::from_secs(5);
        self.hbone.expire(WINDOW, self.now, 0);
    }

    fn count(&mut self, source: &str, address: [u32; 4], port: u16, delta: &Flow) {
        let key = FlowKey {
            peer: address,
            port,
            ..FlowKey::default()
        };
        let binding = Binding {
            owner: Endpoint::Workload(workload(source)),
            place: None,
            peer: Endpoint::Workload(workload("catalog")),
            expected: false,
            sure: true,
            question: None,
            generation: 0,
        };
        self.hbone.add(&key, Role::Client, delta, &binding, self.now, 0);
    }

    /// Attempts at the port of HBONE that end in the same tick.
    fn fail(&mut self, source: &str, reason: Reason, n: u64, repeated: u64) {
        let mut delta = Flow {
            syn_retransmits: repeated,
            ..Flow::ZERO
        };
        delta.failures[reason as usize] = n;
        self.count(source, ADDRESS, PORT, &delta);
        self.tick();
    }

    fn time_out(&mut self, n: u64) {
        self.fail("checkout", Reason::HandshakeTimedOut, n, n);
    }

    fn open(&mut self, source: &str, address: [u32; 4], port: u16) {
        let delta = Flow {
            opened: 1,
            ..Flow::ZERO
        };
        self.count(source, address, port, &delta);
        self.tick();
    }

    /// What was counted for all pairs.
    #[track_caller]
    fn has(&self, unanswered: u64, blocked: u64) {
        let mut all = Attempts::default();
        for row in self.hbone.attempts.rows(WINDOW, self.now) {
            all.add(&row.tally);
        }
        for (_, rest) in self.hbone.attempts.rest() {
            all.add(rest);
        }
        assert_eq!(all, Attempts { unanswered, blocked });
    }
}

#[test]
fn what_gets_no_answer_at_one_port_only_is_blocked() {
    let mut node = Node::new();
    node.time_out(3);
    node.has(3, 0);
    // Whoever it is that it answers.
    node.open("kubelet", ADDRESS, 8080);
    node.has(3, 0);
    node.time_out(2);
    node.has(5, 5);
    // A refusal is an answer, too; and each further attempt needs a new one.
    node.time_out(1);
    node.has(6, 5);
    let mut refused = Flow::ZERO;
    refused.failures[Reason::Refused as usize] = 1;
    node.count("checkout", ADDRESS, 9090, &refused);
    node.tick();
    node.time_out(1);
    node.has(7, 7);
}

#[test]
fn a_pod_that_answers_nowhere_is_dead() {
    let mut node = Node::new();
    node.open("kubelet", ADDRESS, 8080);
    for n in 1..=10 {
        node.time_out(1);
        node.open("kubelet", [0, 0, 0xffff, 0x0a5a_0016], 8080);
        node.has(n, 0);
    }
}

#[test]
fn a_pod_that_dies_while_its_port_is_blocked_is_no_longer_blocked() {
    let mut node = Node::new();
    node.time_out(1);
    node.open("kubelet", ADDRESS, 8080);
    node.time_out(1);
    node.time_out(4);
    node.has(6, 2);
}

#[test]
fn a_node_that_was_cut_off_for_a_while_answers_at_all_ports_again() {
    let mut node = Node::new();
    node.time_out(4);
    node.open("kubelet", ADDRESS, 8080);
    node.open("checkout", ADDRESS, PORT);
    node.time_out(1);
    node.has(5, 0);
}

#[test]
fn a_policy_that_lets_one_caller_in_blocks_another() {
    let mut node = Node::new();
    for _ in 0..2 {
        node.time_out(1);
        node.open("gateway", ADDRESS, PORT);
        node.open("kubelet", ADDRESS, 8080);
    }
    node.has(2, 2);
}

#[test]
fn an_attempt_that_was_given_up_counts_when_its_syn_was_repeated() {
    let mut node = Node::new();
    // The SYNs are repeated in earlier ticks than the attempt ends.
    for _ in 0..2 {
        node.fail("checkout", Reason::Cancelled, 0, 1);
        node.fail("checkout", Reason::Cancelled, 1, 0);
        node.open("kubelet", ADDRESS, 8080);
    }
    node.has(2, 2);
    node.fail("checkout", Reason::Cancelled, 5, 0);
    node.has(2, 2);
}

#[test]
fn callers_are_bounded_and_forgotten() {
    let mut node = Node::new();
    for source in ["a", "b", "c"] {
        node.fail(source, Reason::HandshakeTimedOut, 1, 1);
        node.open("kubelet", ADDRESS, 8080);
    }
    // `c` is counted, without a verdict.
    for source in ["a", "b", "c"] {
        node.fail(source, Reason::HandshakeTimedOut, 1, 1);
    }
    node.has(6, 4);
    assert!(node.hbone.take_rejected() > 0);
    for _ in 0..=REMEMBERED.as_secs() / 5 {
        node.tick();
    }
    assert_eq!((node.hbone.callers, node.hbone.targets.len()), (0, 0));
    node.fail("c", Reason::HandshakeTimedOut, 1, 1);
    node.open("kubelet", ADDRESS, 8080);
    node.fail("c", Reason::HandshakeTimedOut, 1, 1);
    node.has(8, 6);
}
