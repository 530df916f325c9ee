//! The flags of `narrows failures`.

use crate::{
    cli::{all_nodes::AllNodes, http::AgentAddress},
    duration,
    failures::{REASONS, parse_workload},
};
use clap::{Args, builder::PossibleValuesParser};
use std::time::Duration;

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What fails at a point, as it happens
  narrows failures --follow --point shop/waypoint
  # What failed for a workload in the last hour
  narrows failures --workload shop/checkout --since 1h
  # Number of failures by reason, from an agent behind TLS
  narrows failures --agent https://node:9798 --ca-file ca.pem --json | jq .reason | sort | uniq -c
  # On all nodes of a cluster, through an agent that knows the others
  kubectl -n narrows exec POD -- narrows failures --follow --all-nodes

Columns:
  NODE     with --all-nodes, the node whose agent has seen it; both ends of a connection may be seen, on two nodes
  SEEN BY  self: a socket of the point itself; client: a socket of its caller; -: no point is involved
  POINT    the enforcement point that the failure is about
  FROM     the caller, with its address; \"A via P\" is the proxy P on behalf of A
  TO       who was called
  DETAILS  how long the connection was open, and what it carried

An end that cannot be identified within half a second is shown as unknown. When a flow fails more than ten times in a second, \
further failures are only counted (failure_events_per_second in the agent's configuration), and a message on stderr says how \
many.";

/// Show failed connections one by one: time, reason, caller, target and point
///
/// Asks a running agent, which keeps the newest 10,000 failures of its node (limits.failure_events in its configuration), over http
/// or https. Needs no privileges.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// Show failures as they happen, until Ctrl-C; earlier ones only with --since. When the agent becomes unreachable, wait for it
    /// and continue. With --all-nodes, it is asked every two seconds
    #[arg(long, short)]
    pub follow: bool,
    /// Only failures of connections with this point at either end
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    point: Option<String>,
    /// Only failures of connections with this workload at either end, or that a proxy made on its behalf or to carry its traffic
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_workload)]
    workload: Option<String>,
    /// Only failures for this reason. never_accepted also includes connections that the caller reset before the point accepted
    /// them, as health checks do: check FROM for the caller
    #[arg(long, value_parser = PossibleValuesParser::new(REASONS))]
    reason: Option<String>,
    /// Only failures that are not older than this, e.g. 90s, 1h30m or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub since: Option<Duration>,
    #[command(flatten)]
    pub all_nodes: AllNodes,
    /// Print one JSON object per line, with everything that is known
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub agent: AgentAddress,
}

impl Options {
    /// The flags as parameters of the request.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|since| ("since", duration::format(since)));
        self.filters().into_iter().chain(since).collect()
    }

    /// The flags that choose among failures, whenever these were.
    fn filters(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("point", self.point.clone()),
            ("workload", self.workload.clone()),
            ("reason", self.reason.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The path of the request, with further parameters.
    pub fn path(&self, more: &[(&'static str, String)]) -> String {
        self.path_of(&self.parameters(), more)
    }

    /// The path of the request for failures that are not older than this, whatever `--since` says.
    pub fn path_since(&self, since: Duration, more: &[(&'static str, String)]) -> String {
        let parameters = self.filters().into_iter().chain([("since", duration::format(since))]);
        self.path_of(&parameters.collect::<Vec<_>>(), more)
    }

    fn path_of(&self, parameters: &[(&'static str, String)], more: &[(&'static str, String)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        query.extend_pairs(self.all_nodes.parameter());
        query.extend_pairs(more);
        format!("/api/v1/failures?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let words = ["failures"].iter().chain(arguments);
        Cli::try_parse_from(words)
            .map(|cli| cli.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_asked_for_goes_into_the_request() {
        let options = parse(&[
            "--point=a b/c&d",
            "--workload=shop/checkout",
            "--reason=timed_out",
            "--since=5m",
        ])
        .expect("good");
        assert_eq!(
            options.path(&[("follow", "true".to_owned())]),
            "/api/v1/failures?point=a+b%2Fc%26d&workload=shop%2Fcheckout&reason=timed_out&since=5m&follow=true"
        );
        assert_eq!(parse(&[]).expect("good").path(&[]), "/api/v1/failures?");
    }

    #[test]
    fn what_is_wrong_is_said_before_anybody_is_asked() {
        for (arguments, sentence) in [
            (&["--reason", "refuse"][..], "[possible values: refused, timed_out,"),
            (
                &["--since", "5"],
                "\"5\" is not a valid duration, e.g. 90s, 1h30m or 7d",
            ),
            (&["--workload", "checkout"], "\"checkout\" is not a <namespace>/<name>"),
            (&["--point", ""], "a value is required"),
            (&["--agent", "ftp://a"], "only http and https are supported"),
        ] {
            let error = parse(arguments).expect_err(sentence);
            assert!(error.contains(sentence), "{arguments:?}: {error}");
        }
    }
}
