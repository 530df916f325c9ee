//! What is asked for: series, and what of them in the window.

use crate::{
    metrics::{agent, boundary, dependents, failures, load, resources},
    signals::processes,
};

/// What counts of a series in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its last value.
    Last,
    /// Its greatest value.
    Most,
    /// By how much a counter grew.
    Growth,
}

/// A series, and what counts of it.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its name.
    pub series: &'static str,
    /// What counts.
    pub what: What,
}

/// What everybody has: whether a target answers.
pub const UP: &str = "up";

/// Declares the facts: each by its family, under a name that patterns can use.
macro_rules! facts {
    ($($name:ident: $family:path, $what:ident;)*) => {
        $(
            #[doc = concat!("The name of [`", stringify!($family), "`].")]
            pub const $name: &str = $family.name;
        )*

        /// All of them.
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
            // Everybody has this one: those of agents are known by what else they say.
            UP => "up{job=~\"narrows|.*/narrows\"}",
            series => series,
        };
        match self.what {
            What::Last => format!("last_over_time({series}[{window}])"),
            What::Most => format!("max_over_time({series}[{window}])"),
            // A counter that is younger than the window has grown from 0, also before it was first scraped.
            What::Growth => format!(
                "(increase({series}[{window}]) and {series} offset {window}) or last_over_time({series}[{window}])"
            ),
        }
    }
}
