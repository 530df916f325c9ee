//! Who a token belongs to, and what they may get: TokenReview and SubjectAccessReview for paths that are no resources.
//!
//! Both are created, and the answer is the object with its status, which is not stored. The checks of what is asked, and the
//! texts, are those of a real server.

use serde_json::{Value, json};

use super::answer::Status;
use super::fault::USER;

/// The audience of tokens for the API server itself, and of a review that names none.
const OWN_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// The group of everybody with a token.
const AUTHENTICATED: &str = "system:authenticated";

/// What the default role `system:discovery` lets every user with a token get (Kubernetes' `bootstrappolicy`).
const DISCOVERY: [&str; 11] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];

/// Makes a status of what is asked.
type Review = fn(&Reviews, &Value) -> Result<Value, Status>;

/// Tokens and their users, and who may get what.
#[derive(Debug)]
pub(super) struct Reviews {
    tokens: Vec<Token>,
    rules: Vec<Rule>,
    /// Whether the agent's account is bound to `system:auth-delegator`.
    pub is_delegated: bool,
}

#[derive(Debug)]
struct Token {
    text: String,
    user: String,
    audiences: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    user_or_group: String,
    path: String,
}

impl Default for Reviews {
    fn default() -> Self {
        let rules = DISCOVERY.map(|path| Rule {
            user_or_group: AUTHENTICATED.to_owned(),
            path: path.to_owned(),
        });
        Self {
            tokens: Vec::new(),
            rules: rules.into(),
            is_delegated: true,
        }
    }
}

impl Reviews {
    /// From now on, this token is that of a user. Without audiences, it is for the API server itself.
    pub fn issue(&mut self, token: &str, user: &str, audiences: &[&str]) {
        let audiences = if audiences.is_empty() {
            &[OWN_AUDIENCE]
        } else {
            audiences
        };
        self.revoke(token);
        self.tokens.push(Token {
            text: token.to_owned(),
            user: user.to_owned(),
            audiences: audiences.iter().copied().map(str::to_owned).collect(),
        });
    }

    /// Nobody has this token any more.
    pub fn revoke(&mut self, token: &str) {
        self.tokens.retain(|known| known.text != token);
    }

    /// Lets a user or a group get a path, or with `*` at the end all that begin with it.
    pub fn allow(&mut self, user_or_group: &str, path: &str) {
        self.rules.push(Rule {
            user_or_group: user_or_group.to_owned(),
            path: path.to_owned(),
        });
    }

    /// The reviewed object; `None` for a path that is no review.
    pub fn review(&self, path: &str, body: &[u8]) -> Option<Result<Value, Status>> {
        let (group, plural, kind, review): (_, _, _, Review) = match path {
            "/apis/authentication.k8s.io/v1/tokenreviews" => {
                ("authentication.k8s.io", "tokenreviews", "TokenReview", Self::token)
            }
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => (
                "authorization.k8s.io",
                "subjectaccessreviews",
                "SubjectAccessReview",
                Self::access,
            ),
            _ => return None,
        };
        if !self.is_delegated {
            let message = format!(
                r#"{plural}.{group} is forbidden: User "{USER}" cannot create resource "{plural}" in API group "{group}" at the cluster scope"#
            );
            return Some(Err(Status::new(403, message)));
        }
        let reviewed = serde_json::from_slice(body)
            .map_err(|error| Status::new(400, format!("the object provided is unrecognized: {error}")))
            .and_then(|mut object: Value| {
                let version = format!("{group}/v1");
                if object["kind"] != kind || object["apiVersion"] != *version {
                    return Err(Status::new(
                        400,
                        format!("the object provided is no {kind} of {version}"),
                    ));
                }
                object["status"] = review(self, &object["spec"])?;
                Ok(object)
            });
        Some(reviewed)
    }

