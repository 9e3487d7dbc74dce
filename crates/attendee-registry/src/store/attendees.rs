//! Attendees, registrations and their touches.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    catalogue, clicks,
    entity::{attendee, attendee_email, registration, touch},
    feed,
};
use crate::{
    attendee::{Reference, Registration},
    deciding,
    email::Email,
    error::{Error, Result, What},
    keys::DataKeys,
};

mod erase;
mod message;

pub(crate) use erase::erase;
use erase::erased_key;
pub(crate) use message::{message, messages, touch_message};

/// What became of a report.
pub(crate) struct Registered {
    pub(crate) attendee: Uuid,
    pub(crate) repeated: bool,
}

/// Takes a registration, and decides again what it bears on.
pub(crate) async fn register(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    new: &Registration,
    now: i64,
) -> Result<Registered> {
    let webinar = catalogue::webinar(db, new.webinar.as_str()).await?;
    let programme = match &new.affiliate {
        Some(_) => Some(programme_of(db, new).await?),
        None => None,
    };
    let registered_at = new.registered_at.unwrap_or(now).min(now);

    let known = by_key(db, &new.key).await?;
    if known.is_none()
        && let Some(erased) = by_key(db, &erased_key(keys, &new.key)).await?
    {
        // A tool's retry does not bring back whom we forgot.
        return Ok(Registered { attendee: erased.attendee, repeated: true });
    }
    let attendee = match &known {
        Some(known) => Some(stored(db, known.attendee).await?),
        None => match &new.email {
            Some(email) => by_email(db, keys, &webinar.id, email).await?,
            None => None,
        },
    };
    let attendee = match attendee {
        Some(attendee) if attendee.webinar != webinar.id => {
            return Err(Error::invalid(
                "key",
                format!("names a registration for webinar {}", attendee.webinar),
            ));
        }
        Some(attendee) => (attendee, false),
        None => (insert(db, &webinar.id, webinar.test, now).await?, true),
    };
    let (attendee, fresh) = attendee;
    let id = attendee.id;
    let test = attendee.test;
    // Anybody could give somebody else's address to an attendee of their own.
    let email = new.email.as_ref().filter(|_| new.verified || fresh);
    let mut news = remember(db, keys, attendee.clone(), email, new, now).await?;
    let repeated = known.is_some();

    let registration = if let Some(known) = known {
        let (registration, completed) = complete(db, known, new, registered_at).await?;
        news |= completed;
        registration
    } else {
        news = true;
        insert_registration(db, &attendee, new, registered_at, now).await?
    };

    if let (Some(affiliate), Some(programme)) = (&new.affiliate, programme) {
        catalogue::hear_of(db, &programme, affiliate.as_str(), now).await?;
        news |= add_touch(
            db,
            touch::Model {
                id: Uuid::now_v7(),
                origin: format!(
                    "registration:{}:{programme}:{affiliate}:{}",
                    registration.id, new.session
                ),
                attendee: Some(id),
                sale_order: None,
                click: None,
                kind: v1::TouchKind::Registration.into(),
                programme,
                affiliate: affiliate.to_string(),
                product: None,
                webinar: Some(webinar.id.clone()),
                session: new.session.clone(),
                occurred_at: registered_at,
                received_at: now,
                verified: new.verified,
            },
            test,
            now,
        )
        .await?;
    }
    if let Some(click) = new.click {
        news |= clicks::claim(db, click, id, new.verified, now).await?;
    }

    if repeated && news {
        changed(db, id, test, now).await?;
    }
    if news {
        deciding::about_attendee(db, id, now).await?;
    }
    Ok(Registered { attendee: id, repeated })
}

/// Lets a verified report replace what anybody could have posted, and of two times the earlier one count, whichever came
/// first; whether that changed anything.
async fn complete(
    db: &impl ConnectionTrait,
    known: registration::Model,
    new: &Registration,
    registered_at: i64,
) -> Result<(registration::Model, bool)> {
    if known.verified == new.verified && registered_at < known.registered_at {
        let mut row = known.into_active_model();
        row.registered_at = Set(registered_at);
        return Ok((row.update(db).await?, true));
    }
    if known.verified || !new.verified {
        return Ok((known, false));
    }
    let mut row = known.into_active_model();
    row.verified = Set(true);
    row.registered_at = Set(registered_at);
    row.session = Set(new.session.clone());
    row.affiliate = Set(new.affiliate.as_ref().map(ToString::to_string));
    Ok((row.update(db).await?, true))
}

