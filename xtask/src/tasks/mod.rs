//! Tasks that are mostly calls of cargo.

pub(crate) mod build;
pub(crate) mod docs;
pub(crate) mod lint;
pub(crate) mod man;
mod rules;
pub(crate) mod test;
