//! How long connections of a real proxy live, how old the open ones are, and what a restart cuts of them. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod ages;
mod callers;
mod drains;
mod leaks;
mod restarts;
