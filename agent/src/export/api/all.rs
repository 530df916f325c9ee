//! Answers about all nodes (`nodes=all`): this agent's own, and those of its peers.

use super::{
    super::{drains, publish::Published, snapshot::Snapshot},
    fleet::{Drained, Fleet, Listed},
    points::{LIMITS, list},
    problem::Problem,
    query::Query,
};
use crate::{api::PointList, draining::Drains};
use tokio::task::spawn_blocking;

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
    let own = built(published, move |snapshot| list(snapshot, &each)).await?;
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
    let own = built(published, |snapshot| Ok(drains::of(snapshot))).await?;
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

async fn built<T: Send + 'static>(
    published: Published,
    build: impl FnOnce(&Snapshot) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let built = spawn_blocking(move || build(&published.snapshot.load_full())).await;
    built.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
