use super::*;
use crate::{
    identity::{
        CgroupOwners, Directory, Entries, Identity, KnownNetworks, Named, Namespaces, NodeDirectory, Owner, Question,
        Span,
        kubernetes::{LocalPod, Meshes, Setup, Shared, Source, objects::Pod},
    },
    model::{Bounds, End, Exclusions, Found},
    node::PodUid,
    points::Rules,
};
use narrows_testbed::kubernetes::manifests::Pod as Manifest;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// The node: one waypoint that runs on it, known by its cgroup, in a cluster.
struct Scene {
    model: Model,
    node: NodeDirectory,
    shared: Arc<Shared>,
    begin: Instant,
}

const CGROUP: u64 = 1 << 40;
const POINT: &str = "7e57ab1e-0000-4000-8000-000000000001";

impl Scene {
    fn new(wait: u64, settle: u64, waiting: usize) -> Self {
        let rules = Rules::new(Vec::new()).expect("the built-in rules");
        let setup = Setup {
            rules: rules.clone(),
            meshes: Meshes::default(),
            uncovered: Vec::new(),
            pods: 100,
            settle: 2_000,
        };
        let shared = Arc::new(Shared::new(setup, &[Source::NodePods, Source::ClusterPods]));
        let bounds = Bounds {
            dependents: 10,
            points: 10,
            pairs: 10,
            window: Duration::from_secs(900),
            wait: Duration::from_secs(wait),
            settle: Duration::from_secs(settle),
            waiting,
            this_node_only: false,
        };
        let mut scene = Self {
            model: Model::new(bounds, Exclusions::default()),
            node: NodeDirectory {
                owners: CgroupOwners::new(1, 100),
                namespaces: Namespaces::new(None),
                entries: Entries::default(),
                networks: KnownNetworks::default(),
                addresses: HashSet::new(),
                generation: 0,
            },
            shared,
            begin: Instant::now(),
        };
        scene.pod(Source::NodePods, "istio-waypoint", POINT, "10.0.0.2");
        scene.node.owners.insert(CGROUP, "/waypoint".into());
        scene.look();
        scene
    }

    /// The waypoint's pod, as last updated.
    fn waypoint(&self) -> Arc<LocalPod> {
        let uid = PodUid::parse(POINT).expect("a uid");
        self.shared.directory().local(uid).expect("it is on this node").clone()
    }

    /// What the observer finds: the cgroup is the waypoint's only container, and its sockets are in its own network namespace.
    fn look(&mut self) {
        let pod = self.waypoint();
        let identity = Identity::Point(pod.point.clone().expect("a waypoint is a point"));
        self.node.namespaces.see(1, CGROUP, &pod);
        let named = Named {
            pod,
            identity,
            since: self.begin,
            settled: true,
        };
        self.node.owners.set(CGROUP, Owner::Container(named));
        self.node.generation += 1;
    }

    fn pod(&mut self, source: Source, manifest: &str, uid: &str, address: &str) {
        let manifest = Manifest::of(manifest)
            .uid(uid)
            .ip(&[address])
            .started("2026-11-16T09:00:00Z");
        let pod: Pod = serde_json::from_value(manifest.into_value()).expect("a pod");
        self.shared.directory_mut().apply_pod(source, &pod, 2_000_000_000_000);
    }

    /// A caller becomes known: the workload of `manifest`, at 10.0.0.7.
    fn caller(&mut self, manifest: &str) {
        self.pod(
            Source::ClusterPods,
            manifest,
            "7e57ab1e-0000-4000-8000-000000000002",
            "10.0.0.7",
        );
    }

    fn when(&self, seconds: u64) -> Moment {
        let to = 1_900_000_000_000 + i64::try_from(seconds).expect("small") * 1_000;
        Moment {
            at: self.begin + Duration::from_secs(seconds),
            span: Span { from: to - 1_000, to },
        }
    }

    /// Sets what the waypoint accepted from 10.0.0.7 in total, `seconds` after the beginning.
    fn accepted(&mut self, seconds: u64, opened: u64, closed: u64) {
        let key = FlowKey {
            cgroup: CGROUP,
            netns: 1,
            peer: [
                0,
                0,
                u32::from_ne_bytes([0, 0, 0xff, 0xff]),
                u32::from_ne_bytes([10, 0, 0, 7]),
            ],
            port: 15008,
            role: Role::Server as u8,
            generation: 0,
        };
        let flow = Flow {
            opened,
            closed,
            ..Flow::ZERO
        };
        let when = self.when(seconds);
        let directory = Directory::new(&self.node, Some(&self.shared), false);
        self.model.flow(&key, &flow, false, &directory, when);
    }

