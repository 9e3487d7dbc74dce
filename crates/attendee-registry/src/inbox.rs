//! The inbox: what tools and checkouts post is verified, stored, answered and then taken, in this order. What was
//! answered is stored, and what is stored is taken or parked, whatever dies in between.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, future::join_all};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{clock::Clock, config::Secret, drain::Drain, status};
use tagalong_integrations::{Delivery, Payload, Preset, Presets, Reading, Refusal, Reply};
use tagalong_proto::v1::DeliveryState;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    error::{Error, Result, What},
    keys::DataKeys,
    store::{
        Store,
        deliveries::{self, Outcome, Problem, Retention},
        entity::{delivery, source},
        sources,
    },
    writing::Writer,
};

mod metrics;
mod taking;

pub(crate) use metrics::Metrics;

/// How many deliveries are taken together, and so share commits.
const TOGETHER: u64 = 64;

/// How often to look for what another process stored and did not take, or what could not be taken just now.
const AGAIN: Duration = Duration::from_secs(5);

/// What the inbox is made of.
pub(crate) struct Inbox {
    pub(crate) store: Store,
    pub(crate) writer: Arc<Writer>,
    pub(crate) keys: DataKeys,
    pub(crate) tokens: KeyRing,
    pub(crate) clock: Clock,
    pub(crate) presets: Presets,
    pub(crate) retention: Retention,
    pub(crate) metrics: Metrics,
    /// Something may wait for its turn.
    pub(crate) arrived: Notify,
}

/// A source that takes deliveries.
pub(crate) struct Open<'a> {
    row: source::Model,
    preset: &'a Preset,
    secrets: Vec<Secret>,
}

/// Why a delivery is not taken. Nothing of it is kept.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// There is no such source.
    Unknown,
    /// It is not authentic.
    Refused(Refusal),
    /// Not now, and our fault.
    Failed(Error),
}

impl From<Error> for NotTaken {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Open<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.row.id
    }

    /// The answer to somebody who only tries whether there is a hook.
    pub(crate) fn probed(&self) -> Reply {
        self.preset.reply()
    }
}

