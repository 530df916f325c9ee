//! `/api/v1/history`.

use super::{
    super::{publish::Published, snapshot::Snapshot},
    as_of::as_of,
    points::find,
    problem::Problem,
    query::Query,
};
use crate::api::{History, Lines};
use std::sync::PoisonError;

/// Its parameters.
pub const PARAMETERS: [&str; 2] = ["point", "after_seconds"];

/// The time lines of a point.
///
/// # Errors
/// When a parameter is not valid, or there are no lines of the point.
pub fn of(snapshot: &Snapshot, published: &Published, query: &Query) -> Result<History, Problem> {
    let Some(id) = query.text("point")? else {
        let why = "it is missing: give the id of a point, as in /api/v1/points";
        return Err(Problem::invalid_parameter("point", why));
    };
    let after = match query.text("after_seconds")? {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => Some((seconds * 1e3) as i64),
            _ => {
                let why = format!("{text:?} is no time in seconds since 1970");
                return Err(Problem::invalid_parameter("after_seconds", why));
            }
        },
    };
    let row = find(snapshot, id)?;
    let told = {
        let history = published.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.of(&row.load.point, after)
    };
    let Some(told) = told else {
        let why = match row.load.local {
            false => "it does not run on this node, so that only its callers are known here; ask the agent of its node",
            true => "there is none yet, or more points run on this node than are kept in memory",
        };
        return Err(Problem::no_history(id, why));
    };
    let mut lines = Lines::default();
    told.samples.iter().for_each(|(_, sample)| lines.push(sample));
    Ok(History {
        as_of: as_of(snapshot),
        point: id.to_owned(),
        resolution_seconds: published.resolution.as_secs_f64() * told.step as f64,
        time_seconds: told.samples.iter().map(|(time, _)| *time as f64 / 1e3).collect(),
        lines,
    })
}
