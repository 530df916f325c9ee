//! `narrows failures`: asks a running agent for failed connections, and shows them.

mod follow;
mod printer;
mod sse;

use super::http::{self, Access, Client, Service, Url};
use crate::{
    duration,
    failures::{List, REASONS, parse_workload},
};
use anyhow::Context as _;
use clap::{Args, ValueHint, builder::PossibleValuesParser};
use hyper::header::ACCEPT;
use printer::Printer;
use serde_json::value::RawValue;
use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

/// Records that are asked for; an agent that keeps more than this is told otherwise in its configuration.
const LIMIT: usize = 1_000_000;

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What fails at a point, as it happens
  narrows failures --follow --point shop/waypoint
  # What failed for a workload in the last hour
  narrows failures --workload shop/checkout --since 1h
  # How often for which reason, from an agent behind TLS
  narrows failures --agent https://node:9798 --ca-file ca.pem --json | jq .reason | sort | uniq -c
  # On a node of a cluster
  kubectl -n narrows exec POD -- narrows failures --follow

Columns:
  SEEN BY  self: a socket of the point itself; client: a socket of its caller; -: no point is involved
  POINT    the enforcement point that the failure is about
  FROM     the caller, with its address; \"A via P\" is the proxy P on behalf of A
  TO       who was called
  DETAILS  how long the connection was open, and what it carried

An end that cannot be identified within half a second is shown as unknown. When a flow fails more than ten times in a second, \
further failures are only counted (failure_events_per_second in the agent's configuration), and a message on stderr says how \
many.";

/// Show failed connections one by one: when, why, who called whom, at which point
///
/// Asks a running agent, which keeps the newest 10,000 failures of its node (limits.failure_events in its configuration), over http or
/// https. Needs no privileges.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// URL at which the agent serves HTTP
    #[arg(
        long,
        env = "NARROWS_AGENT",
        value_name = "URL",
        default_value = "http://127.0.0.1:9797",
        value_hint = ValueHint::Url
    )]
    agent: Url,
    /// Show failures as they happen, until Ctrl-C; earlier ones only with --since. When the agent becomes unreachable, wait for it
    /// and continue
    #[arg(long, short)]
    follow: bool,
    /// Only failures of connections with this point at either end
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    point: Option<String>,
    /// Only failures of connections with this workload at either end, or that a proxy made on its behalf
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_workload)]
    workload: Option<String>,
    /// Only failures for this reason. Connections that the caller reset before the point accepted them, as health checks do, are
    /// never_accepted, like those that the point left waiting: FROM tells them apart
    #[arg(long, value_parser = PossibleValuesParser::new(REASONS))]
    reason: Option<String>,
    /// Only failures that are not older than this, e.g. 90s, 1h30m or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Print one JSON object per line, with everything that is known
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Options {
    /// What is asked for, as parameters of the request.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("point", self.point.clone()),
            ("workload", self.workload.clone()),
            ("reason", self.reason.clone()),
            ("since", self.since.map(duration::format)),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    fn path(&self, more: &[(&'static str, String)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.parameters());
        query.extend_pairs(more);
        format!("/api/v1/failures?{}", query.finish())
    }
}

/// Shows what is asked for, until it is done, SIGINT comes, or nobody reads any more.
///
/// # Errors
/// When the agent cannot be asked, with a sentence that says what to do.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(Service::Agent, &options.agent, &options.access)?;
    http::block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        let shown = async {
            let mut printer = Printer::new(io::stdout(), options.json);
            let shown = if options.follow {
                follow::follow(&client, options, &mut printer).await
            } else {
                list(&client, options, &mut printer).await
            };
            match shown {
                // `narrows failures | head`: it was enough.
                Err(error) if is_closed_pipe(&error) => Ok(()),
                shown => shown,
            }
        };
        tokio::select! {
            shown = shown => shown,
            interrupted = interrupted => interrupted.context("cannot handle SIGINT"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Says something beside what is asked for. Whoever has closed stderr does not want to know.
fn remark(text: std::fmt::Arguments<'_>) {
    let _closed = writeln!(io::stderr(), "narrows: {text}");
}

async fn list(client: &Client, options: &Options, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let path = options.path(&[("limit", LIMIT.to_string())]);
    let answer = client.get(&path, &[(ACCEPT, "application/json".to_owned())]).await?;
    let body = answer.ok().await?.whole().await?;
    let list: List<Box<RawValue>> = serde_json::from_slice(&body).map_err(|_| {
        client
            .asked()
            .unexpected("not a list of failures, so it is not an agent of Narrows")
    })?;
    if !list.failures.is_empty() {
        printer.header()?;
    }
    for failure in &list.failures {
        printer.failure(failure.get())?;
    }
    if list.failures.is_empty() {
        let fitting = if options.parameters().is_empty() {
            ""
        } else {
            " of this kind"
        };
        remark(format_args!("{client} knows of no failed connection{fitting}"));
    }
    let (untold, gone) = (list.dropped.untold(), list.dropped.overwritten);
    if untold > 0 {
        remark(format_args!(
            "{untold} more failures since the agent's start are not listed, as there were too many at a time; the counters of points \
             include them"
        ));
    }
    if gone > 0 {
        remark(format_args!(
            "{gone} older failures were replaced by newer ones; limits.failure_events in the agent's configuration says how many \
             are kept"
        ));
    }
    Ok(())
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
