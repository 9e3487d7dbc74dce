//! rusqlite on a database that the registry has made: the same tables and indexes, WAL and `synchronous=FULL`.

use std::{fmt::Write as _, ops::Range, path::Path, time::Duration};

use anyhow::ensure;
use rusqlite::{
    Connection, Transaction, TransactionBehavior, params, params_from_iter, types::Value,
};
use uuid::Uuid;

use crate::sample::{self, Click, Registered};

/// An open database.
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self(connection))
    }

    /// Stores a run of clicks in one statement and moves the log's position, in one transaction.
    pub(crate) fn record(&mut self, log: Uuid, next: i64, run: &[Click]) -> anyhow::Result<()> {
        const ROW: &str = "(?,?,?,?,0,?,?,?,?,'',NULL,NULL,0)";
        let mut sql =
            "INSERT OR IGNORE INTO click (id, product, programme, affiliate, no_affiliate, \
             occurred_at, received_at, class, link, sub_ids, attendee, cookie_click, test) VALUES "
                .to_owned();
        for number in 0..run.len() {
            write!(sql, "{}{ROW}", if number == 0 { "" } else { "," })?;
        }
        let now = sample::now();
        let values = run.iter().flat_map(|click| {
            [
                blob(click.id),
                Value::from(sample::INVITATION.to_owned()),
                Value::from(sample::PROGRAMME.to_owned()),
                Value::from(click.affiliate.clone()),
                Value::from(click.occurred_at),
                Value::from(now),
                Value::from(1),
                Value::from(1),
            ]
        });
        let transaction = begin(&mut self.0)?;
        let stored = transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        // `OR IGNORE` would ignore, too, that a column is missing here.
        ensure!(2 * stored > run.len(), "{stored} of {} clicks were stored", run.len());
        transaction
            .prepare_cached(
                "INSERT INTO click_log (id, next_position) VALUES (?, ?)
                 ON CONFLICT (id) DO UPDATE SET next_position = excluded.next_position",
            )?
            .execute(params![blob(log), next])?;
        Ok(transaction.commit()?)
    }

    /// Writes the rows of one registration in one transaction.
    pub(crate) fn register(&mut self, new: &Registered) -> anyhow::Result<()> {
        let transaction = begin(&mut self.0)?;
        insert_attendee(&transaction, new)?;
        for event in &new.events {
            transaction
                .prepare_cached("INSERT INTO event (test, body) VALUES (0, ?)")?
                .execute(params![event])?;
        }
        transaction
            .prepare_cached("INSERT INTO attendee_request (attendee, request) VALUES (?, ?)")?
            .execute(params![blob(new.attendee), new.request])?;
        transaction
            .prepare_cached(
                "INSERT INTO request (id, method, fingerprint, answer, answered_at)
                 VALUES (?, 'RegisterAttendee', ?, ?, ?)",
            )?
            .execute(params![new.request, new.fingerprint, new.answer, new.at])?;
        Ok(transaction.commit()?)
    }

    /// Stores the attendees of these numbers, each with one registration and one touch, so many in a transaction.
    pub(crate) fn fill(&mut self, numbers: Range<u64>, at_once: u64) -> anyhow::Result<()> {
        for first in numbers.clone().step_by(usize::try_from(at_once)?) {
            let transaction = begin(&mut self.0)?;
            for number in first..(first + at_once).min(numbers.end) {
                insert_attendee(&transaction, &Registered::new(number))?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Moves everything into the database's own file.
    pub(crate) fn checkpoint(&mut self) -> anyhow::Result<()> {
        Ok(self.0.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// As sqlx stores it.
fn blob(id: Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}

fn insert_attendee(transaction: &Transaction<'_>, new: &Registered) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO attendee (id, webinar, known_since, test, created_at)
             VALUES (?1, ?2, ?3, 0, ?3)",
        )?
        .execute(params![blob(new.attendee), sample::WEBINAR, new.at])?;
    transaction
        .prepare_cached("INSERT INTO attendee_email (webinar, hash, attendee) VALUES (?, ?, ?)")?
        .execute(params![sample::WEBINAR, new.email_hash, blob(new.attendee)])?;
    transaction
        .prepare_cached(
            "INSERT INTO registration (id, attendee, source, external_webinar, external_id, session,
                 affiliate, registered_at, received_at, verified)
             VALUES (?1, ?2, 'landing-page', 'w-4711', ?3, ?4, ?5, ?6, ?6, 1)",
        )?
        .execute(params![
            blob(new.registration),
            blob(new.attendee),
            new.external_id,
            new.session,
            new.affiliate,
            new.at
        ])?;
    transaction
        .prepare_cached(
            "INSERT INTO touch (id, origin, attendee, kind, programme, affiliate, webinar, session,
                 occurred_at, received_at, verified)
             VALUES (?1, ?2, ?3, 3, ?4, ?5, ?6, ?7, ?8, ?8, 1)",
        )?
        .execute(params![
            blob(new.touch),
            new.origin,
            blob(new.attendee),
            sample::PROGRAMME,
            new.affiliate,
            sample::WEBINAR,
            new.session,
            new.at
        ])?;
    Ok(())
}
