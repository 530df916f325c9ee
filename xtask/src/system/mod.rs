//! A system that is built on or for: its distribution, its packages, its processors.

pub(crate) mod apt;
pub(crate) mod architecture;
pub(crate) mod family;
