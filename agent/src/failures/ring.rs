//! The newest records, in a bounded place. One writes, many read, each from where it is, and nobody waits for a slow reader.

use super::{filter::Filter, record::Record};
use crate::table::Table;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Records that a reader gets at a time.
const BATCH: usize = 256;

/// Failures that no record was made of, since the programs were loaded. The counters have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Their flow had told of too many in that second.
    pub rate_limited: u64,
    /// The kernel's ring was full.
    pub ring_full: u64,
}

/// The newest records.
#[derive(Debug)]
pub struct Ring {
    inner: Mutex<Inner>,
    /// Says that there is something new; what, the readers look at.
    news: watch::Sender<()>,
    limit: usize,
    run: i64,
}

#[derive(Debug)]
struct Inner {
    records: VecDeque<Record>,
    /// The number of the next one.
    next: u64,
    untold: Untold,
    closed: bool,
}

/// What one look found.
#[derive(Debug)]
pub struct Page {
    /// The records that fit, the oldest first.
    pub records: Vec<Record>,
    /// The first number that was not looked at.
    pub next: u64,
    /// Records that had left the ring before this look, whether or not they would have fitted.
    pub missed: u64,
}

impl Ring {
    /// An empty ring for `limit` records. `run` tells this run of the agent from another one, whose numbers mean other
    /// records: its start, in milliseconds since 1970.
    pub fn new(limit: usize, run: i64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                records: VecDeque::new(),
                next: 1,
                untold: Untold::default(),
                closed: false,
            }),
            news: watch::Sender::new(()),
            limit: limit.max(1),
            run,
        }
    }

    /// A writer that panicked between two records leaves a sound ring.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which run of the agent this is.
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Numbers the records and puts them in; the oldest leave.
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
            self.news.send_replace(());
        }
    }

    /// Sets how many failures have gone untold.
    pub fn set_untold(&self, untold: Untold) {
        let mut inner = self.inner();
        let changed = std::mem::replace(&mut inner.untold, untold) != untold;
        drop(inner);
        if changed {
            self.news.send_replace(());
        }
    }

    /// Says that nothing will come any more.
    pub fn close(&self) {
        self.inner().closed = true;
        self.news.send_replace(());
    }

    /// How many failures have gone untold.
    pub fn untold(&self) -> Untold {
        self.inner().untold
    }

    /// The number that the next record will have: one more than there have been.
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

    /// Records that have left the ring. Each was in it when it came, so nothing is lost with them but the past.
    pub fn left(&self) -> u64 {
        self.inner().oldest() - 1
    }

    /// At most `most` records that fit, from the number `from` on.
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

    /// The newest `most` records that fit.
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

    /// Somebody who reads on from the number `from`, as records come.
    pub fn reader(self: &Arc<Self>, from: u64) -> Reader {
        Reader {
            news: self.news.subscribe(),
            untold: self.untold(),
            ring: self.clone(),
            next: from,
        }
    }
}

impl Inner {
    /// The number of the oldest record; the next one's when there is none.
    fn oldest(&self) -> u64 {
        self.next - self.records.len() as u64
    }
}

/// A distance within the ring.
fn usize_of(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

/// Reads on as records come.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    news: watch::Receiver<()>,
    untold: Untold,
    next: u64,
}

/// What has come.
#[derive(Debug)]
pub struct Batch {
    /// Records that left the ring before this reader came to them.
    pub missed: u64,
    /// Records that fit, the oldest first.
    pub records: Vec<Record>,
    /// More failures have gone untold.
    pub untold: bool,
}

impl Reader {
    /// The next records that fit; waits until there is something to say. `None` when nothing will come any more.
    pub async fn read(&mut self, filter: &Filter) -> Option<Batch> {
        loop {
            // What comes after this look wakes the wait below.
            self.news.borrow_and_update();
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
            // The ring holds the other end.
            let _news = self.news.changed().await;
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
        // From a number that is still to come.
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
        // The second one was slow.
        ring.push(some(10));
        let batch = next(&mut second).await.expect("open");
        assert_eq!(
            (batch.missed, numbers(&batch.records)),
            (7, vec![10, 11, 12, 13]),
            "3 to 9 are gone"
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
