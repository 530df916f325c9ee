//! Miniature meshes: network namespaces, cgroups, proxies and load, each behind a guard that cleans up.
//!
//! The truth tests of the agent, `cargo xtask demo` and the benches build the same small world from these parts:
//! a [`netns::Fabric`] joins [`workload::Workload`]s, a [`ztunnel::Ztunnel`] and an [`envoy::Envoy`] carry what
//! [`load`] sends, and an [`agent::Agent`] must report exactly that.
//!
//! All of it needs root. A guard's `Drop` undoes what its constructor did; processes also die with the thread that
//! started them, and namespaces made after [`isolate`] vanish with the process even when it is killed.

mod abort;
pub mod actor;
pub mod agent;
pub mod authority;
pub mod browser;
pub mod burden;
pub mod busy;
pub mod cgroup;
pub mod command;
pub mod confine;
pub mod envoy;
pub mod exported;
mod fork;
pub mod grafana;
pub mod guest;
pub mod haproxy;
pub mod http;
mod isolation;
pub mod janitor;
pub mod kubernetes;
pub mod limits;
pub mod load;
pub mod loss;
pub mod netns;
pub mod pace;
pub mod process;
pub mod prometheus;
pub mod scrape;
pub mod signals;
pub mod steps;
mod sync;
pub mod terminal;
pub mod tools;
pub mod wait;
pub mod workload;
pub mod ztunnel;

pub use isolation::{isolate, require_root};
