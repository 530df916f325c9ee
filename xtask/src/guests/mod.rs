//! The virtual machines that tests run on, and their parts: `cargo xtask setup` provides them, `cargo xtask vm-test` boots them.

pub(crate) mod guest;
pub(crate) mod kernel;
pub(crate) mod root;
