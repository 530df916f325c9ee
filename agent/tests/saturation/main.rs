//! Points that are short of something, and points that fail: each state provoked for real, and held against what the load
//! generator, the proxy or the kernel counted.

#[path = "../common/mod.rs"]
mod common;
mod histogram;
mod mesh;

mod accept_queue;
mod backlog;
mod descriptors;
mod exits;
mod handshakes;
mod loss;
mod processor;
mod storm;
