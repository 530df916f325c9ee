//! A bounded ring of the newest records. There is one writer and many readers, each with its own position; the writer does not wait
//! for slow readers.

use super::{filter::Filter, record::Record};
use crate::table::Table;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The number of records that a reader gets at a time.
const BATCH: usize = 256;

/// Failures without a record, since the programs were loaded. The counters include them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Not reported as their flow exceeded its limit in that second.
    pub rate_limited: u64,
    /// Not reported as the kernel's ring buffer was full.
    pub ring_full: u64,
}

/// The ring of the newest records, shared by the writer and all readers.
#[derive(Debug)]
pub struct Ring {
    inner: Mutex<Inner>,
    /// Wakes readers when something changes.
    changed: watch::Sender<()>,
    limit: usize,
    run: i64,
}

#[derive(Debug)]
struct Inner {
    records: VecDeque<Record>,
    /// The number of the next record.
    next: u64,
    untold: Untold,
    closed: bool,
}

/// The result of one read.
#[derive(Debug)]
pub struct Page {
    /// The records that match, the oldest first.
    pub records: Vec<Record>,
    /// The first number that was not examined.
    pub next: u64,
    /// Records that were evicted before this read, whether or not they match.
    pub missed: u64,
}

impl Ring {
    /// An empty ring for `limit` records. `run` distinguishes this run of the agent from others, whose numbers refer to other
    /// records: its start, in milliseconds since 1970.
    pub fn new(limit: usize, run: i64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                records: VecDeque::new(),
                next: 1,
                untold: Untold::default(),
                closed: false,
            }),
            changed: watch::Sender::new(()),
            limit: limit.max(1),
            run,
        }
    }

    /// Locks the ring; a poisoned lock is ignored, as a writer that panics between two records leaves a consistent ring.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Identifies the run of the agent: its start, in milliseconds since 1970.
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Numbers the records and appends them; evicts the oldest ones.
    pub fn push(&self, records: impl IntoIterator<Item = Record>) {
        let mut inner = self.inner();
        let before = inner.next;
        for mut record in records {
            record.seq = inner.next;
            inner.next += 1;
            if inner.records.len() == self.limit {
                inner.records.pop_front();
            }
            inner.records.push_back(record);
        }
        let new = inner.next != before;
        drop(inner);
        if new {
            self.changed.send_replace(());
        }
    }

    /// Sets the numbers of failures that were not reported.
    pub fn set_untold(&self, untold: Untold) {
        let mut inner = self.inner();
        let changed = std::mem::replace(&mut inner.untold, untold) != untold;
        drop(inner);
        if changed {
            self.changed.send_replace(());
        }
    }

    /// Closes the ring: no record will be added.
    pub fn close(&self) {
        self.inner().closed = true;
        self.changed.send_replace(());
    }

    /// The numbers of failures that were not reported.
    pub fn untold(&self) -> Untold {
        self.inner().untold
    }

    /// The number of the next record: 1 + the number of records so far.
    pub fn next(&self) -> u64 {
        self.inner().next
    }

    /// Records in the ring, and how many there may be.
    pub fn table(&self) -> Table {
        Table {
            used: self.inner().records.len(),
            limit: self.limit,
            rejected: 0,
        }
    }

    /// The number of evicted records. Clients that follow have received them before.
    pub fn left(&self) -> u64 {
        self.inner().oldest() - 1
    }

    /// At most `most` matching records, from the number `from` on.
    pub fn read(&self, from: u64, most: usize, filter: &Filter) -> Page {
        let inner = self.inner();
        let (oldest, from) = (inner.oldest(), from.max(1));
        let begin = from.max(oldest);
        let mut page = Page {
            records: Vec::new(),
            next: begin.min(inner.next),
            missed: oldest.saturating_sub(from),
        };
        for record in inner.records.iter().skip(usize_of(begin - oldest)) {
            if page.records.len() == most {
                break;
            }
            page.next = record.seq + 1;
            if filter.fits(record) {
                page.records.push(record.clone());
            }
        }
        page
    }

    /// The newest `most` matching records.
    pub fn newest(&self, most: usize, filter: &Filter) -> Page {
        let inner = self.inner();
        let fitting = inner.records.iter().rev().filter(|record| filter.fits(record));
        let mut records: Vec<_> = fitting.take(most).cloned().collect();
        records.reverse();
        Page {
            records,
            next: inner.next,
            missed: 0,
        }
    }

    /// A reader that continues from the number `from`, as records are added.
    pub fn reader(self: &Arc<Self>, from: u64) -> Reader {
        Reader {
            changed: self.changed.subscribe(),
            untold: self.untold(),
            ring: self.clone(),
            next: from,
        }
    }
}

impl Inner {
    /// The number of the oldest record; that of the next one when the ring is empty.
    fn oldest(&self) -> u64 {
        self.next - self.records.len() as u64
    }
}

/// Converts a distance within the ring to `usize`.
fn usize_of(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

/// Reads records as they are added.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    changed: watch::Receiver<()>,
    untold: Untold,
    next: u64,
}

/// What has changed since the last read.
#[derive(Debug)]
pub struct Batch {
    /// Records that were evicted before this reader received them.
    pub missed: u64,
    /// Records that match, the oldest first.
    pub records: Vec<Record>,
    /// Whether more failures were not reported.
    pub untold: bool,
}

