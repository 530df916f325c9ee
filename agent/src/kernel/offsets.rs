//! The offsets, in this kernel, of the fields that the programs read.

use super::{
    btf::{Btf, NoPlace},
    restrictions::PROBED_FIELDS,
};
use crate::{program::Need, signals};
use agent_common::{ABSENT, Field, Offsets};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// The result of looking up a field.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FieldStatus {
    /// The field that was looked up.
    #[serde(skip)]
    pub place: Field,
    /// Its name: `structure.path`, as in the kernel's sources.
    pub field: String,
    /// Offset in bytes from the start of the structure; `None` when it is not known.
    pub offset: Option<u32>,
    /// Whether counting depends on it.
    pub required: bool,
    /// What is disabled because the field is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<&'static str>,
    /// Why the field is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The name of a field in configuration, messages and answers: `structure.path`, as in the kernel's sources.
pub fn name(field: Field) -> String {
    format!("{}.{}", field.structure(), field.path())
}

/// What is known of the kernel's types.
#[derive(Clone, Debug)]
pub struct Found {
    /// The offsets that are passed to the programs.
    pub offsets: Offsets,
    /// The same fields with the reasons for missing ones.
    pub fields: Vec<FieldStatus>,
    /// The names of the values of enumerations that signals export.
    pub enumerations: HashMap<&'static str, HashMap<u32, String>>,
    /// The number of arguments that tracepoints pass to programs, for those that a program depends on.
    pub arguments: HashMap<&'static str, usize>,
}

/// Looks up all fields, except optional ones that are disabled (named as `structure.path`), and those that cannot be read where the
/// kernel is `locked`.
pub fn find(btf: &Btf, off: &[String], locked: bool) -> Found {
    let mut offsets = Offsets::NONE;
    let mut fields = Vec::with_capacity(Field::ALL.len());
    for &place in Field::ALL {
        let field = name(place);
        let required = place.off_without().is_none();
        let found = btf.offset(place.structure(), place.path());
        let hidden = match &found {
            Err(error) => Some(error.to_string()),
            _ if !required && off.contains(&field) => {
                Some("it is switched off in the configuration: kernel.off".to_owned())
            }
            _ if locked && PROBED_FIELDS.contains(&field.as_str()) => {
                Some("lockdown=confidentiality forbids programs to read it".to_owned())
            }
            _ => None,
        };
        let offset = found.ok().filter(|_| hidden.is_none());
        offsets.set(place, offset.unwrap_or(ABSENT));
        fields.push(FieldStatus {
            place,
            reason: hidden,
            off: offset.is_none().then(|| place.off_without().unwrap_or("all")),
            field,
            offset,
            required,
        });
    }
    let tracepoints = signals::programs()
        .flat_map(|program| program.needs)
        .filter_map(|need| match need {
            Need::Argument(tracepoint, _) => Some(*tracepoint),
            _ => None,
        });
    Found {
        offsets,
        fields,
        enumerations: signals::ENUMERATIONS
            .into_iter()
            .map(|name| (name, btf.enumerators(name)))
            .collect(),
        arguments: tracepoints
            .filter_map(|name| Some((name, btf.arguments(name)?)))
            .collect(),
    }
}

/// What prevents counting: required fields whose offset is not known.
pub fn obstacle(fields: &[FieldStatus]) -> Option<String> {
    let unknown = |field: &&FieldStatus| field.required && field.offset.is_none();
    let (absent, others): (Vec<_>, Vec<_>) = (fields.iter().filter(unknown))
        .partition(|field| field.reason.as_deref() == Some(NoPlace::Absent.to_string().as_str()));
    let mut obstacles: Vec<_> = others.iter().filter_map(|field| field.reason.clone()).collect();
    if !absent.is_empty() {
        let absent: Vec<_> = absent.iter().map(|field| field.field.as_str()).collect();
        obstacles.insert(0, format!("this kernel has no {}", absent.join(", ")));
    }
    (!obstacles.is_empty()).then(|| format!("{}: Narrows does not know where to look on it", obstacles.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_field_that_is_not_known_is_named() {
        let field = |field: &str, required, why: Option<NoPlace>| FieldStatus {
            place: Field::sk_err,
            field: field.to_owned(),
            offset: why.is_none().then_some(8),
            required,
            off: None,
            reason: why.map(|why| why.to_string()),
        };
        let ambiguous = || NoPlace::Ambiguous {
            structure: "sock".to_owned(),
            path: "sk_err".to_owned(),
            number: 2,
        };
        let known = [
            field("net.ns.inum", true, None),
            field("sock.sk_drops", false, Some(NoPlace::Absent)),
            field("sock.sk_err", false, Some(ambiguous())),
        ];
        assert_eq!(obstacle(&known), None);
        let unknown = [
            field("sock.sk_err", true, Some(ambiguous())),
            field("cgroup.kn", true, Some(NoPlace::Absent)),
            field("kernfs_node.id", true, Some(NoPlace::Absent)),
        ];
        assert_eq!(
            obstacle(&unknown).expect("they are required"),
            "this kernel has no cgroup.kn, kernfs_node.id; this kernel has 2 structures called sock, which do not agree on \
             sk_err: Narrows does not know where to look on it"
        );
    }
}
