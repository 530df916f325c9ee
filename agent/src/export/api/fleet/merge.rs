//! One answer out of those of many agents, which keeps no more of them than it may give.

use super::super::{
    points::{Badness, LIMITS, badness, worse_first},
    problem::Problem,
    query::Query,
};
use crate::{
    api::{AsOf, Point, PointList, Severity, TroubleReason, View},
    draining::{Draining, Drains},
    failures::{Dropped, Failure, List},
    fleet::Nodes,
};
use std::collections::{BTreeMap, btree_map::Entry};

/// Points that are kept while answers come, and those through which pages lead.
const POINTS: usize = 1_000;

/// Views of an instance that are told.
const VIEWS: usize = 10;

/// Drains that are told.
const DRAINS: usize = 10_000;

/// The points of all nodes.
#[derive(Default)]
pub struct Listed {
    total: usize,
    matched: usize,
    /// Whether an agent has more than it was asked for.
    has_more: bool,
    /// Of the agents on whose nodes they run.
    local: Vec<Point>,
    /// Of agents that know them by their callers only, by identifier: the one with the most trouble, and the others as its views.
    distant: BTreeMap<String, Point>,
}

impl Listed {
    /// Adds what the agent of a node has answered.
    pub fn add(&mut self, node: &str, list: PointList) {
        self.total += list.total;
        self.matched += list.matched;
        self.has_more |= list.next.is_some();
        for mut point in list.points {
            point.node = Some(node.to_owned());
            // What another agent would say about others is not for it to say.
            (point.views, point.views_total) = (Vec::new(), 0);
            if point.local {
                self.local.push(point);
                continue;
            }
            match self.distant.entry(point.name.id.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(point)),
                Entry::Occupied(mut entry) => {
                    let first = entry.get_mut();
                    if worse_first(badness(&point), badness(first)).is_lt() {
                        std::mem::swap(first, &mut point);
                    }
                    join(first, point);
                }
            }
        }
        if self.local.len() > 2 * POINTS {
            keep_worst(&mut self.local);
        }
        if self.distant.len() > 2 * POINTS {
            let mut all: Vec<_> = std::mem::take(&mut self.distant).into_values().collect();
            keep_worst(&mut all);
            self.distant = all.into_iter().map(|point| (point.name.id.clone(), point)).collect();
        }
    }

    /// The page of the list that is asked for, as of the moment of the agent that was asked.
    ///
    /// # Errors
    /// A parameter is not valid, or `after` is not in the list.
    pub fn page(self, as_of: AsOf, nodes: Nodes, query: &Query) -> Result<PointList, Problem> {
        let (total, matched, has_more) = (self.total, self.matched, self.has_more);
        let all = self.sorted();
        let keys: Vec<_> = all.iter().map(key).collect();
        let page = query.page(&keys, LIMITS.0, LIMITS.1, |key| key)?;
        let begin = keys.iter().position(|key| Some(key) == page.items.first());
        let (begin, number) = (begin.unwrap_or_default(), page.items.len());
        Ok(PointList {
            as_of,
            total,
            matched,
            // What is left of an agent that was asked for few is on the next page, also where no more is known yet.
            next: page
                .next
                .or_else(|| page.items.last().filter(|_| has_more && keys.len() < POINTS).cloned()),
            points: all.into_iter().skip(begin).take(number).collect(),
            nodes: Some(nodes),
        })
    }

    /// The points, those with the most trouble first: also where only callers on other nodes see it.
    fn sorted(self) -> Vec<Point> {
        let mut all = self.local;
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, point) in all.iter().enumerate() {
            places.entry(point.name.id.clone()).or_default().push(at);
        }
        for (id, distant) in self.distant {
            match places.get(&id).map(Vec::as_slice) {
                Some(&[at]) => {
                    join(&mut all[at], distant);
                    tell_of_others(&mut all[at]);
                }
                // Where several instances have the same name, whose callers these are is not known.
                _ => all.push(distant),
            }
        }
        all.sort_by(|one, other| {
            let ids = || (&one.name.id, &one.node).cmp(&(&other.name.id, &other.node));
            worse_first(badness(one), badness(other)).then_with(ids)
        });
        all.truncate(POINTS);
        all
    }
}

fn keep_worst(points: &mut Vec<Point>) {
    points.sort_by(|one, other| worse_first(badness(one), badness(other)));
    points.truncate(POINTS);
}

/// What `after` names.
fn key(point: &Point) -> String {
    format!("{}@{}", point.name.id, point.node.as_deref().unwrap_or_default())
}

