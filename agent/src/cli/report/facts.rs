//! The facts that a report needs: series, and which value of each in the window.

use crate::{
    metrics::{agent, boundary, dependents, failures, load, resources},
    signals::processes,
};

/// Which value of a series in the window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The last value in the window.
    Last,
    /// The maximum in the window.
    Most,
    /// The increase of a counter.
    Growth,
}

/// A series, and which of its values is used.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// The name of the series.
    pub series: &'static str,
    /// The value that is used.
    pub what: What,
}

/// A series of every scrape target: whether it can be scraped.
pub const UP: &str = "up";

/// Declares the facts, each by its metric family, with a constant for its name that can be used in patterns.
macro_rules! facts {
    ($($name:ident: $family:path, $what:ident;)*) => {
        $(
            #[doc = concat!("The name of [`", stringify!($family), "`].")]
            pub const $name: &str = $family.name;
        )*

        /// All facts that a report needs.
        pub const FACTS: &[Fact] = &[
            Fact { series: UP, what: What::Last },
            $(Fact { series: $name, what: What::$what },)*
        ];
    };
}

facts! {
    BUILD_INFO: agent::BUILD_INFO, Last;
    ACTIVE: load::ACTIVE, Most;
    OPENED: load::OPENED, Growth;
    FAILURES: failures::FAILURES, Growth;
    CALLER_OPENED: failures::CALLER_OPENED, Growth;
    CALLER_FAILURES: failures::CALLER_FAILURES, Growth;
    SATURATION: resources::SATURATION, Most;
    DEPENDENT_ACTIVE: dependents::DEPENDENT_ACTIVE, Most;
    DEPENDENT_SHARE: dependents::DEPENDENT_SHARE, Last;
    DEPENDENTS_UNTRACKED: dependents::DEPENDENTS_UNTRACKED, Most;
    SERVED_ACTIVE: dependents::SERVED_ACTIVE, Most;
    EXITS: processes::EXITS, Growth;
    MODE: boundary::MODE, Last;
    ENFORCED: boundary::ENFORCED, Growth;
    BYPASSED: boundary::BYPASSED, Growth;
    ATTRIBUTED: agent::ATTRIBUTED, Growth;
    PROGRAM_ACTIVE: agent::PROGRAM_ACTIVE, Last;
    SIGNAL_ACTIVE: agent::SIGNAL_ACTIVE, Last;
    LOST: agent::LOST, Growth;
    LIST_AGE: agent::LIST_AGE, Last;
    LIST_SYNCED: agent::LIST_SYNCED, Last;
}

impl Fact {
    /// The query for a window, such as `24h`, as Prometheus writes it.
    pub fn query(&self, window: &str) -> String {
        let series = match self.series {
            // Every target has this series: restrict it to agents by the name of their job.
            UP => "up{job=~\"narrows|.*/narrows\"}",
            series => series,
        };
        match self.what {
            What::Last => format!("last_over_time({series}[{window}])"),
            What::Most => format!("max_over_time({series}[{window}])"),
            // A counter that did not exist at the start of the window has grown from 0, also before its first scrape.
            What::Growth => format!(
                "(increase({series}[{window}]) and {series} offset {window}) or last_over_time({series}[{window}])"
            ),
        }
    }
}
