//! Whether what the registry said still holds.
//!
//! The registry's change feed tells of everything that can alter a decision: it comes after the change can be read, so
//! what is asked for after an event is right as far as that event goes. Each event moves a counter, and an answer is kept
//! with the counters as they stood before the registry was asked. Whatever happens between asking and keeping, an
//! answer that an event came after has old counters, and is never used.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tagalong_proto::v1::{Event, event::Kind};
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use crate::registry::Registry;

/// Longest silence of the feed, whose heart beats every second. After that the registry may be out of reach, and with it
/// what changes there.
const SILENCE: Duration = Duration::from_secs(3);

/// How long after the feed was lost it is asked for again.
const RETRY: Duration = Duration::from_millis(250);

/// Attendees share counters, so that there are never more: one in so many is asked for again without need.
const COUNTERS: usize = 1 << u16::BITS;

/// Counts what the feed tells. While the feed is down, nothing that was said before holds.
pub(crate) struct Changes {
    /// Odd while the feed is followed.
    everybody: AtomicU64,
    attendees: Box<[AtomicU64]>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    everybody: u64,
    attendee: u64,
}

impl Default for Changes {
    fn default() -> Self {
        let attendees = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { everybody: AtomicU64::new(0), attendees }
    }
}

impl Changes {
    /// For what hangs on one attendee; none while the feed is down.
    pub(crate) fn stamp(&self, attendee: Uuid) -> Option<Stamp> {
        let attendee = self.counter(attendee).load(Ordering::SeqCst);
        self.stamp_of_all().map(|stamp| Stamp { attendee, ..stamp })
    }

    /// For what hangs on no attendee; none while the feed is down.
    pub(crate) fn stamp_of_all(&self) -> Option<Stamp> {
        let everybody = self.everybody.load(Ordering::SeqCst);
        (everybody % 2 == 1).then_some(Stamp { everybody, attendee: 0 })
    }

    fn counter(&self, attendee: Uuid) -> &AtomicU64 {
        // The end of an ID is random, whatever its beginning.
        let [.., high, low] = *attendee.as_bytes();
        &self.attendees[usize::from(u16::from_be_bytes([high, low]))]
    }

    /// What hangs on this attendee may be another now; on everybody, where the text is no ID.
    fn about(&self, attendee: &str) {
        match Uuid::try_parse(attendee) {
            Ok(attendee) => {
                self.counter(attendee).fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => self.about_everybody(),
        }
    }

    fn about_everybody(&self) {
        self.everybody.fetch_add(2, Ordering::SeqCst);
    }

    fn note(&self, event: Event) {
        match event.kind {
            Some(Kind::RegistrationCreated(event)) => self.about(&event.attendee_id),
            Some(Kind::TouchAdded(event)) => self.about(&event.attendee_id),
            Some(Kind::AttendeeChanged(event)) => self.about(&event.attendee_id),
            Some(Kind::AttendeeErased(event)) => self.about(&event.attendee_id),
            // None: something that only a newer registry knows.
            Some(Kind::AffiliateChanged(_) | Kind::CatalogueChanged(_)) | None => {
                self.about_everybody();
            }
            // What is decided as if bought does not hang on what was bought.
            Some(Kind::SaleDecided(_) | Kind::SalePaid(_) | Kind::SaleReversed(_)) => {}
        }
    }

    /// Follows the feed for ever.
    pub(crate) async fn follow(&self, registry: &Registry) -> Infallible {
        let mut failures = 0_u32;
        loop {
            let ended = self.stream(registry, &mut failures).await;
            failures = failures.saturating_add(1);
            match ended {
                Ok(()) => tracing::debug!("the change feed ended"),
                Err(status) if failures == 1 => {
                    tracing::warn!(code = ?status.code(), error = status.message(), "lost the change feed: every link is asked for");
                }
                Err(status) => {
                    tracing::debug!(code = ?status.code(), failures, "no change feed yet");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn stream(&self, registry: &Registry, failures: &mut u32) -> Result<(), Status> {
        let silent = |_| Status::deadline_exceeded("nothing was heard");
        let mut events = timeout(SILENCE, registry.events()).await.map_err(silent)??;
        // The first step says that everything from now on will be told.
        let mut followed = None;
        while let Some(step) = timeout(SILENCE, events.message()).await.map_err(silent)?? {
            if followed.is_none() {
                followed = Some(Followed::begin(self));
                if *failures > 0 {
                    tracing::info!("following the change feed again");
                    *failures = 0;
                }
            } else if let Some(event) = step.event {
                self.note(event);
            }
        }
        Ok(())
    }
}

/// The feed is up as long as this lives, whichever way it ends.
struct Followed<'a>(&'a Changes);

impl<'a> Followed<'a> {
    fn begin(changes: &'a Changes) -> Self {
        changes.everybody.fetch_add(1, Ordering::SeqCst);
        Self(changes)
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.everybody.fetch_add(1, Ordering::SeqCst);
    }
}
