//! Filters for failures, and the parameters that select them.

use super::record::Record;
use crate::clock::Millis;

/// The reasons that can be selected: the values of the `reason` label.
pub const REASONS: [&str; 9] = [
    "refused",
    "timed_out",
    "unreachable",
    "cancelled",
    "reset_by_peer",
    "reset_by_self",
    "no_local_port",
    "never_accepted",
    "closed_early",
];

/// Conditions, all of which a record must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The point at either end, `<namespace>/<name>`.
    pub point: Option<String>,
    /// The workload at either end, itself or through a point that acted for it, `<namespace>/<name>`.
    pub workload: Option<String>,
    /// The value of the `reason` label.
    pub reason: Option<&'static str>,
    /// The limit of the age.
    pub since: Option<Since>,
}

/// A limit of the age, for records that existed at the time of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The earliest time of failure, in milliseconds since 1970.
    pub time: Millis,
    /// Records from this number on are new, whatever their time.
    pub new_from: u64,
}

impl Filter {
    /// A filter that every record passes.
    pub const ALL: Self = Self {
        point: None,
        workload: None,
        reason: None,
        since: None,
    };

    /// Whether a record meets all conditions.
    pub fn fits(&self, record: &Record) -> bool {
        self.since
            .is_none_or(|since| record.seq >= since.new_from || record.time >= since.time)
            && self.reason.is_none_or(|reason| record.reason.label() == reason)
            && self.point.as_deref().is_none_or(|point| record.is_of_point(point))
            && self.workload.as_deref().is_none_or(|workload| {
                workload
                    .split_once('/')
                    .is_some_and(|(namespace, name)| record.is_of_workload(namespace, name))
            })
    }
}

/// Reads `<namespace>/<name>`.
///
/// # Errors
/// A sentence.
pub fn parse_workload(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not a <namespace>/<name>, e.g. shop/checkout")),
    }
}

/// Reads a reason.
///
/// # Errors
/// A sentence that lists the valid ones.
pub fn parse_reason(text: &str) -> Result<&'static str, String> {
    let mut reasons = REASONS.into_iter();
    reasons
        .find(|reason| *reason == text)
        .ok_or_else(|| format!("{text:?} is not a reason, expected one of {}", REASONS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::record::tests::{binding, event, point, record, workload},
        *,
    };
    use crate::{
        identity::{CalledBy, Endpoint},
        points::Kind,
    };
    use agent_common::{Reason, Role};

    #[test]
    fn every_reason_can_be_asked_for() {
        for reason in Reason::ALL {
            assert_eq!(parse_reason(reason.label()), Ok(reason.label()));
        }
        for text in REASONS {
            assert!(Reason::ALL.iter().any(|reason| reason.label() == text), "{text}");
        }
        let error = parse_reason("refuse").expect_err("none");
        assert!(
            error.starts_with("\"refuse\" is not a reason, expected one of refused, timed_out"),
            "{error}"
        );
    }

    #[test]
    fn workloads_have_a_namespace() {
        assert_eq!(parse_workload("shop/checkout"), Ok("shop/checkout".to_owned()));
        for text in ["checkout", "/checkout", "shop/", ""] {
            assert!(parse_workload(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_that_is_asked_for_must_be_true() {
        let refused = record("checkout", "shop/waypoint", Reason::Refused);
        let wants = |point: &str, workload: &str, reason: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let filter = Filter {
                point: given(point),
                workload: given(workload),
                reason: given(reason).map(|reason| parse_reason(&reason).expect("a reason")),
                since: None,
            };
            filter.fits(&refused)
        };
        for (point, workload, reason, expected) in [
            ("", "", "", true),
            ("shop/waypoint", "shop/checkout", "refused", true),
            ("waypoint", "", "", false),
            ("", "shop/cart", "", false),
            ("", "other/checkout", "", false),
            ("", "", "timed_out", false),
            ("shop/waypoint", "shop/cart", "refused", false),
        ] {
            assert_eq!(wants(point, workload, reason), expected, "{point} {workload} {reason}");
        }
    }

    #[test]
    fn either_end_and_whoever_is_acted_for_can_be_asked_for() {
        let ends = binding(
            Endpoint::Point(point("istio-system/ztunnel", Kind::Ztunnel)),
            Some(workload("cart")),
            Endpoint::Point(point("shop/waypoint", Kind::Waypoint)),
        );
        let record = Record::new(&event(Role::Client, Reason::Refused), 0, &ends, &CalledBy::NOBODY).expect("an event");
        for name in ["istio-system/ztunnel", "shop/waypoint"] {
            let filter = Filter {
                point: Some(name.to_owned()),
                ..Filter::ALL
            };
            assert!(filter.fits(&record), "{name}");
        }
        let filter = Filter {
            workload: Some("shop/cart".to_owned()),
            ..Filter::ALL
        };
        assert!(filter.fits(&record));
    }

    #[test]
    fn new_records_are_never_too_old() {
        let mut record = record("checkout", "shop/waypoint", Reason::Refused);
        let filter = Filter {
            since: Some(Since {
                time: record.time + 1,
                new_from: 7,
            }),
            ..Filter::ALL
        };
        for (seq, expected) in [(6, false), (7, true), (8, true)] {
            record.seq = seq;
            assert_eq!(filter.fits(&record), expected, "{seq}");
        }
        record.seq = 6;
        record.time += 1;
        assert!(filter.fits(&record));
    }
}