    fn token(&self, spec: &Value) -> Result<Value, Status> {
        let text = spec["token"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(Status::new(400, "token is required for TokenReview in authentication"));
        }
        let mut wanted = texts(&spec["audiences"]);
        if wanted.is_empty() {
            wanted.push(OWN_AUDIENCE);
        }
        let invalid = |why: String| json!({ "user": {}, "error": format!("[invalid bearer token, {why}]") });
        let Some(token) = self.tokens.iter().find(|token| token.text == text) else {
            return Ok(invalid("service account token is not valid".to_owned()));
        };
        let common: Vec<_> = token
            .audiences
            .iter()
            .filter(|one| wanted.contains(&one.as_str()))
            .collect();
        if common.is_empty() {
            return Ok(invalid(format!(
                "token audiences {:?} is invalid for the target audiences {wanted:?}",
                token.audiences
            )));
        }
        Ok(json!({
            "authenticated": true,
            "user": {
                "username": token.user,
                "uid": format!("uid-of-{}", token.user),
                "groups": [AUTHENTICATED],
                "extra": { "authentication.kubernetes.io/credential-id": ["JTI=1"] },
            },
            "audiences": common,
        }))
    }

    fn access(&self, spec: &Value) -> Result<Value, Status> {
        let invalid = |field: &str, why: &str| {
            let message =
                format!("SubjectAccessReview.authorization.k8s.io \"\" is invalid: {field}: Invalid value: {why}");
            Status::new(422, message)
        };
        let (user, groups) = (spec["user"].as_str().unwrap_or_default(), texts(&spec["groups"]));
        if user.is_empty() && groups.is_empty() {
            return Err(invalid("spec.user", "at least one of user or group must be specified"));
        }
        let asked = &spec["nonResourceAttributes"];
        if asked.is_object() == spec["resourceAttributes"].is_object() {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(invalid("spec.resourceAttributes", why));
        }
        let path = asked["path"].as_str().unwrap_or_default();
        let allowing = self.rules.iter().find(|rule| {
            let is_meant = rule.user_or_group == user || groups.contains(&rule.user_or_group.as_str());
            is_meant && rule.covers(path)
        });
        Ok(match allowing {
            Some(rule) if asked["verb"] == "get" => json!({
                "allowed": true,
                "reason": format!("RBAC: allowed by ClusterRoleBinding \"test\" of {:?}", rule.user_or_group),
            }),
            _ => json!({ "allowed": false }),
        })
    }
}

impl Rule {
    /// As RBAC does (`NonResourceURLMatches`).
    fn covers(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(begin) => path.starts_with(begin),
            None => path == self.path,
        }
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_review(reviews: &Reviews, spec: &Value) -> Result<Value, Status> {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let reviewed = reviews.review(path, body.to_string().as_bytes()).expect("a review");
        reviewed.map(|object| object["status"].clone())
    }

    fn may(reviews: &Reviews, user: &str, path: &str) -> bool {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": { "user": user, "groups": [AUTHENTICATED], "nonResourceAttributes": { "path": path, "verb": "get" } },
        });
        let kind = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let reviewed = reviews.review(kind, body.to_string().as_bytes()).expect("a review");
        reviewed.expect("an answer")["status"]["allowed"] == true
    }

    #[test]
    fn a_token_is_for_its_audiences() {
        let mut reviews = Reviews::default();
        reviews.issue("one", "ada", &[]);
        reviews.issue("two", "bob", &["narrows"]);
        for (spec, user) in [
            (json!({ "token": "one" }), Some("ada")),
            (json!({ "token": "one", "audiences": ["narrows"] }), None),
            (json!({ "token": "two" }), None),
            (
                json!({ "token": "two", "audiences": ["other", "narrows"] }),
                Some("bob"),
            ),
            (json!({ "token": "three" }), None),
        ] {
            let status = token_review(&reviews, &spec).expect("an answer");
            assert_eq!(status["user"]["username"].as_str(), user, "{spec}");
            assert_eq!(status["authenticated"] == true, user.is_some(), "{spec}");
        }
        assert!(token_review(&reviews, &json!({})).is_err(), "without a token");
    }

    #[test]
    fn rules_are_paths_or_what_paths_begin_with() {
        let mut reviews = Reviews::default();
        reviews.allow("ada", "/narrows/*");
        reviews.allow("bob", "/narrows/");
        assert!(may(&reviews, "ada", "/narrows/api/v1/points") && may(&reviews, "ada", "/narrows/"));
        assert!(may(&reviews, "bob", "/narrows/") && !may(&reviews, "bob", "/narrows/api/v1/points"));
        // Everybody may, by a role that every cluster has.
        assert!(may(&reviews, "eve", "/api/v1/points") && !may(&reviews, "eve", "/metrics"));
    }
}
