//! How full points were over time: asked of a Prometheus for the window, of an agent for the last hour.

use super::{
    evidence::Evidence,
    findings::Findings,
    pictures::{Course, Trend},
    point::Point,
    source::Source,
};
use crate::{
    api::{History, PointList},
    cli::{
        http::Client,
        prometheus::{self, Scope},
    },
    clock, duration,
    metrics::resources,
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, time::Duration};

/// The number of points that are asked about, the first of the ranking.
const POINTS: usize = 5;

/// The number of instances of a point that an agent is asked about. A node has hardly ever more than one.
const INSTANCES: usize = 10;

/// The number of values of a course: one for each four pixels.
const STEPS: u32 = 120;

/// Steps are not closer than samples usually are.
const LEAST_STEP: Duration = Duration::from_secs(15);

impl Source {
    /// How full the first points of the ranking were; `None` where there is no ranking.
    ///
    /// # Errors
    /// When the source does not answer, or not as expected.
    pub async fn trend(&self, evidence: &Evidence, findings: &Findings) -> anyhow::Result<Option<Trend>> {
        let points = findings.ranking.iter().take(POINTS);
        let scopes: Vec<_> = points
            .filter_map(|rank| Some((rank.point.clone(), scope(evidence.points.get(&rank.point)?))))
            .collect();
        if scopes.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Prometheus { client, window } => of_prometheus(client, &scopes, *window).await.map(Some),
            Self::Agent { client } => of_agent(client, &scopes).await.map(Some),
        }
    }
}

/// The labels of a point.
pub fn scope(point: &Point) -> Scope {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let prefix = format!("{}:", point.cluster);
    Scope {
        point: point.point.strip_prefix(&prefix).unwrap_or(&point.point).to_owned(),
        node: some(&point.node),
        cluster: some(&point.cluster),
    }
}

async fn of_prometheus(client: &Client, scopes: &[(String, Scope)], window: Duration) -> anyhow::Result<Trend> {
    let step = Duration::from_secs((window / STEPS).max(LEAST_STEP).as_secs());
    let to = (clock::now() as f64 / 1e3).floor();
    let span = (to - window.as_secs_f64(), to);
    let mut courses = Vec::new();
    for (point, scope) in scopes {
        let found = prometheus::range(client, &query(scope, step), span, step).await?;
        courses.push(Course {
            point: point.clone(),
            values: found.into_iter().next().map(|course| course.values).unwrap_or_default(),
        });
    }
    Ok(Trend {
        span,
        step: step.as_secs_f64(),
        courses,
    })
}

/// The most in each step: a peak between two steps is not missed.
fn query(scope: &Scope, step: Duration) -> String {
    let series = scope.series(resources::SATURATION.name, "");
    let step = duration::format(step);
    // A selector with `or` has no range of its own.
    let range = match scope.node {
        Some(_) => format!("[{step}:]"),
        None => format!("[{step}]"),
    };
    format!("max(max_over_time({series}{range}))")
}

async fn of_agent(client: &Client, scopes: &[(String, Scope)]) -> anyhow::Result<Trend> {
    let list: PointList = ask(client, "/api/v1/points?limit=1000", "a list of points").await?;
    let to = clock::now() as f64 / 1e3;
    let mut trend = Trend {
        span: (to, to),
        step: 0.0,
        courses: Vec::new(),
    };
    for (point, scope) in scopes {
        let mut values: BTreeMap<i64, f64> = BTreeMap::new();
        let here = list.points.iter().filter(|it| it.local && it.name.name == scope.point);
        for instance in here.take(INSTANCES) {
            // Identifiers are safe in a URL as they are.
            let path = format!("/api/v1/history?point={}", instance.name.id);
            let history: History = ask(client, &path, "a history").await?;
            trend.step = trend.step.max(history.resolution_seconds);
            let lines = history.time_seconds.iter().zip(history.lines.worst_saturation_ratio);
            for (time, ratio) in lines.filter_map(|(time, ratio)| Some((time, f64::from(ratio?)))) {
                let most = values.entry((time * 1e3) as i64).or_insert(ratio);
                *most = most.max(ratio);
            }
        }
        let values: Vec<_> = values
            .into_iter()
            .map(|(time, ratio)| (time as f64 / 1e3, ratio))
            .collect();
        let first = values.first().map_or(to, |(time, _)| *time);
        trend.span.0 = trend.span.0.min(first);
        trend.courses.push(Course {
            point: point.clone(),
            values,
        });
    }
    Ok(trend)
}

async fn ask<T: DeserializeOwned>(client: &Client, path: &str, what: &str) -> anyhow::Result<T> {
    let body = client.get(path, &[]).await?.ok().await?.whole().await?;
    serde_json::from_slice(&body).map_err(|error| {
        client
            .asked()
            .unexpected(format!("for {path}, not {what}: {error}"))
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_asked_for_by_the_labels_of_its_point() {
        let point = Point {
            point: "east:istio-system/ztunnel".into(),
            cluster: "east".into(),
            node: "n1".into(),
            ..Default::default()
        };
        let step = Duration::from_secs(720);
        assert_eq!(
            query(&scope(&point), step),
            "max(max_over_time((narrows_saturation_ratio{point=\"istio-system/ztunnel\",cluster=\"east\",node=\"n1\"} or \
             narrows_saturation_ratio{point=\"istio-system/ztunnel\",cluster=\"east\",node=\"\",instance=\"n1\"})[12m:]))"
        );
        let point = Point {
            point: "shop/waypoint".into(),
            ..Default::default()
        };
        assert_eq!(
            query(&scope(&point), step),
            "max(max_over_time(narrows_saturation_ratio{point=\"shop/waypoint\"}[12m]))"
        );
    }
}
