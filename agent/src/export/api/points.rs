//! `/api/v1/points`.

use super::{super::snapshot::Snapshot, as_of::as_of, point::point, problem::Problem, query::Query};
use crate::{
    api::{Point, PointList, Severity, point_id},
    model::rows::PointRow,
    points::{self, Kind, Mesh},
};
use std::cmp::Ordering;

/// Its parameters.
pub const PARAMETERS: [&str; 7] = ["limit", "after", "kind", "mesh", "namespace", "search", "nodes"];

/// Points in a page, unless it is said, and at most.
pub const LIMITS: (usize, usize) = (100, 1_000);

/// Which kind of points is wanted, and of which mesh.
pub struct Wanted {
    kind: Option<Kind>,
    mesh: Option<Mesh>,
}

impl Wanted {
    /// As the parameters `kind` and `mesh` say.
    ///
    /// # Errors
    /// When one of them is not valid.
    pub fn read(query: &Query) -> Result<Self, Problem> {
        Ok(Self {
            kind: query.choice("kind", &Kind::ALL.map(|kind| (kind.label(), kind)))?,
            mesh: query.choice("mesh", &Mesh::ALL.map(|mesh| (mesh.label(), mesh)))?,
        })
    }

    /// Whether this point is one.
    pub fn is(&self, point: &points::Point) -> bool {
        self.kind.is_none_or(|kind| point.kind == kind) && self.mesh.is_none_or(|mesh| point.mesh == mesh)
    }
}

/// The text of a point in which `search` looks.
pub fn searched(point: &points::Point) -> String {
    let (kind, mesh) = (point.kind.label(), point.mesh.label());
    format!("{} {} {kind} {mesh}", point.name, point.instance)
}

/// The points, those with the most trouble first.
///
/// # Errors
/// When a parameter is not valid.
pub fn list(snapshot: &Snapshot, query: &Query) -> Result<PointList, Problem> {
    let (wanted, search, namespace) = (Wanted::read(query)?, query.search()?, query.text("namespace")?);
    let fits = |row: &&PointRow| {
        let point = &row.load.point;
        let in_namespace = |wanted: &str| {
            point
                .name
                .split_once('/')
                .is_some_and(|(namespace, _)| namespace == wanted)
        };
        wanted.is(point)
            && namespace.is_none_or(in_namespace)
            && search.as_ref().is_none_or(|search| search.is_in(&searched(point)))
    };
    let offer = snapshot.offer();
    let found = snapshot.points.iter().filter(fits);
    let mut found: Vec<_> = found.map(|row| point(snapshot, &offer, row)).collect();
    found.sort_by(|one, other| worse_first(badness(one), badness(other)).then_with(|| one.name.id.cmp(&other.name.id)));
    let page = query.page(&found, LIMITS.0, LIMITS.1, |point| &point.name.id)?;
    Ok(PointList {
        as_of: as_of(snapshot),
        total: snapshot.points.len(),
        matched: found.len(),
        next: page.next,
        points: page.items.to_vec(),
        nodes: None,
    })
}

/// What points are sorted by: severity and score of the trouble, and choke risk.
pub type Badness = (Severity, f64, f64);

/// What this point is sorted by.
pub fn badness(point: &Point) -> Badness {
    let trouble = &point.trouble;
    (trouble.severity, trouble.score, point.choke_risk.ratio.unwrap_or(0.0))
}

/// The order of two points.
pub fn worse_first(one: Badness, other: Badness) -> Ordering {
    (other.0.cmp(&one.0))
        .then(other.1.total_cmp(&one.1))
        .then(other.2.total_cmp(&one.2))
}

/// The point with this identifier.
///
/// # Errors
/// When there is none.
pub fn find<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a PointRow, Problem> {
    let mut rows = snapshot.points.iter();
    rows.find(|row| point_id(&row.load.point) == id)
        .ok_or_else(|| Problem::unknown_point(id))
}
