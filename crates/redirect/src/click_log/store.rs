//! The click log's database, and what happens when it is sick.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use prost::{DecodeError, Message as _};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params,
    types::Type,
};
use tagalong_chassis::clock::Clock;
use tagalong_proto::v1::Click;
use uuid::Uuid;

use crate::backoff;

mod copy;

const VERSION: i64 = 2;
/// How many clicks are deleted at once, about: visitors wait meanwhile.
const PRUNE: i64 = 10_000;
/// How many clicks of an older version's log are put into one batch.
const UPGRADE: i64 = 500;
/// What a row takes besides its body, in bytes, about.
const ROW: u64 = 32;
/// How many batches come between two measurements of the size: rows share pages badly.
const MEASURE: u32 = 256;
/// How long to wait for somebody who looks into the database, such as an operator's `sqlite3`.
const BUSY: std::time::Duration = std::time::Duration::from_millis(500);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    id     TEXT NOT NULL,    -- this log's UUID
    oldest INTEGER NOT NULL  -- the first position that was never deleted
) STRICT;
CREATE TABLE IF NOT EXISTS batch (
    position INTEGER PRIMARY KEY,  -- of its first click; clicks are counted from 1, without gaps
    clicks   INTEGER NOT NULL,
    at       INTEGER NOT NULL,     -- of its newest click, Unix seconds
    body     BLOB NOT NULL         -- tagalong.v1.Click, each after its length
) STRICT;
";

/// The database cannot be used now. Why is logged where it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the click log cannot be used now")]
pub(crate) struct Sick;

/// Where the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogStatus {
    /// The log's UUID.
    pub(crate) id: Uuid,
    /// The first position it holds.
    pub(crate) oldest: i64,
    /// The position after the last.
    pub(crate) next: i64,
}

/// Clicks in a row, as they are stored.
#[derive(Debug)]
pub(crate) struct Run {
    /// Read in the same moment.
    pub(crate) log: LogStatus,
    /// How many clicks of the first batch come before the position asked for.
    skip: usize,
    bodies: Vec<Vec<u8>>,
}

impl Run {
    /// The clicks: at most `limit`, and about `bytes` of them.
    ///
    /// # Errors
    /// What is no click: the log is broken.
    pub(crate) fn clicks(&self, limit: usize, bytes: usize) -> Result<Vec<Click>, DecodeError> {
        let mut clicks = Vec::new();
        let (mut skip, mut read) = (self.skip, 0);
        for body in &self.bodies {
            let mut body = body.as_slice();
            while !body.is_empty() && clicks.len() < limit && read < bytes {
                let before = body.len();
                let click = Click::decode_length_delimited(&mut body)?;
                if skip > 0 {
                    skip -= 1;
                } else {
                    read += before - body.len();
                    clicks.push(click);
                }
            }
        }
        Ok(clicks)
    }
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Log {
    connection: Connection,
    status: LogStatus,
    /// In bytes, about: what is measured now and then, and what came since.
    size: u64,
    /// Batches since it was measured.
    unmeasured: u32,
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
    /// The disk has refused to keep something.
    doubtful: bool,
}

impl Store {
    pub(super) fn new(path: PathBuf, clock: Clock) -> Self {
        Self {
            path,
            clock,
            log: None,
            failures: 0,
            retry_at: None,
            corrupt: false,
            doubtful: false,
        }
    }