async fn insert_registration(
    db: &impl ConnectionTrait,
    attendee: &attendee::Model,
    new: &Registration,
    registered_at: i64,
    now: i64,
) -> Result<registration::Model> {
    let row = registration::Model {
        id: Uuid::now_v7(),
        attendee: attendee.id,
        source: new.key.source.clone(),
        external_webinar: new.key.external_webinar_id.clone(),
        external_id: new.key.external_id.clone(),
        session: new.session.clone(),
        affiliate: new.affiliate.as_ref().map(ToString::to_string),
        registered_at,
        received_at: now,
        verified: new.verified,
    };
    registration::Entity::insert(row.clone().into_active_model())
        .exec_without_returning(db)
        .await?;
    let created = v1::RegistrationCreated {
        attendee_id: attendee.id.to_string(),
        webinar_id: attendee.webinar.clone(),
        registration_id: row.id.to_string(),
        affiliate_id: row.affiliate.clone().unwrap_or_default(),
    };
    feed::record(db, now, attendee.test, v1::event::Kind::RegistrationCreated(created)).await?;
    Ok(row)
}

/// The programme that issued the affiliate of a registration.
async fn programme_of(db: &impl ConnectionTrait, new: &Registration) -> Result<String> {
    let candidates = catalogue::webinar_programmes(db, new.webinar.as_str()).await?;
    match (&new.programme, candidates.as_slice()) {
        (Some(programme), _) => Ok(catalogue::programme(db, programme.as_str()).await?.id),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(Error::invalid(
            "programme_id",
            "is required: the webinar has no products that would tell the programme",
        )),
        (None, _) => Err(Error::invalid(
            "programme_id",
            "is required: the webinar's products belong to several programmes",
        )),
    }
}

/// Stores what a report says about the person; whether an address was new.
async fn remember(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    attendee: attendee::Model,
    email: Option<&Email>,
    new: &Registration,
    now: i64,
) -> Result<bool> {
    let (id, webinar) = (attendee.id, attendee.webinar.clone());
    let unsealed = attendee.email_sealed.is_none();
    let unknown = attendee.known_since.is_none();
    let mut row = attendee.into_active_model();
    let mut added = false;
    if let Some(email) = email {
        // An address belongs to one attendee of a webinar. Where it is another's, this report's key still
        // names its own attendee.
        let owner = by_email(db, keys, &webinar, email).await?;
        added = owner.is_none();
        let own = owner.is_none_or(|owner| owner.id == id);
        if own {
            for hash in keys.email_hashes(email) {
                let hash = hash.to_vec();
                let row = attendee_email::Model { webinar: webinar.clone(), hash, attendee: id };
                attendee_email::Entity::insert(row.into_active_model())
                    .on_conflict_do_nothing()
                    .exec_without_returning(db)
                    .await?;
            }
        }
        if own && new.keep_email && unsealed {
            let sealed =
                keys.seal(id, email).map_err(|error| Error::internal(error.to_string()))?;
            row.email_sealed = Set(Some(sealed));
        }
    }
    if new.verified && unknown {
        row.known_since = Set(Some(now));
    }
    if row.is_changed() {
        row.update(db).await?;
    }
    Ok(added)
}

async fn insert(
    db: &impl ConnectionTrait,
    webinar: &str,
    test: bool,
    now: i64,
) -> Result<attendee::Model> {
    let row = attendee::Model {
        id: Uuid::now_v7(),
        webinar: webinar.to_owned(),
        email_sealed: None,
        known_since: None,
        test,
        created_at: now,
        erased_at: None,
    };
    attendee::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    Ok(row)
}

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
        let replaces = new.verified && !known.verified;
        let earlier = new.verified && known.verified && new.occurred_at < known.occurred_at;
        if !replaces && !earlier {
            return Ok(false);
        }
        let mut row = known.into_active_model();
        row.verified = Set(new.verified);
        row.occurred_at = Set(new.occurred_at);
        row.session = Set(new.session);
        row.update(db).await?;
        if let Some(attendee) = new.attendee {
            changed(db, attendee, test, now).await?;
        }
        return Ok(true);
    }
    touch::Entity::insert(new.clone().into_active_model()).exec_without_returning(db).await?;
    if let Some(attendee) = new.attendee {
        let added =
            v1::TouchAdded { attendee_id: attendee.to_string(), touch: Some(touch_message(new)) };
        feed::record(db, now, test, v1::event::Kind::TouchAdded(added)).await?;
    }
    Ok(true)
}

/// Tells who follows that more is known of an attendee.
async fn changed(db: &impl ConnectionTrait, attendee: Uuid, test: bool, now: i64) -> Result<()> {
    let changed = v1::AttendeeChanged { attendee_id: attendee.to_string() };
    feed::record(db, now, test, v1::event::Kind::AttendeeChanged(changed)).await
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
