//! The configuration of a field: the panel's defaults, with the overrides for its name.

use anyhow::{Result, bail};
use regex::Regex;
use serde_json::Value;

use super::{color, unit};

/// How the values of one field are shown.
pub(super) struct Field(Value);

/// A value as it is shown.
pub(super) struct Shown {
    pub(super) text: String,
    /// The colour that thresholds or a mapping give to it.
    pub(super) color: String,
}

impl Field {
    /// The configuration of the field with this name.
    ///
    /// # Errors
    /// An override selects its fields in a way that is not known here.
    pub(super) fn of(panel: &Value, name: &str) -> Result<Self> {
        let mut config = panel["fieldConfig"]["defaults"].clone();
        for each in panel["fieldConfig"]["overrides"].as_array().into_iter().flatten() {
            let options = each["matcher"]["options"].as_str().unwrap_or_default();
            let is_meant = match each["matcher"]["id"].as_str() {
                Some("byName") => options == name,
                Some("byRegexp") => Regex::new(options.trim_matches('/'))?.is_match(name),
                other => bail!("the matcher {other:?} of an override is not known to the renderer of dashboards"),
            };
            if is_meant {
                for property in each["properties"].as_array().into_iter().flatten() {
                    let id = property["id"].as_str().unwrap_or_default();
                    let pointer = format!("/{}", id.replace('.', "/"));
                    place(&mut config, &pointer, property["value"].clone());
                }
            }
        }
        Ok(Self(config))
    }

    /// An entry of it, such as `/custom/width`.
    pub(super) fn get(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub(super) fn number(&self, pointer: &str) -> Option<f64> {
        self.get(pointer).as_f64()
    }

    /// What to show in the place of nothing.
    pub(super) fn no_value(&self) -> &str {
        self.get("/noValue").as_str().unwrap_or("No data")
    }

    /// A number with its unit, or what it is mapped to.
    pub(super) fn show(&self, value: f64) -> Result<Shown> {
        if let Some(mapped) = self.mapped(&value.to_string()) {
            return Ok(mapped);
        }
        let unit = self.get("/unit").as_str().unwrap_or("short");
        Ok(Shown {
            text: unit::shown(value, unit, self.get("/decimals").as_u64())?,
            color: color::named(self.threshold(value)).to_owned(),
        })
    }

    /// A text, or what it is mapped to.
    pub(super) fn show_text(&self, text: &str) -> Shown {
        self.mapped(text).unwrap_or_else(|| Shown {
            text: text.to_owned(),
            color: color::TEXT.to_owned(),
        })
    }

    /// Thresholds above the base, with their colours.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = (f64, &str)> {
        let steps = self.get("/thresholds/steps").as_array();
        let steps = steps.into_iter().flatten();
        steps.filter_map(|step| Some((step["value"].as_f64()?, color::named(step["color"].as_str()?))))
    }

    fn threshold(&self, value: f64) -> &str {
        let steps = self.get("/thresholds/steps").as_array().into_iter().flatten();
        let mut passed = steps.filter(|step| step["value"].as_f64().is_none_or(|from| value >= from));
        passed
            .next_back()
            .and_then(|step| step["color"].as_str())
            .unwrap_or("text")
    }

    fn mapped(&self, value: &str) -> Option<Shown> {
        let mappings = self.get("/mappings").as_array().into_iter().flatten();
        let mut options = mappings
            .filter(|mapping| mapping["type"] == "value")
            .map(|mapping| &mapping["options"]);
        let result = options.find_map(|options| options.get(value))?;
        Some(Shown {
            text: result["text"].as_str().unwrap_or(value).to_owned(),
            color: color::named(result["color"].as_str().unwrap_or("text")).to_owned(),
        })
    }
}

/// Sets an entry, together with the objects around it.
fn place(config: &mut Value, pointer: &str, value: Value) {
    let mut at = config;
    for key in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = &mut at[key];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn overrides_apply_to_the_fields_that_they_name() -> Result<()> {
        let panel = json!({"fieldConfig": {
            "defaults": {"unit": "short", "thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 0.9}]}},
            "overrides": [
                {"matcher": {"id": "byName", "options": "share"}, "properties": [{"id": "unit", "value": "percentunit"}]},
                {"matcher": {"id": "byName", "options": "severity"}, "properties": [
                    {"id": "mappings", "value": [{"type": "value", "options": {"critical": {"text": "critical!", "color": "red"}}}]},
                    {"id": "custom.width", "value": 90},
                ]},
            ],
        }});
        assert_eq!(Field::of(&panel, "open")?.show(0.5)?.text, "0.500");
        let share = Field::of(&panel, "share")?;
        let high = share.show(0.95)?;
        assert_eq!((high.text.as_str(), high.color.as_str()), ("95%", color::named("red")));
        assert_eq!(share.show(0.5)?.color, color::named("green"));
        assert_eq!(share.thresholds().count(), 1);
        let severity = Field::of(&panel, "severity")?;
        assert_eq!(severity.show_text("critical").text, "critical!");
        assert_eq!(severity.show_text("other").text, "other");
        assert_eq!(severity.number("/custom/width"), Some(90.0));
        Ok(())
    }
}
