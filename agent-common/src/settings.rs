/// What the agent tells the programs before it loads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow without open connections is retired after so many collections without news.
    pub idle_collections: u32,
    /// Failure events a flow may send in a second.
    pub failure_events_per_second: u32,
}

impl Settings {
    /// Before the agent has its say.
    pub const DEFAULT: Self = Self {
        idle_collections: 12,
        failure_events_per_second: 10,
    };
}
