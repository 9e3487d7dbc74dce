//! Every query, on SQLite and PostgreSQL alike.
//!
//! SQLite has one writer: a pool of one connection, whose transactions begin IMMEDIATE; readers do not wait for it.
//! What was committed is on disk (WAL, `synchronous=FULL`).

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use tokio::sync::watch;

use crate::error::Result;

pub(crate) mod attendees;
pub(crate) mod catalogue;
pub(crate) mod clicks;
pub(crate) mod decisions;
pub(crate) mod entity;
pub(crate) mod evidence;
pub(crate) mod feed;
mod migration;
pub(crate) mod page;
pub(crate) mod requests;
pub(crate) mod sales;
pub(crate) mod test_records;

/// How many rows one statement writes or names at most: SQLite binds 32,766 values in one, and the widest
/// table has 21 columns.
pub(crate) const CHUNK: usize = 500;

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
        let store = if let Some(path) = url.strip_prefix("sqlite://") {
            Self::sqlite(Path::new(path)).await?
        } else {
            let database = Database::connect(options(url, 16)).await?;
            Self::new(database.clone(), database)
        };
        migration::Migrator::up(&store.write, None).await?;
        Ok(store)
    }

    async fn sqlite(path: &Path) -> Result<Self> {
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let pragmas = |options: &mut ConnectOptions| {
            options.map_sqlx_sqlite_opts(|sqlite| {
                use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
                sqlite
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(10))
            });
        };
        let mut write = options(&url, 1);
        pragmas(&mut write);
        let write = Database::connect(write).await?;
        let mut read = options(&url, 4);
        pragmas(&mut read);
        let read = Database::connect(read).await?;
        Ok(Self::new(read, write))
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
        Ok(self.write.begin_with_options(options).await?)
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
