//! The build of the kernel programs: the toolchain that `cargo xtask setup` has recorded, and the command that uses it.
//!
//! `agent/build.rs` depends on this crate, so it uses only the standard library, to be compiled quickly.
#![forbid(unsafe_code)]

mod compile;
mod place;
mod toolchain;

pub use compile::warnings;
pub use place::{BPF_PROFILE, BPF_TARGET, object, toolchain_dir, toolchain_file};
pub use toolchain::{Kind, Toolchain};
