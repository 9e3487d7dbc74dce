//! What is stored that registrations are about.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _,
    ExprTrait as _, QueryFilter as _, QuerySelect as _, Statement,
};
use tagalong_attribution::{decide::EmailHash, id::ProgrammeId};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{Report, message};
use crate::{
    error::{Error, Result},
    store::{
        entity::{
            attendee, attendee_email, order_email, product, programme, registration, request,
            sale_order, touch, webinar, webinar_product,
        },
        evidence::{email_hash, touches_of},
    },
};

/// The parts of a registration's key.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key([String; 3]);

impl From<&v1::RegistrationKey> for Key {
    fn from(key: &v1::RegistrationKey) -> Self {
        Self([&key.source, &key.external_webinar_id, &key.external_id].map(String::clone))
    }
}

/// As far as some reports name it, and kept up to date with each that is applied.
pub(super) struct Known {
    pub(super) requests: HashMap<String, request::Model>,
    pub(super) webinars: HashMap<String, Webinar>,
    pub(super) programmes: HashSet<String>,
    /// Whose a registration is.
    pub(super) keys: HashMap<Key, Uuid>,
    /// Whose an address is in a webinar.
    pub(super) emails: HashMap<(String, EmailHash), Uuid>,
    pub(super) people: HashMap<Uuid, Person>,
    /// Addresses and registrations that orders name.
    ordered_emails: HashSet<EmailHash>,
    ordered_keys: HashSet<Key>,
}

pub(super) struct Webinar {
    pub(super) test: bool,
    /// The programmes of its products.
    pub(super) programmes: Vec<String>,
}

/// An attendee with everything an answer tells.
pub(super) struct Person {
    pub(super) attendee: attendee::Model,
    pub(super) has_email: bool,
    pub(super) registrations: Vec<registration::Model>,
    pub(super) touches: Vec<touch::Model>,
    /// There may be orders that are to be decided again when something about the person changes.
    pub(super) has_orders: bool,
}

impl From<attendee::Model> for Person {
    fn from(attendee: attendee::Model) -> Self {
        Self {
            attendee,
            has_email: false,
            registrations: Vec::new(),
            touches: Vec::new(),
            has_orders: false,
        }
    }
}

impl Person {
    pub(super) fn message(&self) -> v1::Attendee {
        let (mut registrations, mut touches) = (self.registrations.clone(), self.touches.clone());
        registrations.sort_by_key(|row| (row.registered_at, row.id));
        touches.sort_by_key(|row| (row.occurred_at, row.id));
        message::whole(self.attendee.clone(), self.has_email, registrations, touches)
    }
}

impl Known {
    pub(super) async fn read(db: &DatabaseTransaction, reports: &[Report]) -> Result<Self> {
        let hashes: Vec<Vec<u8>> = reports
            .iter()
            .flat_map(|report| &report.email_hashes)
            .map(|hash| hash.to_vec())
            .collect();
        let keys = reports.iter().map(|report| &report.new.key);
        let mut known = Self {
            requests: requests(db, reports).await?,
            webinars: webinars(db, reports).await?,
            programmes: programmes(db, reports).await?,
            keys: registrations(db, keys.clone().chain(reports.iter().map(|r| &r.erased_key)))
                .await?,
            emails: emails(db, &hashes).await?,
            people: HashMap::new(),
            ordered_emails: ordered_emails(db, hashes).await?,
            ordered_keys: ordered_keys(db, keys).await?,
        };
        let people: HashSet<Uuid> =
            known.keys.values().chain(known.emails.values()).copied().collect();
        known.people = read_people(db, people.into_iter().collect()).await?;
        Ok(known)
    }

    pub(super) fn person(&self, id: Uuid) -> Result<&Person> {
        self.people.get(&id).ok_or_else(|| missing(id))
    }

    /// Takes a person out.
    pub(super) fn take(&mut self, id: Uuid) -> Result<Person> {
        self.people.remove(&id).ok_or_else(|| missing(id))
    }

