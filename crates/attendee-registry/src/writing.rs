//! Writes of many callers share a transaction and its commit: to flush one to the disk takes as long as to flush a hundred.
//!
//! One task commits. It takes at once whatever waits, so that a caller who is alone waits for nobody. Registrations are applied
//! as one set, every other write under a savepoint of its own: one that is refused changes nothing and harms no other.
//! Answers are given once the commit is on disk. Where it fails, nobody's write counts as done and everybody is told to try
//! again; request IDs and the keys of what is reported make that safe.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use sea_orm::{DatabaseTransaction, TransactionTrait as _};
use tagalong_chassis::{clock::Clock, status};
use tagalong_proto::v1;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{Error, Result},
    keys::DataKeys,
    store::{
        Store,
        attendees::{self, Report},
    },
};

/// How many writes wait at most.
const WAITING: usize = 1024;
/// How long a caller waits for a place among them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many writes share a commit at most, so that other writers get their turn.
const TOGETHER: usize = 128;

/// Where writes wait for their commit.
pub(crate) struct Writer {
    queue: mpsc::Sender<Write>,
}

enum Write {
    Registration(Report, oneshot::Sender<Result<v1::RegisterAttendeeResponse>>),
    Other(Other),
    /// The last one.
    Stop,
}

type Other =
    Box<dyn for<'a> FnOnce(&'a DatabaseTransaction, i64) -> BoxFuture<'a, Result<Answer>> + Send>;

/// Answers a caller. Dropped instead, it tells the caller that the commit failed.
type Answer = Box<dyn FnOnce() + Send>;

impl Writer {
    /// Starts the task that commits; it ends with the last `Writer`, or when told to [`finish`](Self::finish).
    pub(crate) fn start(store: Store, keys: DataKeys, clock: Clock) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(Committer { store, keys, clock }.run(waiting));
        Self { queue }
    }

    /// Takes a registration.
    pub(crate) async fn register(&self, report: Report) -> Result<v1::RegisterAttendeeResponse> {
        let (answer, answered) = oneshot::channel();
        self.wait_for_turn(Write::Registration(report, answer)).await?;
        answered.await.map_err(|_| Error::NotCommitted)?
    }

    /// Does some work with the database and the time of its commit, in microseconds since 1970. An error undoes it.
    pub(crate) async fn write<A, W>(&self, work: W) -> Result<A>
    where
        A: Send + 'static,
        W: for<'a> FnOnce(&'a DatabaseTransaction, i64) -> BoxFuture<'a, Result<A>>
            + Send
            + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.wait_for_turn(Write::Other(Box::new(move |db, now| {
            Box::pin(async move {
                if answer.is_closed() {
                    return Ok(Box::new(|| ()) as Answer);
                }
                let savepoint = db.begin().await?;
                let result = work(&savepoint, now).await;
                let result = settle(savepoint, result).await?;
                // Who no longer waits asks again.
                Ok(Box::new(move || drop(answer.send(result))) as Answer)
            })
        })))
        .await?;
        answered.await.map_err(|_| Error::NotCommitted)?
    }

    async fn wait_for_turn(&self, write: Write) -> Result<()> {
        use mpsc::error::SendTimeoutError::{Closed, Timeout};
        self.queue.send_timeout(write, PATIENCE).await.map_err(|error| match error {
            Timeout(_) => Error::Overloaded,
            Closed(_) => Error::NotCommitted,
        })
    }

    /// Commits what waits, and then takes no more.
    pub(crate) async fn finish(&self) {
        if self.queue.send(Write::Stop).await.is_ok() {
            self.queue.closed().await;
        }
    }
}

/// Keeps what was done under a savepoint, or undoes it where it failed. The outer error says that the transaction is lost.
async fn settle<T>(savepoint: DatabaseTransaction, result: Result<T>) -> Result<Result<T>> {
    match &result {
        Ok(_) => savepoint.commit().await?,
        Err(_) => savepoint.rollback().await?,
    }
    Ok(result)
}

struct Committer {
    store: Store,
    keys: DataKeys,
    clock: Clock,
}

impl Committer {
    async fn run(self, mut waiting: mpsc::Receiver<Write>) {
        let mut writes = Vec::with_capacity(TOGETHER);
        let mut stop = false;
        while !stop && waiting.recv_many(&mut writes, TOGETHER).await > 0 {
            stop = writes.iter().any(|write| matches!(write, Write::Stop));
            let commit = self.commit(writes.drain(..));
            match AssertUnwindSafe(commit).catch_unwind().await {
                Ok(Ok(answers)) => answers.into_iter().for_each(|answer| answer()),
                Ok(Err(error)) => {
                    tracing::error!(error = status::chain(&error), "a shared commit failed");
                }
                // A bug must not take down whoever comes next. The panic hook has logged it.
                Err(_) => {}
            }
        }
    }

    /// Does writes in one transaction. On an error none of them was done.
    async fn commit(&self, writes: impl Iterator<Item = Write>) -> Result<Vec<Answer>> {
        let (mut reports, mut callers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for write in writes {
            match write {
                // Nobody waits for it any more.
                Write::Registration(_, caller) if caller.is_closed() => {}
                Write::Registration(report, caller) => {
                    reports.push(report);
                    callers.push(caller);
                }
                Write::Other(work) => others.push(work),
                Write::Stop => {}
            }
        }
        let transaction = self.store.begin().await?;
        // Taken inside the transaction, so that times of receipt follow the order of commits.
        let now = self.clock.now().as_microsecond();
        let mut answers: Vec<Answer> = Vec::new();
        if !reports.is_empty() {
            let results = self.register(&transaction, &reports, now).await?;
            for (caller, result) in callers.into_iter().zip(results) {
                answers.push(Box::new(move || drop(caller.send(result))));
            }
        }
        for work in others {
            answers.push(work(&transaction, now).await?);
        }
        self.store.commit(transaction).await?;
        Ok(answers)
    }

    /// Does registrations as one set, or where that cannot be done each by itself: one of them is to blame.
    async fn register(
        &self,
        db: &DatabaseTransaction,
        reports: &[Report],
        now: i64,
    ) -> Result<Vec<Result<v1::RegisterAttendeeResponse>>> {
        match self.register_set(db, reports, now).await? {
            Ok(results) => Ok(results),
            Err(error) if reports.len() == 1 => Ok(vec![Err(error)]),
            Err(error) => {
                let error = status::chain(&error);
                tracing::warn!(error, "registrations are done one by one");
                let mut results = Vec::with_capacity(reports.len());
                for report in reports.chunks(1) {
                    let alone = self.register_set(db, report, now).await?;
                    results.extend(alone.unwrap_or_else(|error| vec![Err(error)]));
                }
                Ok(results)
            }
        }
    }

    async fn register_set(
        &self,
        db: &DatabaseTransaction,
        reports: &[Report],
        now: i64,
    ) -> Result<Result<Vec<Result<v1::RegisterAttendeeResponse>>>> {
        let savepoint = db.begin().await?;
        let result = attendees::register(&savepoint, &self.keys, reports, now).await;
        settle(savepoint, result).await
    }
}
