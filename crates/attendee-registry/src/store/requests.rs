//! Answers given to callers' request IDs.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    QueryTrait as _, Set,
};
use uuid::Uuid;

use super::entity::{attendee_request, request};
use crate::error::{Error, Result};

/// The answer given to this request ID before, if any.
///
/// # Errors
/// If it was used for something else.
pub(crate) async fn answer(
    db: &impl ConnectionTrait,
    id: &str,
    fingerprint: &[u8],
) -> Result<Option<Vec<u8>>> {
    match request::Entity::find_by_id(id).one(db).await? {
        None => Ok(None),
        Some(known) if known.fingerprint == fingerprint => Ok(Some(known.answer)),
        Some(_) => Err(Error::RequestIdReused(id.to_owned())),
    }
}

/// Keeps the answer to a request ID.
pub(crate) async fn remember(
    db: &impl ConnectionTrait,
    id: &str,
    method: &str,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
    now: i64,
) -> Result<()> {
    request::Entity::insert(request::ActiveModel {
        id: Set(id.to_owned()),
        method: Set(method.to_owned()),
        fingerprint: Set(fingerprint),
        answer: Set(answer),
        answered_at: Set(now),
    })
    .exec_without_returning(db)
    .await?;
    Ok(())
}

/// Forgets the answers that tell about an attendee.
pub(crate) async fn forget(db: &impl ConnectionTrait, attendee: Uuid) -> Result<()> {
    let ids = attendee_request::Entity::find()
        .select_only()
        .column(attendee_request::Column::Request)
        .filter(attendee_request::Column::Attendee.eq(attendee))
        .into_query();
    request::Entity::delete_many().filter(request::Column::Id.in_subquery(ids)).exec(db).await?;
    attendee_request::Entity::delete_many()
        .filter(attendee_request::Column::Attendee.eq(attendee))
        .exec(db)
        .await?;
    Ok(())
}