    /// Whose address it is, hashed with any of the keys.
    pub(super) fn owner(&self, webinar: &str, hashes: &[EmailHash]) -> Option<Uuid> {
        hashes.iter().find_map(|hash| self.emails.get(&(webinar.to_owned(), *hash)).copied())
    }

    /// Whether there are orders that name what a report names.
    pub(super) fn has_orders(&self, report: &Report) -> bool {
        report.email_hashes.iter().any(|hash| self.ordered_emails.contains(hash))
            || self.ordered_keys.contains(&Key::from(&report.new.key))
    }
}

fn missing(attendee: Uuid) -> Error {
    Error::internal(format!("attendee {attendee} is missing"))
}

async fn requests(
    db: &DatabaseTransaction,
    reports: &[Report],
) -> Result<HashMap<String, request::Model>> {
    let ids = reports.iter().map(|report| report.request_id.as_str());
    let ids: Vec<&str> = ids.filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = request::Entity::find().filter(request::Column::Id.is_in(ids)).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

async fn webinars(
    db: &DatabaseTransaction,
    reports: &[Report],
) -> Result<HashMap<String, Webinar>> {
    let ids: HashSet<&str> = reports.iter().map(|report| report.new.webinar.as_str()).collect();
    let rows = webinar::Entity::find().filter(webinar::Column::Id.is_in(ids)).all(db).await?;
    let mut webinars: HashMap<String, Webinar> = rows
        .into_iter()
        .map(|row| (row.id, Webinar { test: row.test, programmes: Vec::new() }))
        .collect();
    let products = webinar_product::Entity::belongs_to(product::Entity)
        .from(webinar_product::Column::Product)
        .to(product::Column::Id);
    let rows: Vec<(String, String)> = webinar_product::Entity::find()
        .select_only()
        .column(webinar_product::Column::Webinar)
        .column(product::Column::Programme)
        .distinct()
        .join(sea_orm::JoinType::InnerJoin, products.into())
        .filter(webinar_product::Column::Webinar.is_in(webinars.keys().cloned()))
        .into_tuple()
        .all(db)
        .await?;
    for (id, programme) in rows {
        if let Some(webinar) = webinars.get_mut(&id) {
            webinar.programmes.push(programme);
        }
    }
    Ok(webinars)
}

/// Those of the named programmes that exist.
async fn programmes(db: &DatabaseTransaction, reports: &[Report]) -> Result<HashSet<String>> {
    let named = reports.iter().filter_map(|report| report.new.programme.as_ref());
    let named: HashSet<&str> = named.map(ProgrammeId::as_str).collect();
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = programme::Entity::find().filter(programme::Column::Id.is_in(named)).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

async fn registrations(
    db: &DatabaseTransaction,
    keys: impl Iterator<Item = &v1::RegistrationKey>,
) -> Result<HashMap<Key, Uuid>> {
    use registration::Column::{ExternalId, ExternalWebinar, Source};
    let rows = registration::Entity::find()
        .filter(one_of([Source, ExternalWebinar, ExternalId], keys))
        .all(db)
        .await?;
    let key = |row: registration::Model| Key([row.source, row.external_webinar, row.external_id]);
    Ok(rows.into_iter().map(|row| (row.attendee, key(row))).map(|(id, key)| (key, id)).collect())
}

/// Those of the keys that orders name.
async fn ordered_keys(
    db: &DatabaseTransaction,
    keys: impl Iterator<Item = &v1::RegistrationKey>,
) -> Result<HashSet<Key>> {
    use sale_order::Column::{
        RegistrationExternalId, RegistrationExternalWebinar, RegistrationSource,
    };
    let columns = [RegistrationSource, RegistrationExternalWebinar, RegistrationExternalId];
    let rows: Vec<(String, String, String)> = sale_order::Entity::find()
        .select_only()
        .columns(columns)
        .filter(one_of(columns, keys))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(source, webinar, id)| Key([source, webinar, id])).collect())
}

