//! Checks for `narrows check` whether the cluster can be read.

use super::{
    access::Access,
    connection,
    reviewer::{ReviewError, Reviewer},
    runtime,
    source::{Place, Source, Verb},
    trouble::Trouble,
};
use crate::config;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::{Client, core::params::ListParams};
use serde::Deserialize;
use std::time::Duration;

/// A list, and the number of its objects, or the error.
pub type Answer = (Source, Result<String, String>);

/// The result for each list: the number of its objects, or the error. `None` when there is no cluster.
///
/// # Errors
/// When Kubernetes is on and the cluster cannot be tried.
pub fn try_out(config: &config::Config) -> anyhow::Result<Option<Vec<Answer>>> {
    const LONGEST: Duration = Duration::from_secs(10);
    let Some(access) = Access::find(config)? else {
        return Ok(None);
    };
    let sources = access.sources();
    let runtime = runtime()?;
    let answers = runtime.block_on(async {
        let client = connection::client(access.config)?;
        let mut answers = Vec::new();
        for place in sources {
            let one = async {
                let text = first_page(&client, &place).await?;
                first_watch(&client, &place).await?;
                Ok(text)
            };
            let answer = tokio::time::timeout(LONGEST, one).await.unwrap_or_else(|_| {
                let what = format!("no answer within {} s", LONGEST.as_secs());
                Err(Trouble::new(Verb::List, place.source, what))
            });
            answers.push((place.source, answer.map_err(|trouble| trouble.to_string())));
        }
        anyhow::Ok(answers)
    });
    runtime.shutdown_background();
    answers.map(Some)
}

/// Whether tokens and access can be reviewed, of which nobody is allowed anything; `None` when the configuration asks for no reviews.
///
/// # Errors
/// When there is no cluster to ask.
pub fn try_out_reviews(config: &config::Config) -> anyhow::Result<Option<Result<(), ReviewError>>> {
    if !config.api.kubernetes {
        return Ok(None);
    }
    let runtime = runtime()?;
    let reviewer = {
        let _inside = runtime.enter();
        Reviewer::new(config)?
    };
    let nobody = UserInfo {
        username: Some("system:anonymous".to_owned()),
        ..UserInfo::default()
    };
    let tried = runtime.block_on(async {
        reviewer.user("a token of nobody").await?;
        reviewer.may_get(&nobody, "/").await.map(drop)
    });
    runtime.shutdown_background();
    Ok(Some(tried))
}

/// Requests one object of a list, to check the permission. Returns the number of objects.
async fn first_page(client: &Client, place: &Place) -> Result<String, Trouble> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Remaining {
        remaining_item_count: Option<u64>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Counted {
        metadata: Remaining,
        items: Option<Vec<serde::de::IgnoredAny>>,
    }
    let trouble = |what| Trouble::new(Verb::List, place.source, what);
    let parameters = ListParams {
        limit: Some(1),
        ..place.first_page(&place.freshness())
    };
    let request = place.list(&parameters).map_err(|error| trouble(error.to_string()))?;
    let text = client
        .request_text(request)
        .await
        .map_err(|error| Trouble::of(Verb::List, place.source, error))?;
    let page: Counted =
        serde_json::from_str(&text).map_err(|error| trouble(format!("the answer is no list: {error}")))?;
    let objects = page.items.map_or(0, |items| items.len()) as u64 + page.metadata.remaining_item_count.unwrap_or(0);
    Ok(match place.fields {
        // API servers do not count the objects that a selector leaves.
        Some(_) => "may be listed and watched".to_owned(),
        None => format!("{objects}, may be listed and watched"),
    })
}

/// Opens a watch, to check the permission.
async fn first_watch(client: &Client, place: &Place) -> Result<(), Trouble> {
    // From any state on: the answer begins at once, and dropping it ends the watch.
    let request = place
        .watch("0")
        .map_err(|error| Trouble::new(Verb::Watch, place.source, error.to_string()))?;
    let stream = client.request_stream(request).await;
    stream
        .map(|_| ())
        .map_err(|error| Trouble::of(Verb::Watch, place.source, error))
}
