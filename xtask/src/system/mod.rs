//! The system to build on or for: distribution, packages, architecture.

pub(crate) mod apt;
pub(crate) mod architecture;
pub(crate) mod family;
