//! The cluster's objects, and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::object::{Object, place};
use super::resource::Resource;
use super::selector::Selector;

/// The number of changes that are kept for each resource.
const HISTORY: usize = 200_000;

/// The number of lists whose next pages are kept.
const SNAPSHOTS: usize = 32;

/// All objects. The keys sort like those of etcd, so lists do as well.
type Objects = BTreeMap<Arc<str>, Arc<Object>>;

/// One change of one object.
#[derive(Debug)]
pub(super) struct Event {
    pub version: u64,
    pub old: Option<Arc<Object>>,
    pub new: Option<Arc<Object>>,
}

/// The state of a list when its first page was served.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub resource: Resource,
    pub version: u64,
    pub objects: Vec<Arc<Object>>,
    /// Whether a field or label selector was applied.
    pub selected: bool,
}

/// The changes after some version.
#[derive(Debug)]
pub(super) struct Batch {
    pub events: Vec<Arc<Event>>,
    /// The version up to which the changes are complete.
    pub up_to: u64,
    /// Whether more changes can be fetched at once.
    pub more: bool,
}

/// A version older than the history; with the message of a real API server.
#[derive(Debug)]
pub(super) struct TooOld(pub String);

/// All resources, under one counter of versions.
#[derive(Debug)]
pub(super) struct Store {
    version: u64,
    tables: [Table; Resource::ALL.len()],
    snapshots: VecDeque<(u64, Arc<Snapshot>)>,
    next_snapshot: u64,
}

#[derive(Debug, Default)]
struct Table {
    objects: Objects,
    history: VecDeque<Arc<Event>>,
    /// The newest version that was removed from the history.
    forgotten: u64,
    /// New watches must start at this version or later. Open watches still get the changes that they have not been sent.
    compacted: u64,
    /// The frozen state that is served instead of the current one.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    version: u64,
    objects: Objects,
}

impl Store {
    pub fn new() -> Self {
        Self {
            // Not 0, which has a special meaning in requests.
            version: 1,
            tables: Default::default(),
            snapshots: VecDeque::new(),
            next_snapshot: 0,
        }
    }

    /// # Panics
    /// When `value` is not an object with a name.
    pub fn put(&mut self, resource: Resource, value: Value) {
        let (namespace, name) = place(resource, &value);
        let key = key(&namespace, &name);
        self.version += 1;
        let table = &mut self.tables[resource.index()];
        let old = table.objects.get(&*key).cloned();
        let new = Arc::new(Object::new(resource, value, self.version, old.as_deref()));
        table.objects.insert(key, new.clone());
        table.remember(self.version, old, Some(new));
    }

    pub fn delete(&mut self, resource: Resource, namespace: &str, name: &str) -> bool {
        let table = &mut self.tables[resource.index()];
        let Some(old) = table.objects.remove(&*key(namespace, name)) else {
            return false;
        };
        self.version += 1;
        table.remember(self.version, Some(old), None);
        true
    }

    pub fn hold(&mut self, resource: Resource) {
        let table = &mut self.tables[resource.index()];
        let (version, objects) = (self.version, &table.objects);
        table.held.get_or_insert_with(|| Held {
            version,
            objects: objects.clone(),
        });
    }

    pub fn release(&mut self, resource: Resource) {
        self.tables[resource.index()].held = None;
    }

