//! `/api/v1/points`, `/workloads`, `/paths`, `/history`, `/drains`, `/status` and `/openapi.json`: read from the newest snapshot when somebody asks, on a thread
//! of its own, so that neither ticks nor health checks wait. [`crate::api`] has the types of the answers.

mod all;
mod as_of;
mod detail;
mod endpoints;
mod fleet;
mod history;
mod newest;
mod paths;
mod point;
mod points;
mod problem;
mod query;
mod saturation;
mod status;
mod trouble;
mod workloads;

use super::{drains, publish::Published, snapshot::Snapshot};
use axum::{
    Router,
    extract::{FromRef, Path, State},
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
#[cfg(test)]
pub use fleet::LARGEST;
pub use fleet::{FailedConnections, Fleet, relay, sign};
use newest::{built, newest};
pub use problem::Problem;
use query::Query;
use serde::Serialize;

/// What is asked: this agent, or all of them through it.
#[derive(Clone)]
struct Served {
    published: Published,
    fleet: Fleet,
}

impl FromRef<Served> for Published {
    fn from_ref(served: &Served) -> Self {
        served.published.clone()
    }
}

impl FromRef<Served> for Fleet {
    fn from_ref(served: &Served) -> Self {
        served.fleet.clone()
    }
}

/// The routes. Whatever else is asked for below `/api` is an error in the form of the others.
pub fn router(published: Published, fleet: Fleet) -> Router {
    Router::new()
        .route("/api/v1/points", get(points))
        .route("/api/v1/points/{id}", get(detail))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/paths", get(paths))
        .route("/api/v1/history", get(history))
        .route("/api/v1/drains", get(drains))
        .route("/api/v1/status", get(status))
        .route("/api/v1/openapi.json", get(async || json(&crate::api::document())))
        .route("/api/{*rest}", any(async |uri: Uri| Problem::unknown_path(uri.path())))
        .with_state(Served { published, fleet })
}

/// The answer to a method that nothing here takes.
pub async fn method_not_allowed() -> Response {
    Problem::method_not_allowed().into_response()
}

async fn points(State(published): State<Published>, State(fleet): State<Fleet>, uri: Uri) -> Response {
    let query = match Query::read(&uri, &points::PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    match query.is_about_all_nodes() {
        Ok(false) => answer(published, move |snapshot, _| points::list(snapshot, &query)).await,
        Ok(true) => given(all::points(published, &fleet, &query).await.map(|list| json(&list))),
        Err(problem) => problem.into_response(),
    }
}

async fn detail(State(published): State<Published>, Path(id): Path<String>, uri: Uri) -> Response {
    answer(published, move |snapshot, _| {
        Query::read(&uri, &[])?;
        detail::of(snapshot, &id)
    })
    .await
}

async fn workloads(State(published): State<Published>, uri: Uri) -> Response {
    answer(published, move |snapshot, _| {
        workloads::list(snapshot, &Query::read(&uri, &workloads::PARAMETERS)?)
    })
    .await
}

async fn paths(State(published): State<Published>, uri: Uri) -> Response {
    answer(published, move |snapshot, _| {
        paths::of(snapshot, &Query::read(&uri, &paths::PARAMETERS)?)
    })
    .await
}

async fn history(State(published): State<Published>, uri: Uri) -> Response {
    answer(published, move |snapshot, published| {
        history::of(snapshot, published, &Query::read(&uri, &history::PARAMETERS)?)
    })
    .await
}

async fn drains(State(published): State<Published>, State(fleet): State<Fleet>, uri: Uri) -> Response {
    match Query::read(&uri, &["nodes"]).and_then(|query| query.is_about_all_nodes()) {
        Ok(false) => answer(published, |snapshot, _| Ok(drains::of(snapshot))).await,
        Ok(true) => given(all::drains(published, &fleet).await.map(|drains| json(&drains))),
        Err(problem) => problem.into_response(),
    }
}

async fn status(State(published): State<Published>, State(fleet): State<Fleet>, uri: Uri) -> Response {
    // Also before the first tick: of the programs, and of what is missing.
    given(
        built(move || {
            Query::read(&uri, &[])?;
            Ok(json(&status::of(&published.snapshot.load(), fleet.addresses())))
        })
        .await,
    )
}

/// An answer that is there, or why there is none.
fn given(answer: Result<Response, Problem>) -> Response {
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// Builds the answer from the newest snapshot.
async fn answer<T: Serialize + Send + 'static>(
    published: Published,
    build: impl FnOnce(&Snapshot, &Published) -> Result<T, Problem> + Send + 'static,
) -> Response {
    given(built(move || build(&*newest(&published)?, &published).map(|answer| json(&answer))).await)
}

fn json(answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => (
            [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
            body,
        )
            .into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}
