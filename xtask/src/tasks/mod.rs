//! Tasks that are mostly calls of cargo.

pub(crate) mod build;
pub(crate) mod docs;
pub(crate) mod lint;
pub(crate) mod man;
mod prometheus_rule;
mod rules;
pub(crate) mod test;
