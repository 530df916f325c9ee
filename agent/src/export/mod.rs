//! Exports snapshots, as metrics and over HTTP, and failed connections one by one.

mod api;
mod boundary;
mod collector;
#[cfg(test)]
mod conformance;
mod control_plane;
mod dependency;
mod drains;
mod encoded;
mod failures;
#[cfg(test)]
mod fleet_tests;
mod gzip;
mod half_closed;
mod history;
mod http;
mod meter;
mod negotiate;
mod own;
mod page;
#[cfg(test)]
mod page_tests;
mod paths;
mod pem;
mod process;
mod publish;
mod rates;
mod rotating;
mod rows;
mod saturation;
mod server;
#[cfg(test)]
mod sizing;
mod snapshot;
#[cfg(test)]
mod synthetic;

pub use api::Fleet;
pub use collector::series;
pub use http::{Api, Service};
pub use publish::{Published, Publisher};
pub use server::{Gate, Reviews, authenticate, serve};
pub use snapshot::{Identity, Reported, Shared, Snapshot, Tick};
