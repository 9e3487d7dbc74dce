//! Waiting for a batch of clicks.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

/// What became of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is on disk.
    Durably,
    /// Nobody waits for the disk: it will be there in some milliseconds.
    Soon,
    /// The disk is slow: it is still queued, and will be recorded or counted as dropped.
    NotYet,
    /// It is lost, and counted.
    Dropped,
}

/// Clicks that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch(OnceLock<Recorded>);

impl Batch {
    /// Says what became of it; the first to say counts.
    pub(super) fn finish(&self, outcome: Recorded) {
        // Whoever lost patience is served already.
        let _ = self.0.set(outcome);
    }
}

/// Where the visitors of one runtime wait. A task of that runtime wakes them, which costs next to nothing; from another
/// thread it would be a system call for each.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: Mutex<Vec<(Arc<Batch>, Waker)>>,
    rung: Arc<Notify>,
    begun: AtomicBool,
}

impl Desk {
    /// Has the task look who can go.
    pub(super) fn ring(&self) {
        if !self.waiting().is_empty() {
            self.rung.notify_one();
        }
    }

    /// Has the task wake the log's thread, which sleeps, once everybody who is there has queued.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.rung.notify_one();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.swap(false, Ordering::Relaxed)
    }

    pub(super) fn rung(&self) -> Arc<Notify> {
        self.rung.clone()
    }

    /// Wakes whose batch is finished.
    pub(super) fn wake(&self) {
        let done = |(batch, _): &mut (Arc<Batch>, Waker)| batch.0.get().is_some();
        let gone: Vec<_> = self.waiting().extract_if(.., done).collect();
        for (_, waker) in gone {
            waker.wake();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Arc<Batch>, Waker)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A click on its way to the disk.
#[derive(Debug)]
#[must_use = "the click counts as recorded only when this says so"]
pub(crate) struct Recording(State);

#[derive(Debug)]
enum State {
    Done(Recorded),
    Waiting(Arc<Batch>, Arc<Desk>),
}

impl Recording {
    pub(super) fn done(recorded: Recorded) -> Self {
        Self(State::Done(recorded))
    }

    pub(super) fn wait(batch: Arc<Batch>, desk: Arc<Desk>) -> Self {
        Self(State::Waiting(batch, desk))
    }
}

impl Future for Recording {
    type Output = Recorded;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Recorded> {
        let (batch, desk) = match &self.0 {
            State::Done(recorded) => return Poll::Ready(*recorded),
            State::Waiting(batch, desk) => (batch, desk),
        };
        if let Some(outcome) = batch.0.get() {
            return Poll::Ready(*outcome);
        }
        let mut waiting = desk.waiting();
        // Finished and rung in between, nobody would wake us.
        if let Some(outcome) = batch.0.get() {
            return Poll::Ready(*outcome);
        }
        // Asked again, which is seldom, it waits twice: waking it once too often does no harm.
        waiting.push((batch.clone(), context.waker().clone()));
        Poll::Pending
    }
}
