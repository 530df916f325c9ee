//! The labels, with values, that distinguish the rows of a family.

use std::borrow::Cow;

/// The names and values of the labels of a row.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// The names and values as text.
pub fn texts<'l>(labels: &'l Labels<'_>) -> impl Iterator<Item = (&'l str, &'l str)> + Clone {
    labels.iter().map(|(name, value)| (*name, &**value))
}

/// Appends labels to these.
pub fn with<'a>(mut labels: Labels<'a>, more: impl IntoIterator<Item = (&'static str, &'a str)>) -> Labels<'a> {
    labels.extend(more.into_iter().map(|(name, value)| (name, value.into())));
    labels
}
