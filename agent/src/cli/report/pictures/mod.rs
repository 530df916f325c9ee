//! The pictures of a report: who depends on which point, how the points rank, and how full they were.
//!
//! Each has a model with the numbers that it shows, and draws itself. As some mail clients drop drawings, whatever a picture shows
//! stands in a table beside it.

mod bars;
mod draw_flow;
mod flow;
mod svg;
mod trend;

pub use bars::Bars;
pub use flow::Flow;
pub use trend::{Course, Trend};

use super::percent::percent;

/// Saturation above which a resource is drawn as full, as on the page of the agent and in the alerts.
const FULL: f64 = 0.85;

/// The width of a picture, in pixels.
const WIDTH: f64 = 960.0;

/// Whether the fullest resource is full, and what is written of it: a mark goes with the colour.
fn alarmed(saturation: Option<&(f64, String)>) -> (bool, String) {
    match saturation {
        Some((ratio, resource)) if *ratio > FULL => {
            (true, format!("▲ {} {}", percent(*ratio), resource.replace('_', " ")))
        }
        Some((ratio, resource)) => (false, format!("{} {}", percent(*ratio), resource.replace('_', " "))),
        None => (false, "saturation not known".into()),
    }
}
