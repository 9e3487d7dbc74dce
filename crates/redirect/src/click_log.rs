//! Clicks on local disk. A visitor's answer waits until the click is durable, as long as the disk is well; with a
//! sick one visitors are served all the same, and what is not recorded is counted.
//!
//! Clicks gather in a batch while the one before is written. One thread owns the database: it takes the batch, commits
//! it as one row, and rings at every [`Desk`], where a task of the runtime wakes who waits there.

use std::{
    mem,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use prost::{DecodeError, Message as _};
use rusqlite::types::Type;
use tagalong_chassis::clock::Clock;
use tagalong_proto::v1::Click;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

mod desk;
mod store;
mod writer;

pub(crate) use desk::{Recorded, Recording};
pub(crate) use store::{Log, LogStatus, Sick};

use crate::config::ClickDurability;
use desk::{Batch, Desk};
use store::Store;
use writer::Writer;

/// How often the log says that clicks are dropped.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How long relaxed clicks gather before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// How long a relaxed click may be at risk before visitors wait for the disk after all.
const AT_RISK: Duration = Duration::from_millis(50);

/// What visitors and the disk put up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many clicks may wait for the disk.
    pub(crate) queue: usize,
    /// How long a visitor waits for it.
    pub(crate) patience: Duration,
    /// When an answer may go out.
    pub(crate) durability: ClickDurability,
    /// How large the log may become, in bytes.
    pub(crate) size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 8192,
            patience: Duration::from_secs(1),
            durability: ClickDurability::Strict,
            size: 4 << 30,
        }
    }
}

/// The log. Cheap to clone; ends with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct ClickLog {
    owner: Arc<Owner>,
    desk: Arc<Desk>,
}

/// Tells the thread when nobody is left.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if queue.life == Life::Open {
            queue.life = Life::Closed;
        }
        drop(queue);
        self.0.wake.notify_one();
    }
}

type Work = Box<dyn FnOnce(&mut Store) + Send>;

/// What waits for the thread.
#[derive(Default)]
struct Queue {
    gathering: Gathering,
    writing: Option<Writing>,
    work: Vec<Work>,
    /// The thread sleeps.
    idle: bool,
    /// The disk has kept visitors waiting for too long, and has not moved since.
    stalled: bool,
    life: Life,
}

/// What the thread is writing.
struct Writing {
    batch: Arc<Batch>,
    clicks: usize,
    /// When the first of them came.
    since: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// Nobody records any more.
    Closed,
    /// The thread has ended.
    Dead,
}

/// Clicks that will be written together.
#[derive(Debug, Default)]
struct Gathering {
    clicks: usize,
    /// As [`store::Log::append`] writes them.
    body: Vec<u8>,
    /// Of the newest click, in Unix seconds.
    at: i64,
    /// When the first came.
    since: Option<Instant>,
    batch: Arc<Batch>,
}

struct Shared {
    limits: Limits,
    queue: Mutex<Queue>,
    wake: Condvar,
    desks: Mutex<Vec<Weak<Desk>>>,
    recorded: Notify,
    dropped: AtomicU64,
    dropped_metric: Counter<u64>,
    complained: Mutex<Option<Instant>>,
    /// Position after the last click.
    next: AtomicI64,
    /// Position after the last click that the registry has.
    shipped: AtomicI64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl ClickLog {
    /// Starts the thread, and a task: call it inside the runtime. The database is opened now or, where that
    /// fails, later.
    pub(crate) fn open(path: PathBuf, clock: Clock, limits: Limits) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            queue: Mutex::default(),
            wake: Condvar::new(),
            desks: Mutex::default(),
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
        for reason in ["slow", "queue", "full", "sick", "closed"] {
            shared.dropped_metric.add(0, &[KeyValue::new("reason", reason)]);
        }
        let mut store = Store::new(path, clock);
        // Where that fails it is logged, and tried again.
        let _ = store.with(|_| Ok(()));
        let mut known = None;
        shared.publish(&store, &mut known);
        thread::Builder::new().name("click-log".to_owned()).spawn({
            let shared = shared.clone();
            move || Writer { shared: &shared, store, known }.run()
        })?;
        let desk = shared.open_desk();
        Ok(Self { owner: Arc::new(Owner(shared)), desk })
    }

    /// The same log for another runtime, the one this is called in: whoever waits there is woken from inside.
    pub(crate) fn here(&self) -> Self {
        Self { owner: self.owner.clone(), desk: self.owner.0.open_desk() }
    }

    fn shared(&self) -> &Shared {
        &self.owner.0
    }

    /// Records a click. Wait for what is returned: until the click is durable (or, relaxed, soon will be), or until
    /// waiting for that is no use.
    pub(crate) fn record(&self, click: &Click) -> Recording {
        let shared = self.shared();
        let mut queue = shared.queue();
        let refused = match &*queue {
            queue if queue.life == Life::Dead => Some("closed"),
            queue if queue.stalled => Some("slow"),
            queue if queue.gathering.clicks >= shared.limits.queue => Some("queue"),
            _ => None,
        };
        if let Some(reason) = refused {
            drop(queue);
            shared.drop_clicks(1, reason);
            return Recording::done(Recorded::Dropped);
        }
        let gathering = &mut queue.gathering;
        gathering.add(click);
        let hold = match shared.limits.durability {
            ClickDurability::Strict => true,
            ClickDurability::Relaxed => {
                queue.oldest().is_some_and(|since| since.elapsed() > AT_RISK)
            }
        };
        let recording = if hold {
            Recording::wait(queue.gathering.batch.clone(), self.desk.clone())
        } else {
            Recording::done(Recorded::Soon)
        };
        let ring = mem::take(&mut queue.idle);
        drop(queue);
        if ring {
            self.desk.begin();
        }
        recording
    }

