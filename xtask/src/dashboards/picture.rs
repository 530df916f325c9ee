//! SVG to PNG, with the fonts of this machine.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

/// Fonts for the screen, the preferred ones first; one of them is on most machines.
const FAMILIES: [&str; 5] = ["Inter", "DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial"];

/// Turns drawings into pictures.
pub(super) struct Painter(Options<'static>);

impl Painter {
    /// Reads the machine's fonts.
    ///
    /// # Errors
    /// It has none that is known.
    pub(super) fn new() -> Result<Self> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let has = |name: &&&str| {
            fonts
                .faces()
                .any(|face| face.families.iter().any(|(family, _)| family == **name))
        };
        let family = FAMILIES.iter().find(has).with_context(|| {
            format!(
                "no font to draw with: install one of {} (on Debian: apt-get install fonts-dejavu-core)",
                FAMILIES.join(", ")
            )
        })?;
        Ok(Self(Options {
            font_family: (*family).to_owned(),
            fontdb: Arc::new(fonts),
            ..Options::default()
        }))
    }

    /// Writes a drawing as PNG.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn paint(&self, svg: &str, file: &Path) -> Result<()> {
        let tree = Tree::from_str(svg, &self.0)?;
        let size = tree.size().to_int_size();
        let mut pixels = Pixmap::new(size.width(), size.height()).context("a picture without pixels")?;
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        pixels
            .save_png(file)
            .with_context(|| format!("write {}", file.display()))
    }
}
