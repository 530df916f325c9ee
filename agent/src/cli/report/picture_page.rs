//! The pictures as parts of the page, each with its numbers in words beside it.

use super::{
    block::Block,
    evidence::Evidence,
    findings::Findings,
    pictures::{Bars, Flow, Trend},
};

/// Adds who depends on the first points of the ranking, and who is reached through them; nothing where no point is shared.
pub fn flow(page: &mut Vec<Block>, evidence: &Evidence, findings: &Findings) {
    let Some(flow) = Flow::of(evidence, findings) else {
        return;
    };
    page.push(Block::Heading(2, "Who depends on what".into()));
    page.push(Block::Text(
        "Connections of the points with the highest rank: a lower bound of those that there were in the time of the report, as the \
         greater of those that were opened and the most that were open at a time. In brackets: the share of the workload's own \
         connections."
            .into(),
    ));
    page.push(Block::Picture(flow.draw()));
    text(page, flow.left_out());
    page.push(Block::Table(
        vec!["point", "depend on it", "reached through it"],
        flow.rows(),
    ));
}

/// Adds the ranking as bars; the table of the ranking has the numbers.
pub fn bars(page: &mut Vec<Block>, findings: &Findings) {
    if let Some(bars) = Bars::of(&findings.ranking) {
        page.push(Block::Picture(bars.draw()));
        text(page, bars.left_out());
    }
}

/// Adds how full the first points of the ranking were; nothing where no point is shared.
pub fn trend(page: &mut Vec<Block>, trend: &Result<Option<Trend>, String>) {
    let told = match trend {
        Ok(None) => return,
        Ok(Some(trend)) => Ok(trend),
        Err(why) => Err(why),
    };
    page.push(Block::Heading(2, "Saturation over time".into()));
    match told {
        Ok(trend) => {
            page.push(Block::Text(
                "The saturation of the fullest resource of the points with the highest rank. Times in UTC. Where a line is interrupted, \
                 nothing was known."
                    .into(),
            ));
            page.push(Block::Picture(trend.draw()));
            page.push(Block::Table(Trend::COLUMNS.into(), trend.rows()));
        }
        Err(why) => page.push(Block::Text(format!("Not known how full points were over time: {why}."))),
    }
}

fn text(page: &mut Vec<Block>, sentence: String) {
    if !sentence.is_empty() {
        page.push(Block::Text(sentence));
    }
}
