//! What can go wrong with the API server, in a sentence that says what to do.

use super::source::Source;
use std::{error::Error as _, fmt, time::Duration};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All objects.
    List,
    /// Their changes.
    Watch,
}

impl Verb {
    /// As a role names it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// One failed request.
#[derive(Clone, Debug)]
pub struct Trouble {
    verb: Verb,
    source: Source,
    what: What,
    /// How long the API server wants to be left alone.
    pub retry_after: Duration,
}

#[derive(Clone, Debug)]
enum What {
    Forbidden,
    Unauthorized,
    Other(String),
}

impl Trouble {
    /// Something else than an answer of the API server.
    pub fn new(verb: Verb, source: Source, what: String) -> Self {
        Self {
            verb,
            source,
            what: What::Other(what),
            retry_after: Duration::ZERO,
        }
    }

    /// What the client said.
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
            other => {
                // The innermost cause says it best.
                let mut text = other.to_string();
                let mut source = other.source();
                while let Some(cause) = source {
                    text = cause.to_string();
                    source = cause.source();
                }
                What::Other(format!("the API server cannot be reached: {}", first_line(&text)))
            }
        };
        trouble
    }
}

/// Bodies of proxies in between can be whole pages.
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
