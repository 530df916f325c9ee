//! Succession of agents: resuming from the previous one, and storing what the next one needs.

use super::Ticker;
use crate::{
    clock,
    daemon::state::State,
    export::{self, Snapshot},
    identity::Span,
    kernel::Start,
    model::Moment,
    signals::Signal,
};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Storing the state may take at most one part in so many of a CPU's time.
const STATE_SHARE: u32 = 20;

impl Ticker {
    /// Resumes from the state of the previous agent, as far as it is known.
    pub(super) fn recall(&mut self) {
        let now = clock::now();
        let state = self.kernel.take_state().map(|state| State::decode(&state));
        let goes_on = matches!(self.kernel.start(), Start::Resumed | Start::Replaced);
        let since = |state: &State| Duration::from_millis(u64::try_from(now - state.at).unwrap_or(0)).as_secs_f64();
        match (self.kernel.start(), &state) {
            (Start::Fresh, _) => {}
            (Start::Resumed, Some(Ok(state))) => tracing::info!(
                "the kernel programs continued to count: resuming from the state of {:.1} s ago; nothing is missing",
                since(state)
            ),
            (Start::Replaced, Some(Ok(state))) => tracing::info!(
                "new kernel programs took over from those of an earlier agent: resuming from its state of {:.1} s ago; no connection is \
                 missing",
                since(state)
            ),
            (Start::Restarted(why), state) => {
                let gap = match state {
                    Some(Ok(state)) => format!("of the last {:.1} s", since(state)),
                    _ => "since the previous agent ended".to_owned(),
                };
                tracing::warn!(
                    "counting restarts, and metrics begin at 0, as the state left by the previous agent cannot be used: {why}. \
                     Connections {gap} that have ended by now are missing; those that are open have been adopted"
                );
            }
            (Start::Resumed | Start::Replaced, other) => {
                let why = match other {
                    Some(Err(error)) => format!("{error:#}"),
                    _ => "there is none".to_owned(),
                };
                tracing::warn!(
                    "the kernel programs continued to count, but the state of the previous agent cannot be used ({why}): metrics begin \
                     at 0, and what was counted before now is missing from them"
                );
            }
        }
        match state {
            _ if !goes_on => {
                // Until the first tick is over, nothing has been counted: an agent that takes over before then misses nothing.
                let nothing = State {
                    at: now,
                    ..State::default()
                };
                self.state_error = self
                    .kernel
                    .keep(&nothing.encode())
                    .err()
                    .map(|error| format!("{error:#}"));
            }
            Some(Ok(state)) => {
                let when = Moment {
                    at: Instant::now(),
                    span: Span {
                        from: state.at,
                        to: now,
                    },
                };
                self.before = state.at;
                self.model.recall(state.flows, state.links, state.drains, when);
                self.inside.recall(state.points, state.tallies);
                self.kernel.recall_paths(state.counted_paths);
                self.model.recall_paths(state.paths, when);
                if *self.kernel.start() == Start::Resumed {
                    self.kernel.recall_mended(state.explained);
                }
                self.former = Some(Arc::new(state.series));
            }
            _ => self.model.recall_nothing(),
        }
    }

    /// Stores the state for the next agent. `false` when that is not due yet, as it takes long: then the snapshot must not be
    /// published.
    pub(super) fn keep(&mut self, snapshot: &Snapshot) -> bool {
        let begin = Instant::now();
        if self.kernel.is_lasting().is_err() {
            return true;
        }
        if begin < self.next_state {
            return false;
        }
        let leaving: HashSet<_> = self.kernel.leaving().copied().collect();
        // Until all flows have been read once, the state of the previous agent is the better one.
        let Some(flows) = self.model.remember(|key| leaving.contains(key)) else {
            return true;
        };
        let (points, tallies) = (self.inside.counted(), self.inside.tallied());
        let at = clock::now();
        let kept = export::series(snapshot, at)
            .map_err(anyhow::Error::from)
            .and_then(|series| {
                let state = State {
                    at,
                    series,
                    flows,
                    links: self.model.remember_links(),
                    drains: self.model.remember_drains(),
                    points,
                    tallies,
                    counted_paths: self.kernel.counted_paths(),
                    paths: self.model.remember_paths(),
                    explained: self.kernel.explained(),
                };
                self.kernel.keep(&state.encode())
            });
        let error = kept.err().map(|error| format!("{error:#}"));
        if let Some(error) = error.as_ref().filter(|_| self.state_error.is_none()) {
            tracing::warn!(
                "the state for the next agent cannot be stored, so its metrics would continue from an earlier one: {error}"
            );
        }
        self.state_error = error;
        self.next_state = begin + begin.elapsed() * STATE_SHARE;
        true
    }

    /// Whether the kernel continues to count when this agent ends.
    pub(super) fn takeover(&self) -> Signal {
        let outcome = match (self.kernel.is_lasting(), &self.state_error) {
            (Err(why), _) => Err(why.unwrap_or("it is switched off (--no-pin)").to_owned()),
            (Ok(()), Some(error)) => Err(error.clone()),
            (Ok(()), None) => Ok(()),
        };
        Signal::new(
            "takeover",
            "the kernel counts while the agent is restarted or replaced, and metrics continue",
            outcome,
        )
    }
}
