//! `/api/v1/failures`: failed connections one by one, as a list or as a stream (server-sent events).

use super::api::{FailedConnections, Fleet, Problem};
use crate::{
    clock, duration,
    failures::{Batch, Dropped, Filter, List, Lost, Reader, Record, Ring, Since, Start, parse_reason, parse_workload},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Upper bound for concurrent followers. Each costs a connection and a few hundred buffered records.
const FOLLOWERS: usize = 32;

/// Records in a list, unless the parameter `limit` is given.
const LIMIT: usize = 1_000;

/// Records in a list of all nodes, at most: each agent is asked for as many.
const LIMIT_OF_ALL: usize = 5_000;

/// The interval of keep-alive comments to followers, so that both ends notice a broken connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Its parameters.
const PARAMETERS: [&str; 9] = [
    "point", "workload", "reason", "since", "limit", "from", "follow", "run", "nodes",
];

/// State of the route.
#[derive(Clone)]
pub struct Failures {
    ring: Arc<Ring>,
    followers: Arc<Semaphore>,
    fleet: Fleet,
}

impl Failures {
    /// Serves the records in `ring`, and in those of the agents in `fleet`.
    pub fn new(ring: Arc<Ring>, fleet: Fleet) -> Self {
        Self {
            ring,
            fleet,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }
}

/// The handler of `GET /api/v1/failures`.
pub async fn failures(State(state): State<Failures>, uri: Uri, headers: HeaderMap) -> Response {
    let asked = match Question::read(uri.query().unwrap_or_default(), &headers) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    if asked.of_all_nodes {
        let query = uri.query().unwrap_or_default();
        list_of_all(&state, &asked, query)
            .await
            .map_or_else(IntoResponse::into_response, |list| Json(list).into_response())
    } else if asked.follow == Some(true) {
        follow(&state, &asked)
    } else {
        Json(list(&state.ring, &asked)).into_response()
    }
}

/// A parsed request.
#[derive(Debug, Default, PartialEq)]
struct Question {
    /// Does not include the age yet.
    filter: Filter,
    since: Option<Duration>,
    limit: Option<usize>,
    from: Option<u64>,
    follow: Option<bool>,
    run: Option<i64>,
    last: Option<u64>,
    of_all_nodes: bool,
}

impl Question {
    /// Parses a request. Messages of errors begin with the parameter's name.
    fn read(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !PARAMETERS.contains(&&*name) {
                return Err(Problem::unknown_parameter(&name, &PARAMETERS));
            }
            asked
                .set(&name, &value)
                .map_err(|what| Problem::invalid_parameter(&name, what))?;
        }
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let events = accept.is_some_and(|accept| accept.contains("text/event-stream"));
        if *asked.follow.get_or_insert(events) {
            if let Some(last) = headers.get("last-event-id") {
                let number = last.to_str().ok().and_then(|last| last.parse().ok());
                let wrong = || Problem::invalid_parameter("Last-Event-ID", "it is no number of a failure");
                asked.last = Some(number.ok_or_else(wrong)?);
            }
            for (name, given) in [("limit", asked.limit.is_some()), ("from", asked.from.is_some())] {
                if given {
                    let why = "it is for a list, and this is to be followed; use since";
                    return Err(Problem::invalid_parameter(name, why));
                }
            }
        }
        asked.check_nodes()?;
        Ok(asked)
    }

    /// What is of one agent cannot be asked of all.
    fn check_nodes(&self) -> Result<(), Problem> {
        let why = match self.limit {
            _ if !self.of_all_nodes => return Ok(()),
            _ if self.follow == Some(true) => {
                "failures are followed at the agent of one node; this is for a list (follow=false)"
            }
            _ if self.from.is_some() || self.run.is_some() => {
                "numbers of failures are those of one agent, so there is neither from nor run; use since"
            }
            Some(limit) if limit > LIMIT_OF_ALL => "limit is at most 5000 for all nodes",
            _ => return Ok(()),
        };
        Err(Problem::invalid_parameter("nodes", why))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
        match name {
            "point" if value.is_empty() => return Err("it is empty: name a point, such as shop/waypoint".to_owned()),
            "point" => self.filter.point = Some(value.to_owned()),
            "workload" => self.filter.workload = Some(parse_workload(value)?),
            "reason" => self.filter.reason = Some(parse_reason(value)?),
            "since" => self.since = Some(duration::parse(value)?),
            "limit" if value == "0" => return Err("it is 0: nothing would be told".to_owned()),
            "limit" => self.limit = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "from" => self.from = Some(number()?),
            "nodes" => match value {
                "own" => self.of_all_nodes = false,
                "all" => self.of_all_nodes = true,
                _ => return Err(format!("{value:?} is none of own, all")),
            },
            "run" => self.run = i64::try_from(number()?).ok(),
            "follow" => {
                let follow = value
                    .parse()
                    .map_err(|_| format!("{value:?} is neither true nor false"))?;
                self.follow = Some(follow);
            }
            _ => return Err("it is not read; please report this".to_owned()),
        }
        Ok(())
    }

    /// The filter, given that records from the number `new_from` on are new.
    fn filter(&self, new_from: u64) -> Filter {
        let since = self.since.map(|since| {
            let age = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            Since {
                time: clock::now().saturating_sub(age),
                new_from,
            }
        });
        Filter {
            since,
            ..self.filter.clone()
        }
    }

    /// The number from which a follower reads, and the number from which records are new to it.
    fn begin(&self, ring: &Ring) -> (u64, u64) {
        let next = ring.next();
        match self.last {
            // Numbers of another run do not apply to this one, of which every record is new.
            Some(last) if self.run.is_some_and(|run| run != ring.run()) || last >= next => (1, 1),
            Some(last) => (last + 1, last + 1),
            // Records that have left the ring are no loss to a follower that starts now.
            None if self.since.is_some() => (ring.left() + 1, next),
            None => (next, next),
        }
    }
}

/// The newest of all nodes.
async fn list_of_all(state: &Failures, asked: &Question, query: &str) -> Result<List, Problem> {
    let limit = asked.limit.unwrap_or(LIMIT);
    let own = list(&state.ring, asked);
    let (run, next) = (own.run, own.next);
    let mut all = FailedConnections::new(limit);
    all.add(state.fleet.node(), own);
    let of_one = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "nodes");
    let of_one = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(of_one)
        .finish();
    let target = format!("/api/v1/failures?{of_one}");
    let take = |node: &str, list: List| all.add(node, list);
    let nodes = state.fleet.ask_all(&target, "a list of failures", take).await?;
    Ok(all.answer(run, next, nodes))
}

