//! Merging: of an applied configuration, and of a strategic merge patch.

use serde_json::{Map, Value};

use super::fields::{is_atomic, key_of, keys};

/// Writes the fields of an applied configuration into an object.
pub(super) fn apply(live: &mut Value, config: Value) {
    merge(live, "", config, &|_| false);
}

/// Writes a strategic merge patch into an object.
pub(super) fn strategic(live: &mut Value, patch: Value) {
    merge(live, "", patch, &|item| item["$patch"] == "delete");
}

fn merge(live: &mut Value, member: &str, new: Value, deletes: &dyn Fn(&Value) -> bool) {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) if !is_atomic(member) => members(live, new, deletes),
        (Value::Array(live), Value::Array(new)) if keys(member).is_some() => {
            let keys = keys(member).unwrap_or_default();
            for item in new {
                let key = key_of(keys, &item);
                let position = live.iter().position(|known| key_of(keys, known) == key);
                match position {
                    Some(position) if deletes(&item) => {
                        live.remove(position);
                    }
                    Some(position) => merge(&mut live[position], "", item, deletes),
                    None => live.push(item),
                }
            }
        }
        (live, new) => *live = new,
    }
}

fn members(live: &mut Map<String, Value>, new: Map<String, Value>, deletes: &dyn Fn(&Value) -> bool) {
    for (name, value) in new {
        // Directives about order, which these lists do not need.
        if name.starts_with('$') {
            continue;
        }
        match value {
            Value::Null => {
                live.remove(&name);
            }
            value => merge(live.entry(name.clone()).or_insert(Value::Null), &name, value, deletes),
        }
    }
}
