//! Clicks on local disk. A visitor's answer waits until the click is durable, as long as the disk is well; with a
//! sick one visitors are served all the same, and what is not recorded is counted.
//!
//! One thread owns the database. It takes whatever is queued, commits it in one transaction, and then answers
//! everybody who waits for it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use prost::Message as _;
use tagalong_chassis::clock::Clock;
use tagalong_proto::v1::Click;
use tokio::sync::{Notify, oneshot};

mod store;

use store::{Entry, Store};
pub(crate) use store::{Log, Run, Sick};

/// How many are committed together.
const BATCH: usize = 1024;
/// How often the log says that clicks are dropped.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What visitors put up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many clicks may wait for the disk.
    pub(crate) queue: usize,
    /// How long a visitor waits for it.
    pub(crate) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 8192, patience: Duration::from_secs(1) }
    }
}

/// What became of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is on disk.
    Durably,
    /// The disk is slow: it is still queued, and will be recorded or counted as dropped.
    NotYet,
    /// It is lost, and counted.
    Dropped,
}

/// The log. Cheap to clone; ends with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct ClickLog {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
    patience: Duration,
}

enum Job {
    Record(Entry, oneshot::Sender<bool>),
    Work(Box<dyn FnOnce(&mut Store) + Send>),
}

#[derive(Debug)]
struct Shared {
    /// Numbers clicks as they come.
    count: AtomicU64,
    /// The last click whose visitor lost patience, and the last that was dealt with: while the first is ahead, the
    /// disk has stalled.
    impatient: AtomicU64,
    done: AtomicU64,
    recorded: Notify,
    dropped: AtomicU64,
    dropped_metric: Counter<u64>,
    complained: Mutex<Option<Instant>>,
    /// Position after the last click.
    next: AtomicI64,
    /// Position after the last click that the registry has.
    shipped: AtomicI64,
}

impl ClickLog {
    /// Starts the thread. The database is opened now or, where that fails, later.
    pub(crate) fn open(path: PathBuf, clock: Clock, limits: Limits) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(limits.queue);
        let shared = Arc::new(Shared {
            count: AtomicU64::new(0),
            impatient: AtomicU64::new(0),
            done: AtomicU64::new(0),
            recorded: Notify::new(),
            dropped: AtomicU64::new(0),
            dropped_metric: global::meter("tagalong")
                .u64_counter("tagalong.clicks.dropped")
                .with_description("Clicks that were answered but not recorded")
                .build(),
            complained: Mutex::new(None),
            next: AtomicI64::new(1),
            shipped: AtomicI64::new(1),
        });
        // A first drop is an increase only where there was a zero.
        for reason in ["slow", "queue", "sick", "closed"] {
            shared.dropped_metric.add(0, &[KeyValue::new("reason", reason)]);
        }
        let mut store = Store::new(path, clock);
        let status = store.with(|log| Ok(log.status()));
        if let Ok(status) = status {
            shared.next.store(status.next, Ordering::Relaxed);
            shared.shipped.store(status.oldest, Ordering::Relaxed);
        }
        thread::Builder::new().name("click-log".to_owned()).spawn({
            let shared = shared.clone();
            move || work(&queue, store, &shared)
        })?;
        Ok(Self { jobs, shared, patience: limits.patience })
    }

    /// Records a click, and returns when it is durable, or when waiting for that is no use.
    pub(crate) async fn record(&self, click: &Click) -> Recorded {
        if self.shared.is_stalled() {
            self.shared.drop_clicks(1, "slow");
            return Recorded::Dropped;
        }
        let entry = Entry {
            number: self.shared.count.fetch_add(1, Ordering::Relaxed) + 1,
            at: click.occurred_at.map_or(0, |at| at.seconds),
            click: click.encode_to_vec(),
        };
        let number = entry.number;
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job::Record(entry, answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.shared.drop_clicks(1, "queue");
                return Recorded::Dropped;
            }
            Err(TrySendError::Disconnected(_)) => {
                self.shared.drop_clicks(1, "closed");
                return Recorded::Dropped;
            }
        }
        match tokio::time::timeout(self.patience, answered).await {
            Ok(Ok(true)) => Recorded::Durably,
            Ok(Ok(false)) => Recorded::Dropped,
            Ok(Err(_)) => {
                self.shared.drop_clicks(1, "closed");
                Recorded::Dropped
            }
            Err(_) => {
                // The next visitors need not find out for themselves.
                self.shared.impatient.fetch_max(number, Ordering::Relaxed);
                Recorded::NotYet
            }
        }
    }

    /// Does something with the database, after everything queued before.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Sick> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Work(Box::new(move |store| {
            // Nobody waits any more: nothing is lost.
            let _ = answer.send(store.with(work));
        }));
        self.jobs.try_send(job).map_err(|_| Sick)?;
        answered.await.unwrap_or(Err(Sick))
    }

    /// Waits for clicks that were recorded since the last call.
    pub(crate) async fn recorded(&self) {
        self.shared.recorded.notified().await;
    }

    /// How many clicks were not recorded since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Says which position the registry wants next.
    pub(crate) fn shipped_up_to(&self, next: i64) {
        self.shared.shipped.store(next, Ordering::Relaxed);
    }

    /// How many clicks the registry does not have, as far as is known.
    pub(crate) fn backlog(&self) -> u64 {
        self.shared.backlog()
    }

    /// The same, for somebody who must not keep the log open.
    pub(crate) fn backlog_reader(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map_or(0, |shared| shared.backlog())
    }
}

impl Shared {
    fn is_stalled(&self) -> bool {
        self.impatient.load(Ordering::Relaxed) > self.done.load(Ordering::Relaxed)
    }

    fn backlog(&self) -> u64 {
        let next = self.next.load(Ordering::Relaxed);
        u64::try_from(next - self.shipped.load(Ordering::Relaxed)).unwrap_or_default()
    }

    fn drop_clicks(&self, clicks: u64, reason: &'static str) {
        self.dropped_metric.add(clicks, &[KeyValue::new("reason", reason)]);
        let dropped = self.dropped.fetch_add(clicks, Ordering::Relaxed) + clicks;
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::error!(reason, dropped, "clicks are answered but not recorded");
        }
    }
}

/// The thread.
fn work(queue: &Receiver<Job>, mut store: Store, shared: &Shared) {
    let mut next = None;
    while let Some(job) = next.take().or_else(|| queue.recv().ok()) {
        let (entry, answer) = match job {
            Job::Work(work) => {
                work(&mut store);
                continue;
            }
            Job::Record(entry, answer) => (entry, answer),
        };
        let (mut entries, mut answers) = (vec![entry], vec![answer]);
        while entries.len() < BATCH {
            match queue.try_recv() {
                Ok(Job::Record(entry, answer)) => {
                    entries.push(entry);
                    answers.push(answer);
                }
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = store.with(|log| log.append(&entries));
        match &committed {
            Ok(position) => shared.next.store(*position, Ordering::Relaxed),
            Err(Sick) => shared.drop_clicks(entries.len() as u64, "sick"),
        }
        let last = entries.iter().map(|entry| entry.number).max().unwrap_or_default();
        shared.done.fetch_max(last, Ordering::Relaxed);
        for answer in answers {
            // Whoever lost patience is served already.
            let _ = answer.send(committed.is_ok());
        }
        shared.recorded.notify_one();
    }
}

#[cfg(test)]
mod tests;
