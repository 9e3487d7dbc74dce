//! The attendees of a webinar with what their previews are made from, a page after the other.
//!
//! A webinar may have millions of them: a page is two statements, however many attendees it has, and each begins
//! after the last key of the one before. No transaction outlives a page.

use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable};
use tagalong_proto::v1;
use uuid::Uuid;

use super::entity::touch;
use crate::error::{Error, Result};

/// How many attendees a page has at most.
const PAGE: i64 = 1000;

/// One attendee.
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) known_since: Option<i64>,
    /// The newest registration.
    pub(crate) registration: Option<v1::RegistrationKey>,
    /// Without what a preview does not look at: origin, order and click.
    pub(crate) touches: Vec<touch::Model>,
}

/// The next attendees of a webinar in the order of their IDs, but for erased ones; none where there are no more.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    webinar: &str,
    after: Option<Uuid>,
) -> Result<Vec<Person>> {
    let after = after.unwrap_or_default();
    let rows = select(
        db,
        "SELECT a.id, a.known_since, r.source, r.external_webinar, r.external_id, r.registered_at, r.id \
         FROM (SELECT id, known_since FROM attendee \
               WHERE webinar = $1 AND id > $2 AND erased_at IS NULL ORDER BY id LIMIT $3) a \
         LEFT JOIN registration r ON r.attendee = a.id",
        [webinar.into(), after.into(), PAGE.into()],
    )
    .await?;
    // One row for each registration, in no order that could be relied on.
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let source: Option<String> = get(&row, 2)?;
        let (registered, registration) = match source {
            None => (None, None),
            Some(source) => {
                let key = v1::RegistrationKey {
                    source,
                    external_webinar_id: get(&row, 3)?,
                    external_id: get(&row, 4)?,
                };
                (Some((get::<i64>(&row, 5)?, get::<Uuid>(&row, 6)?)), Some(key))
            }
        };
        let (id, known_since) = (get(&row, 0)?, get(&row, 1)?);
        found.push((registered, Person { id, known_since, registration, touches: Vec::new() }));
    }
    found.sort_by_key(|(registered, person)| (person.id, std::cmp::Reverse(*registered)));
    found.dedup_by_key(|(_, person)| person.id);
    let mut people: Vec<Person> = found.into_iter().map(|(_, person)| person).collect();
    let Some(last) = people.last() else { return Ok(people) };

    let rows = select(
        db,
        // A cross join, because that keeps SQLite from looking through the touches first.
        "SELECT t.attendee, t.id, t.kind, t.programme, t.affiliate, t.product, t.webinar, t.session, \
                t.occurred_at, t.received_at, t.verified \
         FROM attendee a CROSS JOIN touch t \
         WHERE a.webinar = $1 AND a.id > $2 AND a.id <= $3 AND a.erased_at IS NULL AND t.attendee = a.id",
        [webinar.into(), after.into(), last.id.into()],
    )
    .await?;
    let mut at = 0;
    for row in rows {
        let attendee: Uuid = get(&row, 0)?;
        // Mostly in the order of the attendees. Somebody who registered since the page was read is left out.
        if people.get(at).is_none_or(|person| person.id != attendee) {
            match people.binary_search_by_key(&attendee, |person| person.id) {
                Ok(found) => at = found,
                Err(_) => continue,
            }
        }
        people[at].touches.push(touch::Model {
            id: get(&row, 1)?,
            origin: String::new(),
            attendee: Some(attendee),
            sale_order: None,
            click: None,
            kind: get(&row, 2)?,
            programme: get(&row, 3)?,
            affiliate: get(&row, 4)?,
            product: get(&row, 5)?,
            webinar: get(&row, 6)?,
            session: get(&row, 7)?,
            occurred_at: get(&row, 8)?,
            received_at: get(&row, 9)?,
            verified: get(&row, 10)?,
        });
    }
    Ok(people)
}

async fn select<const N: usize>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.query_all_raw(statement).await?)
}

fn get<T: TryGetable>(row: &QueryResult, column: usize) -> Result<T> {
    row.try_get_by_index(column).map_err(Error::from)
}
