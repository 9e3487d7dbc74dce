//! What is counted, and the programme of a registration's affiliate, without which it cannot be counted.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What is counted together.
const KEY: &str = "product, webinar, day, what, programme, affiliate, credit, carried_by, currency";

/// The UTC day of a time `at`, counted from 1970-01-01; whole also before.
const DAY: &str = "(at - (at % 86400000000 + 86400000000) % 86400000000) / 86400000000";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "text COLLATE \"C\"",
            _ => "text",
        };
        let columns = format!(
            "product {text} NOT NULL, webinar {text} NOT NULL, day bigint NOT NULL, \
             what integer NOT NULL, programme {text} NOT NULL, affiliate {text} NOT NULL, \
             credit integer NOT NULL, carried_by integer NOT NULL, currency {text} NOT NULL, \
             number bigint NOT NULL, value bigint NOT NULL"
        );
        let db = manager.get_connection();
        for statement in [
            format!("ALTER TABLE registration ADD COLUMN programme {text}"),
            format!("CREATE TABLE count_delta ({columns})"),
            format!("CREATE TABLE count_total ({columns}, PRIMARY KEY ({KEY}))"),
            "CREATE INDEX count_total_day ON count_total (day)".to_owned(),
        ] {
            db.execute_unprepared(&statement).await?;
        }
        for statement in [REGISTRATION_PROGRAMMES, CLICKS, REGISTRATIONS, SALES] {
            db.execute_unprepared(&statement.replace("{KEY}", KEY).replace("{DAY}", DAY)).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const REGISTRATION_PROGRAMMES: &str = "UPDATE registration SET programme = \
     (SELECT MIN(touch.programme) FROM touch WHERE touch.attendee = registration.attendee \
     AND touch.kind = 3 AND touch.affiliate = registration.affiliate) \
     WHERE affiliate IS NOT NULL";

const CLICKS: &str = "INSERT INTO count_delta ({KEY}, number, value) \
     SELECT product, '', {DAY}, what, COALESCE(programme, ''), COALESCE(affiliate, ''), 0, 0, '', \
     COUNT(*), 0 FROM (SELECT product, occurred_at AS at, programme, affiliate, \
     CASE WHEN link = 1 AND class = 1 THEN 1 WHEN link = 1 THEN 2 WHEN class = 1 THEN 3 END AS what \
     FROM click WHERE NOT test AND link IN (1, 2)) AS clicks WHERE what IS NOT NULL \
     GROUP BY 1, 3, 4, 5, 6";

const REGISTRATIONS: &str = "INSERT INTO count_delta ({KEY}, number, value) \
     SELECT '', webinar, {DAY}, 4, COALESCE(programme, ''), COALESCE(affiliate, ''), 0, 0, '', \
     COUNT(*), 0 FROM (SELECT webinar, registered_at AS at, programme, affiliate \
     FROM registration JOIN attendee ON attendee.id = registration.attendee \
     WHERE NOT test) AS registrations GROUP BY 2, 3, 5, 6";

const SALES: &str = "INSERT INTO count_delta ({KEY}, number, value) \
     SELECT product, '', {DAY}, 5, programme, affiliate, credit, carried_by, currency, \
     COUNT(*), CAST(SUM(price) AS bigint) FROM (SELECT product, sold_at AS at, item.programme, \
     COALESCE(affiliate, '') AS affiliate, credit, carried_by, \
     COALESCE(currency, '') AS currency, COALESCE(price, 0) AS price \
     FROM item JOIN sale_order ON sale_order.id = item.sale_order \
     WHERE NOT item.test AND decision IS NOT NULL AND product IS NOT NULL) AS sales \
     GROUP BY 1, 3, 5, 6, 7, 8, 9";