fn list(ring: &Ring, asked: &Question) -> List {
    let filter = asked.filter(u64::MAX);
    let limit = asked.limit.unwrap_or(LIMIT);
    let page = match asked.from {
        Some(from) => ring.read(from, limit, &filter),
        None => ring.newest(limit, &filter),
    };
    List {
        run: ring.run(),
        failures: page.records.iter().map(Record::shown).collect(),
        dropped: Dropped::now(ring),
        next: page.next,
        nodes: None,
    }
}

fn follow(state: &Failures, asked: &Question) -> Response {
    let Ok(permit) = state.followers.clone().try_acquire_owned() else {
        return Problem::too_many_followers(FOLLOWERS).into_response();
    };
    let ring = &state.ring;
    let (begin, new_from) = asked.begin(ring);
    let follower = Follower {
        ring: ring.clone(),
        reader: ring.reader(begin),
        filter: asked.filter(new_from),
        _permit: permit,
    };
    // A number at once: a follower that reconnects before the first failure has missed nothing in between.
    let (run, next) = (ring.run(), begin);
    let start = event("start", &Start { run, next }).id((begin - 1).to_string());
    let start = vec![start, event("dropped", &Dropped::now(ring))];
    let rest = stream::unfold(follower, async |mut follower| {
        let batch = follower.reader.read(&follower.filter).await?;
        Some((events(&follower.ring, &batch), follower))
    });
    let all = stream::iter([start]).chain(rest).flat_map(stream::iter);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let answer = Sse::new(all.map(Ok::<_, Infallible>)).keep_alive(keep_alive);
    // Intermediate proxies must not buffer the stream.
    ([("x-accel-buffering", "no")], answer).into_response()
}

/// A follower; dropping it releases its slot.
struct Follower {
    ring: Arc<Ring>,
    reader: Reader,
    filter: Filter,
    _permit: OwnedSemaphorePermit,
}

