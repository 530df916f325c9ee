//! How the kernel programs are compiled: where `cargo xtask setup` leaves what it found, and the command that uses it.
//!
//! `agent/build.rs` waits for this crate before it can begin, so it needs nothing but the standard library.
#![forbid(unsafe_code)]

mod compile;
mod place;
mod toolchain;

pub use compile::warnings;
pub use place::{BPF_PROFILE, BPF_TARGET, object, toolchain_dir, toolchain_file};
pub use toolchain::{Kind, Toolchain};
