//! Brings the click log to the registry: in order, from where the registry says, as often as it takes.

use std::{convert::Infallible, time::Duration};

use tagalong_chassis::{clock::Clock, transport::Transport};
use tagalong_proto::v1::{
    Click, GetClickLogRequest, RecordClicksRequest, click_service_client::ClickServiceClient,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::{
    backoff,
    click_log::{ClickLog, Log, LogStatus, Sick},
};

/// How many clicks go at once.
const RUN: u16 = 4000;
/// How many bytes of them, about: a message must be smaller than 4 MiB.
const RUN_BYTES: usize = 2 << 20;
/// How long clicks gather before they go, unless there is a whole run of them.
const GATHER: Duration = Duration::from_millis(50);
/// How long the registry has for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the registry is taken at its word while no clicks come: it may be restored from a backup meanwhile.
const IDLE: Duration = Duration::from_mins(1);
/// How often shipped clicks are looked at for their age.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// Why shipping stopped.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Log(#[from] Sick),
    #[error("the registry says {:?}: {}", .0.code(), .0.message())]
    Registry(#[from] Status),
    #[error("the registry does not answer")]
    NoAnswer(#[from] tokio::time::error::Elapsed),
    #[error("the registry took a run from position {from} and still wants {wanted}")]
    NoProgress { from: i64, wanted: i64 },
}

/// One log's way to the registry.
struct Shipping<'a> {
    log: &'a ClickLog,
    registry: ClickServiceClient<Transport>,
    clock: &'a Clock,
    retention: Duration,
    failures: u32,
    pruned_at: Option<Instant>,
}

/// Ships for ever, and deletes what is shipped and older than `retention`.
pub(crate) async fn ship(log: &ClickLog, registry: Transport, clock: &Clock, retention: Duration) {
    let registry = ClickServiceClient::new(registry);
    let mut shipping = Shipping { log, registry, clock, retention, failures: 0, pruned_at: None };
    loop {
        let Err(error) = shipping.follow().await;
        shipping.failures = shipping.failures.saturating_add(1);
        let failures = shipping.failures;
        if failures == 1 || failures.is_multiple_of(10) {
            tracing::warn!(%error, failures, backlog = log.backlog(), "clicks wait to be shipped");
        }
        sleep(backoff::delay(failures)).await;
    }
}

impl Shipping<'_> {
    /// Ships whatever comes, until something fails: then the registry has to be asked again.
    async fn follow(&mut self) -> Result<Infallible, Error> {
        let (mut id, mut next) = self.resume().await?;
        loop {
            let run = self.log.with(move |log| log.read(next, RUN.into(), RUN_BYTES)).await?;
            if run.log.id != id || next > run.log.next {
                // It was broken, and another took its place.
                (id, next) = self.resume().await?;
                continue;
            }
            self.log.shipped_up_to(next);
            self.prune(id, next).await?;
            // Not on the log's thread: visitors wait for that.
            let clicks = match run.clicks(RUN.into(), RUN_BYTES) {
                Ok(clicks) => clicks,
                Err(error) => return Err(self.log.broken(error).await.into()),
            };
            if !clicks.is_empty() {
                next = self.send(next, run.log, clicks).await?;
            }
            self.recovered();
            self.log.shipped_up_to(next);
            if self.log.backlog() >= RUN.into() {
                continue;
            }
            // A wake-up that came before is not lost.
            if next >= self.log.next() && timeout(IDLE, self.log.recorded()).await.is_err() {
                (id, next) = self.resume().await?;
            }
            sleep(GATHER).await;
        }
    }

    /// Which log it is, and the position to go on from.
    async fn resume(&mut self) -> Result<(Uuid, i64), Error> {
        loop {
            let status = self.log.with(|log| Ok(log.status())).await?;
            let request = GetClickLogRequest { log_id: status.id.to_string() };
            let answer = timeout(DEADLINE, self.registry.get_click_log(within_deadline(request)));
            let wanted = answer.await??.into_inner().next_position;
            if wanted <= status.next {
                return Ok((status.id, wanted.max(status.oldest)));
            }
            // An older copy of the log was put back: the registry knows other clicks under our next positions.
            // As another log, everything is shipped again, and what the registry has, it has by ID.
            let id = self.log.with(Log::renew).await?.id;
            tracing::warn!(old = %status.id, new = %id, wanted, next = status.next, "the click log is older than the registry's: it is another one now");
        }
    }

    async fn send(&mut self, from: i64, log: LogStatus, clicks: Vec<Click>) -> Result<i64, Error> {
        let request = RecordClicksRequest {
            log_id: log.id.to_string(),
            first_position: from,
            clicks,
            oldest_position: log.oldest,
        };
        let answer = timeout(DEADLINE, self.registry.record_clicks(within_deadline(request)));
        let wanted = answer.await??.into_inner().next_position;
        if wanted > from { Ok(wanted) } else { Err(Error::NoProgress { from, wanted }) }
    }

    async fn prune(&mut self, id: Uuid, shipped: i64) -> Result<(), Error> {
        if self.pruned_at.is_some_and(|at| at.elapsed() < PRUNE_EVERY) {
            return Ok(());
        }
        self.pruned_at = Some(Instant::now());
        let age = i64::try_from(self.retention.as_secs()).unwrap_or(i64::MAX);
        let before = self.clock.now().as_second().saturating_sub(age);
        // Not another log that has taken its place meanwhile.
        let prune = move |log: &mut Log| Ok(log.status().id == id && log.prune(shipped, before)?);
        while self.log.with(prune).await? {}
        Ok(())
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::info!("shipping clicks again");
            self.failures = 0;
        }
    }
}

/// So that the registry, too, knows when nobody waits any more.
fn within_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

#[cfg(test)]
mod tests;
