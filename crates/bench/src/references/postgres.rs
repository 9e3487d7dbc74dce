//! tokio-postgres on a database that the registry has made: the same tables and indexes.

use anyhow::ensure;
use futures::future::try_join_all;
use tokio_postgres::{Client, Statement, types::ToSql};
use uuid::Uuid;

use crate::{
    postgres::Database,
    sample::{self, Click, Registered},
};

/// Stores runs of clicks, on one connection.
pub(crate) struct Clicks {
    client: Client,
    click: Statement,
    position: Statement,
}

impl Clicks {
    pub(crate) async fn connect(database: &Database) -> anyhow::Result<Self> {
        let client = database.connect().await?;
        let click = client
            .prepare(
                "INSERT INTO click (id, product, programme, affiliate, no_affiliate, occurred_at,
                     received_at, class, link, sub_ids, attendee, cookie_click, test)
                 SELECT id, product, programme, affiliate, 0, occurred_at, $6, class, link, '', NULL,
                     NULL, false
                 FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $7::int4[],
                     $8::int4[])
                     AS new (id, product, programme, affiliate, occurred_at, class, link)
                 ON CONFLICT DO NOTHING",
            )
            .await?;
        let position = client
            .prepare(
                "INSERT INTO click_log (id, next_position) VALUES ($1, $2)
                 ON CONFLICT (id) DO UPDATE SET next_position = excluded.next_position",
            )
            .await?;
        Ok(Self { client, click, position })
    }

    /// Stores a run in one statement and moves the log's position, in one transaction.
    pub(crate) async fn record(
        &mut self,
        log: Uuid,
        next: i64,
        run: &[Click],
    ) -> anyhow::Result<()> {
        let ids: Vec<Uuid> = run.iter().map(|click| click.id).collect();
        let products = vec![sample::INVITATION; run.len()];
        let programmes = vec![sample::PROGRAMME; run.len()];
        let affiliates: Vec<&str> = run.iter().map(|click| click.affiliate.as_str()).collect();
        let times: Vec<i64> = run.iter().map(|click| click.occurred_at).collect();
        let ones = vec![1_i32; run.len()];
        let transaction = self.client.transaction().await?;
        let stored = transaction
            .execute(
                &self.click,
                &[&ids, &products, &programmes, &affiliates, &times, &sample::now(), &ones, &ones],
            )
            .await?;
        ensure!(2 * stored > run.len() as u64, "{stored} of {} clicks were stored", run.len());
        transaction.execute(&self.position, &[&log, &next]).await?;
        Ok(transaction.commit().await?)
    }
}

/// Stores registrations, on one connection.
pub(crate) struct Registrations {
    client: Client,
    attendee: Statement,
    email: Statement,
    registration: Statement,
    touch: Statement,
    event: Statement,
    attendee_request: Statement,
    request: Statement,
}

impl Registrations {
    pub(crate) async fn connect(database: &Database) -> anyhow::Result<Self> {
        let client = database.connect().await?;
        let prepare = |sql| client.prepare(sql);
        let attendee = prepare(
            "INSERT INTO attendee (id, webinar, known_since, test, created_at)
             VALUES ($1, $2, $3, false, $3)",
        );
        let email =
            prepare("INSERT INTO attendee_email (webinar, hash, attendee) VALUES ($1, $2, $3)");
        let registration = prepare(
            "INSERT INTO registration (id, attendee, source, external_webinar, external_id, session,
                 affiliate, registered_at, received_at, verified)
             VALUES ($1, $2, 'landing-page', 'w-4711', $3, $4, $5, $6, $6, true)",
        );
        let touch = prepare(
            "INSERT INTO touch (id, origin, attendee, kind, programme, affiliate, webinar, session,
                 occurred_at, received_at, verified)
             VALUES ($1, $2, $3, 3, $4, $5, $6, $7, $8, $8, true)",
        );
        let event = prepare("INSERT INTO event (test, body) VALUES (false, $1)");
        let attendee_request =
            prepare("INSERT INTO attendee_request (attendee, request) VALUES ($1, $2)");
        let request = prepare(
            "INSERT INTO request (id, method, fingerprint, answer, answered_at)
             VALUES ($1, 'RegisterAttendee', $2, $3, $4)",
        );
        let (attendee, email, registration, touch, event, attendee_request, request) = tokio::try_join!(
            attendee,
            email,
            registration,
            touch,
            event,
            attendee_request,
            request
        )?;
        Ok(Self { client, attendee, email, registration, touch, event, attendee_request, request })
    }

    /// Writes the rows of one registration in one transaction, the statements sent together.
    pub(crate) async fn register(&mut self, new: &Registered) -> anyhow::Result<()> {
        let transaction = self.client.transaction().await?;
        let (hash, fingerprint) = (new.email_hash.as_slice(), new.fingerprint.as_slice());
        let (webinar, programme) = (sample::WEBINAR, sample::PROGRAMME);
        let rows: [(&Statement, &[&(dyn ToSql + Sync)]); 8] = [
            (&self.attendee, &[&new.attendee, &webinar, &new.at]),
            (&self.email, &[&webinar, &hash, &new.attendee]),
            (
                &self.registration,
                &[
                    &new.registration,
                    &new.attendee,
                    &new.external_id,
                    &new.session,
                    &new.affiliate,
                    &new.at,
                ],
            ),
            (
                &self.touch,
                &[
                    &new.touch,
                    &new.origin,
                    &new.attendee,
                    &programme,
                    &new.affiliate,
                    &webinar,
                    &new.session,
                    &new.at,
                ],
            ),
            (&self.event, &[&new.events[0]]),
            (&self.event, &[&new.events[1]]),
            (&self.attendee_request, &[&new.attendee, &new.request]),
            (&self.request, &[&new.request, &fingerprint, &new.answer, &new.at]),
        ];
        try_join_all(rows.map(|(statement, values)| transaction.execute(statement, values)))
            .await?;
        Ok(transaction.commit().await?)
    }
}
