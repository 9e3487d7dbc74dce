//! The click log's database, and what happens when it is sick.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use prost::Message as _;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params, types::Type,
};
use tagalong_chassis::clock::Clock;
use tagalong_proto::v1::Click;
use uuid::Uuid;

use crate::backoff;

const VERSION: i64 = 1;
/// How many clicks are deleted at once: visitors wait meanwhile.
const PRUNE: i64 = 2000;
/// How long to wait for somebody who looks into the database, such as an operator's `sqlite3`.
const BUSY: std::time::Duration = std::time::Duration::from_millis(500);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    id     TEXT NOT NULL,    -- this log's UUID
    oldest INTEGER NOT NULL  -- the first position that was never deleted
) STRICT;
CREATE TABLE IF NOT EXISTS click (
    position INTEGER PRIMARY KEY,  -- from 1, without gaps
    at       INTEGER NOT NULL,     -- Unix seconds
    click    BLOB NOT NULL         -- tagalong.v1.Click
) STRICT;
";

/// The database cannot be used now. Why is logged where it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the click log cannot be used now")]
pub(crate) struct Sick;

/// A click to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// Unix seconds.
    pub(super) at: i64,
    pub(super) click: Vec<u8>,
}

/// Where the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The log's UUID.
    pub(crate) id: Uuid,
    /// The first position it holds.
    pub(crate) oldest: i64,
    /// The position after the last.
    pub(crate) next: i64,
}

/// Clicks in a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Read in the same moment.
    pub(crate) log: Status,
    /// From the position asked for.
    pub(crate) clicks: Vec<Click>,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Log {
    connection: Connection,
    status: Status,
}

/// The database, open or waiting to be opened again.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    clock: Clock,
    log: Option<Log>,
    failures: u32,
    retry_at: Option<Instant>,
    /// The file is no database, or a broken one.
    corrupt: bool,
}

impl Store {
    pub(super) fn new(path: PathBuf, clock: Clock) -> Self {
        Self { path, clock, log: None, failures: 0, retry_at: None, corrupt: false }
    }

    /// Does something with the database, opening it first where it is not.
    ///
    /// After an error nothing is taken for granted: the database is closed, and what is in it is read anew when
    /// it is opened again, after a while.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Log) -> rusqlite::Result<T>,
    ) -> Result<T, Sick> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(Sick);
        }
        let done = self.opened().and_then(work);
        match done {
            Ok(done) => {
                if self.failures > 0 {
                    tracing::info!("the click log is well again");
                }
                (self.failures, self.retry_at) = (0, None);
                Ok(done)
            }
            Err(error) => {
                self.failed(&error);
                Err(Sick)
            }
        }
    }

    fn opened(&mut self) -> rusqlite::Result<&mut Log> {
        if self.corrupt {
            self.move_aside();
        }
        let log = match self.log.take() {
            Some(log) => log,
            None => match Log::open(&self.path) {
                Err(error) if is_corrupt(&error) => {
                    tracing::error!(%error, "the click log is no database");
                    self.move_aside();
                    Log::open(&self.path)?
                }
                opened => opened?,
            },
        };
        Ok(self.log.insert(log))
    }

    fn failed(&mut self, error: &rusqlite::Error) {
        self.log = None;
        self.corrupt = is_corrupt(error);
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(self.failures);
        self.retry_at = Some(Instant::now() + delay);
        tracing::error!(path = %self.path.display(), %error, failures = self.failures, "the click log is sick");
    }

    /// Keeps the broken file for whoever wants to save what is in it; a new log takes its place.
    fn move_aside(&mut self) {
        self.corrupt = false;
        let now = self.clock.now().as_second();
        let aside = suffixed(&self.path, &format!(".corrupt-{now}"));
        let moved = ["", "-wal", "-shm"].into_iter().try_for_each(|part| {
            match fs::rename(suffixed(&self.path, part), suffixed(&aside, part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        match moved {
            Ok(()) => tracing::error!(
                aside = %aside.display(),
                "THE CLICK LOG WAS BROKEN: it is kept aside with every click in it that was not shipped, a new one begins",
            ),
            Err(error) => tracing::error!(%error, "cannot move the broken click log aside"),
        }
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..) => true,
        error => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
        ),
    }
}

fn unreadable(
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
}

impl Log {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // With NORMAL, a power cut takes acknowledged clicks with it.
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > VERSION {
            let newer = io::Error::other(format!("written by a newer version ({version})"));
            return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(newer)));
        }
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        let known = transaction
            .query_row("SELECT id, oldest FROM log", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?))
            })
            .optional()?;
        let (id, oldest) = if let Some((id, oldest)) = known {
            (Uuid::try_parse(&id).map_err(|error| unreadable(Type::Text, error))?, oldest)
        } else {
            let id = Uuid::new_v4();
            transaction
                .execute("INSERT INTO log (one, id, oldest) VALUES (1, ?1, 1)", [id.to_string()])?;
            (id, 1)
        };
        let last: Option<i64> =
            transaction.query_row("SELECT max(position) FROM click", [], |row| row.get(0))?;
        transaction.commit()?;
        let next = last.map_or(oldest, |last| last + 1);
        Ok(Self { connection, status: Status { id, oldest, next } })
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn status(&self) -> Status {
        self.status.clone()
    }

    /// Writes clicks, all or none, and returns the position after the last.
    pub(super) fn append(&mut self, entries: &[Entry]) -> rusqlite::Result<i64> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut next = self.status.next;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO click (position, at, click) VALUES (?1, ?2, ?3)")?;
            for entry in entries {
                insert.execute(params![next, entry.at, entry.click])?;
                next += 1;
            }
        }
        transaction.commit()?;
        self.status.next = next;
        Ok(next)
    }

    /// At most `limit` clicks from position `from` on.
    pub(crate) fn read(&mut self, from: i64, limit: i64) -> rusqlite::Result<Run> {
        let mut query = self.connection.prepare_cached(
            "SELECT click FROM click WHERE position >= ?1 ORDER BY position LIMIT ?2",
        )?;
        let clicks = query.query_map([from, limit], |row| {
            let click: Vec<u8> = row.get(0)?;
            Click::decode(click.as_slice()).map_err(|error| unreadable(Type::Blob, error))
        })?;
        let clicks = clicks.collect::<Result<_, _>>()?;
        Ok(Run { log: self.status.clone(), clicks })
    }

    /// Makes it another log with the same clicks in it.
    pub(crate) fn renew(&mut self) -> rusqlite::Result<Status> {
        let id = Uuid::new_v4();
        self.connection.execute("UPDATE log SET id = ?1", [id.to_string()])?;
        self.status.id = id;
        Ok(self.status.clone())
    }

    /// Deletes some clicks that were shipped (positions below `shipped`) and are older than `before`, in Unix
    /// seconds. Returns whether there are more.
    pub(crate) fn prune(&mut self, shipped: i64, before: i64) -> rusqlite::Result<bool> {
        let oldest = self.status.oldest;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let young: Option<i64> = transaction
            .query_row(
                "SELECT position FROM click WHERE at >= ?1 ORDER BY position LIMIT 1",
                [before],
                |row| row.get(0),
            )
            .optional()?;
        let end = young.unwrap_or(self.status.next).min(shipped).min(self.status.next);
        let keep = end.min(oldest + PRUNE);
        if keep <= oldest {
            return Ok(false);
        }
        transaction.execute("DELETE FROM click WHERE position < ?1", [keep])?;
        transaction.execute("UPDATE log SET oldest = ?1", [keep])?;
        transaction.commit()?;
        self.status.oldest = keep;
        Ok(keep < end)
    }
}