/// Whether three columns hold one of some keys. Most keys have all but the last part in common.
fn one_of<'a, C: ColumnTrait>(
    [source, webinar, id]: [C; 3],
    keys: impl Iterator<Item = &'a v1::RegistrationKey>,
) -> Condition {
    let mut ids: BTreeMap<[&str; 2], Vec<&str>> = BTreeMap::new();
    for key in keys {
        ids.entry([&key.source, &key.external_webinar_id]).or_default().push(&key.external_id);
    }
    ids.into_iter().fold(Condition::any(), |any, ([of, by], ids)| {
        any.add(source.eq(of).and(webinar.eq(by)).and(id.is_in(ids)))
    })
}

async fn emails(
    db: &DatabaseTransaction,
    hashes: &[Vec<u8>],
) -> Result<HashMap<(String, EmailHash), Uuid>> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = attendee_email::Entity::find()
        .filter(attendee_email::Column::Hash.is_in(hashes.to_vec()))
        .all(db)
        .await?;
    let rows = rows.into_iter();
    Ok(rows.filter_map(|row| Some(((row.webinar, email_hash(row.hash)?), row.attendee))).collect())
}

/// Those of the addresses that orders name.
async fn ordered_emails(
    db: &DatabaseTransaction,
    hashes: Vec<Vec<u8>>,
) -> Result<HashSet<EmailHash>> {
    if hashes.is_empty() {
        return Ok(HashSet::new());
    }
    let rows =
        order_email::Entity::find().filter(order_email::Column::Hash.is_in(hashes)).all(db).await?;
    Ok(rows.into_iter().filter_map(|row| email_hash(row.hash)).collect())
}

async fn read_people(db: &DatabaseTransaction, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Person>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = attendee::Entity::find().filter(attendee::Column::Id.is_in(ids.clone())).all(db);
    let mut people: HashMap<Uuid, Person> =
        rows.await?.into_iter().map(|row| (row.id, Person::from(row))).collect();
    let owners: Vec<Uuid> = attendee_email::Entity::find()
        .select_only()
        .column(attendee_email::Column::Attendee)
        .filter(attendee_email::Column::Attendee.is_in(ids.clone()))
        .into_tuple()
        .all(db)
        .await?;
    for id in owners {
        people.entry(id).and_modify(|person| person.has_email = true);
    }
    let rows = registration::Entity::find()
        .filter(registration::Column::Attendee.is_in(ids.clone()))
        .all(db)
        .await?;
    for row in rows {
        people.entry(row.attendee).and_modify(|person| person.registrations.push(row));
    }
    for row in touches_of(db, ids.iter().copied()).await? {
        if let Some(person) = row.attendee.and_then(|id| people.get_mut(&id)) {
            person.touches.push(row);
        }
    }
    for id in with_orders(db, ids).await? {
        people.entry(id).and_modify(|person| person.has_orders = true);
    }
    Ok(people)
}

/// Those of the attendees who have items, or whom an order names in any way.
async fn with_orders(db: &DatabaseTransaction, ids: Vec<Uuid>) -> Result<Vec<Uuid>> {
    let backend = db.get_database_backend();
    let places: Vec<String> = (1..=ids.len())
        .map(|n| if backend == DbBackend::Postgres { format!("${n}") } else { "?".to_owned() })
        .collect();
    let sql = format!(
        "SELECT id FROM attendee WHERE id IN ({}) AND (\
         EXISTS (SELECT 1 FROM item WHERE item.attendee = attendee.id) \
         OR EXISTS (SELECT 1 FROM sale_order WHERE token_attendee = attendee.id) \
         OR EXISTS (SELECT 1 FROM click_claim AS c JOIN sale_order AS o ON o.click = c.click \
         WHERE c.attendee = attendee.id) \
         OR EXISTS (SELECT 1 FROM attendee_email AS e JOIN order_email AS o ON o.hash = e.hash \
         WHERE e.attendee = attendee.id) \
         OR EXISTS (SELECT 1 FROM registration AS r JOIN sale_order AS o \
         ON o.registration_source = r.source AND o.registration_external_webinar = r.external_webinar \
         AND o.registration_external_id = r.external_id WHERE r.attendee = attendee.id))",
        places.join(",")
    );
    let statement =
        Statement::from_sql_and_values(backend, sql, ids.into_iter().map(sea_orm::Value::from));
    let rows = db.query_all_raw(statement).await?;
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}