    /// Discards the history before the state that is served.
    pub fn compact(&mut self) {
        for table in &mut self.tables {
            table.compacted = table.shown(self.version).1;
        }
        self.snapshots.clear();
    }

    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let (objects, _) = self.tables[resource.index()].shown(self.version);
        objects.get(&*key(namespace, name)).cloned()
    }

    /// All objects that match, with the version of this state.
    pub fn snapshot(&self, resource: Resource, selector: &Selector) -> Snapshot {
        let (objects, version) = self.tables[resource.index()].shown(self.version);
        let matching = objects.values().filter(|object| selector.matches(object));
        Snapshot {
            resource,
            version,
            objects: matching.cloned().collect(),
            selected: selector.selects(),
        }
    }

    /// Stores a list for its next pages, and returns its number.
    pub fn keep(&mut self, snapshot: Arc<Snapshot>) -> u64 {
        if self.snapshots.len() == SNAPSHOTS {
            self.snapshots.pop_front();
        }
        self.next_snapshot += 1;
        self.snapshots.push_back((self.next_snapshot, snapshot));
        self.next_snapshot
    }

    pub fn kept(&self, number: u64) -> Option<Arc<Snapshot>> {
        let found = self.snapshots.iter().find(|(kept, _)| *kept == number);
        found.map(|(_, snapshot)| snapshot.clone())
    }

    /// Whether a watch may start after this version.
    pub fn may_watch_from(&self, resource: Resource, version: u64) -> Result<(), TooOld> {
        let table = &self.tables[resource.index()];
        let oldest = table.forgotten.max(table.compacted);
        if version < oldest {
            return Err(TooOld::new(version, oldest));
        }
        Ok(())
    }

    /// At most `limit` changes after this version, up to the state that is served.
    pub fn events_after(&self, resource: Resource, version: u64, limit: usize) -> Result<Batch, TooOld> {
        let table = &self.tables[resource.index()];
        if version < table.forgotten {
            return Err(TooOld::new(version, table.forgotten));
        }
        let shown = table.shown(self.version).1;
        let from = table.history.partition_point(|event| event.version <= version);
        let to = table.history.partition_point(|event| event.version <= shown).max(from);
        let last = to.min(from.saturating_add(limit));
        let events: Vec<_> = table.history.range(from..last).cloned().collect();
        let more = last < to;
        let up_to = match events.last() {
            Some(event) if more => event.version,
            _ => shown.max(version),
        };
        Ok(Batch { events, up_to, more })
    }
}

impl Table {
    fn shown(&self, now: u64) -> (&Objects, u64) {
        match &self.held {
            Some(held) => (&held.objects, held.version),
            None => (&self.objects, now),
        }
    }

    fn remember(&mut self, version: u64, old: Option<Arc<Object>>, new: Option<Arc<Object>>) {
        if self.history.len() == HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.version;
        }
        self.history.push_back(Arc::new(Event { version, old, new }));
    }
}

impl TooOld {
    fn new(version: u64, oldest: u64) -> Self {
        Self(format!("too old resource version: {version} ({oldest})"))
    }
}

fn key(namespace: &str, name: &str) -> Arc<str> {
    match namespace {
        "" => name.into(),
        namespace => format!("{namespace}/{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PODS: Resource = Resource::Pods;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}})
    }

    /// The names of the objects that are served, and the version.
    fn shown(store: &Store) -> (Vec<String>, u64) {
        let list = store.snapshot(PODS, &Selector::default());
        let names = list.objects.iter().map(|object| object.name.to_string());
        (names.collect(), list.version)
    }

    #[test]
    fn batches_end_where_more_begins() -> Result<(), TooOld> {
        let mut store = Store::new();
        for name in ["a", "b", "c"] {
            store.put(PODS, pod(name));
        }
        store.put(Resource::Nodes, json!({"metadata": {"name": "n1"}}));
        let first = store.events_after(PODS, 1, 2)?;
        assert_eq!((first.events.len(), first.up_to, first.more), (2, 3, true));
        let second = store.events_after(PODS, first.up_to, 2)?;
        // No pod has changed after that, up to the newest version.
        assert_eq!((second.events.len(), second.up_to, second.more), (1, 5, false));
        Ok(())
    }

    #[test]
    fn held_resources_stand_still() -> Result<(), TooOld> {
        let mut store = Store::new();
        store.put(PODS, pod("a"));
        store.hold(PODS);
        store.put(PODS, pod("b"));
        store.delete(PODS, "shop", "a");
        assert_eq!(shown(&store), (vec!["a".to_owned()], 2));
        assert!(store.get(PODS, "shop", "b").is_none());
        assert!(store.events_after(PODS, 2, 9)?.events.is_empty());
        store.release(PODS);
        assert_eq!(shown(&store), (vec!["b".to_owned()], 4));
        assert_eq!(store.events_after(PODS, 2, 9)?.events.len(), 2);
        Ok(())
    }

    #[test]
    fn compaction_spares_open_watches() -> Result<(), TooOld> {
        let mut store = Store::new();
        store.put(PODS, pod("a"));
        store.compact();
        assert!(store.may_watch_from(PODS, 1).is_err());
        assert!(store.may_watch_from(PODS, 2).is_ok());
        assert_eq!(store.events_after(PODS, 1, 9)?.events.len(), 1);
        Ok(())
    }

    #[test]
    fn history_is_bounded() {
        let mut store = Store::new();
        for _ in 0..HISTORY + 10 {
            store.put(PODS, pod("a"));
        }
        assert!(store.events_after(PODS, 5, 1).is_err());
        assert!(store.events_after(PODS, 20, 1).is_ok());
    }
}
