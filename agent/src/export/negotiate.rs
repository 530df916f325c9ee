//! What a scraper asks for: the text format (`Accept`), and whether it may be compressed (`Accept-Encoding`).

use crate::metrics::Format;

/// The content type of a format.
pub const fn content_type(format: Format) -> &'static str {
    match format {
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
    }
}

/// The format for a client that sends this `Accept` header: OpenMetrics for one that names it, as Prometheus does.
pub fn format(accept: Option<&str>) -> Format {
    match accept {
        Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
        _ => Format::Prometheus,
    }
}

/// Whether a client that sends this `Accept-Encoding` header takes gzip (RFC 9110, 12.5.3): by name, else by `*`.
pub fn takes_gzip(accept_encoding: Option<&str>) -> bool {
    let weight = |wanted: &[&str]| {
        let codings = accept_encoding.unwrap_or_default().split(',');
        codings
            .filter_map(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                let name = parts.next()?;
                let is_wanted = wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
                let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
                is_wanted.then(|| q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)))
            })
            .next()
    };
    weight(&["gzip", "x-gzip"])
        .or_else(|| weight(&["*"]))
        .is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_asks_for_openmetrics() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(format(Some("text/html,*/*")), Format::Prometheus);
        assert_eq!(format(None), Format::Prometheus);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (header, expected) in [
            (Some("gzip"), true),
            (Some("GZip"), true),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("*"), true),
            (Some("gzip;q=0, *"), false),
            (Some("gzip; q=0.000"), false),
            (Some("gzip;q=much"), false),
            (Some("identity"), false),
            (Some("br, zstd"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(takes_gzip(header), expected, "{header:?}");
        }
    }
}
