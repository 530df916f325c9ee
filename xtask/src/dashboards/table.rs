//! Tables out of instant queries, and Grafana's transformations of them.

use std::cmp::Ordering;

use anyhow::{Result, bail};
use narrows_testbed::prometheus::Sample;
use serde_json::Value;

/// The value of a row in a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Number(f64),
}

/// Named columns, and rows that have a cell for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// What Grafana makes of an instant vector in the format `table`: a column for each label, sorted, and one for the value.
    pub(super) fn of(samples: &[Sample], value: &str) -> Self {
        let mut labels: Vec<&String> = samples.iter().flat_map(|sample| sample.labels.keys()).collect();
        labels.sort();
        labels.dedup();
        let row = |sample: &Sample| {
            let texts = labels.iter().map(|label| Cell::Text(sample.label(label).to_owned()));
            texts.chain([Cell::Number(sample.value)]).collect()
        };
        Self {
            rows: samples.iter().map(row).collect(),
            columns: labels
                .iter()
                .map(ToString::to_string)
                .chain([value.to_owned()])
                .collect(),
        }
    }

    /// The table of a panel, out of the tables of its queries.
    ///
    /// # Errors
    /// A transformation is not known here.
    pub(super) fn transformed(tables: Vec<Self>, transformations: &Value) -> Result<Self> {
        let mut tables: Vec<Self> = tables.into_iter().filter(|table| !table.rows.is_empty()).collect();
        for each in transformations.as_array().into_iter().flatten() {
            let options = &each["options"];
            match each["id"].as_str().unwrap_or_default() {
                "merge" => tables = vec![merged(&tables)],
                "organize" => tables.iter_mut().for_each(|table| table.organize(options)),
                "sortBy" => tables.iter_mut().for_each(|table| table.sort(&options["sort"][0])),
                other => bail!("the transformation {other:?} is not known to the renderer of dashboards"),
            }
        }
        // A table panel shows the first of several.
        Ok(tables.into_iter().next().unwrap_or_default())
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    fn organize(&mut self, options: &Value) {
        let index = |name: &String| options["indexByName"][name].as_u64().unwrap_or(u64::MAX);
        let mut kept: Vec<usize> = (0..self.columns.len())
            .filter(|at| options["excludeByName"][&self.columns[*at]] != true)
            .collect();
        kept.sort_by_key(|at| index(&self.columns[*at]));
        let renamed = |at: &usize| {
            let name = &self.columns[*at];
            options["renameByName"][name].as_str().unwrap_or(name).to_owned()
        };
        let columns = kept.iter().map(renamed).collect();
        for row in &mut self.rows {
            *row = kept.iter().map(|at| row[*at].clone()).collect();
        }
        self.columns = columns;
    }

    fn sort(&mut self, by: &Value) {
        let Some(at) = self.at(by["field"].as_str().unwrap_or_default()) else {
            return;
        };
        self.rows.sort_by(|a, b| {
            let order = compared(&a[at], &b[at]);
            if by["desc"] == true { order.reverse() } else { order }
        });
    }
}

/// Nothing comes before everything, so that it is at the end of a descending order.
fn compared(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => a.total_cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Nothing, Cell::Nothing) => Ordering::Equal,
        (Cell::Nothing, _) => Ordering::Less,
        (_, Cell::Nothing) => Ordering::Greater,
        (Cell::Number(_), Cell::Text(_)) => Ordering::Less,
        (Cell::Text(_), Cell::Number(_)) => Ordering::Greater,
    }
}

/// One table with the columns of all. Rows become one when they agree in the columns that all tables have, and contradict each other in
/// none.
fn merged(tables: &[Table]) -> Table {
    let mut columns: Vec<String> = Vec::new();
    for table in tables {
        for column in &table.columns {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
    }
    let shared: Vec<usize> = (0..columns.len())
        .filter(|at| tables.iter().all(|table| table.at(&columns[*at]).is_some()))
        .collect();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for table in tables {
        let places: Vec<Option<usize>> = columns.iter().map(|column| table.at(column)).collect();
        for row in &table.rows {
            let new: Vec<Cell> = places
                .iter()
                .map(|at| at.map_or(Cell::Nothing, |at| row[at].clone()))
                .collect();
            let agrees = |known: &&mut Vec<Cell>| {
                shared.iter().all(|at| known[*at] == new[*at])
                    && known
                        .iter()
                        .zip(&new)
                        .all(|(a, b)| *a == Cell::Nothing || *b == Cell::Nothing || a == b)
            };
            match rows.iter_mut().find(agrees) {
                Some(known) => {
                    for (old, new) in known.iter_mut().zip(new) {
                        if *old == Cell::Nothing {
                            *old = new;
                        }
                    }
                }
                None => rows.push(new),
            }
        }
    }
    Table { columns, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Sample { labels, value }
    }

    #[test]
    fn queries_become_columns_of_one_table() -> Result<()> {
        let risk = [
            sample(&[("point", "a"), ("node", "n1")], 0.2),
            sample(&[("point", "a"), ("node", "n2")], 0.5),
            sample(&[("point", "w")], 0.9),
        ];
        let served = [sample(&[("point", "w")], 3.0)];
        let tables = vec![
            Table::of(&risk, "Value #A"),
            Table::of(&served, "Value #B"),
            Table::of(&[], "Value #C"),
        ];
        let transformations = json!([
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {
                "excludeByName": {"x": true}, "renameByName": {"Value #A": "risk", "Value #B": "served"},
                "indexByName": {"point": 0, "node": 1},
            }},
            {"id": "sortBy", "options": {"sort": [{"field": "risk", "desc": true}]}},
        ]);
        let table = Table::transformed(tables, &transformations)?;
        assert_eq!(table.columns, ["point", "node", "risk", "served"]);
        let text = |text: &str| Cell::Text(text.into());
        assert_eq!(
            table.rows,
            [
                vec![text("w"), text(""), Cell::Number(0.9), Cell::Number(3.0)],
                vec![text("a"), text("n2"), Cell::Number(0.5), Cell::Nothing],
                vec![text("a"), text("n1"), Cell::Number(0.2), Cell::Nothing],
            ]
        );
        assert!(Table::transformed(Vec::new(), &json!([{"id": "pivot"}])).is_err());
        Ok(())
    }
}