    /// Where the log stands, if it is open.
    pub(super) fn status(&self) -> Option<&LogStatus> {
        self.log.as_ref().map(|log| &log.status)
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
            None if self.doubtful => {
                copy::replace(&self.path)?;
                self.doubtful = false;
                Log::open(&self.path)?
            }
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
        self.doubtful |= error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
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

fn failed(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

pub(super) fn unreadable(
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
}

impl Log {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        copy::finish(path)?;
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
            return Err(failed(newer));
        }
        transaction.execute_batch(SCHEMA)?;
        if version == 1 {
            upgrade(&transaction)?;
        }
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
        let end = "SELECT position + clicks FROM batch ORDER BY position DESC LIMIT 1";
        let end = transaction.query_row(end, [], |row| row.get(0)).optional()?;
        transaction.commit()?;
        let status = LogStatus { id, oldest, next: end.unwrap_or(oldest) };
        let mut log = Self { connection, status, size: 0, unmeasured: 0 };
        log.measure()?;
        Ok(log)
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn status(&self) -> LogStatus {
        self.status.clone()
    }

    /// How much room it takes, in bytes, about. What was deleted is used again, and not counted.
    pub(super) fn size(&mut self) -> rusqlite::Result<u64> {
        if self.unmeasured >= MEASURE {
            self.measure()?;
        }
        Ok(self.size)
    }

    fn measure(&mut self) -> rusqlite::Result<()> {
        let number = |name| -> rusqlite::Result<u32> {
            self.connection.pragma_query_value(None, name, |row| row.get(0))
        };
        let used = number("page_count")?.saturating_sub(number("freelist_count")?);
        self.size = u64::from(used) * u64::from(number("page_size")?);
        self.unmeasured = 0;
        Ok(())
    }

    /// Writes clicks, all or none, and returns the position after the last.
    pub(super) fn append(&mut self, clicks: usize, at: i64, body: &[u8]) -> rusqlite::Result<i64> {
        let first = self.status.next;
        let clicks = i64::try_from(clicks).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "INSERT INTO batch (position, clicks, at, body) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![first, clicks, at, body])?;
        self.status.next = first.saturating_add(clicks);
        self.size += body.len() as u64 + ROW;
        self.unmeasured += 1;
        Ok(self.status.next)
    }

    /// Batches with the clicks from position `from` on: about `limit` clicks or `bytes` of them, but at least one batch.
    pub(crate) fn read(&mut self, from: i64, limit: i64, bytes: usize) -> rusqlite::Result<Run> {
        let mut query = self.connection.prepare_cached(
            "SELECT position, body FROM batch
             WHERE position >= (SELECT max(position) FROM batch WHERE position <= ?1)
             AND position < ?2 ORDER BY position",
        )?;
        let mut rows = query.query([from, from.saturating_add(limit)])?;
        let mut run = Run { log: self.status.clone(), skip: 0, bodies: Vec::new() };
        if from >= self.status.next {
            return Ok(run);
        }
        let mut read = 0;
        while let Some(row) = rows.next()? {
            if run.bodies.is_empty() {
                run.skip = usize::try_from(from - row.get::<_, i64>(0)?).unwrap_or_default();
            }
            let body: Vec<u8> = row.get(1)?;
            read += body.len();
            run.bodies.push(body);
            if read >= bytes {
                break;
            }
        }
        Ok(run)
    }

    /// Makes it another log with the same clicks in it.
    pub(crate) fn renew(&mut self) -> rusqlite::Result<LogStatus> {
        let id = Uuid::new_v4();
        self.connection.execute("UPDATE log SET id = ?1", [id.to_string()])?;
        self.status.id = id;
        Ok(self.status.clone())
    }

    /// Deletes some clicks that were shipped (positions below `shipped`) and are older than `before`, in Unix
    /// seconds. Returns whether there are more.
    pub(crate) fn prune(&mut self, shipped: i64, before: i64) -> rusqlite::Result<bool> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let oldest = self.status.oldest;
        let some = oldest.saturating_add(PRUNE);
        // The first that stays: because it is young or not shipped, or because it is enough for now.
        let keep: Option<i64> = transaction
            .query_row(
                "SELECT position FROM batch
                 WHERE position >= ?1 OR at >= ?2 OR position + clicks > ?3
                 ORDER BY position LIMIT 1",
                [some, before, shipped],
                |row| row.get(0),
            )
            .optional()?;
        let keep = keep.unwrap_or(self.status.next);
        if keep <= oldest {
            return Ok(false);
        }
        transaction.execute("DELETE FROM batch WHERE position < ?1", [keep])?;
        transaction.execute("UPDATE log SET oldest = ?1", [keep])?;
        transaction.commit()?;
        self.status.oldest = keep;
        self.measure()?;
        Ok(keep >= some)
    }

    /// Deletes what was shipped, however young, until the log is smaller than `size` or nothing shipped is left.
    pub(super) fn make_room(&mut self, shipped: i64, size: u64) -> rusqlite::Result<()> {
        self.measure()?;
        while self.size >= size && self.prune(shipped, i64::MAX)? {}
        Ok(())
    }
}

/// Version 1 had a row for each click.
fn upgrade(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut read = transaction.prepare(
        "SELECT position, at, click FROM click WHERE position >= ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut write = transaction
        .prepare("INSERT INTO batch (position, clicks, at, body) VALUES (?1, ?2, ?3, ?4)")?;
    let mut next = 0;
    loop {
        let (mut first, mut clicks, mut newest, mut body) = (None, 0, 0, Vec::new());
        let mut rows = read.query([next, UPGRADE])?;
        while let Some(row) = rows.next()? {
            let (position, at, click): (i64, i64, Vec<u8>) = row.try_into()?;
            first.get_or_insert(position);
            clicks += 1;
            newest = at.max(newest);
            prost::encode_length_delimiter(click.len(), &mut body)
                .map_err(|error| unreadable(Type::Blob, error))?;
            body.extend(click);
        }
        let Some(first) = first else { break };
        write.execute(params![first, clicks, newest, body])?;
        next = first + clicks;
    }
    transaction.execute_batch("DROP TABLE click")
}
