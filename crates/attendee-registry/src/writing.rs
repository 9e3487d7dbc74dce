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
const PATIENCE: Duration = Duration::from_secs(5);
/// How many writes share a commit at most, so that other writers get their turn.
const TOGETHER: usize = 128;

/// Where writes wait for their commit.
pub(crate) struct Writer {
    queue: mpsc::Sender<Write>,
    /// How long a caller waits for a place.
    patience: Duration,
}

enum Write {
    Registration(Box<Report>, oneshot::Sender<Result<v1::RegisterAttendeeResponse>>),
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
        Self { queue, patience: PATIENCE }
    }

    /// Takes a registration.
    pub(crate) async fn register(&self, report: Report) -> Result<v1::RegisterAttendeeResponse> {
        let (answer, answered) = oneshot::channel();
        self.wait_for_turn(Write::Registration(Box::new(report), answer)).await?;
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
        self.queue.send_timeout(write, self.patience).await.map_err(|error| match error {
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
                    reports.push(*report);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{
        StreamExt as _,
        future::{join_all, ready},
        stream::FuturesUnordered,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::store::catalogue::{self, Write::Create};

    async fn store(dir: &TempDir) -> Store {
        let path = dir.path().join("registry.sqlite");
        Store::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    fn start(store: &Store) -> Arc<Writer> {
        let keys = DataKeys::new([1; 32], [2; 32]);
        Arc::new(Writer::start(store.clone(), keys, Clock::system()))
    }

    /// Stores a programme, and then perhaps finds that something is wrong.
    async fn programme(writer: &Writer, id: String, wrong: bool) -> Result<String> {
        writer
            .write(move |db, now| {
                Box::pin(async move {
                    let new = crate::catalogue::Programme {
                        id: id.parse().map_err(Error::internal)?,
                        platform: String::new(),
                        title: String::new(),
                        never_names_affiliates: false,
                        ignore_affiliate_case: false,
                        test: false,
                        revision: 0,
                    };
                    catalogue::put_programme(db, Create, &new, now).await?;
                    if wrong { Err(Error::invalid("id", "wrong")) } else { Ok(id) }
                })
            })
            .await
    }

    async fn stored(store: &Store) -> Vec<String> {
        let rows = catalogue::programmes(store.read(), None, 1000).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    }

    #[tokio::test]
    async fn a_write_that_is_refused_undoes_itself_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        let calls = (0..60).map(|n| programme(&writer, format!("p{n:02}"), n % 3 == 0));
        for (n, answer) in join_all(calls).await.into_iter().enumerate() {
            match answer {
                Ok(id) => assert_eq!((n % 3 == 0, id), (false, format!("p{n:02}"))),
                Err(error) => {
                    assert!(n % 3 == 0 && matches!(error, Error::Invalid(_)), "{error:?}");
                }
            }
        }
        let kept: Vec<_> = (0..60).filter(|n| n % 3 != 0).map(|n| format!("p{n:02}")).collect();
        assert_eq!(stored(&store).await, kept);
    }

    fn bug() -> Result<()> {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_bug_in_one_commit_leaves_the_next_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        let bug = writer.write(|_, _| Box::pin(async { bug() }));
        assert!(matches!(bug.await, Err(Error::NotCommitted)));
        programme(&writer, "p".to_owned(), false).await.unwrap();
        assert_eq!(stored(&store).await, ["p"]);
    }

    #[tokio::test]
    async fn what_waits_is_finished_and_nothing_after_it_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        let calls = join_all((0..100).map(|n| programme(&writer, format!("p{n:03}"), false)));
        let (answers, ()) = tokio::join!(calls, writer.finish());
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(stored(&store).await.len(), 100);
        let late = programme(&writer, "late".to_owned(), false).await;
        assert!(matches!(late, Err(Error::NotCommitted)));
    }

    #[tokio::test]
    async fn everybody_hears_that_a_commit_failed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        store.close().await.unwrap();
        let calls = join_all((0..10).map(|n| programme(&writer, format!("p{n}"), false)));
        assert!(calls.await.iter().all(|answer| matches!(answer, Err(Error::NotCommitted))));
    }

    #[tokio::test]
    async fn whose_callers_are_gone_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        let other_writer = store.begin().await.unwrap();
        let gone: Vec<_> = (0..20)
            .map(|n| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { programme(&writer, format!("gone{n}"), false).await })
            })
            .collect();
        // They wait for the other writer by now, or for those who do.
        tokio::task::yield_now().await;
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        let waits = programme(&writer, "waits".to_owned(), false);
        let (answer, released) = tokio::join!(waits, other_writer.rollback());
        released.unwrap();
        answer.unwrap();
        assert!(stored(&store).await.contains(&"waits".to_owned()));
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_to_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let writer = start(&store);
        let other_writer = store.begin().await.unwrap();
        let writer = Writer { patience: Duration::from_millis(1), queue: writer.queue.clone() };
        let mut calls: FuturesUnordered<_> =
            (0..=WAITING + TOGETHER).map(|n| programme(&writer, format!("p{n}"), false)).collect();
        // The other writer lets nobody through.
        assert!(matches!(calls.next().await, Some(Err(Error::Overloaded))));
        other_writer.rollback().await.unwrap();
        let done = calls.filter(|answer| ready(answer.is_ok())).count().await;
        assert!(done >= WAITING, "{done}");
    }
}