    fn settle(&mut self, seconds: u64) {
        let at = self.when(seconds).at;
        let directory = Directory::new(&self.node, Some(&self.shared), true);
        self.model.settle(&directory, at);
    }

    /// Connections of each dependent, and how many of them are open.
    fn dependents(&self) -> Vec<(String, u64, i64)> {
        let load = self.model.points().next().expect("the waypoint");
        let window = self.model.window();
        let dependents = &self.model.reach_of(&load.point).expect("it was called").dependents;
        let rows = dependents.rows(window, self.begin);
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row.key.name.clone(), row.tally.connections, row.tally.active))
            .collect();
        let [_, _, (_, unknown)] = dependents.rest();
        if unknown.connections > 0 {
            rows.push(("unknown".into(), unknown.connections, unknown.active));
        }
        rows
    }

    fn opened(&self) -> u64 {
        self.model.points().next().map_or(0, |load| load.downstream.opened)
    }

    fn open(&self) -> i64 {
        self.model.points().next().map_or(0, |load| load.downstream.active)
    }

    /// Replaces the agent, `seconds` after the beginning; `is_leaving` tells whether the flow was about to be taken out.
    fn next_agent(&mut self, seconds: u64, is_leaving: bool) {
        let flows = self.model.remember(|_| is_leaving).expect("all were read");
        let (links, drains) = (self.model.remember_links(), self.model.remember_drains());
        self.model = Model::new(self.model.bounds, Exclusions::default());
        let when = self.when(seconds);
        self.model.recall(flows, links, drains, when);
    }
}

fn rows(rows: &[(&str, u64, i64)]) -> Vec<(String, u64, i64)> {
    rows.iter()
        .map(|(name, n, open)| ((*name).to_owned(), *n, *open))
        .collect()
}

#[test]
fn a_count_waits_for_its_other_end_but_the_point_has_it_at_once() {
    let mut scene = Scene::new(30, 2, 10);
    scene.accepted(0, 5, 3);
    assert_eq!((scene.opened(), scene.dependents()), (5, vec![]));
    scene.settle(20);
    assert_eq!((scene.opened(), scene.dependents()), (5, vec![]));
    scene.caller("deployment");
    scene.settle(21);
    assert_eq!((scene.opened(), scene.dependents()), (5, rows(&[("inventory", 5, 2)])));
    assert_eq!(scene.model.waiting().0, 0);
}

#[test]
fn a_count_whose_end_is_known_waits_for_late_updates_only() {
    let mut scene = Scene::new(30, 2, 10);
    scene.caller("deployment");
    scene.accepted(0, 5, 5);
    scene.settle(1);
    assert_eq!(scene.dependents(), vec![]);
    scene.settle(2);
    assert_eq!(scene.dependents(), rows(&[("inventory", 5, 0)]));
}

#[test]
fn what_stays_unknown_is_counted_so_and_the_next_count_of_it_does_not_wait_as_long() {
    let mut scene = Scene::new(30, 2, 10);
    scene.accepted(0, 5, 4);
    scene.settle(29);
    assert_eq!(scene.dependents(), vec![]);
    scene.settle(30);
    assert_eq!(scene.dependents(), rows(&[("unknown", 5, 1)]));
    scene.accepted(31, 8, 4);
    scene.settle(33);
    assert_eq!(scene.dependents(), rows(&[("unknown", 8, 4)]));
    // The four that are still open move when it becomes known; earlier counts stay.
    scene.caller("deployment");
    scene.settle(34);
    assert_eq!(scene.dependents(), rows(&[("inventory", 0, 4), ("unknown", 8, 0)]));
    let attributed = scene.model.attributed();
    assert_eq!(attributed[&(End::Remote, Found::Unknown)], 8);
    assert_eq!(attributed[&(End::Local, Found::Point)], 8);
    assert_eq!(scene.opened(), 8);
}

