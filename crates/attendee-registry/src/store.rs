//! Every query, on `SQLite` and `PostgreSQL` alike.
//!
//! There is one writer at a time, whatever the number of processes: transactions that write begin `IMMEDIATE` on `SQLite` and
//! take an advisory lock on `PostgreSQL`. So nothing read in one of them changes before its commit, reports about one
//! person are decided one after the other, and revisions and the feed's sequence follow the order of commits.
//! Readers do not wait for it. What was committed is on disk (WAL, `synchronous=FULL`).

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use tokio::sync::watch;

use crate::error::Result;

pub(crate) mod attendees;
pub(crate) mod catalogue;
pub(crate) mod clicks;
pub(crate) mod counts;
pub(crate) mod decisions;
pub(crate) mod deliveries;
pub(crate) mod entity;
pub(crate) mod evidence;
pub(crate) mod feed;
mod insert;
mod migration;
pub(crate) mod page;
pub(crate) mod previews;
pub(crate) mod requests;
pub(crate) mod sales;
pub(crate) mod sources;
pub(crate) mod test_records;

/// How many rows one statement writes or names at most: `SQLite` binds 32,766 values in one, and the widest
/// table has 21 columns.
pub(crate) const CHUNK: usize = 500;

/// How many rows `SQLite`'s thread reads ahead: with few, it and the reader wake each other all the time.
const ROWS: usize = 1024;

/// Names the advisory lock of the one writer.
const WRITER: i64 = 0x7461_6761_6c6f_6e67;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
    committed: watch::Sender<u64>,
}

impl Store {
    /// Connects to `sqlite://PATH` or `postgres://…` and brings the schema up to date.
    ///
    /// # Errors
    /// If the database cannot be reached or is newer than this program.
    pub async fn connect(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            let store = Self::sqlite(Path::new(path)).await?;
            migration::Migrator::up(&store.write, None).await?;
            return Ok(store);
        }
        let store = Self::new(
            Database::connect(options(url, 12)).await?,
            Database::connect(options(url, 4)).await?,
        );
        // The migrations have no lock of their own: replicas that start together would collide.
        let guard = store.begin().await?;
        migration::Migrator::up(&store.write, None).await?;
        guard.rollback().await?;
        Ok(store)
    }

    async fn sqlite(path: &Path) -> Result<Self> {
        use sea_orm::sqlx::{
            Connection as _,
            sqlite::{SqliteJournalMode, SqliteSynchronous},
        };
        let connect = |connections| {
            let path = path.to_owned();
            let mut options = options("sqlite:", connections);
            // Given as a path and not in the URL, which would read `%` and `?` in it.
            options.map_sqlx_sqlite_opts(move |sqlite| {
                sqlite
                    .filename(&path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(10))
                    .row_buffer_size(ROWS)
            });
            // Where a COMMIT failed, SQLite has ended a transaction that sqlx goes on counting: what came after would be
            // nested in it, and never committed. Such a connection is closed.
            options.map_sqlx_sqlite_pool_opts(|pool| {
                pool.after_release(|connection, _| {
                    Box::pin(async move {
                        connection.ping().await?;
                        Ok(!connection.is_in_transaction())
                    })
                })
            });
            Database::connect(options)
        };
        let write = connect(1).await?;
        Ok(Self::new(connect(4).await?, write))
    }

    fn new(read: DatabaseConnection, write: DatabaseConnection) -> Self {
        Self { read, write, committed: watch::Sender::new(0) }
    }

    /// For reading, outside of any transaction.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Begins a transaction that writes. Dropped without [`commit`](Self::commit), it changes nothing.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.write.begin_with_options(options).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            let lock = format!("SELECT pg_advisory_xact_lock({WRITER})");
            transaction.execute_unprepared(&lock).await?;
        }
        Ok(transaction)
    }

    /// Begins a transaction whose reads all see one state.
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction> {
        let isolation = (self.read.get_database_backend() == DbBackend::Postgres)
            .then_some(sea_orm::IsolationLevel::RepeatableRead);
        let options = TransactionOptions {
            isolation_level: isolation,
            access_mode: (isolation.is_some()).then_some(sea_orm::AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        Ok(self.read.begin_with_options(options).await?)
    }

    /// Commits, and wakes who follows the feeds.
    pub(crate) async fn commit(&self, transaction: DatabaseTransaction) -> Result<()> {
        transaction.commit().await?;
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Changes with every commit of this process.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Whether there are no records yet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn is_empty(&self) -> Result<bool> {
        let db = self.read();
        Ok(catalogue::programmes(db, None, 1).await?.is_empty()
            && catalogue::webinars(db, None, 1).await?.is_empty()
            && sources::list(db, None, 1).await?.is_empty()
            && clicks::list(db, None, true, None, 1).await?.is_empty())
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// If the database says so.
    pub async fn close(self) -> Result<()> {
        self.read.close().await?;
        self.write.close().await?;
        Ok(())
    }
}

fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .sqlx_logging_level(log::LevelFilter::Trace);
    options
}
