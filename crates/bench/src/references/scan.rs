//! sqlx, reading everything that a webinar's links are made of.

use std::path::Path;

use futures::TryStreamExt as _;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use crate::sample;

type Attendee = (Uuid, String, Option<Vec<u8>>, Option<i64>, bool, i64, Option<i64>);
type Registration = (Uuid, Uuid, String, String, String, String, Option<String>, i64, i64, bool);
type Touch = (
    Uuid,
    Option<Uuid>,
    i32,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    i64,
    i64,
    bool,
);

/// Streams the rows of a webinar's attendees, their registrations and touches, each into its columns; how
/// many there were.
pub(crate) async fn scan(path: &Path) -> anyhow::Result<u64> {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut rows = 0;
    let mut attendees = sqlx::query_as::<_, Attendee>(
        "SELECT id, webinar, email_sealed, known_since, test, created_at, erased_at
         FROM attendee WHERE webinar = ? ORDER BY id",
    )
    .bind(sample::WEBINAR)
    .fetch(&mut connection);
    while attendees.try_next().await?.is_some() {
        rows += 1;
    }
    drop(attendees);
    let mut registrations = sqlx::query_as::<_, Registration>(
        "SELECT id, attendee, source, external_webinar, external_id, session, affiliate,
             registered_at, received_at, verified
         FROM registration ORDER BY id",
    )
    .fetch(&mut connection);
    while registrations.try_next().await?.is_some() {
        rows += 1;
    }
    drop(registrations);
    let mut touches = sqlx::query_as::<_, Touch>(
        "SELECT id, attendee, kind, programme, affiliate, product, webinar, session, occurred_at,
             received_at, verified
         FROM touch ORDER BY id",
    )
    .fetch(&mut connection);
    while touches.try_next().await?.is_some() {
        rows += 1;
    }
    Ok(rows)
}