impl Inbox {
    /// Opens a source for one request.
    pub(crate) async fn open(&self, id: &str) -> Result<Open<'_>, NotTaken> {
        let db = self.store.read();
        let row = match sources::source(db, id).await {
            Err(Error::NotFound { .. }) => return Err(NotTaken::Unknown),
            found => found?,
        };
        if row.disabled {
            return Err(NotTaken::Unknown);
        }
        // It was there when the source was made: whoever sends tries again until it is back.
        let preset = self.presets.get(&row.preset).ok_or_else(|| {
            Error::internal(format!("source {id} needs the preset {}, which is gone", row.preset))
        })?;
        let now = self.clock.now().as_microsecond();
        let secrets = sources::secrets(db, &self.keys, id, now).await?;
        Ok(Open { row, preset, secrets })
    }

    /// Verifies and stores what was posted. Where this answers, it is on disk.
    pub(crate) async fn receive(
        &self,
        source: &Open<'_>,
        posted: &Delivery<'_>,
    ) -> Result<Reply, NotTaken> {
        let secrets: Vec<&str> = source.secrets.iter().map(Secret::expose).collect();
        let payload =
            source.preset.verify(&secrets, posted, self.clock.now()).map_err(NotTaken::Refused)?;
        if let Some(reply) = source.preset.challenge(&secrets, &payload) {
            self.metrics.posted(source.id(), "challenge");
            return Ok(reply);
        }
        let body = payload.to_bytes();
        let digest = self.keys.fingerprint("delivery", &body);
        let (keys, id) = (self.keys.clone(), source.row.id.clone());
        let new = self.writer.write(move |db, now| {
            Box::pin(async move { deliveries::receive(db, &keys, &id, digest, &body, now).await })
        });
        if new.await? {
            self.metrics.posted(source.id(), "accepted");
            self.arrived.notify_one();
        } else {
            self.metrics.posted(source.id(), "repeated");
        }
        Ok(source.preset.reply())
    }

    /// Takes what waits, until drained.
    pub(crate) async fn run(&self, drain: &Drain) {
        while !drain.is_started() {
            match self.take_waiting().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    let error = status::chain(&error);
                    tracing::warn!(error, "deliveries could not be taken now; they will be");
                }
            }
            tokio::select! {
                () = drain.started() => {}
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Takes the oldest deliveries that wait; whether there may be more.
    pub(crate) async fn take_waiting(&self) -> Result<bool> {
        let rows = deliveries::waiting(self.store.read(), TOGETHER).await?;
        let more = rows.len() as u64 == TOGETHER;
        for taken in join_all(rows.into_iter().map(|row| self.take(row, false))).await {
            taken?;
        }
        Ok(more)
    }

    /// Takes a delivery once more, now.
    pub(crate) async fn replay(&self, id: Uuid) -> Result<delivery::Model> {
        let row = deliveries::delivery(self.store.read(), id).await?;
        self.take(row, true).await
    }

    /// Takes a delivery that waits, or `again` one that was tried before. Refused are only those that cannot be tried now.
    async fn take(&self, row: delivery::Model, again: bool) -> Result<delivery::Model> {
        let id = row.id;
        let source = sources::source(self.store.read(), &row.source).await?;
        // A bug in taking one must not keep the others from being taken. The panic hook has logged it.
        let read = catch_unwind(AssertUnwindSafe(|| self.read(&row, &source)));
        let read = read.unwrap_or_else(|_| Ok(Err(internal())))?;
        let work = taking::Taker {
            keys: self.keys.clone(),
            tokens: self.tokens.clone(),
            source,
            received_at: row.received_at,
        };
        let write = self.writer.write(move |db, now| {
            Box::pin(async move {
                let row = deliveries::delivery(db, id).await?;
                // Another process was faster.
                if !again && row.state != i32::from(DeliveryState::Received) {
                    return Ok((row, false));
                }
                let outcome = match read {
                    Ok(reading) => {
                        let taken = AssertUnwindSafe(work.take(db, &reading, now)).catch_unwind();
                        let parked = || Outcome::parked(reading.kind.name(), internal());
                        taken.await.unwrap_or_else(|_| Ok(parked()))?
                    }
                    Err(problem) => Outcome::parked("", problem),
                };
                Ok((deliveries::settle(db, id, outcome, now).await?, true))
            })
        });
        let (row, tried) = match write.await {
            // Kept long enough meanwhile.
            Err(Error::NotFound { what: What::Delivery, .. }) if !again => return Ok(row),
            done => done?,
        };
        if tried {
            self.metrics.taken(&row);
        }
        Ok(row)
    }

    /// What a stored delivery says, or why that cannot be told.
    fn read(
        &self,
        row: &delivery::Model,
        source: &source::Model,
    ) -> Result<Result<Reading, Problem>> {
        let payload = match self.payload(row) {
            Ok(Some(payload)) => payload,
            Ok(None) => {
                return Err(Error::Precondition {
                    reason: "DELIVERY_BODY_ERASED",
                    message: "its body was erased with the person it tells about".to_owned(),
                });
            }
            Err(error) => {
                let error = status::chain(&error);
                tracing::error!(delivery = %row.id, error, "a delivery cannot be opened");
                return Ok(Err(internal()));
            }
        };
        let Some(preset) = self.presets.get(&source.preset) else {
            let message = format!("there is no preset {}", source.preset);
            return Ok(Err(problem("PRESET_UNKNOWN", String::new(), message)));
        };
        if let Some(missing) = preset.draft() {
            return Ok(Err(problem("PRESET_DRAFT", String::new(), missing.to_owned())));
        }
        Ok(preset.read(&payload).map_err(|unmapped| taking::unreadable(&unmapped)))
    }

    /// What was posted, with its type; none where it was erased.
    pub(crate) fn payload(&self, row: &delivery::Model) -> Result<Option<Payload>> {
        let body = deliveries::body(&self.keys, row)?;
        let damaged = || Error::internal("a stored delivery is damaged");
        body.map(|body| Payload::from_bytes(&body).ok_or_else(damaged)).transpose()
    }

    /// Removes what was kept long enough, and measures what is parked.
    pub(crate) async fn clear(&self) -> Result<()> {
        loop {
            let now = self.clock.now().as_microsecond();
            let outdated = deliveries::outdated(self.store.read(), self.retention, now).await?;
            if outdated.is_empty() {
                break;
            }
            let remove = self.writer.write(move |db, _| {
                Box::pin(async move { deliveries::remove(db, outdated).await })
            });
            let removed = remove.await?;
            tracing::info!(removed, "deliveries were kept long enough");
        }
        self.metrics.parked(deliveries::parked(self.store.read()).await?);
        Ok(())
    }
}

fn problem(reason: &'static str, path: String, message: String) -> Problem {
    Problem { reason, path, message, waits_for: None }
}

fn internal() -> Problem {
    problem("INTERNAL", String::new(), "internal error, see the log".to_owned())
}
