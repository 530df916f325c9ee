//! What is asked for: series, and what of them in the window.

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

const fn fact(series: &'static str, what: What) -> Fact {
    Fact { series, what }
}

/// All of them.
pub const FACTS: [Fact; 22] = [
    fact("up", What::Last),
    fact("narrows_build_info", What::Last),
    fact("narrows_connections_active", What::Most),
    fact("narrows_connections_opened_total", What::Growth),
    fact("narrows_connection_failures_total", What::Growth),
    fact("narrows_client_connections_opened_total", What::Growth),
    fact("narrows_client_connection_failures_total", What::Growth),
    fact("narrows_saturation_ratio", What::Most),
    fact("narrows_dependent_active", What::Most),
    fact("narrows_dependent_share_ratio", What::Last),
    fact("narrows_dependents_untracked", What::Most),
    fact("narrows_served_active", What::Most),
    fact("narrows_point_exits_total", What::Growth),
    fact("narrows_workload_mode", What::Last),
    fact("narrows_enforced_connections_total", What::Growth),
    fact("narrows_bypassed_connections_total", What::Growth),
    fact("narrows_attributed_connections_total", What::Growth),
    fact("narrows_program_active", What::Last),
    fact("narrows_signal_active", What::Last),
    fact("narrows_lost_total", What::Growth),
    fact("narrows_identity_age_seconds", What::Last),
    fact("narrows_identity_synced", What::Last),
];

impl Fact {
    /// The query for a window, such as `24h`, as Prometheus writes it.
    pub fn query(&self, window: &str) -> String {
        let series = match self.series {
            // Everybody has this one: those of agents are known by what else they say.
            "up" => "up{job=~\"narrows|.*/narrows\"}",
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
