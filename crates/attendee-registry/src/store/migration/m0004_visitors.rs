//! What visitors of rooms and forms need: where a room is, what a form takes, whom a registrant's link names.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "text COLLATE \"C\"",
            _ => "text",
        };
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(&statement.replace("{text}", text)).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const STATEMENTS: [&str; 8] = [
    "ALTER TABLE webinar ADD COLUMN room_url {text} NOT NULL DEFAULT ''",
    "ALTER TABLE webinar ADD COLUMN form_key {text}",
    "ALTER TABLE webinar ADD COLUMN form_origins {text} NOT NULL DEFAULT ''",
    "ALTER TABLE webinar ADD COLUMN form_thank_you_url {text} NOT NULL DEFAULT ''",
    "ALTER TABLE webinar ADD COLUMN form_programme {text}",
    "ALTER TABLE webinar ADD COLUMN form_keep_emails boolean NOT NULL DEFAULT false",
    "ALTER TABLE source ADD COLUMN registrant_links boolean NOT NULL DEFAULT false",
    "CREATE INDEX registration_source_external_id ON registration (source, external_id)",
];
