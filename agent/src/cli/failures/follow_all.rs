//! `narrows failures --follow --all-nodes`: asks again and again, as there is no stream of all nodes.

use super::{
    answer::{LIMIT_OF_ALL, understood},
    options::Options,
    printer::Printer,
};
use crate::{
    cli::{
        all_nodes::Remarks,
        http::{Client, Error},
        output::remark,
    },
    failures::List,
};
use anyhow::Context as _;
use hyper::header::ACCEPT;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::{Duration, Instant},
};

/// The time between two questions.
const INTERVAL: Duration = Duration::from_secs(2);

/// How much more than what has passed since the last answer is asked for: failures are told up to a second late, and an answer about all
/// nodes takes up to 8 s.
const OVERLAP: Duration = Duration::from_secs(15);

/// A node that has not answered for so long is not waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// What identifies a failure: node, number, and time, as numbers begin again when an agent is restarted.
type Key = (Option<String>, u64, String);

/// What has been shown.
#[derive(Debug, Default)]
struct Position {
    shown: BTreeSet<Key>,
    /// When each node answered last.
    answered: BTreeMap<String, Instant>,
    remarks: Remarks,
}

/// What is read of a failure, to know it again.
#[derive(Deserialize)]
struct Known {
    node: Option<String>,
    seq: u64,
    time: String,
}

impl Position {
    /// How far back the next question has to go: to the last answer of the node that has been silent for longest.
    fn window(&self, now: Instant) -> Duration {
        let silent = self.answered.values().map(|last| now.duration_since(*last));
        silent.max().unwrap_or_default() + OVERLAP
    }

    /// The failures in an answer to a question of `asked` that have not been shown.
    fn take(&mut self, list: List<Box<RawValue>>, asked: Instant) -> anyhow::Result<Vec<Box<RawValue>>> {
        self.remarks.say(list.nodes.as_ref());
        let nodes = list.nodes.unwrap_or_default();
        let mut before = std::mem::take(&mut self.shown);
        let mut new = Vec::new();
        for failure in list.failures {
            let Known { node, seq, time } =
                serde_json::from_str(failure.get()).context("cannot parse a failure sent by the agent")?;
            let key = (node, seq, time);
            if !before.remove(&key) {
                new.push(failure);
            }
            self.shown.insert(key);
        }
        // What is too old to be asked for again is forgotten, unless its node has not answered.
        let is_silent = |key: &Key| key.0.as_ref().is_some_and(|node| !nodes.answered.contains(node));
        self.shown.extend(before.into_iter().filter(is_silent));
        self.answered
            .extend(nodes.answered.into_iter().map(|node| (node, asked)));
        self.answered.retain(|_, last| asked.duration_since(*last) < LONGEST);
        let (shown, answered) = (&mut self.shown, &self.answered);
        shown.retain(|(node, ..)| node.as_ref().is_none_or(|node| answered.contains_key(node)));
        Ok(new)
    }
}

/// Follows until the output is closed.
///
/// # Errors
/// When the agent cannot be reached at the beginning, when it rejects the request, or when the output cannot be written.
pub async fn follow(client: &Client, options: &Options, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let mut position = Position::default();
    let begin = Instant::now();
    let first = ask(client, options, options.since.unwrap_or(OVERLAP)).await?;
    let old = position.take(first, begin)?;
    printer.header()?;
    for failure in old.iter().filter(|_| options.since.is_some()) {
        printer.failure(failure.get())?;
    }
    let mut is_unreachable = false;
    // Ends by SIGINT, or when nobody reads.
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Instant::now();
        let list = match ask(client, options, position.window(now)).await {
            Ok(list) => list,
            Err(error) => match error.downcast::<Error>()? {
                error @ (Error::Unreachable { .. } | Error::Unavailable { .. }) => {
                    if !std::mem::replace(&mut is_unreachable, true) {
                        remark(format_args!(
                            "{client} is unreachable ({}); waiting for it",
                            error.why()
                        ));
                    }
                    continue;
                }
                error => return Err(error.into()),
            },
        };
        if std::mem::take(&mut is_unreachable) {
            remark(format_args!("{client} is back"));
        }
        if list.failures.len() == LIMIT_OF_ALL {
            remark(format_args!(
                "failures are not shown: there were more than {LIMIT_OF_ALL} at a time; --point, --workload and --reason choose among them"
            ));
        }
        for failure in position.take(list, now)? {
            printer.failure(failure.get())?;
        }
    }
}

async fn ask(client: &Client, options: &Options, since: Duration) -> anyhow::Result<List<Box<RawValue>>> {
    let path = options.path_since(since, &[("limit", LIMIT_OF_ALL.to_string())]);
    let answer = client.get(&path, &[(ACCEPT, "application/json".to_owned())]).await?;
    let body = answer.ok().await?.whole().await?;
    understood(client, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Nodes;
    use serde_json::json;

    fn list(failures: &[(&str, u64)], answered: &[&str]) -> List<Box<RawValue>> {
        let failures = failures.iter().map(|(node, seq)| {
            let failure = json!({ "node": node, "seq": seq, "time": "2026-11-26T12:00:00.000Z" });
            serde_json::value::to_raw_value(&failure).expect("JSON")
        });
        List {
            run: 1,
            failures: failures.collect(),
            dropped: Default::default(),
            next: 1,
            nodes: Some(Nodes {
                answered: answered.iter().map(|&node| node.to_owned()).collect(),
                missing: Vec::new(),
            }),
        }
    }

    #[test]
    fn each_failure_is_shown_once_also_of_a_node_that_was_silent() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut position = Position::default();
        let mut new = |failures: &[(&str, u64)], answered: &[&str], seconds| {
            let new = position.take(list(failures, answered), at(seconds)).expect("failures");
            (new.len(), position.window(at(seconds + 2)))
        };
        let usual = OVERLAP + Duration::from_secs(2);
        assert_eq!(new(&[("a", 1), ("b", 1)], &["a", "b"], 0), (2, usual));
        assert_eq!(new(&[("a", 1), ("a", 2), ("b", 1)], &["a", "b"], 2), (1, usual));
        // The other node is silent: what it has told, and what it will have to tell, is kept in mind.
        assert_eq!(new(&[("a", 2)], &["a"], 4).1, usual + Duration::from_secs(2));
        assert_eq!(new(&[("a", 2)], &["a"], 60).1, usual + Duration::from_secs(58));
        assert_eq!(new(&[("a", 2), ("b", 1), ("b", 2)], &["a", "b"], 62), (1, usual));
        // One that does not come back is not waited for.
        assert_eq!(new(&[], &["a"], 62 + LONGEST.as_secs()), (0, usual));
    }
}
