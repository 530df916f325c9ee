//! `narrows failures --follow`: shows failures as they happen, and continues at the same position after the agent was unreachable.

use super::{
    options::Options,
    printer::Printer,
    sse::{Event, Parser},
};
use crate::{
    cli::{
        http::{Client, Error},
        output::remark,
    },
    failures::{Dropped, Lost, Start},
};
use anyhow::bail;
use hyper::header::{ACCEPT, HeaderName};
use std::{io::Write, time::Duration};

/// The agent sends something every 15 s. After this time without data, it is considered unreachable.
const SILENCE: Duration = Duration::from_secs(45);

/// The first and the longest wait between two attempts to reach an unreachable agent.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The standard name of the header by which a client resumes a stream.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The position in the stream.
#[derive(Debug, Default)]
struct Position {
    /// The run of the agent, and the number of the last event.
    last: Option<(i64, u64)>,
    /// The number of failures that were not reported one by one, as the agent sent it last.
    untold: Option<u64>,
}

/// Follows until the output is closed.
///
/// # Errors
/// When the agent cannot be reached at the beginning, when it rejects the request, or when the output cannot be written.
pub async fn follow(client: &Client, options: &Options, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let mut position = Position::default();
    let mut wait = FIRST_WAIT;
    let mut unreachable = false;
    // Ends by SIGINT only; each wait in it is bounded.
    loop {
        let before = position.last;
        let outcome = read(client, options, printer, &mut position, &mut unreachable).await;
        let why = match outcome {
            Ok(()) => "it closed the connection".to_owned(),
            Err(error) => match error.downcast::<Error>() {
                Ok(error @ (Error::Unreachable { .. } | Error::Unavailable { .. })) if position.last.is_some() => {
                    error.why().to_owned()
                }
                Ok(error) => bail!(error),
                Err(other) => return Err(other),
            },
        };
        if !std::mem::replace(&mut unreachable, true) {
            remark(format_args!("{client} is unreachable ({why}); waiting for it"));
        }
        if position.last != before {
            wait = FIRST_WAIT;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Reads one stream until it ends.
async fn read(
    client: &Client,
    options: &Options,
    printer: &mut Printer<impl Write>,
    position: &mut Position,
    unreachable: &mut bool,
) -> anyhow::Result<()> {
    let mut headers = vec![(ACCEPT, "text/event-stream".to_owned())];
    let mut more = vec![("follow", "true".to_owned())];
    if let Some((run, last)) = position.last {
        headers.push((LAST_EVENT_ID, last.to_string()));
        more.push(("run", run.to_string()));
    }
    let mut answer = client.get(&options.path(&more), &headers).await?.ok().await?;
    let mut parser = Parser::default();
    while let Some(piece) = answer.piece(SILENCE).await? {
        let events = parser.take(&piece).map_err(|why| client.asked().unexpected(why))?;
        for event in events {
            if event.name == "start" {
                begin(client, printer, position, unreachable, &event)?;
            } else {
                show(printer, position, &event)?;
            }
        }
    }
    Ok(())
}

/// Handles the first event of a stream: the agent is reachable.
fn begin(
    client: &Client,
    printer: &mut Printer<impl Write>,
    position: &mut Position,
    unreachable: &mut bool,
    event: &Event,
) -> anyhow::Result<()> {
    let Start { run, next } = understood(event)?;
    match position.last {
        None => printer.header()?,
        Some((before, _)) if before != run => {
            remark(format_args!("{client} is back; it has been restarted"));
            position.untold = None;
        }
        Some(_) if *unreachable => remark(format_args!("{client} is back")),
        Some(_) => {}
    }
    *unreachable = false;
    position.last = Some((run, next.saturating_sub(1)));
    Ok(())
}

fn show(printer: &mut Printer<impl Write>, position: &mut Position, event: &Event) -> anyhow::Result<()> {
    match event.name.as_str() {
        "failure" => {
            printer.failure(&event.data)?;
            if let (Some((_, last)), Some(id)) = (&mut position.last, event.id) {
                *last = id;
            }
        }
        "lost" => {
            let Lost { missed } = understood(event)?;
            remark(format_args!(
                "{missed} failures are not shown: they happened faster than they were read"
            ));
        }
        "dropped" => {
            let now = understood::<Dropped>(event)?.untold();
            // Those from before were reported already.
            let new = position
                .untold
                .replace(now)
                .map_or(0, |before| now.saturating_sub(before));
            if new > 0 {
                remark(format_args!(
                    "{new} more failures on this node are not listed, as there were too many at a time; the counters of points \
                     include them"
                ));
            }
        }
        // Events of later versions are ignored.
        _ => {}
    }
    Ok(())
}

fn understood<T: serde::de::DeserializeOwned>(event: &Event) -> anyhow::Result<T> {
    let read = serde_json::from_str(&event.data);
    read.map_err(|_| {
        anyhow::anyhow!(
            "cannot parse an event of the agent, which may be of another version: {}",
            event.data
        )
    })
}
