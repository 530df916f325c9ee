//! `cargo xtask dashboards`: pictures of the dashboards in `deploy/grafana`, with the data of a Prometheus.
//!
//! It draws what Grafana would, as far as these dashboards need it: the same queries with the same values for variables, the same grid,
//! units, thresholds, legends and transformations. What it does not know is an error, so that no dashboard is drawn wrongly.

mod color;
mod data;
mod field;
mod page;
mod panels;
mod picture;
mod svg;
mod table;
mod unit;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use narrows_testbed::grafana::{self, Variables};
use narrows_testbed::prometheus::{Api, Range};

use crate::duration;
use data::Source;
use picture::Painter;

/// The number of points of a line, as wide panels have in Grafana.
const POINTS: f64 = 300.0;

/// Draw the dashboards of deploy/grafana with the data of a Prometheus, as PNG files.
///
/// For a look at dashboards without a Grafana, while they are changed. `cargo xtask demo --prometheus` starts a Prometheus to draw
/// from, and `cargo xtask demo --choke --pictures DIR` draws them at its end.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The Prometheus that scrapes the agents
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    prometheus: String,

    /// Directory for the pictures
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The range of time that they show, up to --at
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "1h")]
    window: Duration,

    /// The end of that range, e.g. 2026-11-25T12:00:00Z; now by default
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,

    /// The scrape interval of that Prometheus, on which the range of rates depends
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "15s")]
    scrape_interval: Duration,

    /// The value of a variable, as in a link to a dashboard; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
}

/// Runs `cargo xtask dashboards`.
pub(crate) fn run(args: Args) -> Result<()> {
    let api = Api::at(address(&args.prometheus)?);
    let end = args.at.unwrap_or_else(Timestamp::now);
    let pictures = Pictures {
        end: end.as_duration().as_secs_f64(),
        window: args.window,
        scrape: args.scrape_interval,
        variables: args.variables.into_iter().collect(),
    };
    pictures.draw(&api, &args.out)
}

/// What pictures are to show.
pub(crate) struct Pictures {
    /// The end of the range of time, in seconds of Unix time.
    pub(crate) end: f64,
    /// The length of that range.
    pub(crate) window: Duration,
    /// The scrape interval of the Prometheus.
    pub(crate) scrape: Duration,
    /// Values of variables; the others are chosen as when a dashboard is opened.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Pictures {
    /// Draws every dashboard into a directory, and prints the names of the files.
    ///
    /// # Errors
    /// A query fails, a dashboard has something that is not known here, or a file cannot be written.
    pub(crate) fn draw(self, api: &Api, directory: &Path) -> Result<()> {
        let painter = Painter::new()?;
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let scrape = self.scrape.as_secs_f64();
        let window = self.window.as_secs_f64();
        let step = (window / POINTS).max(scrape).ceil();
        // Grafana aligns steps, so that a refresh does not move the points.
        let end = (self.end / step).floor() * step;
        let range = Range {
            start: end - (window / step).floor() * step,
            end,
            step,
        };
        for (name, dashboard) in grafana::dashboards(&grafana::directory())? {
            let drawn = || {
                let variables = Variables::resolve(&dashboard, &self.variables, api, range, scrape)?;
                let source = Source {
                    api,
                    range,
                    variables: &variables,
                };
                let file = directory.join(format!("{name}.png"));
                painter.paint(&page::drawn(&dashboard, &source)?, &file)?;
                println!("{}", file.display());
                anyhow::Ok(())
            };
            drawn().with_context(|| format!("cannot draw {name}.json"))?;
        }
        Ok(())
    }
}

/// Fails, with what to install, where pictures cannot be drawn: before a long run whose end draws them.
pub(crate) fn ensure_drawable() -> Result<()> {
    Painter::new().map(drop)
}

fn address(text: &str) -> Result<SocketAddr> {
    let authority = text.trim_start_matches("http://").trim_end_matches('/');
    let mut found = authority
        .to_socket_addrs()
        .with_context(|| format!("--prometheus {text}: expected e.g. 127.0.0.1:9090"))?;
    found.next().with_context(|| format!("{authority} has no address"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("{text:?} is not of the form point=shop/waypoint"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_values_of_variables_are_read() {
        for text in ["127.0.0.1:9090", "http://127.0.0.1:9090/"] {
            assert_eq!(
                address(text).expect("an address"),
                SocketAddr::from(([127, 0, 0, 1], 9090))
            );
        }
        assert!(address("nowhere").is_err());
        assert_eq!(pair("point=shop/w=1"), Ok(("point".into(), "shop/w=1".into())));
        assert!(pair("point").is_err());
    }
}
