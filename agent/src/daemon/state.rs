//! What an agent leaves to the next one: what it has exported, and the kernel counters that this was based on. The two belong
//! together: the next agent exports the former, plus the growth of the counters since.

use crate::{
    kernel::{bytes_of, split},
    metrics::{Kept, Series, Value},
    model::{DrainCause, Remembered, RememberedDrain, RememberedLink},
    points::{Kind, Mesh, Point},
};
use agent_common::{Flow, FlowKey, PathCounts, PathKey, PointCounters, Tally};
use anyhow::{Context, bail};
use bytes::{Buf, BufMut};
use std::collections::HashMap;

/// The first bytes of a stored state. The last digit is the version of the format.
const MAGIC: &[u8; 8] = b"NARROWS5";

/// The state that an agent stores for the next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// When it was current, in milliseconds since 1970.
    pub at: i64,
    /// The cumulative series, as exported.
    pub series: Series,
    /// How far each flow had been counted.
    pub flows: Vec<Remembered>,
    /// The links of points to their control planes.
    pub links: Vec<RememberedLink>,
    /// The instances of points that are to go.
    pub drains: Vec<RememberedDrain>,
    /// The kernel's counters for the cgroups of points.
    pub points: Vec<(u64, PointCounters)>,
    /// The counters of signals with many label values, in the order of [`crate::signals::TALLIES`].
    pub tallies: Vec<Vec<(Tally, u64)>>,
    /// The last generation of paths through points that was counted.
    pub counted_paths: u32,
    /// Counts of paths that waited for an identity.
    pub paths: Vec<(PathKey, PathCounts)>,
    /// Connections that were counted as ended because of runs that the kernel had skipped.
    pub explained: u64,
}

impl State {
    /// Serializes the state.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_i64_le(self.at);
        body.put_u64_le(self.explained);
        list(&mut body, self.series.families.iter(), |body, (name, family)| {
            text(body, name);
            list(body, family.iter(), |body, (labels, kept)| {
                text(body, labels);
                body.put_i64_le(kept.at);
                value(body, &kept.value);
            });
        });
        list(&mut body, self.flows.iter(), |body, flow| {
            body.put_slice(bytes_of(&flow.key));
            body.put_slice(bytes_of(&flow.last));
            body.put_u64_le(flow.unseen);
            list(body, flow.held.iter(), |body, (delta, point_has_it)| {
                body.put_slice(bytes_of(delta));
                body.put_u8(u8::from(*point_has_it));
            });
        });
        list(&mut body, self.links.iter(), put_link);
        list(&mut body, self.drains.iter(), put_drain);
        list(&mut body, self.points.iter(), |body, (cgroup, counters)| {
            body.put_u64_le(*cgroup);
            body.put_slice(bytes_of(counters));
        });
        list(&mut body, self.tallies.iter(), |body, table| {
            list(body, table.iter(), |body, (key, count)| {
                body.put_slice(bytes_of(key));
                body.put_u64_le(*count);
            });
        });
        body.put_u32_le(self.counted_paths);
        list(&mut body, self.paths.iter(), |body, (key, counts)| {
            body.put_slice(bytes_of(key));
            body.put_slice(bytes_of(counts));
        });
        let mut bytes = MAGIC.to_vec();
        bytes.extend(lz4_flex::compress_prepend_size(&body));
        bytes
    }

    /// Deserializes a state.
    ///
    /// # Errors
    /// The bytes have another version, or are damaged.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        let Some(packed) = bytes.strip_prefix(MAGIC) else {
            bail!("it has the format of another version");
        };
        let body = lz4_flex::decompress_size_prepended(packed).context("it is damaged")?;
        let mut body = body.as_slice();
        let state = Self {
            at: body.try_get_i64_le()?,
            explained: body.try_get_u64_le()?,
            series: Series {
                families: map(&mut body, |body| {
                    let name = string(body)?;
                    let family = map(body, |body| {
                        let labels = string(body)?;
                        let at = body.try_get_i64_le()?;
                        Ok((
                            labels,
                            Kept {
                                value: get_value(body)?,
                                at,
                            },
                        ))
                    })?;
                    Ok((name, family))
                })?,
            },
            flows: items(&mut body, |body| {
                Ok(Remembered {
                    key: plain::<FlowKey>(body)?,
                    last: plain::<Flow>(body)?,
                    unseen: body.try_get_u64_le()?,
                    held: items(body, |body| Ok((plain::<Flow>(body)?, body.try_get_u8()? != 0)))?,
                })
            })?,
            links: items(&mut body, get_link)?,
            drains: items(&mut body, get_drain)?,
            points: items(&mut body, |body| Ok((body.try_get_u64_le()?, plain(body)?)))?,
            tallies: items(&mut body, |body| {
                items(body, |body| Ok((plain(body)?, body.try_get_u64_le()?)))
            })?,
            counted_paths: body.try_get_u32_le()?,
            paths: items(&mut body, |body| Ok((plain(body)?, plain(body)?)))?,
        };
        if !body.is_empty() {
            bail!("it is damaged: {} bytes are left", body.len());
        }
        Ok(state)
    }
}

fn list<T>(body: &mut Vec<u8>, items: impl ExactSizeIterator<Item = T>, mut put: impl FnMut(&mut Vec<u8>, T)) {
    body.put_u32_le(u32::try_from(items.len()).unwrap_or(u32::MAX));
    for item in items {
        put(body, item);
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
    body.put_slice(text.as_bytes());
}

fn value(body: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(value) => {
            body.put_u8(0);
            body.put_f64_le(*value);
        }
        Value::Histogram(sum, buckets) => {
            body.put_u8(1);
            body.put_f64_le(*sum);
            list(body, buckets.iter(), |body, (bound, n)| {
                body.put_f64_le(*bound);
                body.put_u64_le(*n);
            });
        }
    }
}

