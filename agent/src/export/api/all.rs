//! Answers about all nodes (`nodes=all`): this agent's own, and those of its peers.

use super::{
    super::{drains, publish::Published},
    fleet::{Drained, Fleet, Listed},
    newest::{built, newest},
    points::{LIMITS, list},
    problem::Problem,
    query::Query,
};
use crate::{api::PointList, draining::Drains};

/// The points of all nodes, those with the most trouble first.
///
/// # Errors
/// When a parameter is not valid, or peers cannot be asked.
pub async fn points(published: Published, fleet: &Fleet, query: &Query) -> Result<PointList, Problem> {
    // How many of each agent are needed for the first page is known; for a later one it is not. An agent that is asked for few may leave
    // out a point of its own that is only in trouble elsewhere.
    let (first, most) = (query.limit(LIMITS.0, LIMITS.1)?, LIMITS.1);
    let wanted = if query.text("after")?.is_some() {
        most
    } else {
        first.max(LIMITS.0)
    };
    let each = query.of_one_node(wanted);
    let target = format!("/api/v1/points?{}", each.encoded());
    // First, as it says what is wrong with the parameters.
    let own = built(move || list(&*newest(&published)?, &each)).await?;
    let as_of = own.as_of.clone();
    let mut all = Listed::default();
    all.add(fleet.node(), own);
    let nodes = fleet
        .ask_all(&target, "a list of points", |node, list| all.add(node, list))
        .await?;
    all.page(as_of, nodes, query)
}

/// The drains of all nodes.
///
/// # Errors
/// When peers cannot be asked.
pub async fn drains(published: Published, fleet: &Fleet) -> Result<Drains, Problem> {
    let own = built(move || Ok(drains::of(&*newest(&published)?))).await?;
    let tick = own.tick;
    let mut all = Drained::default();
    all.add(fleet.node(), own);
    let nodes = fleet
        .ask_all("/api/v1/drains", "a list of drains", |node, drains| {
            all.add(node, drains);
        })
        .await?;
    Ok(all.answer(tick, nodes))
}
