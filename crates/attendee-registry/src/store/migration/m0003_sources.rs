//! Sources, and what is posted to them; how a platform compares names.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (text, uuid, bytes) = match manager.get_database_backend() {
            DbBackend::Postgres => ("text COLLATE \"C\"", "uuid", "bytea"),
            _ => ("text", "uuid_text", "blob"),
        };
        let db = manager.get_connection();
        for statement in STATEMENTS {
            let statement =
                statement.replace("{text}", text).replace("{uuid}", uuid).replace("{bytes}", bytes);
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const STATEMENTS: [&str; 13] = [
    "ALTER TABLE programme ADD COLUMN ignore_affiliate_case boolean NOT NULL DEFAULT FALSE",
    "CREATE TABLE source (id {text} NOT NULL PRIMARY KEY, preset {text} NOT NULL, \
     title {text} NOT NULL, programme {text}, keep_emails boolean NOT NULL, \
     disabled boolean NOT NULL, revision bigint NOT NULL, created_at bigint NOT NULL)",
    "CREATE INDEX source_programme ON source (programme)",
    "CREATE TABLE source_webinar (source {text} NOT NULL, external_id {text} NOT NULL, \
     webinar {text} NOT NULL, PRIMARY KEY (source, external_id))",
    "CREATE INDEX source_webinar_webinar ON source_webinar (webinar)",
    "CREATE TABLE source_key (id {uuid} NOT NULL PRIMARY KEY, source {text} NOT NULL, \
     sealed {bytes} NOT NULL, created_at bigint NOT NULL, expires_at bigint)",
    "CREATE INDEX source_key_source ON source_key (source)",
    "CREATE TABLE delivery (id {uuid} NOT NULL PRIMARY KEY, source {text} NOT NULL, \
     digest {bytes} NOT NULL, received_at bigint NOT NULL, copies integer NOT NULL, \
     sealed {bytes}, state integer NOT NULL, kind {text} NOT NULL, reason {text} NOT NULL, \
     path {text} NOT NULL, message {text} NOT NULL, waits_for {text}, handled_at bigint)",
    "CREATE UNIQUE INDEX delivery_source_digest ON delivery (source, digest)",
    "CREATE INDEX delivery_state_id ON delivery (state, id)",
    "CREATE INDEX delivery_waits_for ON delivery (waits_for) WHERE waits_for IS NOT NULL",
    "CREATE TABLE delivery_email (delivery {uuid} NOT NULL, hash {bytes} NOT NULL, \
     PRIMARY KEY (delivery, hash))",
    "CREATE INDEX delivery_email_hash ON delivery_email (hash)",
];
