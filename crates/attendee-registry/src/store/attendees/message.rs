//! Attendees as messages.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    error::Result,
    store::{
        CHUNK,
        entity::{attendee, attendee_email, registration, touch},
    },
    time::to_proto,
};

/// Those of the attendees whose address is known.
async fn with_email(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let mut known = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let rows = attendee_email::Entity::find()
            .filter(attendee_email::Column::Attendee.is_in(ids.to_vec()))
            .all(db)
            .await?;
        known.extend(rows.into_iter().map(|row| row.attendee));
    }
    Ok(known)
}

/// Attendees as messages, without registrations and touches.
pub(crate) async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<attendee::Model>,
) -> Result<Vec<v1::Attendee>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let with_email: HashSet<Uuid> = with_email(db, &ids).await?.into_iter().collect();
    Ok(rows
        .into_iter()
        .map(|row| {
            let has_email = with_email.contains(&row.id);
            bare(row, has_email)
        })
        .collect())
}

/// An attendee as a message, with registrations and touches.
pub(crate) async fn message(
    db: &impl ConnectionTrait,
    attendee: attendee::Model,
) -> Result<v1::Attendee> {
    let id = attendee.id;
    let registrations = registration::Entity::find()
        .filter(registration::Column::Attendee.eq(id))
        .order_by_asc(registration::Column::RegisteredAt)
        .order_by_asc(registration::Column::Id)
        .all(db)
        .await?;
    let touches = touch::Entity::find()
        .filter(touch::Column::Attendee.eq(id))
        .order_by_asc(touch::Column::OccurredAt)
        .order_by_asc(touch::Column::Id)
        .all(db)
        .await?;
    let has_email = !with_email(db, &[id]).await?.is_empty();
    Ok(whole(attendee, has_email, registrations, touches))
}

/// The message of an attendee whose registrations and touches are given, oldest first.
pub(super) fn whole(
    attendee: attendee::Model,
    has_email: bool,
    registrations: Vec<registration::Model>,
    touches: Vec<touch::Model>,
) -> v1::Attendee {
    let registrations = registrations.into_iter().map(|row| v1::Registration {
        id: row.id.to_string(),
        session_id: row.session.clone(),
        affiliate_id: row.affiliate.clone().unwrap_or_default(),
        registered_at: Some(to_proto(row.registered_at)),
        received_at: Some(to_proto(row.received_at)),
        verified: row.verified,
        key: Some(registration_key(row)),
    });
    v1::Attendee {
        registrations: registrations.collect(),
        touches: touches.into_iter().map(touch_message).collect(),
        ..bare(attendee, has_email)
    }
}

/// The message of an attendee as in lists.
fn bare(row: attendee::Model, has_email: bool) -> v1::Attendee {
    v1::Attendee {
        id: row.id.to_string(),
        webinar_id: row.webinar,
        has_email: has_email || row.email_sealed.is_some(),
        test: row.test,
        created_at: Some(to_proto(row.created_at)),
        erased_at: row.erased_at.map(to_proto),
        registrations: Vec::new(),
        touches: Vec::new(),
    }
}

pub(crate) fn registration_key(row: registration::Model) -> v1::RegistrationKey {
    v1::RegistrationKey {
        source: row.source,
        external_webinar_id: row.external_webinar,
        external_id: row.external_id,
    }
}

pub(crate) fn touch_message(row: touch::Model) -> v1::Touch {
    v1::Touch {
        id: row.id.to_string(),
        kind: row.kind,
        programme_id: row.programme,
        affiliate_id: row.affiliate,
        product_id: row.product.unwrap_or_default(),
        webinar_id: row.webinar.unwrap_or_default(),
        session_id: row.session,
        occurred_at: Some(to_proto(row.occurred_at)),
        received_at: Some(to_proto(row.received_at)),
        verified: row.verified,
        click_id: row.click.map(|click| click.to_string()).unwrap_or_default(),
    }
}
