//! The catalogue of metrics: every family is declared once, by what it is about; those of a signal stand in that signal
//! ([`crate::signals`]). Exporter, `narrows report`, the reference page and tests read the declarations.

pub mod agent;
pub mod boundary;
pub mod dependents;
mod encoder;
pub mod failures;
mod family;
pub mod labels;
pub mod load;
pub mod resources;
mod row;
mod series;

pub use encoder::{Encoder, Sample};
pub(crate) use family::families;
pub use family::{Family, Kind, Label};
pub use row::{Labels, with};
pub use series::{Kept, Series, Value};
