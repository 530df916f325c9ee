//! The machines that tests run on, and what they are made of: `cargo xtask setup` provides it, `cargo xtask vm-test` boots it.

pub(crate) mod guest;
pub(crate) mod kernel;
pub(crate) mod root;
