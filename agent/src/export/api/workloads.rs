//! `/api/v1/workloads`.

use super::{
    super::snapshot::Snapshot,
    as_of::as_of,
    endpoints::{Side, endpoints, point_name, searched, workload_name},
    problem::Problem,
    query::Query,
};
use crate::{
    api::{Use, WorkloadList, WorkloadUse, point_id},
    identity::Workload,
};
use std::collections::BTreeMap;

/// Its parameters.
pub const PARAMETERS: [&str; 5] = ["limit", "after", "namespace", "search", "point"];

/// Workloads in a page, unless it is said, and at most.
const LIMITS: (usize, usize) = (100, 1_000);

/// The workloads that hang on a point.
///
/// # Errors
/// When a parameter is not valid.
pub fn list(snapshot: &Snapshot, query: &Query) -> Result<WorkloadList, Problem> {
    let namespace = query.text("namespace")?;
    let search = query.search()?;
    let point = query.text("point")?;
    let mut all: BTreeMap<&Workload, WorkloadUse> = BTreeMap::new();
    for row in &snapshot.points {
        let name = point_name(&row.load.point);
        for side in Side::ALL {
            for (workload, traffic) in endpoints(snapshot, row, side) {
                let uses = all.entry(workload).or_insert_with(|| WorkloadUse {
                    workload: workload_name(workload),
                    depends_on: Vec::new(),
                    served_by: Vec::new(),
                });
                let list = match side {
                    Side::Dependents => &mut uses.depends_on,
                    Side::Served => &mut uses.served_by,
                };
                list.push(Use {
                    point: name.clone(),
                    traffic,
                });
            }
        }
    }
    if let Some(id) = point
        && !snapshot.points.iter().any(|row| point_id(&row.load.point) == id)
    {
        return Err(Problem::unknown_point(id));
    }
    let total = all.len();
    let fits = |uses: &WorkloadUse| {
        let workload = &uses.workload;
        let mut points = uses.depends_on.iter().chain(&uses.served_by);
        namespace.is_none_or(|namespace| workload.namespace == namespace)
            && point.is_none_or(|id| points.any(|of| of.point.id == id))
            && search.as_ref().is_none_or(|search| {
                let text = searched(&workload.namespace, &workload.name, &workload.principal);
                search.is_in(&text)
            })
    };
    let found: Vec<_> = all.into_values().filter(fits).collect();
    let page = query.page(&found, LIMITS.0, LIMITS.1, |uses| &uses.workload.id)?;
    Ok(WorkloadList {
        as_of: as_of(snapshot),
        total,
        matched: found.len(),
        next: page.next,
        workloads: page.items.to_vec(),
    })
}
