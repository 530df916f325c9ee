//! Errors of requests to the API server, as messages that say what to do.

use super::source::{Source, Verb};
use std::{fmt, time::Duration};

/// One failed request to the API server.
#[derive(Clone, Debug)]
pub struct Trouble {
    verb: Verb,
    source: Source,
    what: What,
    /// The delay that the API server asked for (`Retry-After`).
    pub retry_after: Duration,
}

#[derive(Clone, Debug)]
enum What {
    Forbidden,
    Unauthorized,
    Other(String),
}

impl Trouble {
    /// The kind of request that failed.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Whether the agent's role forbids the request.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.what, What::Forbidden)
    }

    /// An error other than a response of the API server.
    pub fn new(verb: Verb, source: Source, what: String) -> Self {
        Self {
            verb,
            source,
            what: What::Other(what),
            retry_after: Duration::ZERO,
        }
    }

    /// An error of the Kubernetes client.
    pub fn of(verb: Verb, source: Source, error: kube::Error) -> Self {
        let mut trouble = Self::new(verb, source, String::new());
        trouble.what = match error {
            kube::Error::Api(status) => {
                let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                trouble.retry_after = Duration::from_secs(u64::from(wait));
                match status.code {
                    401 => What::Unauthorized,
                    403 => What::Forbidden,
                    code => What::Other(format!(
                        "the API server answered {code}: {}",
                        first_line(&status.message)
                    )),
                }
            }
            // The response had begun.
            kube::Error::HyperError(error) => What::Other(broken(&error)),
            other => What::Other(format!("the API server cannot be reached: {}", innermost(&other))),
        };
        trouble
    }
}

/// A connection that broke in the middle of a response.
pub fn broken(error: &dyn std::error::Error) -> String {
    let cause = innermost(error);
    if cause.contains("close_notify") || cause.contains("unexpected end of file") {
        return "the connection ended in the middle of the answer".to_owned();
    }
    format!("the connection broke: {cause}")
}

/// The innermost cause of an error, which is the most specific, in one line.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    first_line(&innermost.to_string())
}

/// Error responses of intermediate proxies can be whole pages.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, resource) = (self.verb.label(), self.source.resource());
        match &self.what {
            What::Forbidden => write!(
                f,
                "the agent's role lacks the verb {verb:?} on {resource:?}: add it (deploy/kubernetes/rbac.yaml has all that \
                 is needed)"
            ),
            What::Unauthorized => write!(
                f,
                "cannot {verb} {resource}: the API server does not accept the agent's token (401); does its service \
                 account still exist?"
            ),
            What::Other(what) => write!(f, "cannot {verb} {resource}: {what}"),
        }
    }
}
