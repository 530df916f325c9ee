//! Pictures of the agent's page with the data of the demo.

use std::path::Path;

use anyhow::{Context as _, Result};
use narrows_testbed::browser::Browser;

use super::tour::Tour;

/// What is drawn.
struct View {
    /// The file is `page-<name>.png`.
    name: &'static str,
    /// The window, in pixels.
    size: (u32, u32),
    /// What the system prefers.
    scheme: &'static str,
    /// Whether the waypoint is open, or else these parameters.
    opens_point: bool,
    parameters: &'static str,
    /// What is there when the page is complete.
    ready: &'static str,
}

/// A small laptop has the size of `page-small.png`.
const VIEWS: [View; 5] = [
    View {
        name: "light",
        size: (1280, 480),
        scheme: "light",
        opens_point: false,
        parameters: "",
        ready: POINTS,
    },
    View {
        name: "dark",
        size: (1280, 480),
        scheme: "dark",
        opens_point: false,
        parameters: "",
        ready: POINTS,
    },
    View {
        name: "small",
        size: (1024, 600),
        scheme: "light",
        opens_point: false,
        parameters: "",
        ready: POINTS,
    },
    View {
        name: "point",
        size: (1280, 1290),
        scheme: "light",
        opens_point: true,
        parameters: "",
        ready: "document.querySelector('#lines canvas') && document.querySelector('#paths svg .node') && \
                document.querySelector('#failures').innerText.includes('live')",
    },
    View {
        name: "flow",
        size: (1280, 480),
        scheme: "light",
        opens_point: false,
        parameters: "?view=flow&group=workload",
        ready: "document.querySelector('.node')",
    },
];

const POINTS: &str = "document.querySelectorAll('.point').length >= 2";

/// Fails, with what to install, where there is no browser: before a long run whose end draws.
///
/// # Errors
/// There is no Chromium.
pub(super) fn ensure_drawable() -> Result<()> {
    Browser::start(1, 1).map(drop)
}

/// A browser that waits for its moment: to start one takes as much CPU time as the whole mesh.
pub(super) struct Pictures<'a> {
    browser: Browser,
    tour: &'a Tour,
    directory: &'a Path,
}

impl<'a> Pictures<'a> {
    /// For pictures in this directory.
    ///
    /// # Errors
    /// There is no Chromium, or the directory cannot be created.
    pub(super) fn new(tour: &'a Tour, directory: &'a Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let mut browser = Browser::start(1280, 640)?;
        browser.open(&tour.page(""))?;
        browser.wait_for(POINTS)?;
        Ok(Self {
            browser,
            tour,
            directory,
        })
    }

    /// Draws the page as it is now, as `page-*.png`, with this point open where one is.
    ///
    /// # Errors
    /// The page does not become complete, or a file cannot be written.
    pub(super) fn draw(&mut self, point: &str) -> Result<()> {
        let browser = &mut self.browser;
        for view in VIEWS {
            let parameters = if view.opens_point { point } else { view.parameters };
            browser.resize(view.size.0, view.size.1)?;
            browser.prefer("prefers-color-scheme", view.scheme)?;
            browser.open(&self.tour.page(parameters))?;
            browser.wait_for(view.ready)?;
            let file = self.directory.join(format!("page-{}.png", view.name));
            browser.capture(&file)?;
            println!("{}", file.display());
        }
        Ok(())
    }
}
