//! Whose a bearer token is, and what they may read: asked of the API server by TokenReview and SubjectAccessReview.

use super::{access::Access, connection, trouble::Cause};
use crate::config;
use anyhow::Context;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// What the paths of the agent are called in rules of roles (`nonResourceURLs`): `/narrows/api/v1/points`. Without it they would be
/// open to everybody with a token, as the role `system:discovery`, which every cluster binds to all of them, allows `/api/*`.
pub const PREFIX: &str = "/narrows";

/// The time limit of a review. Longer in tests, where who asks and who answers share a thread.
const LONGEST: Duration = Duration::from_secs(if cfg!(test) { 15 } else { 5 });

/// Asks the API server for reviews.
pub struct Reviewer {
    client: Client,
    audiences: Vec<String>,
}

impl Reviewer {
    /// One for the cluster in the configuration. Within a runtime, which then runs the connection.
    ///
    /// # Errors
    /// There is no cluster, or its configuration cannot be used.
    pub fn new(config: &config::Config) -> anyhow::Result<Self> {
        let access = Access::find(config)?.context(
            "api.kubernetes is set, but there is no cluster to ask: kubernetes.mode is off, or this is neither a pod with a service \
             account nor does KUBECONFIG name a cluster",
        )?;
        Self::at(access.config, &config.api.audiences)
    }

    /// One for this cluster, for tokens of one of these audiences; if there are none, for those of the API server. Within a runtime,
    /// which then runs the connection.
    ///
    /// # Errors
    /// The cluster's configuration cannot be used.
    pub fn at(cluster: kube::Config, audiences: &[String]) -> anyhow::Result<Self> {
        Ok(Self {
            client: connection::client(cluster)?,
            audiences: audiences.to_vec(),
        })
    }

    /// Whose token this is; `None` when the API server does not accept it, or not for the audiences in the configuration.
    ///
    /// # Errors
    /// There is no answer that says so.
    pub async fn user(&self, token: &str) -> Result<Option<UserInfo>, ReviewError> {
        let spec = TokenReviewSpec {
            token: token.to_owned(),
            audiences: (!self.audiences.is_empty()).then(|| self.audiences.clone()),
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let status = self.review(&review).await?.status.unwrap_or_default();
        let is_meant = self.audiences.is_empty() || {
            // A server that knows nothing of audiences names none.
            let found = status.audiences.unwrap_or_default();
            found.iter().any(|audience| self.audiences.contains(audience))
        };
        let is_accepted = status.authenticated == Some(true) && is_meant;
        if let Some(error) = status.error.filter(|_| !is_accepted) {
            tracing::debug!("a bearer token was not accepted: {error}");
        }
        Ok(status.user.filter(|_| is_accepted))
    }

    /// Whether a user may get a path of this agent.
    ///
    /// # Errors
    /// There is no answer that says so.
    pub async fn may_get(&self, user: &UserInfo, path: &str) -> Result<bool, ReviewError> {
        let spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(format!("{PREFIX}{path}")),
                verb: Some("get".to_owned()),
            }),
            resource_attributes: None,
        };
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let status = self.review(&review).await?.status.unwrap_or_default();
        Ok(status.allowed)
    }

    async fn review<T>(&self, review: &T) -> Result<T, ReviewError>
    where
        T: Resource<DynamicType = ()> + Clone + fmt::Debug + Serialize + DeserializeOwned,
    {
        let api: Api<T> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let cause = match tokio::time::timeout(LONGEST, api.create(&parameters, review)).await {
            Ok(Ok(reviewed)) => return Ok(reviewed),
            Ok(Err(error)) => Cause::of(error),
            Err(_) => Cause::Unreachable(format!("no answer within {} s", LONGEST.as_secs())),
        };
        Err(ReviewError {
            resource: T::plural(&()).into_owned(),
            cause,
        })
    }
}

/// Why there was no review.
#[derive(Clone, Debug)]
pub struct ReviewError {
    resource: String,
    cause: Cause,
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = &self.resource;
        match &self.cause {
            Cause::Forbidden => write!(
                f,
                "the agent's service account may not create {resource}: bind it to the ClusterRole system:auth-delegator, as \
                 deploy/kubernetes/components/api-access does"
            ),
            Cause::Unauthorized => write!(
                f,
                "cannot create {resource}: the API server does not accept the agent's token (401); does its service account still exist?"
            ),
            Cause::Answered(what) | Cause::Unreachable(what) | Cause::Other(what) => {
                write!(f, "cannot create {resource}: {what}")
            }
        }
    }
}

impl std::error::Error for ReviewError {}
