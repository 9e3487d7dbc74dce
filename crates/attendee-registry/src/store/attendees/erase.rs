//! Forgetting a person.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, Set,
};
use tagalong_proto::v1;

use super::message::registration_key;
use crate::{
    error::Result,
    keys::DataKeys,
    store::{
        deliveries,
        entity::{attendee, attendee_email, click_claim, registration},
        feed, requests, sales,
    },
};

/// The source of erased registrations.
const ERASED: &str = "erased";

/// What is left of a registration's key when its attendee is erased: enough to recognise the tool's retry.
pub(super) fn erased_key(keys: &DataKeys, key: &v1::RegistrationKey) -> v1::RegistrationKey {
    let fingerprint = keys.fingerprint("erased registration", &prost::Message::encode_to_vec(key));
    v1::RegistrationKey {
        source: ERASED.to_owned(),
        external_webinar_id: String::new(),
        external_id: URL_SAFE_NO_PAD.encode(fingerprint),
    }
}

/// Erases what identifies a person: addresses, the tool's IDs, what reports and orders said of them. What was decided
/// stays.
pub(crate) async fn erase(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    attendee: attendee::Model,
    now: i64,
) -> Result<attendee::Model> {
    let (id, test) = (attendee.id, attendee.test);
    // First, because it goes by the addresses.
    deliveries::erase_bodies(db, id).await?;
    sales::forget_buyer(db, id).await?;
    attendee_email::Entity::delete_many()
        .filter(attendee_email::Column::Attendee.eq(id))
        .exec(db)
        .await?;
    click_claim::Entity::delete_many()
        .filter(click_claim::Column::Attendee.eq(id))
        .exec(db)
        .await?;
    requests::forget(db, id).await?;
    let rows =
        registration::Entity::find().filter(registration::Column::Attendee.eq(id)).all(db).await?;
    for row in rows {
        if row.source == ERASED {
            continue;
        }
        let key = erased_key(keys, &registration_key(row.clone()));
        let mut row = row.into_active_model();
        row.source = Set(key.source);
        row.external_webinar = Set(key.external_webinar_id);
        row.external_id = Set(key.external_id);
        row.update(db).await?;
    }
    let first_time = attendee.erased_at.is_none();
    let mut row = attendee.into_active_model();
    row.email_sealed = Set(None);
    if first_time {
        row.erased_at = Set(Some(now));
        let erased = v1::AttendeeErased { attendee_id: id.to_string() };
        feed::record(db, now, test, v1::event::Kind::AttendeeErased(erased)).await?;
    }
    Ok(row.update(db).await?)
}
