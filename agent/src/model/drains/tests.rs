use super::*;
use crate::{
    identity::{Binding, Endpoint, Span},
    model::{FlowAges, known::Known},
    points::{Kind, Mesh},
};
use agent_common::{AGES, FlowKey};

fn instance(pod: &str, begin: Millis, revision: &str, deletion: Option<Millis>) -> Instance {
    Instance {
        point: Arc::new(Point {
            name: "shop/waypoint".into(),
            kind: Kind::Waypoint,
            mesh: Mesh::Istio,
            instance: pod.into(),
        }),
        begin,
        revision: Some(revision.into()),
        deletion,
    }
}

fn causes(instances: &[Instance]) -> Vec<(&str, Cause, Option<Millis>)> {
    let leaving = leaving(instances);
    let of = |instance: &'_ Instance| leaving.get(&instance.point).copied();
    (instances.iter())
        .filter_map(|instance| {
            let (cause, deadline) = of(instance)?;
            Some((instance.point.instance.as_str(), cause, deadline))
        })
        .collect()
}

#[test]
fn replicas_of_one_revision_stay() {
    assert_eq!(causes(&[instance("a", 1, "x", None), instance("b", 2, "x", None)]), []);
}

#[test]
fn the_older_revision_goes_and_one_that_is_deleted_in_any_case() {
    let old = instance("a", 1, "x", None);
    assert_eq!(
        causes(&[old.clone(), instance("b", 2, "y", None)]),
        [("a", Cause::Superseded, None)]
    );
    assert_eq!(
        causes(&[instance("a", 1, "x", Some(9)), instance("b", 2, "y", None)]),
        [("a", Cause::Terminating, Some(9))]
    );
    // A rollout that is taken back: the newer one is deleted, and the older one stays.
    assert_eq!(
        causes(&[old, instance("b", 2, "y", Some(9))]),
        [("b", Cause::Terminating, Some(9))]
    );
}

#[test]
fn connections_that_end_evenly_are_gone_by_the_deadline_or_not() {
    assert_eq!(forecast(100, 60, 10_000, 10_000), 20.0);
    assert_eq!(forecast(100, 60, 10_000, 20_000), 0.0);
    assert_eq!(forecast(100, 100, 10_000, 20_000), 100.0);
    assert_eq!(forecast(100, 120, 10_000, 20_000), 120.0, "more than at first");
    assert_eq!(forecast(7, 7, 0, 20_000), 7.0);
    assert_eq!(forecast(100, 60, 10_000, -5_000), 60.0, "it should have ended");
}

#[test]
fn a_process_is_replaced_by_a_later_one_that_listens() {
    let began = |process| (process < 100).then_some(u64::from(process));
    let listening = |all: &[u32]| all.iter().copied().collect::<HashSet<_>>();
    let is_replaced = |process, listening: &HashSet<u32>| is_replaced(process, Some(listening), began);
    assert!(is_replaced(5, &listening(&[7])));
    assert!(!is_replaced(5, &listening(&[5, 7])), "it listens itself");
    assert!(!is_replaced(5, &listening(&[3])), "an earlier one, as a master process");
    assert!(!is_replaced(0, &listening(&[7])), "not known");
    assert!(!is_replaced(5, &listening(&[100])), "it has ended");
    assert!(!super::is_replaced(5, None, began), "nobody listens there");
}

/// Connections of replaced processes of one point, by process.
fn replaced(processes: &[(u32, u32)]) -> OpenAges {
    let binding = Binding {
        owner: Endpoint::Point(instance("a", 1, "x", None).point),
        place: None,
        peer: Endpoint::Unknown,
        expected: false,
        sure: true,
        question: None,
        generation: 0,
    };
    let mut ages = OpenAges::default();
    for (process, connections) in processes {
        let mut known = Known::new();
        known.open_under(&binding, (*connections).into(), Span { from: 0, to: 1 });
        let mut open = [0; AGES];
        open[0] = *connections;
        let found = FlowAges {
            flow: FlowKey::default(),
            open,
            half_closed: [0; 2],
            replaced: Some(*process),
        };
        ages.add_flow(&known, &found);
    }
    ages
}

/// The only drain: since when it is known, how many connections there were then, and how many there are.
fn only(drains: &Drains) -> (Millis, u64, u64) {
    let [drain] = drains.now() else {
        panic!("one drain: {:?}", drains.now())
    };
    (drain.since, drain.first, drain.connections())
}

#[test]
fn a_drain_is_as_old_as_the_oldest_process_that_is_left() {
    let mut drains = Drains::default();
    // A reload at each step, and each process goes at the next step but one: none drains for long.
    drains.update(&replaced(&[(5, 10)]), &[], 1_000);
    assert_eq!(only(&drains), (1_000, 10, 10));
    drains.update(&replaced(&[(5, 4), (6, 20)]), &[], 2_000);
    assert_eq!(only(&drains), (1_000, 30, 24));
    drains.update(&replaced(&[(6, 7), (7, 30)]), &[], 3_000);
    assert_eq!(only(&drains), (2_000, 50, 37));
    drains.update(&replaced(&[(7, 30), (8, 1)]), &[], 4_000);
    assert_eq!(only(&drains), (3_000, 31, 31));
    drains.update(&replaced(&[]), &[], 5_000);
    assert!(drains.now().is_empty());
}

#[test]
fn the_next_agent_knows_since_when_and_waits_for_what_it_does_not_find_at_once() {
    let mut drains = Drains::default();
    let leaving = [instance("b", 1, "x", Some(60_000))];
    drains.update(&replaced(&[(5, 10)]), &leaving, 1_000);
    let left = drains.remember();
    let since = |drains: &Drains| {
        let all = drains.now().iter();
        all.map(|drain| (drain.cause.label(), drain.since)).collect::<Vec<_>>()
    };
    let mut next = Drains::default();
    next.recall(left.clone(), 20_000);
    next.update(&OpenAges::default(), &[], 10_000);
    assert_eq!(since(&next), [], "neither the flow nor the pod is known yet");
    assert_eq!(
        next.remember().len(),
        2,
        "nor is anything lost if this one ends at once"
    );
    next.update(&replaced(&[(5, 4)]), &leaving, 15_000);
    assert_eq!(since(&next), [("replaced", 1_000), ("terminating", 1_000)]);

    // What is found later has begun again, as another process with that number.
    let mut late = Drains::default();
    late.recall(left, 20_000);
    late.update(&OpenAges::default(), &[], 20_000);
    late.update(&replaced(&[(5, 4)]), &leaving, 25_000);
    assert_eq!(since(&late), [("replaced", 25_000), ("terminating", 25_000)]);
}
