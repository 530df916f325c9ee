//! A condition on the labels of a Kubernetes object.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A label that an object has: with any value (`key`), or with one (`key=value`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelCondition {
    key: String,
    value: Option<String>,
}

impl LabelCondition {
    /// Whether the labels fulfil it.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl FromStr for LabelCondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty()
            || text.contains(char::is_whitespace)
            || value.as_ref().is_some_and(|value| value.contains('='))
        {
            return Err(format!(
                "{text:?} is not a label, expected key or key=value, e.g. type=virtual-kubelet"
            ));
        }
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

impl TryFrom<String> for LabelCondition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for LabelCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

impl From<LabelCondition> for String {
    fn from(condition: LabelCondition) -> Self {
        condition.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_there_or_has_a_value() {
        let labels = BTreeMap::from([("type".to_owned(), "virtual-kubelet".to_owned())]);
        for (text, holds) in [
            ("type", true),
            ("type=virtual-kubelet", true),
            ("type=", false),
            ("type=other", false),
            ("kind", false),
        ] {
            let condition: LabelCondition = text.parse().expect("a condition");
            assert_eq!(
                (condition.holds(&labels), condition.to_string().as_str()),
                (holds, text)
            );
        }
        for wrong in ["", "=x", "a b", "a=b=c", "type in (x)"] {
            let error = wrong.parse::<LabelCondition>().expect_err(wrong);
            assert!(error.contains("is not a label, expected key or key=value"), "{error}");
        }
    }
}
