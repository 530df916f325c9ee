//! The Narrows agent.
//!
//! Data flows one way: `kernel` reads what the kernel programs have counted; `identity` and `points` attribute it, using
//! `node` and the inventory; `model` aggregates it; `export` exports it. `agent` runs the tick loop. Failed
//! connections are also reported one by one, without waiting for a tick, by `failures`. `cli` is the command line; `narrows
//! failures` and `narrows report` are clients that query a running agent, or a Prometheus that scrapes many.

pub mod api;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod draining;
pub mod duration;
pub mod export;
pub mod failures;
pub mod fleet;
pub mod histogram;
pub mod identity;
pub mod kernel;
pub mod label;
mod memory;
pub mod metrics;
pub mod model;
pub mod networks;
pub mod node;
pub mod points;
pub mod program;
#[cfg(test)]
mod purity;
mod several;
pub mod signals;
mod spacing;
pub mod table;
pub mod uninstall;
pub mod url;
mod yaml;