impl Reader {
    /// The next matching records; waits until there is a change. `None` when the ring is closed and read to its end.
    pub async fn read(&mut self, filter: &Filter) -> Option<Batch> {
        loop {
            // A change after this read ends the wait below.
            self.changed.borrow_and_update();
            let closed = self.ring.inner().closed;
            let page = self.ring.read(self.next, BATCH, filter);
            let all = page.next >= self.ring.next();
            self.next = page.next;
            let untold = self.ring.untold();
            let changed = std::mem::replace(&mut self.untold, untold) != untold;
            if page.missed > 0 || !page.records.is_empty() || changed {
                return Some(Batch {
                    missed: page.missed,
                    records: page.records,
                    untold: changed,
                });
            }
            if closed && all {
                return None;
            }
            // This cannot fail, as the ring has the sender.
            let _changed = self.changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::record, *};
    use agent_common::Reason;
    use std::time::Duration;

    const ALL: Filter = Filter::ALL;

    fn some(n: usize) -> Vec<Record> {
        vec![record("checkout", "shop/waypoint", Reason::Refused); n]
    }

    fn numbers(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.seq).collect()
    }

    async fn next(reader: &mut Reader) -> Option<Batch> {
        tokio::time::timeout(Duration::from_secs(20), reader.read(&ALL))
            .await
            .expect("it is woken")
    }

    #[test]
    fn numbers_have_no_gap_and_the_oldest_leave() {
        let ring = Ring::new(5, 0);
        assert_eq!((ring.next(), ring.left(), ring.table().used), (1, 0, 0));
        assert_eq!(ring.read(0, 10, &ALL).next, 1);
        ring.push(some(3));
        assert_eq!(numbers(&ring.read(0, 10, &ALL).records), [1, 2, 3]);
        ring.push(some(4));
        let page = ring.read(1, 10, &ALL);
        assert_eq!(
            (numbers(&page.records), page.next, page.missed),
            (vec![3, 4, 5, 6, 7], 8, 2)
        );
        assert_eq!((ring.left(), ring.table().used, ring.table().limit), (2, 5, 5));
        let page = ring.read(5, 2, &ALL);
        assert_eq!((numbers(&page.records), page.next, page.missed), (vec![5, 6], 7, 0));
        assert_eq!(numbers(&ring.newest(2, &ALL).records), [6, 7]);
        // From a number that does not exist yet.
        let page = ring.read(100, 2, &ALL);
        assert_eq!((page.records.len(), page.next, page.missed), (0, 8, 0));
    }

    #[test]
    fn a_filter_is_looked_through_once() {
        let ring = Ring::new(100, 0);
        for n in 0..10 {
            ring.push([record(
                if n % 2 == 0 { "a" } else { "b" },
                "shop/waypoint",
                Reason::Refused,
            )]);
        }
        let filter = Filter {
            workload: Some("shop/b".to_owned()),
            ..Filter::ALL
        };
        assert_eq!(numbers(&ring.newest(3, &filter).records), [6, 8, 10]);
        let page = ring.read(1, 2, &filter);
        assert_eq!((numbers(&page.records), page.next), (vec![2, 4], 5));
        let page = ring.read(page.next, 9, &filter);
        assert_eq!((numbers(&page.records), page.next), (vec![6, 8, 10], 11));
    }

    #[tokio::test]
    async fn readers_are_woken_and_are_told_what_they_missed() {
        let ring = Arc::new(Ring::new(4, 0));
        ring.push(some(2));
        let (mut first, mut second) = (ring.reader(1), ring.reader(ring.next()));
        assert_eq!(numbers(&next(&mut first).await.expect("open").records), [1, 2]);
        let writer = ring.clone();
        let later = tokio::spawn(async move {
            tokio::task::yield_now().await;
            writer.push(some(1));
        });
        assert_eq!(numbers(&next(&mut first).await.expect("open").records), [3]);
        later.await.expect("it ends");
        // The second reader was slow.
        ring.push(some(10));
        let batch = next(&mut second).await.expect("open");
        assert_eq!(
            (batch.missed, numbers(&batch.records)),
            (7, vec![10, 11, 12, 13]),
            "3 to 9 were evicted"
        );
    }

    #[tokio::test]
    async fn what_went_untold_is_news() {
        let ring = Arc::new(Ring::new(4, 0));
        let mut reader = ring.reader(1);
        let untold = Untold {
            rate_limited: 7,
            ring_full: 0,
        };
        ring.set_untold(untold);
        let batch = next(&mut reader).await.expect("open");
        assert_eq!((batch.untold, batch.records.len()), (true, 0));
        assert_eq!(ring.untold(), untold);
        ring.push(some(1));
        assert!(!next(&mut reader).await.expect("open").untold);
    }

    #[tokio::test]
    async fn a_closed_ring_is_read_to_its_end() {
        let ring = Arc::new(Ring::new(1000, 0));
        let mut reader = ring.reader(1);
        ring.push(some(600));
        ring.close();
        let mut found = Vec::new();
        for _ in 0..10 {
            let Some(batch) = next(&mut reader).await else { break };
            assert!(batch.records.len() <= BATCH);
            found.extend(numbers(&batch.records));
        }
        assert_eq!(found, (1..=600).collect::<Vec<_>>());
        assert!(next(&mut reader).await.is_none());
    }
}
