//! The change of a flow's counters between two readings.

use agent_common::{BUCKETS, Flow};

/// Whether a flow's counters have not changed since the last reading. (Its failure events and the last walk are ignored.)
pub fn is_at_rest(last: &Flow, now: &Flow) -> bool {
    let counters = Flow {
        retired: last.retired,
        events_second: last.events_second,
        events: last.events,
        seen: last.seen,
        ..*now
    };
    counters == *last
}

/// Returns the difference `now - last`, and advances `last`.
///
/// A field may be behind what was read before: the collector and a program that corrects a number (see `agent-ebpf`, `flows` and
/// `hooks/reset`) may race. Such a field counts nothing now, and the rest once it has caught up: exported counters never decrease,
/// and are exact when the flow is at rest.
pub fn advance(last: &mut Flow, now: &Flow) -> Flow {
    let mut delta = Flow::ZERO;
    macro_rules! fields {
        ($($field:ident),*) => { $(delta.$field = step(&mut last.$field, now.$field);)* };
    }
    fields!(
        opened,
        adopted,
        closed,
        received,
        sent,
        retransmits,
        syn_retransmits,
        drops,
        connect_us,
        round_trip_us
    );
    // Incremented before `opened`: what is ahead of it counts together with it.
    delta.carried = now.carried.wrapping_sub(last.carried).min(delta.opened);
    last.carried += delta.carried;
    for n in 0..agent_common::Reason::COUNT {
        delta.failures[n] = step(&mut last.failures[n], now.failures[n]);
    }
    for n in 0..BUCKETS {
        delta.connect[n] = now.connect[n].wrapping_sub(last.connect[n]);
        delta.round_trip[n] = now.round_trip[n].wrapping_sub(last.round_trip[n]);
    }
    (last.connect, last.round_trip) = (now.connect, now.round_trip);
    last.carrier = now.carrier;
    // The owner's fields say something only about counts that have changed.
    if delta != Flow::ZERO {
        delta.carrier = now.carrier;
    }
    delta
}

fn step(last: &mut u64, now: u64) -> u64 {
    let difference = now.wrapping_sub(*last);
    if difference.cast_signed() < 0 {
        return 0;
    }
    *last = now;
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A change of one field, as a program makes it, possibly during a reading.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Carried,
        Opened,
        Adopted,
        Closed,
    }

    impl Step {
        fn apply(self, flow: &mut Flow) {
            match self {
                Self::Carried => flow.carried += 1,
                Self::Opened => flow.opened += 1,
                Self::Adopted => flow.adopted += 1,
                Self::Closed => flow.closed += 1,
            }
        }
    }

    const WORDS: usize = size_of::<Flow>() / 8;

    fn words(flow: &Flow) -> [u64; WORDS] {
        // SAFETY: both are integers without padding, of the same size.
        unsafe { std::mem::transmute(*flow) }
    }

    fn flow(words: [u64; WORDS]) -> Flow {
        // SAFETY: as above.
        unsafe { std::mem::transmute(words) }
    }

    /// What programs do for several connections in turn: each begins, some were carried by a point, and each ends or stays open.
    /// All may end right after they began, as short ones do, so that the two updates are close.
    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let connection = prop_oneof![
            4 => Just(vec![Step::Opened, Step::Closed]),
            2 => Just(vec![Step::Carried, Step::Opened, Step::Closed]),
            1 => Just(vec![Step::Adopted, Step::Closed]),
            1 => Just(vec![Step::Carried, Step::Opened]),
        ];
        prop::collection::vec(connection, 1..200).prop_map(|all| all.concat())
    }

    #[test]
    fn counts_the_difference() {
        let mut last = Flow {
            opened: 3,
            ..Flow::ZERO
        };
        let mut now = Flow {
            opened: 5,
            received: 9,
            ..Flow::ZERO
        };
        now.failures[2] = 4;
        now.connect[1] = 7;
        let delta = advance(&mut last, &now);
        assert_eq!(
            (delta.opened, delta.received, delta.failures[2], delta.connect[1]),
            (2, 9, 4, 7)
        );
        assert_eq!(advance(&mut last, &now), Flow::ZERO);
    }

    #[test]
    fn a_number_that_went_back_is_made_up_for() {
        let mut last = Flow { sent: 10, ..Flow::ZERO };
        assert_eq!(advance(&mut last, &Flow { sent: 8, ..Flow::ZERO }).sent, 0);
        assert_eq!(advance(&mut last, &Flow { sent: 13, ..Flow::ZERO }).sent, 3);
    }

    #[test]
    fn what_was_carried_is_never_ahead_of_what_was_opened() {
        let flow = |opened, carried| Flow {
            opened,
            carried,
            carrier: 7,
            ..Flow::ZERO
        };
        let mut last = Flow::ZERO;
        assert_eq!(advance(&mut last, &flow(3, 1)), flow(3, 1));
        assert_eq!(advance(&mut last, &flow(3, 2)), Flow::ZERO, "read between the two");
        assert_eq!(advance(&mut last, &flow(4, 2)), flow(1, 1));
    }

    #[test]
    fn buckets_may_wrap() {
        let mut last = Flow::ZERO;
        last.connect[0] = u32::MAX;
        let mut now = Flow::ZERO;
        now.connect[0] = 1;
        assert_eq!(advance(&mut last, &now).connect[0], 2);
    }

    proptest! {
        /// A reading copies a flow word by word, from its beginning to its end (`bpf_long_memcpy`), while programs continue to
        /// update it. For short connections nothing else matters: no walk meets them.
        #[test]
        fn no_reading_has_more_ends_than_beginnings(
            steps in steps(),
            // The number of steps before each word of each reading.
            pauses in prop::collection::vec(prop::collection::vec(0_usize..4, WORDS), 1..20),
        ) {
            let (mut kernel, mut last, mut model) = (Flow::ZERO, Flow::ZERO, Flow::ZERO);
            let mut take_in = |read: &Flow| {
                prop_assert!(read.closed <= read.opened + read.adopted, "{read:?}");
                let delta = advance(&mut last, read);
                model.opened += delta.opened;
                model.adopted += delta.adopted;
                model.closed += delta.closed;
                model.carried += delta.carried;
                prop_assert!(model.closed <= model.opened + model.adopted, "{model:?}");
                prop_assert!(model.carried <= model.opened, "{model:?}");
                Ok(())
            };
            let mut steps = steps.into_iter();
            for pauses in pauses {
                let mut copy = [0; WORDS];
                for (at, pause) in pauses.into_iter().enumerate() {
                    steps.by_ref().take(pause).for_each(|step| step.apply(&mut kernel));
                    copy[at] = words(&kernel)[at];
                }
                take_in(&flow(copy))?;
            }
            // All programs are done.
            steps.for_each(|step| step.apply(&mut kernel));
            take_in(&kernel)?;
            prop_assert_eq!(model, kernel);
        }
    }
}