    /// Does something with the database, after everything recorded before.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Sick> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Box::new(move |store| {
            // Nobody waits any more: nothing is lost.
            let _ = answer.send(store.with(work));
        }));
        answered.await.unwrap_or(Err(Sick))
    }

    /// Says that what was read is no click: the log is moved aside, and a new one begins.
    pub(crate) async fn broken(&self, error: DecodeError) -> Sick {
        let broken = self.with::<()>(|_| Err(store::unreadable(Type::Blob, error))).await;
        broken.err().unwrap_or(Sick)
    }

    fn enqueue(&self, work: Work) {
        let shared = self.shared();
        let mut queue = shared.queue();
        if queue.life != Life::Dead {
            queue.work.push(work);
            queue.idle = false;
            shared.wake.notify_one();
        }
    }

    /// Waits for clicks that were recorded since the last call.
    pub(crate) async fn recorded(&self) {
        self.shared().recorded.notified().await;
    }

    /// How many clicks were not recorded since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared().dropped.load(Ordering::Relaxed)
    }

    /// Says which position the registry wants next.
    pub(crate) fn shipped_up_to(&self, next: i64) {
        self.shared().shipped.store(next, Ordering::Relaxed);
    }

    /// The position after the last click.
    pub(crate) fn next(&self) -> i64 {
        self.shared().next.load(Ordering::Relaxed)
    }

    /// How many clicks the registry does not have, as far as is known.
    pub(crate) fn backlog(&self) -> u64 {
        self.shared().backlog()
    }

    /// The same, for somebody who must not keep the log open.
    pub(crate) fn backlog_reader(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let owner = Arc::downgrade(&self.owner);
        move || owner.upgrade().map_or(0, |owner| owner.0.backlog())
    }
}

impl Gathering {
    fn add(&mut self, click: &Click) {
        self.clicks += 1;
        self.at = self.at.max(click.occurred_at.map_or(0, |at| at.seconds));
        self.since.get_or_insert_with(Instant::now);
        // A vector has room for everything.
        let _ = click.encode_length_delimited(&mut self.body);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where the log stands. Where another has taken the place of the one that was `known`, nothing of it was shipped
    /// as far as is known.
    fn publish(&self, store: &Store, known: &mut Option<Uuid>) {
        let Some(status) = store.status() else { return };
        self.next.store(status.next, Ordering::Relaxed);
        if *known != Some(status.id) {
            *known = Some(status.id);
            self.shipped.store(status.oldest, Ordering::Relaxed);
        }
    }

    fn backlog(&self) -> u64 {
        let next = self.next.load(Ordering::Relaxed);
        u64::try_from(next - self.shipped.load(Ordering::Relaxed)).unwrap_or_default()
    }

    fn drop_clicks(&self, clicks: usize, reason: &'static str) {
        let clicks = clicks as u64;
        self.dropped_metric.add(clicks, &[KeyValue::new("reason", reason)]);
        let dropped = self.dropped.fetch_add(clicks, Ordering::Relaxed) + clicks;
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::error!(reason, dropped, "clicks are answered but not recorded");
        }
    }

    /// Where the oldest click has waited for too long, lets go everybody who waits, and those to come: they need not
    /// find out for themselves.
    fn lose_patience(&self) {
        let mut queue = self.queue();
        if queue.oldest().is_none_or(|since| since.elapsed() < self.limits.patience) {
            return;
        }
        queue.stalled = true;
        let writing = queue.writing.as_ref().map(|writing| writing.batch.clone());
        let batches = [writing, Some(queue.gathering.batch.clone())];
        drop(queue);
        for batch in batches.into_iter().flatten() {
            batch.finish(Recorded::NotYet);
        }
        // Whoever was to wake it may have ended with its runtime.
        self.wake.notify_one();
        self.ring();
    }

    fn open_desk(self: &Arc<Self>) -> Arc<Desk> {
        let desk = Arc::<Desk>::default();
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.retain(|desk| desk.strong_count() > 0);
        desks.push(Arc::downgrade(&desk));
        tokio::spawn(attend(Arc::downgrade(&desk), Arc::downgrade(self)));
        desk
    }

    /// Has everybody woken whose batch is finished.
    fn ring(&self) {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.iter().filter_map(Weak::upgrade).for_each(|desk| desk.ring());
    }
}

/// Serves one desk until it or the log is gone.
async fn attend(desk: Weak<Desk>, shared: Weak<Shared>) {
    let Some(rung) = desk.upgrade().map(|desk| desk.rung()) else { return };
    let patience = shared.upgrade().map_or(Duration::MAX, |shared| shared.limits.patience);
    let mut look = tokio::time::interval(patience / 4);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ticked = tokio::select! {
            biased;
            () = rung.notified() => false,
            _ = look.tick() => true,
        };
        let (Some(desk), Some(shared)) = (desk.upgrade(), shared.upgrade()) else { return };
        if ticked {
            shared.lose_patience();
        }
        desk.wake();
        if desk.has_begun() {
            // Whoever else is there already comes along.
            tokio::task::yield_now().await;
            shared.wake.notify_one();
        }
    }
}

impl Queue {
    /// When the oldest click came that is not dealt with.
    fn oldest(&self) -> Option<Instant> {
        self.writing.as_ref().map(|writing| writing.since).or(self.gathering.since)
    }

    /// The disk has moved.
    fn settle(&mut self) {
        self.writing = None;
        self.stalled = false;
    }
}

#[cfg(test)]
mod tests;
