//! `narrows policy`: a draft of the narrowest policy that allows what was seen at a shared point. It is written, never applied.
//!
//! `seen` reads what the samples say of one point; `coverage` judges whether that is enough; `istio` and `kuma` make the objects of
//! their mesh; `draft` writes them as YAML, with what was seen and what cannot be known as comments. Only `run` does I/O.

mod coverage;
mod draft;
mod istio;
mod kuma;
mod seen;

use super::{
    http,
    output::print,
    prometheus::{Origin, window},
    report::source::Source,
};
use crate::points::Kind;
use anyhow::bail;
use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use draft::Draft;
use seen::Seen;
use std::{process::ExitCode, time::Duration};

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # Who may call through this waypoint, from what all agents have seen in the last week
  narrows policy --point shop/waypoint --prometheus http://127.0.0.1:9090
  # One policy for each workload behind the ztunnels, from the pairs that were seen in 30 days
  narrows policy --point istio-system/ztunnel --prometheus http://127.0.0.1:9090 --window 30d
  # Kuma's zone egress, from what the agent of this node has seen since its start
  narrows policy --point kuma-system/kuma-default-egress --format kuma > permission.yaml

The draft allows what was seen and nothing else, so what the window does not contain, such as a monthly job, would be denied: choose a \
window that has it, and read the comments, which say what cannot be known. Where the pairs of caller and destination through a point \
are not known, callers and destinations are listed, and what is allowed is named an upper bound.";

/// Draft the narrowest policy that allows what was seen at a shared point
///
/// Asks a Prometheus that scrapes the agents, or a single agent, which identities called through a point in a window, and writes an
/// AuthorizationPolicy (Istio) or a MeshTrafficPermission (Kuma) that allows these and no others, with window, counts and what cannot
/// be known as comments. It never applies anything, and needs no privileges. Exit code 1 when too many of the point's connections have
/// no known identity.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// The point whose callers are to be allowed
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = NonEmptyStringValueParser::new())]
    point: String,
    /// With --prometheus: that of this cluster (label `cluster`), where there are several
    #[arg(long, value_name = "CLUSTER", requires = "prometheus", value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
    /// Whose policy to draft [default: that of the point's mesh]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// How far to look back with --prometheus, from 1m to 365d, e.g. 90s, 24h or 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = window)]
    window: Duration,
    /// Share of the point's connections that must have a known identity, from 0 to 1: what has none would be denied
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = share)]
    min_coverage: f64,
    /// Label of pods that has the name of their workload, for policies that select pods by a label
    #[arg(long, value_name = "LABEL", default_value = "app")]
    selector_label: String,
    #[command(flatten)]
    origin: Origin,
}

/// Whose policy is drafted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// AuthorizationPolicy (security.istio.io/v1)
    Istio,
    /// MeshTrafficPermission (kuma.io/v1alpha1)
    Kuma,
}

impl Format {
    fn label(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Kuma => "kuma",
        }
    }
}

/// Parses a share from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{text:?} is not a share from 0 to 1, e.g. 0.95"))
}

/// Writes the draft.
///
/// # Errors
/// When the source does not answer, or when what it knows of the point is not enough for a policy.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let source = Source::of(&options.origin, options.window)?;
    let samples = http::block_on(source.samples(&seen::facts()))?;
    let seen = Seen::of(
        &samples,
        &options.point,
        options.cluster.as_deref(),
        &source.to_string(),
    )?;
    print(drafted(&seen, options)?.render(&source.about(), &seen)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The draft of what was seen.
fn drafted(seen: &Seen, options: &Options) -> anyhow::Result<Draft> {
    if let Some(why) = unable(seen.kind) {
        bail!("no policy is drafted for {}: {why}", seen.title());
    }
    let mesh = match seen.mesh.as_str() {
        "istio" => Format::Istio,
        "kuma" => Format::Kuma,
        mesh => bail!(
            "no policy is drafted for {}: it belongs to the mesh {mesh}, and policies are drafted for points of istio and kuma only",
            seen.title()
        ),
    };
    if let Some(asked) = options.format
        && asked != mesh
    {
        bail!(
            "no policy is drafted for {}: it belongs to the mesh {mesh}, which does not read what --format {asked} writes; pass --format \
             {mesh}, or leave it out",
            seen.title(),
            mesh = mesh.label(),
            asked = asked.label(),
        );
    }
    match (mesh, seen.kind) {
        (Format::Istio, Kind::Ztunnel) => istio::by_destination(seen, options.min_coverage, &options.selector_label),
        (Format::Istio, Kind::Waypoint | Kind::IngressGateway | Kind::EgressGateway) => {
            istio::at_point(seen, options.min_coverage, &options.selector_label)
        }
        (Format::Kuma, Kind::ZoneEgress) => kuma::at_zone_egress(seen, options.min_coverage),
        (mesh, _) => bail!(
            "no policy is drafted for {}: the mesh {} has no such point, so that its policies do not apply there",
            seen.title(),
            mesh.label()
        ),
    }
}

/// Why a policy at a point of this kind would not do what it says.
fn unable(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Sidecar => Some(
            "a sidecar is one workload's own and not shared; draft for the waypoint, ztunnel or zone egress on the way",
        ),
        // An Istio east-west gateway for sidecars passes on by SNI (AUTO_PASSTHROUGH), one for ambient passes on HBONE.
        Kind::EastWestGateway => Some(
            "an east-west gateway passes TLS on without terminating it, so that a policy there sees no caller; draft for the points behind \
             it",
        ),
        // kumahq/kuma, MADR "Policy Matching on MeshScoped Zone Proxy": MeshTrafficPermission, zone ingress: no.
        Kind::ZoneIngress => Some(
            "a zone ingress passes TLS on without terminating it, and Kuma applies no MeshTrafficPermission to it; draft for the zone \
             egress of the calling zone",
        ),
        Kind::NodeProxy => Some("a node proxy enforces its network's policies, and none of these is drafted"),
        Kind::Ztunnel | Kind::Waypoint | Kind::IngressGateway | Kind::EgressGateway | Kind::ZoneEgress => None,
    }
}

#[cfg(test)]
mod tests;
