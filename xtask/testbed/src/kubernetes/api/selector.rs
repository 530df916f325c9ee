//! Field and label selectors.

use super::object::Object;
use super::resource::Resource;

/// The objects that a list or a watch is limited to.
#[derive(Debug, Default, Clone)]
pub(super) struct Selector {
    /// Only objects in this namespace.
    pub namespace: Option<String>,
    fields: Vec<FieldTerm>,
    labels: Vec<LabelTerm>,
}

#[derive(Debug, Clone)]
struct FieldTerm {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Namespace,
    Node,
    Phase,
}

#[derive(Debug, Clone, PartialEq)]
enum LabelTerm {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    /// Objects without the label match, too.
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Parses both selectors; the error is the message of a real API server.
    pub fn parse(resource: Resource, namespace: Option<&str>, fields: &str, labels: &str) -> Result<Self, String> {
        let field_error = |why: String| {
            format!(
                r#"Unable to find "/v1, Resource={resource}" that match label selector "{labels}", field selector "{fields}": {why}"#
            )
        };
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            fields: parse_fields(resource, fields).map_err(field_error)?,
            labels: parse_labels(labels).map_err(|why| format!("unable to parse requirement: {why}"))?,
        })
    }

    /// Whether it selects by more than the namespace.
    pub fn selects(&self) -> bool {
        !self.fields.is_empty() || !self.labels.is_empty()
    }

    pub fn matches(&self, object: &Object) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| **namespace == *object.namespace)
            && self.fields.iter().all(|term| term.matches(object))
            && self.labels.iter().all(|term| term.matches(object))
    }
}

impl FieldTerm {
    fn matches(&self, object: &Object) -> bool {
        let value = match self.field {
            Field::Name => &object.name,
            Field::Namespace => &object.namespace,
            Field::Node => &object.node,
            Field::Phase => &object.phase,
        };
        (**value == *self.value) == self.equal
    }
}

impl LabelTerm {
    fn matches(&self, object: &Object) -> bool {
        let among = |key: &str, values: &[String]| {
            let label = object.label(key);
            label.is_some_and(|label| values.iter().any(|value| value == label))
        };
        match self {
            Self::Exists(key) => object.label(key).is_some(),
            Self::Absent(key) => object.label(key).is_none(),
            Self::In(key, values) => among(key, values),
            Self::NotIn(key, values) => !among(key, values),
        }
    }
}

fn parse_fields(resource: Resource, text: &str) -> Result<Vec<FieldTerm>, String> {
    let terms = text.split(',').filter(|term| !term.is_empty());
    terms
        .map(|term| {
            let (name, equal, value) =
                split_operator(term).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{term}'"))?;
            let field = match (name, resource) {
                ("metadata.name", _) => Field::Name,
                ("metadata.namespace", _) => Field::Namespace,
                ("spec.nodeName", Resource::Pods) => Field::Node,
                ("status.phase", Resource::Pods | Resource::Namespaces) => Field::Phase,
                _ => return Err(format!("field label not supported: {name}")),
            };
            let value = value.to_owned();
            Ok(FieldTerm { field, equal, value })
        })
        .collect()
}

/// `a=b`, `a==b` or `a!=b`.
fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    let (name, value) = term.split_once('=')?;
    Some(match name.strip_suffix('!') {
        Some(name) => (name.trim(), false, value.trim()),
        None => (name.trim(), true, value.strip_prefix('=').unwrap_or(value).trim()),
    })
}

fn parse_labels(text: &str) -> Result<Vec<LabelTerm>, String> {
    let terms = split_outside_brackets(text);
    let terms = terms.into_iter().map(str::trim).filter(|term| !term.is_empty());
    terms
        .map(|term| parse_label(term).ok_or_else(|| format!("found '{term}', expected a requirement")))
        .collect()
}

fn parse_label(term: &str) -> Option<LabelTerm> {
    if let Some(set) = term.strip_suffix(')') {
        let (head, values) = set.split_once('(')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let key = label_key(key)?;
        return match operator {
            "in" => Some(LabelTerm::In(key, values)),
            "notin" => Some(LabelTerm::NotIn(key, values)),
            _ => None,
        };
    }
    if let Some((key, equal, value)) = split_operator(term) {
        let (key, values) = (label_key(key)?, vec![value.to_owned()]);
        return Some(match equal {
            true => LabelTerm::In(key, values),
            false => LabelTerm::NotIn(key, values),
        });
    }
    match term.strip_prefix('!') {
        Some(key) => Some(LabelTerm::Absent(label_key(key)?)),
        None => Some(LabelTerm::Exists(label_key(term)?)),
    }
}

fn label_key(text: &str) -> Option<String> {
    let key = text.trim();
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    (!key.is_empty() && key.chars().all(allowed)).then(|| key.to_owned())
}

/// The commas inside of `in (a,b)` separate values.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|character| {
        inside = match character {
            '(' => true,
            ')' => false,
            _ => inside,
        };
        character == ',' && !inside
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Object {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
        });
        Object::new(Resource::Pods, pod, 1, None)
    }

    fn matches(fields: &str, labels: &str) -> Result<bool, String> {
        Ok(Selector::parse(Resource::Pods, None, fields, labels)?.matches(&pod()))
    }

    #[test]
    fn fields() {
        for (selector, expected) in [
            ("", true),
            ("spec.nodeName=n1", true),
            ("spec.nodeName==n2", false),
            ("spec.nodeName=n1,status.phase!=Running", false),
            ("metadata.name=a,metadata.namespace=shop,status.phase!=Failed", true),
        ] {
            assert_eq!(matches(selector, ""), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn labels() {
        for (selector, expected) in [
            ("app=web,tier==front", true),
            ("app!=web", false),
            ("absent!=web", true),
            ("app,!absent", true),
            ("!app", false),
            ("app in (api, web),tier notin (back,middle)", true),
            ("app notin (web)", false),
            ("absent notin (web)", true),
            ("absent in (web)", false),
        ] {
            assert_eq!(matches("", selector), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn namespace() -> Result<(), String> {
        let in_namespace = |name| Selector::parse(Resource::Pods, Some(name), "", "");
        assert!(in_namespace("shop")?.matches(&pod()));
        assert!(!in_namespace("other")?.matches(&pod()));
        Ok(())
    }

    #[test]
    fn refuses_what_a_real_server_refuses() {
        assert!(matches("spec.foo=1", "").is_err_and(|why| why.ends_with("field label not supported: spec.foo")));
        assert!(matches("nonsense", "").is_err());
        assert!(matches("", "a b").is_err());
        assert!(matches("", "a of (b)").is_err());
        assert!(Selector::parse(Resource::Services, None, "spec.nodeName=a", "").is_err());
    }
}
