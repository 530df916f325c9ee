//! The files of the page, in `agent/page`.

/// A file.
pub struct Asset {
    /// Below `/assets/`.
    pub name: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its contents.
    pub body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal: $kind:ident,)*) => {
        /// All of them.
        pub static ASSETS: &[Asset] = &[$(Asset {
            name: $name,
            kind: $kind,
            body: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/page/", $name)),
        }),*];
    };
}

assets! {
    "index.html": HTML,
    "style.css": STYLE,
    "icon.svg": PICTURE,
    "main.js": SCRIPT,
    "data.js": SCRIPT,
    "failures.js": SCRIPT,
    "flow.js": SCRIPT,
    "format.js": SCRIPT,
    "help.js": SCRIPT,
    "html.js": SCRIPT,
    "inside.js": SCRIPT,
    "layout.js": SCRIPT,
    "lines.js": SCRIPT,
    "parts.js": SCRIPT,
    "point.js": SCRIPT,
    "points.js": SCRIPT,
    "theme.js": SCRIPT,
    "url.js": SCRIPT,
    "vendor/htm.js": SCRIPT,
    "vendor/preact.js": SCRIPT,
    "vendor/preact-hooks.js": SCRIPT,
    "vendor/uplot.js": SCRIPT,
    "vendor/uplot.css": STYLE,
}
