//! The Narrows agent.
//!
//! Data flows one way: `kernel` reads what the kernel programs counted, `identity` and `points` say who it was, with
//! what `node` and the inventory know, `model` adds it up, `export` shows it. `agent` turns the wheel, once a tick. Failed
//! connections also go one by one, and at once, through `failures`. `cli` is the command line over all of it; `narrows failures` and
//! `narrows report` are for people: they ask a running agent, or a Prometheus that scrapes many.

pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod duration;
pub mod export;
pub mod failures;
pub mod histogram;
pub mod identity;
pub mod kernel;
mod memory;
pub mod metrics;
pub mod model;
pub mod node;
pub mod points;
pub mod program;
#[cfg(test)]
mod purity;
pub mod signals;
pub mod table;
pub mod uninstall;
mod yaml;
