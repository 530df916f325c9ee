//! Errors of requests to the API server, as messages that say what to do.

use super::source::{Source, Verb};
use std::{fmt, time::Duration};

/// An API server that starts answers 403 until it has loaded its roles, which takes seconds. So a refusal says something about the
/// agent's role only when it has been repeated for this time.
pub const LASTING: Duration = Duration::from_secs(30);

/// One failed request to the API server.
#[derive(Clone, Debug)]
pub struct Trouble {
    verb: Verb,
    source: Source,
    what: Cause,
    /// The delay that the API server asked for (`Retry-After`).
    pub retry_after: Duration,
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The API server answered 403.
    Forbidden,
    /// The API server answered 401.
    Unauthorized,
    /// The API server answered with another error.
    Answered(String),
    /// There was no answer.
    Unreachable(String),
    /// The answer cannot be used.
    Other(String),
}

impl Cause {
    /// That of an error of the Kubernetes client.
    pub fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthorized,
                403 => Self::Forbidden,
                code => Self::Answered(format!(
                    "the API server answered {code}: {}",
                    first_line(&status.message)
                )),
            },
            // The response had begun.
            kube::Error::HyperError(error) => Self::Other(broken(&error)),
            kube::Error::SerdeError(error) => Self::Other(format!("the API server's answer cannot be read: {error}")),
            other => Self::Unreachable(format!("the API server cannot be reached: {}", innermost(&other))),
        }
    }
}

impl Trouble {
    /// The kind of request that failed.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Whether the answer was 403: the agent's role forbids the request, or the API server has not loaded its roles yet.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.what, Cause::Forbidden)
    }

    /// Whether the API server did answer, with an error other than 401 and 403.
    pub fn is_answer(&self) -> bool {
        matches!(self.what, Cause::Answered(_))
    }

    /// Whether there was no answer.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.what, Cause::Unreachable(_))
    }

    /// What to say of it. `is_lasting`: if it is a refusal, it has been repeated for [`LASTING`].
    pub fn sentence(&self, is_lasting: bool) -> String {
        if self.is_forbidden() && !is_lasting {
            let (verb, resource) = (self.verb.label(), self.source.resource());
            return format!(
                "cannot {verb} {resource}: the API server answered 403, as one that is starting does; if that lasts for {} s, \
                 the agent's role is the cause",
                LASTING.as_secs()
            );
        }
        self.to_string()
    }

    /// An error other than a response of the API server.
    pub fn new(verb: Verb, source: Source, what: String) -> Self {
        Self {
            verb,
            source,
            what: Cause::Other(what),
            retry_after: Duration::ZERO,
        }
    }

    /// An error of the Kubernetes client.
    pub fn of(verb: Verb, source: Source, error: kube::Error) -> Self {
        let mut trouble = Self::new(verb, source, String::new());
        if let kube::Error::Api(status) = &error {
            let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            trouble.retry_after = Duration::from_secs(u64::from(wait));
        }
        trouble.what = Cause::of(error);
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
            Cause::Forbidden => write!(
                f,
                "the agent's role lacks the verb {verb:?} on {resource:?}: add it (deploy/kubernetes/rbac.yaml has all that \
                 is needed)"
            ),
            Cause::Unauthorized => write!(
                f,
                "cannot {verb} {resource}: the API server does not accept the agent's token (401); does its service \
                 account still exist?"
            ),
            Cause::Answered(what) | Cause::Unreachable(what) | Cause::Other(what) => {
                write!(f, "cannot {verb} {resource}: {what}")
            }
        }
    }
}
