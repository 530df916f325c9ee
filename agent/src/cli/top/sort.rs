//! Orders of points.

use crate::api::Point;
use clap::ValueEnum;
use std::cmp::Ordering;

/// What points are sorted by: the greatest first, for names the alphabet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// What is wrong with them, then choke risk: the order of the API
    #[default]
    Trouble,
    /// Saturation of the fullest resource, times the share of workloads that depend on the point
    Risk,
    /// The saturation of the fullest resource
    Saturation,
    /// Open connections that the point accepted
    Open,
    /// Connections that the point accepted per second
    Connections,
    /// Failures per second, at whichever vantage sees more
    Failures,
    /// Workloads that depend on the point
    Dependents,
    /// The 99th percentile of the time until the point reads what has arrived
    Wait,
    /// The name
    Name,
}

impl Sort {
    /// All of them, as they are shown.
    pub const ALL: [Self; 9] = [
        Self::Trouble,
        Self::Risk,
        Self::Saturation,
        Self::Open,
        Self::Connections,
        Self::Failures,
        Self::Dependents,
        Self::Wait,
        Self::Name,
    ];

    /// The key that chooses it.
    pub const fn key(self) -> char {
        match self {
            Self::Trouble => 'T',
            Self::Risk => 'R',
            Self::Saturation => 'S',
            Self::Open => 'O',
            Self::Connections => 'C',
            Self::Failures => 'F',
            Self::Dependents => 'D',
            Self::Wait => 'W',
            Self::Name => 'N',
        }
    }

    /// What it is called.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Risk => "choke risk",
            Self::Saturation => "saturation",
            Self::Open => "open connections",
            Self::Connections => "connections/s",
            Self::Failures => "failures/s",
            Self::Dependents => "dependents",
            Self::Wait => "read delay",
            Self::Name => "name",
        }
    }

    /// The order of two points. What is not known comes last, and first when the order is turned round.
    pub fn compare(self, one: &Point, other: &Point) -> Ordering {
        let by_number = |number: fn(&Point) -> Option<f64>| {
            // Nothing is less than 0, so what is not known is less than anything.
            let [one, other] = [one, other].map(|point| number(point).unwrap_or(-1.0));
            other.total_cmp(&one)
        };
        let order = match self {
            // As the agent has sorted them; sorting is stable.
            Self::Trouble => return Ordering::Equal,
            Self::Risk => by_number(|point| point.choke_risk.ratio),
            Self::Saturation => by_number(|point| point.saturation.worst_ratio),
            Self::Open => by_number(|point| point.load.as_ref().map(|load| load.downstream.open_connections as f64)),
            Self::Connections => by_number(|point| point.load.as_ref()?.downstream.opened_per_second),
            Self::Failures => by_number(failures),
            Self::Dependents => by_number(|point| Some(point.dependents.workloads as f64)),
            Self::Wait => by_number(read_delay),
            Self::Name => Ordering::Equal,
        };
        let name = |point: &Point| (point.name.name.clone(), point.name.instance.clone());
        order.then_with(|| name(one).cmp(&name(other)))
    }
}

/// Failures per second at the vantage that sees more: the other one may see the same ones.
fn failures(point: &Point) -> Option<f64> {
    let both = [&point.failures.point, &point.failures.callers];
    let rates = both
        .into_iter()
        .filter_map(|vantage| vantage.as_ref()?.failures_per_second);
    rates.reduce(f64::max)
}

/// The 99th percentile of read delays, of the worse side, in seconds.
pub fn read_delay(point: &Point) -> Option<f64> {
    let read = &point.delays.as_ref()?.read;
    worse(read.downstream.p99_seconds, read.upstream.p99_seconds)
}

/// The 99th percentile of forward delays, of the worse side, in seconds.
pub fn forward_delay(point: &Point) -> Option<f64> {
    let forward = &point.delays.as_ref()?.forward;
    worse(forward.downstream.p99_seconds, forward.upstream.p99_seconds)
}

fn worse(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}
