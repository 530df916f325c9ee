//! Parses requests.

use std::time::Instant;

use hyper::{Method, Uri};

use super::resource::{Resource, Verb};
use super::selector::Selector;

/// A request, as the API server has parsed it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When the request arrived.
    pub at: Instant,
    /// `None` for requests that would change objects.
    pub verb: Option<Verb>,
    /// `None` for a path that is not a resource.
    pub resource: Option<Resource>,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The namespace that it is limited to.
    pub namespace: Option<String>,
    /// The object, for a get.
    pub name: Option<String>,
    /// The query parameter `fieldSelector`.
    pub field_selector: Option<String>,
    /// The query parameter `labelSelector`.
    pub label_selector: Option<String>,
    /// The query parameter `limit`.
    pub limit: Option<u64>,
    /// Whether it asked for a further page of a list.
    pub continued: bool,
    /// The query parameter `resourceVersion`.
    pub resource_version: Option<String>,
    /// The status of the answer; `None` until there is one.
    pub status: Option<u16>,
}

/// A request with its parsed path and query.
#[derive(Debug)]
pub(super) struct Question {
    pub verb: Option<Verb>,
    pub resource: Option<Resource>,
    pub path: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Question {
    pub fn new(method: &Method, uri: &Uri) -> Self {
        let path = uri.path().to_owned();
        let query = uri.query().unwrap_or_default();
        let (resource, namespace, name) = match place(&path) {
            Some((resource, namespace, name)) => (Some(resource), namespace, name),
            None => (None, None, None),
        };
        let mut question = Self {
            verb: None,
            resource,
            path,
            namespace,
            name,
            parameters: parameters(query),
        };
        question.verb = (method == Method::GET).then(|| question.reading_verb());
        question
    }

    fn reading_verb(&self) -> Verb {
        match (self.resource, &self.name) {
            (Some(_), None) if self.flag("watch") => Verb::Watch,
            (Some(_), None) => Verb::List,
            _ => Verb::Get,
        }
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), Some("1" | "true" | "True"))
    }

    /// The value of a numeric parameter; the error is a message for the client.
    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| format!("{name}: Invalid value: \"{text}\": must be a number"))
    }

    /// What a list or a watch of a resource is limited to.
    pub fn selector(&self, resource: Resource) -> Result<Selector, String> {
        let text = |name| self.parameter(name).unwrap_or_default();
        let namespace = self.namespace.as_deref();
        Selector::parse(resource, namespace, text("fieldSelector"), text("labelSelector"))
    }

    pub fn asked(&self) -> Asked {
        let parameter = |name| self.parameter(name).map(str::to_owned);
        Asked {
            at: Instant::now(),
            verb: self.verb,
            resource: self.resource,
            path: self.path.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            field_selector: parameter("fieldSelector"),
            label_selector: parameter("labelSelector"),
            limit: self.number("limit").ok().flatten(),
            continued: self.parameter("continue").is_some(),
            resource_version: parameter("resourceVersion"),
            status: None,
        }
    }
}

/// The resource, namespace and name in a path.
fn place(path: &str) -> Option<(Resource, Option<String>, Option<String>)> {
    let rest = path.strip_prefix("/api/v1/")?;
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.contains(&"") {
        return None;
    }
    let resource =
        |plural, namespaced| Resource::from_plural(plural).filter(|resource| resource.namespaced() == namespaced);
    let text = |part: &str| Some(part.to_owned());
    Some(match *parts {
        [plural] => (Resource::from_plural(plural)?, None, None),
        [plural, name] => (resource(plural, false)?, None, text(name)),
        ["namespaces", namespace, plural] => (resource(plural, true)?, text(namespace), None),
        ["namespaces", namespace, plural, name] => (resource(plural, true)?, text(namespace), text(name)),
        _ => return None,
    })
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Decodes the percent encoding of a query.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or(b'?')).to_digit(16));
                match digits {
                    // Two hexadecimal digits are a byte.
                    [Some(high), Some(low)] => (high * 16 + low) as u8,
                    _ => b'?',
                }
            }
            plain => plain,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Question {
        Question::new(&Method::GET, &uri.parse().expect("a URI"))
    }

    #[test]
    fn finds_the_resource() {
        for (path, resource, namespace, name) in [
            ("/api/v1/pods", Some(Resource::Pods), None, None),
            ("/api/v1/namespaces/a/pods", Some(Resource::Pods), Some("a"), None),
            (
                "/api/v1/namespaces/a/pods/b",
                Some(Resource::Pods),
                Some("a"),
                Some("b"),
            ),
            ("/api/v1/namespaces", Some(Resource::Namespaces), None, None),
            ("/api/v1/namespaces/a", Some(Resource::Namespaces), None, Some("a")),
            ("/api/v1/nodes/n1", Some(Resource::Nodes), None, Some("n1")),
            ("/api/v1/pods/b", None, None, None),
            ("/api/v1/namespaces/a/nodes", None, None, None),
            ("/api/v1/namespaces//pods", None, None, None),
            ("/apis/apps/v1/deployments", None, None, None),
        ] {
            let question = read(path);
            let found = (
                question.resource,
                question.namespace.as_deref(),
                question.name.as_deref(),
            );
            assert_eq!(found, (resource, namespace, name), "{path}");
        }
    }

    #[test]
    fn reads_the_query() {
        let list = read("/api/v1/pods?&limit=500&fieldSelector=spec.nodeName%3Dn+1%2C&continue=");
        assert_eq!(list.verb, Some(Verb::List));
        assert_eq!(list.parameter("fieldSelector"), Some("spec.nodeName=n 1,"));
        assert_eq!(list.number("limit"), Ok(Some(500)));
        assert!(!list.asked().continued);
        assert!(read("/api/v1/pods?limit=x").number("limit").is_err());
        for watch in ["/api/v1/pods?watch=1", "/api/v1/namespaces/a/pods?watch=true"] {
            assert_eq!(read(watch).verb, Some(Verb::Watch));
        }
        assert_eq!(read("/version").verb, Some(Verb::Get));
    }
}
