//! How much is exported of each kind of point.

use super::{
    detail::Detail,
    family::Family,
    labels::{KIND, MESH, PAIR},
    row::Labels,
};
use crate::points::Kind;
use std::{borrow::Cow, collections::BTreeMap};

/// The detail of the points of each kind, and of everything that is not about one point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    general: Detail,
    kinds: [Detail; Kind::ALL.len()],
}

impl Details {
    /// The same detail for everything.
    pub const fn all(detail: Detail) -> Self {
        Self {
            general: detail,
            kinds: [detail; Kind::ALL.len()],
        }
    }

    /// The detail of what is not about one point.
    pub const fn general(&self) -> Detail {
        self.general
    }

    /// The detail of points of this kind.
    pub const fn of_kind(&self, kind: Kind) -> Detail {
        self.kinds[kind as usize]
    }

    /// Whether a series of a family is exported, by the names and values of its labels.
    pub fn show<'l>(&self, family: &Family, labels: impl Iterator<Item = (&'l str, &'l str)> + Clone) -> bool {
        self.of(family, labels.clone()) >= family.detail || family.is_summed && is_sum(labels)
    }

    /// Whether the pairs of a family are to be summed.
    pub fn sum(&self, family: &Family) -> bool {
        family.is_summed && self.general < family.detail
    }

    fn of<'l>(&self, family: &Family, mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> Detail {
        let is_uniform = self.kinds.iter().all(|detail| *detail == self.general);
        // All series about one point have the point's mesh.
        if is_uniform || !family.labels().any(|label| *label == MESH) {
            return self.general;
        }
        let kind = labels.find(|(name, _)| *name == KIND.name).map(|(_, kind)| kind);
        let mut kinds = Kind::ALL.into_iter();
        kinds
            .find(|known| Some(known.label()) == kind)
            .map_or(self.general, |kind| self.of_kind(kind))
    }
}

/// Stands for all workloads without series of their own.
const OTHER: &str = "_other";

/// Replaces caller and called workload, so that rows can be summed.
pub(super) fn without_pair(mut labels: Labels<'_>) -> Labels<'_> {
    for (name, value) in &mut labels {
        if PAIR.iter().any(|label| label.name == *name) {
            *value = Cow::Borrowed(OTHER);
        }
    }
    labels
}

fn is_sum<'l>(mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> bool {
    let of_pair = |name: &str| PAIR.iter().any(|label| label.name == name);
    labels.all(|(name, value)| !of_pair(name) || value == OTHER)
}

/// Decides the details: as configured, and less for sidecars where a node has many.
#[derive(Clone, Copy, Debug)]
pub struct DetailPolicy {
    details: Details,
    /// The number of sidecars beyond which they are minimal; `None` when that is settled.
    most_sidecars: Option<usize>,
}

impl DetailPolicy {
    /// As configured: the detail in general and by kind. Sidecars without a detail of their own are minimal when there are more
    /// than `most_sidecars` of them.
    pub fn new(general: Detail, kinds: &BTreeMap<Kind, Detail>, most_sidecars: usize) -> Self {
        let mut details = Details::all(general);
        for (kind, detail) in kinds {
            details.kinds[*kind as usize] = *detail;
        }
        Self {
            details,
            most_sidecars: (!kinds.contains_key(&Kind::Sidecar)).then_some(most_sidecars),
        }
    }

    /// The details in effect.
    pub const fn details(&self) -> Details {
        self.details
    }

    /// Takes note of the number of sidecars on this node. Returns whether they have become minimal by that. They stay so until the
    /// agent ends, so that their series do not come and go with a pod.
    pub fn limit_sidecars(&mut self, sidecars: usize) -> bool {
        if self.most_sidecars.is_none_or(|most| sidecars <= most) {
            return false;
        }
        self.most_sidecars = None;
        let detail = &mut self.details.kinds[Kind::Sidecar as usize];
        let is_new = *detail > Detail::Minimal;
        *detail = Detail::Minimal;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::{super::row::texts, *};
    use crate::metrics::{boundary, dependents, load};

    fn shows(details: &Details, family: &Family, labels: &Labels<'_>) -> bool {
        details.show(family, texts(labels))
    }

    fn point(kind: &'static str) -> Labels<'static> {
        vec![("point", "a/b".into()), ("kind", kind.into()), ("mesh", "istio".into())]
    }

    #[test]
    fn many_sidecars_are_minimal_until_the_end_and_nothing_else_is() {
        let mut policy = DetailPolicy::new(Detail::Full, &BTreeMap::new(), 20);
        assert!(!policy.limit_sidecars(20));
        assert_eq!(policy.details(), Details::all(Detail::Full));
        assert!(policy.limit_sidecars(21));
        assert!(!policy.limit_sidecars(30), "said once");
        assert!(!policy.limit_sidecars(0));
        let details = policy.details();
        assert_eq!(details.of_kind(Kind::Sidecar), Detail::Minimal);
        assert_eq!(details.of_kind(Kind::Ztunnel), Detail::Full);
        assert_eq!(details.general(), Detail::Full);
    }

    #[test]
    fn a_detail_that_is_given_for_a_kind_stays() {
        let kinds = BTreeMap::from([(Kind::Sidecar, Detail::Points), (Kind::Waypoint, Detail::Full)]);
        let mut policy = DetailPolicy::new(Detail::Minimal, &kinds, 20);
        assert!(!policy.limit_sidecars(1_000));
        let details = policy.details();
        assert_eq!(details.of_kind(Kind::Sidecar), Detail::Points);
        assert_eq!(details.of_kind(Kind::Waypoint), Detail::Full);
        assert_eq!(details.of_kind(Kind::Ztunnel), Detail::Minimal);
    }

    #[test]
    fn a_family_is_shown_from_its_detail_on() {
        let mut details = Details::all(Detail::Full);
        details.kinds[Kind::Sidecar as usize] = Detail::Minimal;
        for (family, of_sidecar) in [
            (&load::OPENED, true),
            (&load::ROUND_TRIP, false),
            (&dependents::DEPENDENT_CONNECTIONS, false),
        ] {
            assert_eq!(
                shows(&details, family, &point("sidecar")),
                of_sidecar,
                "{}",
                family.name
            );
            assert!(shows(&details, family, &point("waypoint")), "{}", family.name);
        }
        let points = Details::all(Detail::Points);
        assert!(shows(&points, &load::ROUND_TRIP, &point("waypoint")));
        assert!(!shows(&points, &dependents::DEPENDENT_CONNECTIONS, &point("waypoint")));
    }

    #[test]
    fn pairs_are_summed_below_their_detail() {
        let pair = |source: &'static str| {
            vec![
                ("point", "a/b".into()),
                ("kind", "sidecar".into()),
                ("source_workload", source.into()),
                ("destination_workload", "_other".into()),
            ]
        };
        let (full, points) = (Details::all(Detail::Full), Details::all(Detail::Points));
        assert!(!full.sum(&boundary::BYPASSED) && points.sum(&boundary::BYPASSED));
        assert!(shows(&full, &boundary::BYPASSED, &pair("checkout")));
        assert!(!shows(&points, &boundary::BYPASSED, &pair("checkout")));
        assert!(shows(&points, &boundary::BYPASSED, &without_pair(pair("checkout"))));
    }
}
