//! The state of each list.

use super::{
    source::{Source, Verb},
    trouble::{LASTING, Trouble},
};
use crate::clock::Millis;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Instant;

/// The state of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceStatus {
    /// Which list it is.
    pub source: Source,
    /// Whether it has been read completely once.
    pub synced: bool,
    /// When the API server last sent anything about it; initially, when it was first requested.
    #[serde(skip)]
    pub contact: Millis,
    /// The current error, if any.
    pub error: Option<String>,
    /// The kind of request that failed.
    #[serde(skip)]
    pub failed: Option<Verb>,
    /// The agent's role forbids it, so it will not be complete soon.
    #[serde(skip)]
    pub forbidden: bool,
    /// Since when each answer has been 403.
    #[serde(skip)]
    refused_since: Option<Instant>,
    /// Number of requests to list it.
    pub lists: u64,
    /// Number of requests to watch it.
    pub watches: u64,
    /// Number of failed requests and watches.
    pub failures: u64,
    /// Objects that could not be parsed and were skipped.
    pub unreadable: u64,
    /// Duration of the first complete list, in seconds.
    pub sync_seconds: Option<f64>,
}

impl SourceStatus {
    /// Records that a request of this kind succeeded.
    pub fn works(&mut self, verb: Verb) {
        if self.failed == Some(verb) {
            (self.error, self.failed, self.forbidden, self.refused_since) = (None, None, false, None);
        }
    }

    /// Records that a request failed at `now`. Returns what to log, unless that has been logged already.
    pub fn fails(&mut self, trouble: &Trouble, now: Instant) -> Option<&str> {
        self.failures += 1;
        let since = self.refused_since.take().unwrap_or(now);
        self.refused_since = trouble.is_forbidden().then_some(since);
        self.forbidden = self
            .refused_since
            .is_some_and(|since| now.duration_since(since) >= LASTING);
        self.failed = Some(trouble.verb());
        let sentence = trouble.sentence(self.forbidden);
        if self.error.as_ref() == Some(&sentence) {
            return None;
        }
        Some(self.error.insert(sentence))
    }

    /// The state before the first request.
    pub fn new(source: Source, now: Millis) -> Self {
        Self {
            source,
            synced: false,
            contact: now,
            error: None,
            failed: None,
            forbidden: false,
            refused_since: None,
            lists: 0,
            watches: 0,
            failures: 0,
            unreadable: 0,
            sync_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refused(verb: Verb) -> Trouble {
        let status = kube::core::Status {
            code: 403,
            ..kube::core::Status::default()
        };
        Trouble::of(verb, Source::Services, kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_refusal_is_the_roles_only_when_it_lasts_and_each_is_said_once() {
        let (start, mut status) = (Instant::now(), SourceStatus::new(Source::Services, 0));
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = status.fails(&refused(Verb::List), at(0)).map(str::to_owned);
        assert!(first.is_some_and(|text| text.contains("403") && !text.contains("lacks")));
        assert_eq!(status.fails(&refused(Verb::List), at(29)), None);
        assert!(!status.forbidden);
        let lasting = status.fails(&refused(Verb::List), at(30)).map(str::to_owned);
        assert!(lasting.is_some_and(|text| text.contains("lacks the verb \"list\" on \"services\"")));
        assert!(status.forbidden);
        assert_eq!(status.fails(&refused(Verb::List), at(60)), None);
        assert_eq!(status.failures, 4);
        status.works(Verb::List);
        assert_eq!((status.error.as_deref(), status.forbidden), (None, false));
        assert!(status.fails(&refused(Verb::List), at(61)).is_some());
        assert!(!status.forbidden, "it has just begun");
    }

    #[test]
    fn a_refusal_that_is_interrupted_begins_again() {
        let (start, mut status) = (Instant::now(), SourceStatus::new(Source::Services, 0));
        let at = |seconds| start + Duration::from_secs(seconds);
        status.fails(&refused(Verb::Watch), at(0));
        let away = Trouble::new(Verb::Watch, Source::Services, "it is away".to_owned());
        status.fails(&away, at(20));
        status.fails(&refused(Verb::Watch), at(40));
        assert!(!status.forbidden);
        // The list is allowed, which says nothing about the watch.
        status.works(Verb::List);
        status.fails(&refused(Verb::Watch), at(70));
        assert!(status.forbidden);
    }
}
