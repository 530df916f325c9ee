//! Connections that are meant to pass by points, such as those of a monitoring system: the user's own list.

use super::pattern::fits;
use serde::{Deserialize, Serialize};

/// Connections that do not count as bypasses, by the conditions that are given; all of them have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exclusion {
    /// The namespace of the calling workload; `*` stands for any characters, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of the calling workload; `*` as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The port at which the connection arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Exclusion {
    /// Checks that it has at least one condition, none of which is empty.
    ///
    /// # Errors
    /// A sentence that names the fields.
    pub fn validate(&self) -> Result<(), String> {
        let texts = [("namespace", &self.namespace), ("workload", &self.workload)];
        for (field, text) in texts {
            match text.as_deref() {
                Some("") => return Err(format!("has an empty {field}")),
                Some(text) if text.contains('/') => {
                    return Err(format!(
                        "has {text:?} as its {field}: give the namespace and the name of a workload in two fields"
                    ));
                }
                _ => {}
            }
        }
        match (self.port, &self.namespace, &self.workload) {
            (Some(0), ..) => Err("has port 0, at which no connection arrives".to_owned()),
            (None, None, None) => {
                Err("needs namespace, workload or port: without any, it would exclude everything".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether a connection from this workload to this port is excluded.
    pub fn covers(&self, (namespace, workload): (&str, &str), port: u16) -> bool {
        let holds = |pattern: &Option<String>, text| pattern.as_deref().is_none_or(|pattern| fits(pattern, text));
        holds(&self.namespace, namespace) && holds(&self.workload, workload) && self.port.is_none_or(|own| own == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclusion(namespace: &str, workload: &str, port: u16) -> Exclusion {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Exclusion {
            namespace: given(namespace),
            workload: given(workload),
            port: (port > 0).then_some(port),
        }
    }

    #[test]
    fn all_conditions_have_to_hold() {
        for (one, covered) in [
            (exclusion("monitoring", "", 0), true),
            (exclusion("mon*", "prom*", 9090), true),
            (exclusion("", "", 9090), true),
            (exclusion("monitoring", "grafana", 0), false),
            (exclusion("shop", "prometheus", 0), false),
            (exclusion("monitoring", "prometheus", 9091), false),
        ] {
            assert_eq!(one.covers(("monitoring", "prometheus"), 9090), covered, "{one:?}");
        }
    }

    #[test]
    fn one_that_excludes_everything_or_nothing_is_refused() {
        assert!(
            exclusion("", "", 0)
                .validate()
                .expect_err("everything")
                .starts_with("needs ")
        );
        assert!(
            exclusion("", "a/b", 0)
                .validate()
                .expect_err("two names")
                .contains("two fields")
        );
        let never = Exclusion {
            port: Some(0),
            ..Exclusion::default()
        };
        assert!(never.validate().expect_err("no port").contains("port 0"));
        let empty = Exclusion {
            namespace: Some(String::new()),
            ..Exclusion::default()
        };
        assert!(empty.validate().expect_err("empty").contains("an empty namespace"));
        assert_eq!(exclusion("", "", 80).validate(), Ok(()));
    }
}
