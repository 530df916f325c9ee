//! Asks what restarts of points cut, as `narrows rehearse` does.

use super::{
    courses::scope,
    evidence::{Evidence, Rehearsals},
    point::Point,
    source::Source,
};
use crate::{cli::rehearse::Known, points::Kind};
use std::time::Duration;

/// The number of points that are asked about: those with the most connections that a restart cuts.
const POINTS: usize = 8;

/// The graces that are asked about: the default of Kubernetes, and a long one. A third one is that which is long enough.
const GRACES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(300)];

impl Source {
    /// What restarts of the shared points with the most old connections cut.
    pub async fn rehearsals(&self, evidence: &Evidence) -> Rehearsals {
        let mut rehearsals = Rehearsals::default();
        if let Err(why_not) = self.rehearse(evidence, &mut rehearsals).await {
            rehearsals.why_not = Some(format!("{why_not:#}"));
        }
        rehearsals
    }

    async fn rehearse(&self, evidence: &Evidence, rehearsals: &mut Rehearsals) -> anyhow::Result<()> {
        let (client, window) = match self {
            Self::Prometheus { client, window } => (client, Some(*window)),
            Self::Agent { client } => (client, None),
        };
        let is_shared = |point: &Point| Kind::of_label(&point.kind).is_some_and(Kind::is_shared);
        let shared = evidence.points.iter().filter(|(_, point)| is_shared(point));
        let mut points: Vec<_> = shared
            .filter_map(|(name, point)| Some((point.old?, name, point)))
            .collect();
        points.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (_, name, point) in points.into_iter().take(POINTS) {
            let known = Known::ask(client, &scope(point), window).await?;
            let mut graces: Vec<_> = GRACES.into_iter().chain(known.useful()).collect();
            graces.sort();
            graces.dedup();
            let graces = graces.into_iter().map(|grace| known.rehearse(grace));
            rehearsals.points.insert(name.clone(), graces.collect());
        }
        Ok(())
    }
}
