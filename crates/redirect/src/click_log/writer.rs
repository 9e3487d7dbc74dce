//! The thread that writes clicks.

use std::{
    mem,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use uuid::Uuid;

use super::{GATHER, Gathering, Life, Limits, Recorded, Shared, Sick, Store, Work, Writing};
use crate::config::ClickDurability;

/// What the thread runs.
pub(super) struct Writer<'a> {
    pub(super) shared: &'a Shared,
    pub(super) store: Store,
    /// The log that `shipped` is about.
    pub(super) known: Option<Uuid>,
}

impl Writer<'_> {
    pub(super) fn run(mut self) {
        let mut spare = Vec::new();
        while let Some((gathered, work)) = self.next(mem::take(&mut spare)) {
            if gathered.clicks > 0 {
                let outcome = self.write(&gathered);
                self.shared.queue().settle();
                gathered.batch.finish(outcome);
                self.shared.ring();
                self.shared.recorded.notify_one();
            }
            for work in work {
                work(&mut self.store);
            }
            self.shared.publish(&self.store, &mut self.known);
            spare = gathered.body;
            spare.clear();
        }
    }

    /// What has gathered, and what else is to be done; none when the log ends. `spare` is a body to be used again.
    fn next(&self, spare: Vec<u8>) -> Option<(Gathering, Vec<Work>)> {
        let mut queue = self.shared.queue();
        loop {
            let ripe = match (queue.gathering.since, self.shared.limits.durability) {
                _ if queue.life == Life::Closed || !queue.work.is_empty() => Duration::ZERO,
                (None, _) => Duration::MAX,
                (Some(_), ClickDurability::Strict) => Duration::ZERO,
                (Some(since), ClickDurability::Relaxed) => GATHER.saturating_sub(since.elapsed()),
            };
            if ripe.is_zero() {
                break;
            }
            let wake = &self.shared.wake;
            if ripe == Duration::MAX {
                queue.idle = true;
                queue = wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = wake.wait_timeout(queue, ripe);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        if queue.life == Life::Closed && queue.gathering.clicks == 0 && queue.work.is_empty() {
            return None;
        }
        let gathering = Gathering { body: spare, ..Gathering::default() };
        let gathered = mem::replace(&mut queue.gathering, gathering);
        queue.writing = gathered.since.map(|since| Writing {
            batch: gathered.batch.clone(),
            clicks: gathered.clicks,
            since,
        });
        Some((gathered, mem::take(&mut queue.work)))
    }

    fn write(&mut self, gathered: &Gathering) -> Recorded {
        let Gathering { clicks, body, at, .. } = gathered;
        let Limits { size, .. } = self.shared.limits;
        let shipped = self.shared.shipped.load(Ordering::Relaxed);
        let written = self.store.with(|log| {
            if log.size()? >= size {
                log.make_room(shipped, size)?;
            }
            if log.size()? >= size { Ok(None) } else { log.append(*clicks, *at, body).map(Some) }
        });
        match written {
            Ok(Some(_)) => {
                // Before anybody is told: who ships must not believe that there is nothing new.
                self.shared.publish(&self.store, &mut self.known);
                return Recorded::Durably;
            }
            Ok(None) => self.shared.drop_clicks(*clicks, "full"),
            Err(Sick) => self.shared.drop_clicks(*clicks, "sick"),
        }
        Recorded::Dropped
    }
}

impl Drop for Writer<'_> {
    /// Also where the thread panicked: nobody shall wait for it.
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.life = Life::Dead;
        queue.work.clear();
        let gathering = mem::take(&mut queue.gathering);
        let mut clicks = gathering.clicks;
        let mut batches = vec![gathering.batch];
        if let Some(writing) = queue.writing.take() {
            clicks += writing.clicks;
            batches.push(writing.batch);
        }
        drop(queue);
        if clicks > 0 {
            self.shared.drop_clicks(clicks, "closed");
        }
        for batch in batches {
            batch.finish(Recorded::Dropped);
        }
        self.shared.ring();
    }
}