#[test]
fn connections_end_for_whom_they_were_opened() {
    let mut scene = Scene::new(30, 0, 10);
    scene.caller("deployment");
    scene.accepted(0, 3, 0);
    assert_eq!(scene.dependents(), rows(&[("inventory", 3, 3)]));
    // The address has been reassigned.
    scene.caller("statefulset");
    scene.accepted(1, 5, 4);
    let statefulset = scene.dependents().pop().expect("two rows").0;
    assert_eq!(scene.dependents(), rows(&[("inventory", 3, 0), (&statefulset, 2, 1)]));
}

#[test]
fn what_happened_first_is_counted_first() {
    let mut scene = Scene::new(30, 2, 10);
    // The address has no known holder at first; later its holder from then on becomes known.
    scene.accepted(0, 3, 0);
    let late = Manifest::of("deployment")
        .uid("7e57ab1e-0000-4000-8000-000000000003")
        .ip(&["10.0.0.7"]);
    let began = jiff::Timestamp::from_millisecond(1_900_000_000_000 + 5_000).expect("a time");
    let late: Pod = serde_json::from_value(late.started(&began.to_string()).into_value()).expect("a pod");
    scene
        .shared
        .directory_mut()
        .apply_pod(Source::ClusterPods, &late, 2_000_000_000_000);
    scene.accepted(8, 3, 3);
    scene.settle(20);
    assert_eq!(scene.dependents(), vec![], "the end does not come before the beginning");
    scene.settle(30);
    assert_eq!(scene.dependents(), rows(&[("unknown", 3, 0)]));
}

#[test]
fn beyond_the_bound_counts_do_not_wait() {
    let mut scene = Scene::new(30, 2, 1);
    scene.accepted(0, 5, 5);
    assert_eq!(scene.model.waiting(), (1, 1, 0));
    // The whole flow, as what happened first is counted first.
    scene.accepted(1, 8, 8);
    assert_eq!(scene.model.waiting(), (0, 1, 8));
    assert_eq!(scene.dependents(), rows(&[("unknown", 8, 0)]));
}

#[test]
fn a_flow_that_is_gone_is_kept_until_it_is_counted() {
    let mut scene = Scene::new(30, 2, 10);
    scene.accepted(0, 5, 5);
    let key = *scene.model.flows.keys().next().expect("one");
    let when = scene.when(1);
    let last = Flow {
        opened: 6,
        closed: 6,
        ..Flow::ZERO
    };
    let directory = Directory::new(&scene.node, Some(&scene.shared), false);
    scene.model.flow(&key, &last, true, &directory, when);
    drop(directory);
    assert_eq!(scene.model.flows(), 1);
    scene.caller("deployment");
    scene.settle(5);
    assert_eq!(scene.dependents(), rows(&[("inventory", 6, 0)]));
    assert_eq!(scene.model.flows(), 0);
}

#[test]
fn a_flow_that_comes_again_while_its_last_count_is_held_back_begins_at_0() {
    let mut scene = Scene::new(30, 2, 10);
    scene.accepted(0, 5, 5);
    let key = *scene.model.flows.keys().next().expect("one");
    let when = scene.when(1);
    let last = Flow {
        opened: 5,
        closed: 5,
        ..Flow::ZERO
    };
    let directory = Directory::new(&scene.node, Some(&scene.shared), false);
    scene.model.flow(&key, &last, true, &directory, when);
    drop(directory);
    // As many as were counted of the previous flow, and then one more.
    scene.accepted(2, 5, 5);
    scene.accepted(3, 6, 5);
    scene.caller("deployment");
    scene.settle(8);
    assert_eq!(scene.opened(), 11);
    assert_eq!(scene.dependents(), rows(&[("inventory", 11, 1)]));
}

#[test]
fn what_is_open_when_its_flow_leaves_has_ended() {
    let mut scene = Scene::new(0, 0, 100);
    let when = Moment {
        at: scene.begin,
        span: Span { from: 0, to: 1 },
    };
    let key = FlowKey {
        cgroup: CGROUP,
        role: Role::Server as u8,
        port: 80,
        ..FlowKey::default()
    };
    let flow = |opened, closed| Flow {
        opened,
        closed,
        ..Flow::ZERO
    };
    let directory = Directory::new(&scene.node, Some(&scene.shared), true);
    // Three begin unseen, and of three more the ends are missed.
    scene.model.flow(&key, &flow(5, 8), false, &directory, when);
    scene.model.unseen_flows(true, &directory, when);
    scene.model.flow(&key, &flow(8, 8), false, &directory, when);
    assert_eq!(scene.model.mended(), 0);
    scene.model.flow(&key, &flow(8, 8), true, &directory, when);
    assert_eq!((scene.model.unseen(), scene.model.mended()), (3, 3));
    let active: i64 = scene.model.points().map(|load| load.downstream.active).sum();
    assert_eq!(active, 0);
}

