//! The catalogue of metrics: every family is declared once, grouped by subject; those of a signal are declared with the signal
//! ([`crate::signals`]). The exporter, `narrows report`, the reference page and tests read the declarations.

pub mod agent;
pub mod boundary;
pub mod control_plane;
pub mod dependents;
mod detail;
mod details;
pub mod drains;
mod encoder;
pub mod failures;
mod family;
pub mod labels;
pub mod load;
pub mod paths;
pub mod resources;
mod row;
mod series;

pub use detail::Detail;
pub use details::{DetailPolicy, Details};
pub use encoder::{Encoder, Format, Sample, Terms};
pub(crate) use family::families;
pub use family::{Family, Kind, Label};
pub use row::{Labels, with};
pub use series::{Kept, Series, Value};
