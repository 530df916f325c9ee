//! The verdicts as parts of the page.

use super::{
    block::{Block, table},
    percent::percent,
    verdicts::Verdicts,
};

/// Adds what is blocked, and what happened while points were away.
pub fn boundary(page: &mut Vec<Block>, verdicts: &Verdicts) {
    if verdicts.blocked.is_empty() {
        page.push(Block::Text(
            "No pod was observed whose port 15008 (HBONE) is blocked while others answer.".into(),
        ));
    } else {
        page.push(Block::Text(
            "Attempts to connect to port 15008 (HBONE) that got no answer while the pod answered at other ports, as when a network \
             policy does not let that port through:"
                .into(),
        ));
        let rows = verdicts.blocked.iter().map(|((source, destination), attempts)| {
            vec![source.clone(), destination.clone(), format!("{attempts:.0}")]
        });
        table(page, vec!["from", "to", "attempts"], rows.collect());
    }
    if verdicts.away.is_empty() {
        page.push(or_not_known(
            verdicts,
            "whether points fail open or closed",
            "No point was away while somebody called it, so whether points fail open or closed was not observed.",
        ));
        return;
    }
    let items = verdicts.away.iter().map(|(point, verdicts)| {
        let what = match verdicts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["open"] => "failed open: connections reached their destination without it",
            ["closed"] => "failed closed: attempts to reach it failed, and hardly any connection passed by it",
            _ => "was mixed: some attempts to reach it failed, and some connections passed by it",
        };
        format!("{point} {what}.")
    });
    page.push(Block::Text("While points were away:".into()));
    page.push(Block::List(items.collect()));
}

/// Adds what hangs: connections that one end has closed, sockets that nobody closes, and points without their control plane.
pub fn hanging(page: &mut Vec<Block>, verdicts: &Verdicts) {
    page.push(Block::Heading(2, "What hangs".into()));
    if verdicts.half_closed.is_empty() {
        page.push(Block::Text(
            "No point had 100 or more half-closed connections with one workload at a time.".into(),
        ));
    } else {
        page.push(Block::Text(
            "Connections that one end has closed and the other one has not, 100 or more at a time. Where the peer closed first, the \
             proxy does not close: its own bug. Where the proxy closed first, the workload does not."
                .into(),
        ));
        let mut all: Vec<_> = verdicts.half_closed.iter().collect();
        all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let rows = all.into_iter().map(|((point, workload, first), most)| {
            let first = if first == "peer" { workload } else { point };
            vec![point.clone(), workload.clone(), first.clone(), format!("{most:.0}")]
        });
        table(
            page,
            vec!["point", "with", "closed first", "most at a time"],
            rows.collect(),
        );
    }
    held(page, verdicts);
    if verdicts.cut_off.is_empty() {
        page.push(Block::Text(
            if verdicts.rules {
                "No instance of a point had no connection to its control plane for more than five minutes."
            } else {
                "No instance of a point has no connection to its control plane now."
            }
            .into(),
        ));
    } else {
        page.push(Block::Text(
            if verdicts.rules {
                "Instances that had no connection to their control plane for more than five minutes, other than to end:"
            } else {
                "Instances that have no connection to their control plane now, other than to end:"
            }
            .into(),
        ));
        let rows = verdicts.cut_off.iter();
        let rows = rows.map(|(instance, control_plane)| vec![instance.clone(), control_plane.clone()]);
        table(page, vec!["instance", "control plane"], rows.collect());
    }
}

fn held(page: &mut Vec<Block>, verdicts: &Verdicts) {
    if verdicts.held.is_empty() {
        page.push(Block::Text(
            "No instance of a point held 100 or more sockets at a time that had ended.".into(),
        ));
        return;
    }
    page.push(Block::Text(
        "Sockets that had ended, by a reset or otherwise, and that the proxy still held, 100 or more at a time: it does not close them, a \
         bug of its own. The kernel no longer knows with whom they were."
            .into(),
    ));
    let mut all: Vec<_> = verdicts.held.iter().collect();
    all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let rows = all
        .into_iter()
        .map(|((instance, side), most)| vec![instance.clone(), side.clone(), format!("{most:.0}")]);
    table(page, vec!["instance", "side", "most at a time"], rows.collect());
}

/// Adds when resources will be full.
pub fn time_to_full(page: &mut Vec<Block>, verdicts: &Verdicts) {
    page.push(Block::Heading(2, "When resources will be full".into()));
    if verdicts.trends.is_empty() {
        page.push(or_not_known(
            verdicts,
            "when resources will be full",
            "No resource of a point fills up steadily. A trend takes a day of recorded values.",
        ));
        return;
    }
    page.push(Block::Text(
        "If they fill up as they have; in brackets at a growth of two standard errors more and less. Driven by: the dependent with \
         the greatest part of the dependents' growth, which is no proof that it is the cause."
            .into(),
    ));
    let mut trends: Vec<_> = verdicts.trends.iter().collect();
    trends.sort_by(|(_, a), (_, b)| a.hours.total_cmp(&b.hours));
    let rows = trends.into_iter().map(|((point, resource), trend)| {
        let band = trend.earliest.zip(trend.latest).map_or_else(String::new, |(from, to)| {
            format!(" ({} to {})", figure(from), figure(to))
        });
        let driver = trend.driver.as_ref();
        vec![
            point.clone(),
            resource.clone(),
            format!("{} hours{band}", figure(trend.hours)),
            driver.map_or_else(
                || "none that grows".into(),
                |(who, part)| format!("{who} ({})", percent(*part)),
            ),
        ]
    });
    table(page, vec!["point", "resource", "full in", "driven by"], rows.collect());
}

/// The sentence; without the rules, that it is not known.
fn or_not_known(verdicts: &Verdicts, what: &str, sentence: &str) -> Block {
    Block::Text(if verdicts.rules {
        sentence.to_owned()
    } else {
        format!("Not known {what}: that takes --prometheus, with the recording rules of deploy/prometheus.")
    })
}

/// Hours, as exact as they are worth.
fn figure(hours: f64) -> String {
    if hours < 10.0 {
        format!("{hours:.1}")
    } else {
        format!("{hours:.0}")
    }
}
