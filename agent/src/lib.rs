//! The Narrows agent.
//!
//! Data flows one way: `kernel` reads what the kernel programs counted, `identity` and `points` say who it was, with
//! what `node` and the inventory know, `model` adds it up, `export` shows it. `agent` turns the wheel, once a tick.

pub mod agent;
pub mod check;
pub mod config;
pub mod export;
pub mod identity;
pub mod kernel;
mod memory;
pub mod model;
pub mod node;
pub mod points;
mod yaml;
