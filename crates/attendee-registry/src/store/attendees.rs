//! Attendees, registrations and their touches.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use tagalong_attribution::{
    id::ProductId,
    resolve::{self, Buyer, CarriedBy, resolve},
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    catalogue,
    entity::{attendee, attendee_email, registration, source, touch},
    evidence, feed,
};
use crate::{
    attendee::Reference,
    email::Email,
    error::{Error, Result, What},
    keys::DataKeys,
};

mod erase;
mod message;
mod register;

pub(crate) use erase::erase;
use erase::erased_key;
pub(crate) use message::{message, messages, touch_message};
pub(crate) use register::{Report, register};

/// Stores a touch where its origin is new. Where it is not, a verified report replaces an unverified one, and of two
/// verified times the earlier one counts, whichever came first. Whether that changed anything.
pub(crate) async fn add_touch(
    db: &impl ConnectionTrait,
    new: touch::Model,
    test: bool,
    now: i64,
) -> Result<bool> {
    let known = touch::Entity::find().filter(touch::Column::Origin.eq(&new.origin)).one(db).await?;
    if let Some(known) = known {
        let Some(row) = completed_touch(&known, &new) else { return Ok(false) };
        row.into_active_model().reset_all().update(db).await?;
        if let Some(attendee) = new.attendee {
            feed::record(db, now, test, changed(attendee)).await?;
        }
        return Ok(true);
    }
    touch::Entity::insert(new.clone().into_active_model()).exec_without_returning(db).await?;
    if let Some(added) = touch_added(new) {
        feed::record(db, now, test, added).await?;
    }
    Ok(true)
}

/// What a touch becomes by another report of its origin, where that changes anything.
fn completed_touch(known: &touch::Model, new: &touch::Model) -> Option<touch::Model> {
    let replaces = new.verified && !known.verified;
    let earlier = new.verified && known.verified && new.occurred_at < known.occurred_at;
    (replaces || earlier).then(|| touch::Model {
        verified: new.verified,
        occurred_at: new.occurred_at,
        session: new.session.clone(),
        ..known.clone()
    })
}

/// The event of an attendee's new touch.
fn touch_added(new: touch::Model) -> Option<v1::event::Kind> {
    let attendee_id = new.attendee?.to_string();
    let added = v1::TouchAdded { attendee_id, touch: Some(touch_message(new)) };
    Some(v1::event::Kind::TouchAdded(added))
}

/// The event for who follows that more is known of an attendee.
fn changed(attendee: Uuid) -> v1::event::Kind {
    v1::event::Kind::AttendeeChanged(v1::AttendeeChanged { attendee_id: attendee.to_string() })
}

/// The attendee of an ID that is stored somewhere.
pub(crate) async fn stored(db: &impl ConnectionTrait, id: Uuid) -> Result<attendee::Model> {
    find(db, id).await?.ok_or_else(|| Error::internal(format!("attendee {id} is missing")))
}

pub(crate) async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<attendee::Model>> {
    Ok(attendee::Entity::find_by_id(id).one(db).await?)
}

pub(crate) async fn by_key(
    db: &impl ConnectionTrait,
    key: &v1::RegistrationKey,
) -> Result<Option<registration::Model>> {
    Ok(registration::Entity::find()
        .filter(registration::Column::Source.eq(&key.source))
        .filter(registration::Column::ExternalWebinar.eq(&key.external_webinar_id))
        .filter(registration::Column::ExternalId.eq(&key.external_id))
        .one(db)
        .await?)
}

async fn by_email(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    webinar: &str,
    email: &Email,
) -> Result<Option<attendee::Model>> {
    let hashes = keys.email_hashes(email).into_iter().map(Vec::from);
    let row = attendee_email::Entity::find()
        .filter(attendee_email::Column::Webinar.eq(webinar))
        .filter(attendee_email::Column::Hash.is_in(hashes))
        .one(db)
        .await?;
    match row {
        Some(row) => find(db, row.attendee).await,
        None => Ok(None),
    }
}

/// The attendee a public link names, where its source allows that.
async fn by_registrant(
    db: &impl ConnectionTrait,
    source: &str,
    external_id: &str,
) -> Result<Option<attendee::Model>> {
    let source = source::Entity::find_by_id(source)
        .filter(source::Column::RegistrantLinks.eq(true))
        .filter(source::Column::Disabled.eq(false))
        .one(db)
        .await?;
    let Some(source) = source else { return Ok(None) };
    let newest = registration::Entity::find()
        .filter(registration::Column::Source.eq(source.id))
        .filter(registration::Column::ExternalId.eq(external_id))
        .order_by_desc(registration::Column::RegisteredAt)
        .order_by_desc(registration::Column::Id)
        .one(db)
        .await?;
    match newest {
        Some(registration) => find(db, registration.attendee).await,
        None => Ok(None),
    }
}

/// Who of the webinars that offer a product has an address: of several the one with the newest verified registration.
pub(crate) async fn recognise(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    product: &ProductId,
    email: &Email,
    now: i64,
) -> Result<Option<Uuid>> {
    catalogue::product(db, product.as_str()).await?;
    let webinars = evidence::webinars_offering(db, product.as_str()).await?;
    let hashes = keys.email_hashes(email).into_iter().map(Vec::from).collect();
    let mut references = Vec::new();
    for attendee in evidence::attendees_with(db, hashes).await? {
        let named = evidence::named(db, attendee, &webinars, now).await?;
        references.push(resolve::Reference { by: CarriedBy::Email, named });
    }
    match resolve(&references).buyer {
        Buyer::Attendee(id) => Ok(Some(id)),
        Buyer::Click(_) | Buyer::Unknown => Ok(None),
    }
}

/// The attendee a reference names.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    reference: &Reference,
) -> Result<attendee::Model> {
    let (found, name) = match reference {
        Reference::Id(id) => (find(db, *id).await?, id.to_string()),
        Reference::Registration(key) => {
            let registration = by_key(db, key).await?;
            let attendee = match registration {
                Some(registration) => find(db, registration.attendee).await?,
                None => None,
            };
            (attendee, "of this registration".to_owned())
        }
        Reference::Email(webinar, email) => {
            let attendee = by_email(db, keys, webinar.as_str(), email).await?;
            (attendee, "of this e-mail address".to_owned())
        }
        Reference::Registrant(source, id) => {
            (by_registrant(db, source.as_str(), id).await?, "of this registrant".to_owned())
        }
    };
    found.ok_or_else(|| Error::not_found(What::Attendee, name))
}

pub(crate) async fn list(
    db: &impl ConnectionTrait,
    webinar: Option<&str>,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<attendee::Model>> {
    let mut query = attendee::Entity::find().order_by_asc(attendee::Column::Id).limit(limit);
    if let Some(webinar) = webinar {
        query = query.filter(attendee::Column::Webinar.eq(webinar));
    }
    if let Some(after) = after {
        query = query.filter(attendee::Column::Id.gt(after));
    }
    Ok(query.all(db).await?)
}