fn events(ring: &Ring, batch: &Batch) -> Vec<Event> {
    let mut events = Vec::new();
    if batch.missed > 0 {
        let missed = batch.missed;
        events.push(event("lost", &Lost { missed }));
    }
    let failures = batch.records.iter();
    events.extend(failures.map(|record| event("failure", &record.shown()).id(record.seq.to_string())));
    if batch.untold {
        events.push(event("dropped", &Dropped::now(ring)));
    }
    events
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // These types always serialize to JSON.
    let json = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failures::example;
    use agent_common::Reason;
    use axum::http::HeaderValue;

    fn read(query: &str) -> Result<Question, Problem> {
        Question::read(query, &HeaderMap::new())
    }

    fn with_header(query: &str, name: &'static str, value: &'static str) -> Result<Question, Problem> {
        Question::read(
            query,
            &HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))]),
        )
    }

    #[test]
    fn a_question_is_read() {
        let nothing = Question {
            follow: Some(false),
            ..Question::default()
        };
        assert_eq!(read(""), Ok(nothing));
        let asked =
            read("point=shop%2Fwaypoint&workload=shop/checkout&reason=refused&since=5m&limit=7&from=3").expect("good");
        assert_eq!(
            asked,
            Question {
                filter: Filter {
                    point: Some("shop/waypoint".to_owned()),
                    workload: Some("shop/checkout".to_owned()),
                    reason: Some("refused"),
                    since: None,
                },
                since: Some(Duration::from_secs(300)),
                limit: Some(7),
                from: Some(3),
                follow: Some(false),
                ..Question::default()
            }
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, sentence) in [
            ("pont=a", "pont: there is no such parameter; there are point, workload"),
            ("point=", "point: it is empty"),
            (
                "workload=checkout",
                "workload: \"checkout\" is not a <namespace>/<name>",
            ),
            (
                "reason=refuse",
                "reason: \"refuse\" is not a reason, expected one of refused",
            ),
            ("since=5", "since: \"5\" is not a valid duration"),
            ("limit=-1", "limit: \"-1\" is no number"),
            ("limit=0", "limit: it is 0"),
            ("from=x", "from: \"x\" is no number"),
            ("follow=yes", "follow: \"yes\" is neither true nor false"),
            ("follow=true&limit=3", "limit: it is for a list"),
            ("follow=true&from=3", "from: it is for a list"),
        ] {
            let error = read(query).expect_err(query);
            assert!(error.message().starts_with(sentence), "{query}: {error:?}");
        }
        let error = with_header("follow=true", "last-event-id", "x").expect_err("no number");
        assert!(error.message().starts_with("Last-Event-ID: "), "{error:?}");
    }

    #[test]
    fn who_wants_events_follows() {
        let follows = |query, accept| with_header(query, "accept", accept).expect("good").follow == Some(true);
        assert!(follows("", "text/event-stream"));
        assert!(follows("follow=true", "*/*"));
        assert!(!follows("follow=false", "text/event-stream"));
        assert!(!follows("", "application/json"));
    }

    #[test]
    fn a_follower_begins_where_it_left_off() {
        let ring = Ring::new(10, 77);
        let begin = |asked: Question| asked.begin(&ring);
        let last = |last, run| Question {
            last: Some(last),
            run,
            // The follower reconnects with the same parameters.
            since: Some(Duration::from_secs(1)),
            ..Question::default()
        };
        // No failure has been recorded yet in this run.
        assert_eq!(begin(Question::default()), (1, 1));
        assert_eq!(begin(last(0, None)), (1, 1));
        assert_eq!(begin(last(500, None)), (1, 1), "of a former run");
        ring.push((0..30).map(|_| example("checkout", "shop/waypoint", Reason::Refused)));
        assert_eq!(begin(Question::default()), (31, 31), "only what is new");
        assert_eq!(begin(last(25, None)), (26, 26));
        assert_eq!(begin(last(30, Some(77))), (31, 31));
        assert_eq!(begin(last(25, Some(76))), (1, 1), "of a former run");
        let since = Question {
            since: Some(Duration::from_secs(60)),
            ..Question::default()
        };
        assert_eq!(begin(since), (21, 31), "the oldest that is there");
    }
}
