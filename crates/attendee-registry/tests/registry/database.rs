//! A fresh database for each test, and everything that is in it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use uuid::Uuid;

/// A database of a test's own; a file is gone with it.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

/// A database nothing is in yet.
pub(crate) async fn database() -> TestDatabase {
    let Ok(server) = std::env::var("TAGALONG_TEST_POSTGRES") else {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("registry?100%.sqlite").display());
        return TestDatabase { url, _dir: Some(dir) };
    };
    let name = format!("t{}", Uuid::now_v7().simple());
    let admin = Database::connect(&server).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    admin.close().await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    TestDatabase { url: format!("{base}/{name}"), _dir: None }
}

/// Another connection to a database that is there.
pub(crate) async fn connect(url: &str, read_only: bool) -> DatabaseConnection {
    let Some(path) = url.strip_prefix("sqlite://") else {
        return Database::connect(url).await.unwrap();
    };
    let path = path.to_owned();
    let mut options = sea_orm::ConnectOptions::new("sqlite:");
    options.map_sqlx_sqlite_opts(move |sqlite| sqlite.filename(&path).read_only(read_only));
    Database::connect(options).await.unwrap()
}

/// Every row of every table, as text.
pub(crate) async fn dump(url: &str) -> BTreeMap<String, Vec<String>> {
    let db = connect(url, true).await;
    let mut dump = BTreeMap::new();
    let tables = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name AS r FROM information_schema.tables WHERE table_schema = 'public'"
        }
        _ => {
            "SELECT name AS r FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        }
    };
    for table in texts(&db, tables).await {
        let row = if db.get_database_backend() == DbBackend::Postgres {
            "t::text".to_owned()
        } else {
            let columns = format!("SELECT name AS r FROM pragma_table_info('{table}')");
            let columns = texts(&db, &columns).await;
            let quoted: Vec<_> = columns.iter().map(|name| format!("quote(\"{name}\")")).collect();
            quoted.join(" || '|' || ")
        };
        let rows = format!("SELECT {row} AS r FROM \"{table}\" AS t ORDER BY 1");
        let rows = texts(&db, &rows).await;
        dump.insert(table, rows);
    }
    db.close().await.unwrap();
    dump
}

async fn texts(db: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(db.get_database_backend(), sql.to_owned());
    let rows = db.query_all_raw(statement).await.unwrap();
    rows.into_iter().map(|row| row.try_get("", "r").unwrap()).collect()
}
