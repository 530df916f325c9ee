//! A family of metrics, declared once with all that is to be known of it.

use crate::program::Need;

/// A family of metrics. Names, labels and units are a contract with users' dashboards and alerts.
#[derive(Debug)]
pub struct Family {
    /// Its name; a counter's ends in `_total`, and a histogram's series in `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What kind of numbers it has.
    pub kind: Kind,
    /// A sentence that stands alone: what is counted or measured, in which unit, seen by whom.
    pub help: &'static str,
    /// Its labels, in the order in which they are exported.
    pub labels: &'static [&'static [Label]],
    /// What the numbers can be trusted for, when they are not exact.
    pub caveat: Option<&'static str>,
    /// What it cannot do without: where that is missing, it has no series, rather than series of 0.
    pub needs: &'static [Need],
}

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A counter that goes on when another agent takes over.
    Counter,
    /// A counter of this process, or of the kernel's tables, which begins anew with them.
    OwnCounter,
    /// A gauge.
    Gauge,
    /// A histogram of seconds that goes on when another agent takes over; its buckets begin at 16 µs.
    Histogram,
    /// The same with buckets that begin at 2 µs.
    FineHistogram,
}

/// A label and what its values say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values say.
    pub meaning: &'static str,
}

impl Family {
    /// A counter.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Counter, name, help)
    }

    /// A counter that begins anew with this process.
    pub const fn own_counter(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::OwnCounter, name, help)
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, help)
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, help)
    }

    /// A histogram with fine buckets.
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
        }
    }

    /// With these groups of labels.
    #[must_use]
    pub const fn by(mut self, labels: &'static [&'static [Label]]) -> Self {
        self.labels = labels;
        self
    }

    /// With what its numbers can be trusted for.
    #[must_use]
    pub const fn caveat(mut self, caveat: &'static str) -> Self {
        self.caveat = Some(caveat);
        self
    }

    /// With what it cannot do without.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Its labels, in the order in which they are exported.
    pub fn labels(&self) -> impl Iterator<Item = &'static Label> {
        self.labels.iter().copied().flatten()
    }

    /// The names that its series have in queries; of a histogram also that of a native one.
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
    /// The type, as Prometheus has it.
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