/// Adds what an agent with callers of the point says of it.
fn join(point: &mut Point, mut distant: Point) {
    let views = std::mem::take(&mut distant.views);
    point.views_total += 1 + distant.views_total;
    point.views.push(View {
        node: distant.node.unwrap_or_default(),
        trouble: distant.trouble,
    });
    point.views.extend(views);
    point.views.sort_by(|one, other| {
        let of = |view: &View| (view.trouble.severity, view.trouble.score, 0.0);
        worse_first(of(one), of(other)).then_with(|| one.node.cmp(&other.node))
    });
    point.views.truncate(VIEWS);
}

/// Adds to the trouble of a point what callers on other nodes see of it: their worst.
fn tell_of_others(point: &mut Point) {
    let bad = point.views.iter().filter(|view| view.trouble.severity > Severity::Ok);
    let others = match bad.count() {
        0 | 1 => String::new(),
        n => format!(" (and on {} more nodes)", n - 1),
    };
    let Some(View { node, trouble }) = point.views.first() else {
        return;
    };
    let Some(worst) = trouble.reasons.first().filter(|_| trouble.severity > Severity::Ok) else {
        return;
    };
    let reason = TroubleReason {
        what: "callers_elsewhere".to_owned(),
        severity: trouble.severity,
        score: trouble.score,
        text: format!("as seen from {node}{others}: {}", worst.text),
    };
    let own = &mut point.trouble;
    own.severity = own.severity.max(reason.severity);
    own.score = 1.0 - (1.0 - own.score) * (1.0 - reason.score);
    let before = |other: &TroubleReason| worse_first(of(other), of(&reason)).is_le();
    let at = own.reasons.iter().take_while(|other| before(other)).count();
    own.reasons.insert(at, reason);
}

/// What reasons are sorted by.
fn of(reason: &TroubleReason) -> Badness {
    (reason.severity, reason.score, 0.0)
}

/// The drains of all nodes.
#[derive(Default)]
pub struct Drained(Vec<Draining>);

impl Drained {
    /// Adds what the agent of a node has answered.
    pub fn add(&mut self, node: &str, drains: Drains) {
        let named = drains.drains.into_iter().map(|drain| Draining {
            node: Some(node.to_owned()),
            ..drain
        });
        self.0.extend(named.take(DRAINS.saturating_sub(self.0.len())));
    }

    /// All of them, those whose grace ends first at the beginning.
    pub fn answer(mut self, tick: u64, nodes: Nodes) -> Drains {
        self.0.sort_by(|one, other| {
            let left = |drain: &Draining| drain.seconds_left.unwrap_or(f64::INFINITY);
            let names = |drain: &Draining| (drain.node.clone(), drain.point.clone(), drain.instance.clone());
            left(one)
                .total_cmp(&left(other))
                .then_with(|| names(one).cmp(&names(other)))
        });
        Drains {
            tick,
            drains: self.0,
            nodes: Some(nodes),
        }
    }
}

/// The failures of all nodes.
pub struct FailedConnections {
    limit: usize,
    failures: Vec<Failure>,
    dropped: Dropped,
}

impl FailedConnections {
    /// The newest `limit` of them.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            failures: Vec::new(),
            dropped: Dropped {
                failure_event_rate_limited: 0,
                failure_event_ring_full: 0,
                overwritten: 0,
            },
        }
    }

    /// Adds what the agent of a node has answered.
    pub fn add(&mut self, node: &str, list: List) {
        let named = list.failures.into_iter().map(|failure| Failure {
            node: Some(node.to_owned()),
            ..failure
        });
        self.failures.extend(named);
        self.dropped = self.dropped.plus(list.dropped);
        if self.failures.len() > 2 * self.limit {
            self.keep_newest();
        }
    }

    fn keep_newest(&mut self) {
        // Times are all of the same form, so that their order is that of the texts.
        self.failures
            .sort_by(|one, other| (&one.time, &one.node, one.seq).cmp(&(&other.time, &other.node, other.seq)));
        let older = self.failures.len().saturating_sub(self.limit);
        self.failures.drain(..older);
    }

    /// All that are kept, the oldest first; `run` and `next` are those of the agent that was asked.
    pub fn answer(mut self, run: i64, next: u64, nodes: Nodes) -> List {
        self.keep_newest();
        List {
            run,
            failures: self.failures,
            dropped: self.dropped,
            next,
            nodes: Some(nodes),
        }
    }
}