fn get_value(body: &mut &[u8]) -> anyhow::Result<Value> {
    Ok(match body.try_get_u8()? {
        0 => Value::Number(body.try_get_f64_le()?),
        _ => Value::Histogram(
            body.try_get_f64_le()?,
            items(body, |body| Ok((body.try_get_f64_le()?, body.try_get_u64_le()?)))?,
        ),
    })
}

fn put_point(body: &mut Vec<u8>, point: &Point) {
    let Point {
        name,
        kind,
        mesh,
        instance,
    } = point;
    for part in [name, kind.label(), mesh.label(), instance] {
        text(body, part);
    }
}

fn get_point(body: &mut &[u8]) -> anyhow::Result<Point> {
    Ok(Point {
        name: string(body)?,
        kind: Kind::of_label(&string(body)?).context("it is damaged: a kind of point is unknown")?,
        mesh: Mesh::of_label(&string(body)?).context("it is damaged: a mesh is unknown")?,
        instance: string(body)?,
    })
}

fn put_link(body: &mut Vec<u8>, link: &RememberedLink) {
    put_point(body, &link.point);
    text(body, &link.namespace);
    text(body, &link.name);
    body.put_u64_le(link.connections);
    body.put_i64_le(link.changed);
    list(body, link.received.iter(), |body, at| body.put_i64_le(*at));
}

fn get_link(body: &mut &[u8]) -> anyhow::Result<RememberedLink> {
    Ok(RememberedLink {
        point: get_point(body)?,
        namespace: string(body)?,
        name: string(body)?,
        connections: body.try_get_u64_le()?,
        changed: body.try_get_i64_le()?,
        received: items(body, |body| Ok(body.try_get_i64_le()?))?.pop(),
    })
}

fn put_drain(body: &mut Vec<u8>, drain: &RememberedDrain) {
    put_point(body, &drain.point);
    text(body, drain.cause.label());
    list(body, drain.process.iter(), |body, process| body.put_u32_le(*process));
    body.put_i64_le(drain.since);
    body.put_u64_le(drain.first);
}

fn get_drain(body: &mut &[u8]) -> anyhow::Result<RememberedDrain> {
    Ok(RememberedDrain {
        point: get_point(body)?,
        cause: DrainCause::of_label(&string(body)?).context("it is damaged: a cause of a drain is unknown")?,
        process: items(body, |body| Ok(body.try_get_u32_le()?))?.pop(),
        since: body.try_get_i64_le()?,
        first: body.try_get_u64_le()?,
    })
}

fn items<T>(body: &mut &[u8], mut get: impl FnMut(&mut &[u8]) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    (0..body.try_get_u32_le()?).map(|_| get(body)).collect()
}

fn map<T>(
    body: &mut &[u8],
    mut get: impl FnMut(&mut &[u8]) -> anyhow::Result<(String, T)>,
) -> anyhow::Result<HashMap<String, T>> {
    (0..body.try_get_u32_le()?).map(|_| get(body)).collect()
}

fn string(body: &mut &[u8]) -> anyhow::Result<String> {
    let length = body.try_get_u32_le()? as usize;
    let (text, rest) = body.split_at_checked(length).context("it is damaged")?;
    *body = rest;
    Ok(String::from_utf8(text.to_vec())?)
}

fn plain<T: aya::Pod>(body: &mut &[u8]) -> anyhow::Result<T> {
    let (value, rest) = split(body).context("it is damaged")?;
    *body = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::Count;

    fn state() -> State {
        let mut state = State {
            at: 17,
            explained: 3,
            ..State::default()
        };
        let mut family = |name: &str, value| {
            let kept = Kept { value, at: 5 };
            let rows = HashMap::from([("side\u{1e}up\u{1f}".to_owned(), kept)]);
            state.series.families.insert(name.to_owned(), rows);
        };
        family("narrows_a", Value::Number(2.5));
        family("narrows_b", Value::Histogram(1.0, vec![(0.5, 7), (f64::INFINITY, 1)]));
        let flow = Flow {
            opened: 9,
            closed: 4,
            ..Flow::ZERO
        };
        state.flows.push(Remembered {
            key: FlowKey {
                cgroup: 1,
                port: 80,
                ..FlowKey::default()
            },
            last: flow,
            unseen: 1,
            held: vec![(flow, true), (Flow::ZERO, false)],
        });
        let point = Point {
            name: "istio-system/ztunnel".to_owned(),
            kind: Kind::Ztunnel,
            mesh: Mesh::Istio,
            instance: "ztunnel-x".to_owned(),
        };
        for received in [Some(6), None] {
            state.links.push(RememberedLink {
                point: point.clone(),
                namespace: "istio-system".to_owned(),
                name: "istiod".to_owned(),
                connections: 1,
                changed: 4,
                received,
            });
        }
        for (cause, process) in [(DrainCause::Replaced, Some(7)), (DrainCause::Terminating, None)] {
            state.drains.push(RememberedDrain {
                point: point.clone(),
                cause,
                process,
                since: 11,
                first: 12,
            });
        }
        state.points.push((8, PointCounters::ZERO));
        state.tallies.push(vec![(Tally { point: 8, what: 9 }, 10)]);
        state
    }

    #[test]
    fn what_is_left_is_what_is_found() {
        let state = state();
        assert_eq!(State::decode(&state.encode()).expect("readable"), state);
    }

    #[test]
    fn damage_and_other_versions_are_found() {
        let bytes = state().encode();
        let other = [b"NARROWS0".as_slice(), &bytes[8..]].concat();
        let error = State::decode(&other).expect_err("another version");
        assert!(error.to_string().contains("another version"), "{error}");
        for length in 8..bytes.len() {
            assert!(State::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
