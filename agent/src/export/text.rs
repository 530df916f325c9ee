//! The exposition formats: OpenMetrics, and Prometheus text for clients that do not ask for it.

/// The content type of OpenMetrics text.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of Prometheus text.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a client that sends this `Accept` header wants OpenMetrics. Prometheus asks for it by name.
pub fn wants_openmetrics(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains("application/openmetrics-text"))
}

/// Converts OpenMetrics to Prometheus text. Samples have the same syntax; in the older format a counter's family has the name of
/// its samples, with `_total`, and there is no closing line.
pub fn to_prometheus(openmetrics: &str) -> String {
    let mut counters = std::collections::HashSet::new();
    for line in openmetrics.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_suffix(" counter"))
        {
            counters.insert(name);
        }
    }
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    for line in openmetrics.lines() {
        if line == "# EOF" {
            continue;
        }
        let family = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|kind| Some((kind, line.strip_prefix(kind)?.split_once(' ')?)))
            .filter(|(_, (name, _))| counters.contains(name));
        match family {
            Some((kind, (name, rest))) => {
                text.extend([kind, name, "_total ", rest]);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_get_their_full_name() {
        let text = to_prometheus(
            "# HELP a Things.\n# TYPE a counter\na_total{x=\"# EOF\"} 1\n# HELP b Level.\n# TYPE b gauge\nb 2\n# EOF\n",
        );
        assert_eq!(
            text,
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"# EOF\"} 1\n# HELP b Level.\n# TYPE b gauge\nb 2\n"
        );
    }

    #[test]
    fn prometheus_asks_for_openmetrics() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(wants_openmetrics(Some(prometheus)));
        assert!(!wants_openmetrics(Some("text/html,*/*")));
        assert!(!wants_openmetrics(None));
    }
}
