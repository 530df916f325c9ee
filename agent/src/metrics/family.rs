//! A family of metrics, declared once with all its properties.

use super::detail::Detail;
use crate::program::Need;

/// A family of metrics. Names, labels and units are a contract with users' dashboards and alerts.
#[derive(Debug)]
pub struct Family {
    /// The family's name; that of a counter ends in `_total`, and the series of a histogram in `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: Kind,
    /// A description that stands alone: what is counted or measured, in which unit, as seen by whom.
    pub help: &'static str,
    /// Its labels, in the order in which they are exported.
    pub labels: &'static [&'static [Label]],
    /// How far the values can be trusted, when they are not exact.
    pub caveat: Option<&'static str>,
    /// What it depends on: where that is missing, it has no series, rather than series of 0.
    pub needs: &'static [Need],
    /// The least detail at which it is exported.
    pub detail: Detail,
    /// Below that detail, the sum over all pairs of workloads is exported.
    pub is_summed: bool,
}

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A counter that continues when another agent takes over.
    Counter,
    /// A counter of this process, or of the kernel's tables, which restarts at 0 with them.
    OwnCounter,
    /// A value that can go up and down.
    Gauge,
    /// A histogram of seconds that continues when another agent takes over; its buckets begin at 16 µs, unless the values bring
    /// bounds of their own.
    Histogram,
    /// A [`Kind::Histogram`] with buckets that begin at 2 µs.
    FineHistogram,
}

/// A label, with the meaning of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label's name in queries.
    pub name: &'static str,
    /// What its values stand for.
    pub meaning: &'static str,
}

impl Family {
    /// Declares a counter that continues when another agent takes over.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Counter, name, help)
    }

    /// Declares a counter that restarts at 0 with this process.
    pub const fn own_counter(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::OwnCounter, name, help)
    }

    /// Declares a gauge, a value that can go up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, help)
    }

    /// Declares a histogram of seconds, with buckets from 16 µs.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, help)
    }

    /// Declares a histogram of seconds, with buckets from 2 µs.
    pub const fn fine_histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::FineHistogram, name, help)
    }

    const fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            labels: &[],
            caveat: None,
            needs: &[],
            detail: Detail::Minimal,
            is_summed: false,
        }
    }

    /// Sets the groups of labels.
    #[must_use]
    pub const fn by(mut self, labels: &'static [&'static [Label]]) -> Self {
        self.labels = labels;
        self
    }

    /// Sets the caveat: how far the values can be trusted.
    #[must_use]
    pub const fn caveat(mut self, caveat: &'static str) -> Self {
        self.caveat = Some(caveat);
        self
    }

    /// Sets what the family depends on.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Sets the least detail at which it is exported.
    #[must_use]
    pub const fn at(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    /// Sets the detail below which only the sum over all pairs of workloads is exported.
    #[must_use]
    pub const fn summed_below(mut self, detail: Detail) -> Self {
        self.is_summed = true;
        self.at(detail)
    }

    /// Its labels, in the order in which they are exported.
    pub fn labels(&self) -> impl Iterator<Item = &'static Label> {
        self.labels.iter().copied().flatten()
    }

    /// The names of its series in queries; for a histogram also that of a native one.
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            Kind::Counter | Kind::OwnCounter | Kind::Gauge => vec![self.name.to_owned()],
            Kind::Histogram | Kind::FineHistogram => ["", "_bucket", "_sum", "_count"]
                .map(|end| format!("{}{end}", self.name))
                .into(),
        }
    }
}

impl Kind {
    /// The type, as named by Prometheus.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter | Self::OwnCounter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram | Self::FineHistogram => "histogram",
        }
    }
}

/// Declares families, each with its help as its description, and the list of them, `FAMILIES`.
macro_rules! families {
    ($($family:ident: $kind:ident($name:literal, $help:literal $(,)?) $(.$method:ident($argument:expr $(,)?))*;)*) => {
        $(
            #[doc = $help]
            pub const $family: $crate::metrics::Family =
                $crate::metrics::Family::$kind($name, $help)$(.$method($argument))*;
        )*

        /// All families that are declared here.
        pub const FAMILIES: &[&$crate::metrics::Family] = &[$(&$family),*];
    };
}
pub(crate) use families;
