//! Paths through real proxies: which caller's traffic goes to which destination, and whom a failing destination hurts. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod matrix;
mod order;
mod refusal;
mod shop;
mod succession;
mod tunnel;
mod web;