#[test]
fn the_next_agent_counts_what_is_new_and_what_was_held_back() {
    let mut scene = Scene::new(30, 2, 10);
    // The point has it in its totals; the caller is not known yet.
    scene.accepted(0, 5, 3);
    scene.next_agent(1, false);
    assert!(
        scene.model.remember(|_| false).is_none(),
        "not before all flows were read"
    );
    scene.accepted(1, 6, 3);
    scene.model.end_recall();
    assert_eq!((scene.opened(), scene.open()), (1, 3));
    scene.caller("deployment");
    scene.settle(4);
    assert_eq!(scene.dependents(), rows(&[("inventory", 6, 3)]));
    scene.accepted(5, 6, 6);
    scene.settle(8);
    assert_eq!((scene.opened(), scene.open()), (1, 0));
    assert_eq!(scene.dependents(), rows(&[("inventory", 6, 0)]));
}

#[test]
fn the_next_agent_takes_in_open_connections_without_counting_them() {
    let mut scene = Scene::new(30, 0, 10);
    scene.caller("deployment");
    scene.accepted(0, 5, 3);
    for agent in 1..4 {
        scene.next_agent(agent, false);
        scene.accepted(agent, 5, 3);
        scene.model.end_recall();
        assert_eq!((scene.opened(), scene.open()), (0, 2), "agent {agent}");
        assert_eq!(scene.dependents(), rows(&[("inventory", 0, 2)]), "agent {agent}");
    }
    scene.accepted(5, 5, 5);
    assert_eq!((scene.open(), scene.dependents()), (0, rows(&[("inventory", 0, 0)])));
    assert_eq!(scene.model.unseen(), 0);
}

#[test]
fn a_flow_that_has_left_may_come_again_under_the_next_agent() {
    let mut scene = Scene::new(30, 0, 10);
    scene.caller("deployment");
    scene.accepted(0, 5, 5);
    scene.next_agent(1, true);
    scene.accepted(1, 2, 1);
    scene.model.end_recall();
    assert_eq!((scene.opened(), scene.open()), (2, 1));
}

#[test]
fn without_a_state_nothing_is_counted_twice() {
    let mut scene = Scene::new(30, 0, 10);
    scene.caller("deployment");
    scene.model.recall_nothing();
    // Three of the ended connections had not been seen to begin.
    scene.accepted(0, 5, 8);
    scene.model.end_recall();
    assert_eq!((scene.opened(), scene.open(), scene.model.unseen()), (0, 0, 0));
    scene.accepted(1, 7, 9);
    assert_eq!((scene.opened(), scene.open()), (2, 1));
}

#[test]
fn what_the_observer_is_to_look_at_is_counted_when_it_has() {
    let mut scene = Scene::new(0, 0, 1);
    scene.caller("deployment");
    scene.node.owners.set(CGROUP, Owner::NotAsked);
    scene.accepted(0, 5, 5);
    let question = Question {
        cgroup: CGROUP,
        netns: 1,
    };
    assert_eq!(scene.model.take_questions(), [question].into());
    // There is one place to wait, and it is not taken by what waits for the observer; but the whole flow waits behind it.
    scene.accepted(0, 8, 8);
    assert_eq!((scene.opened(), scene.model.waiting().0), (0, 2));
    scene.look();
    scene.settle(0);
    assert_eq!((scene.opened(), scene.model.waiting()), (8, (0, 1, 0)));
    assert_eq!(scene.dependents(), rows(&[("inventory", 8, 0)]));
}

#[test]
fn what_the_observer_does_not_find_waits_only_while_there_is_room() {
    let mut scene = Scene::new(30, 2, 1);
    scene.node.owners.set(CGROUP, Owner::NotAsked);
    scene.accepted(0, 5, 5);
    scene.settle(0);
    assert_eq!(scene.model.waiting(), (1, 1, 0));
    scene.accepted(1, 8, 8);
    assert_eq!(scene.model.waiting(), (2, 1, 0));
    scene.settle(1);
    assert_eq!(scene.model.waiting(), (0, 1, 8));
}
