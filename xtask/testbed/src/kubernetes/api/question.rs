//! Parses requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, USER_AGENT};
use hyper::{Method, Uri};

use super::resource::{Resource, Verb};
use super::selector::Selector;

/// A request, as the API server has parsed it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When the request arrived.
    pub at: Instant,
    /// `None` for requests that would change objects, and for reviews.
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
    /// The query parameter `resourceVersionMatch`.
    pub version_match: Option<String>,
    /// The header `Accept`.
    pub accept: Option<String>,
    /// Whether it accepts compressed answers.
    pub gzip: bool,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// The status of the answer; `None` until there is one.
    pub status: Option<u16>,
    pub(super) sent: Arc<AtomicU64>,
}

impl Asked {
    /// The bytes of the answer's body so far, as they are on the wire inside of TLS: compressed, if it is.
    pub fn bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
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
    headers: HeaderMap,
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
            headers: HeaderMap::new(),
        };
        question.verb = (method == Method::GET).then(|| question.reading_verb());
        question
    }

    /// The same with the request's headers.
    pub fn with_headers(mut self, headers: &HeaderMap) -> Self {
        self.headers = headers.clone();
        self
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether an answer may be compressed.
    pub fn accepts_gzip(&self) -> bool {
        let mut codings = self.header(&ACCEPT_ENCODING).unwrap_or_default().split(',');
        codings.any(|coding| coding.trim() == "gzip")
    }

    /// Whether only `metadata` of the objects is wanted.
    pub fn wants_metadata(&self) -> bool {
        let accept = self.header(&ACCEPT).unwrap_or_default();
        accept.contains("as=PartialObjectMetadata")
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
            version_match: parameter("resourceVersionMatch"),
            accept: self.header(&ACCEPT).map(str::to_owned),
            gzip: self.accepts_gzip(),
            user_agent: self.header(&USER_AGENT).map(str::to_owned),
            status: None,
            sent: Arc::default(),
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
