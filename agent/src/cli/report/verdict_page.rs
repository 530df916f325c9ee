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
