use super::{super::Endpoint, *};
use proptest::prelude::*;
use std::cell::Cell;

/// An item of a flow, with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    key: FlowKey,
    number: usize,
}

impl Waiting for Item {
    fn key(&self) -> &FlowKey {
        &self.key
    }

    fn span(&self) -> Span {
        Span { from: 0, to: 1 }
    }
}

fn item(lane: u16, number: usize) -> Item {
    let key = FlowKey {
        port: lane,
        ..FlowKey::default()
    };
    Item { key, number }
}

/// Knows no identities, and has questions about one port.
#[derive(Default)]
struct Nobody {
    generation: u64,
    asks: Option<u16>,
    asked: Cell<usize>,
}

impl Identities for Nobody {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn bind(&self, key: &FlowKey, _: Span) -> Binding {
        self.asked.set(self.asked.get() + 1);
        Binding {
            owner: Endpoint::Unknown,
            place: None,
            peer: Endpoint::Unknown,
            expected: false,
            sure: false,
            question: (self.asks == Some(key.port)).then_some(Question { cgroup: 1, netns: 2 }),
            generation: self.generation,
        }
    }
}

#[test]
fn nobody_is_looked_for_again_before_there_is_anything_new() {
    let mut queue: Queue<u16, Item> = Queue::new(10);
    let mut identities = Nobody::default();
    let mut lane = queue.take(&1);
    for number in 0..3 {
        lane.push(item(1, number));
    }
    for _ in 0..2 {
        queue.bind(&mut lane, &identities);
        assert_eq!(identities.asked.get(), 3);
    }
    identities.generation = 1;
    queue.bind_first(&mut lane, &identities);
    queue.bind_last(&mut lane, &identities);
    assert_eq!(identities.asked.get(), 5);
    queue.bind(&mut lane, &identities);
    assert_eq!(identities.asked.get(), 6);
}

#[test]
fn who_has_a_question_open_is_looked_for_again_and_asked_about_once() {
    let mut queue: Queue<u16, Item> = Queue::new(10);
    let mut identities = Nobody {
        asks: Some(1),
        ..Nobody::default()
    };
    let mut lane = queue.take(&1);
    lane.push(item(1, 0));
    lane.push(item(1, 1));
    queue.bind(&mut lane, &identities);
    assert!(lane.has_question());
    assert_eq!(queue.take_questions(), [Question { cgroup: 1, netns: 2 }].into());
    // The observer has answered, and nothing changes an answer.
    identities.asks = None;
    queue.bind(&mut lane, &identities);
    assert!(!lane.has_question());
    assert_eq!((identities.asked.get(), queue.take_questions()), (4, Questions::new()));
}

#[test]
fn what_nobody_has_looked_for_does_not_leave() {
    let mut queue: Queue<u16, Item> = Queue::new(10);
    let mut lane = queue.take(&1);
    lane.push(item(1, 0));
    assert!(lane.pop_if(|_, _| true).is_none());
    queue.bind(&mut lane, &Nobody::default());
    assert!(lane.pop_if(|_, _| false).is_none());
    assert_eq!(lane.pop_if(|_, _| true).map(|(item, _)| item.number), Some(0));
    assert!(lane.is_empty());
}

proptest! {
    /// Whatever arrives and leaves: everything leaves once, in order of arrival within its lane, and the count is right meanwhile.
    #[test]
    fn order_and_number_are_kept(steps in prop::collection::vec((0..4_u16, any::<bool>()), 0..200), limit in 0..50_usize) {
        let mut queue: Queue<u16, Item> = Queue::new(limit);
        let identities = Nobody::default();
        let (mut came, mut left) = (vec![Vec::new(); 4], vec![Vec::new(); 4]);
        for (number, (name, comes)) in steps.into_iter().enumerate() {
            let mut lane = queue.take(&name);
            if comes {
                lane.push(item(name, number));
                came[usize::from(name)].push(number);
            } else {
                queue.bind_first(&mut lane, &identities);
                left[usize::from(name)].extend(lane.pop_if(|_, _| true).map(|(item, _)| item.number));
            }
            let waiting = came.iter().map(Vec::len).sum::<usize>() - left.iter().map(Vec::len).sum::<usize>();
            prop_assert_eq!(queue.excess(&lane), waiting.saturating_sub(limit));
            queue.put(name, lane);
            prop_assert_eq!(queue.len(), waiting);
            prop_assert_eq!(queue.is_empty(), waiting == 0);
        }
        for name in queue.names() {
            let rest = queue.take(&name);
            left[usize::from(name)].extend(rest.iter().map(|item| item.number));
        }
        prop_assert_eq!(came, left);
        prop_assert_eq!(queue.len(), 0);
    }
}
