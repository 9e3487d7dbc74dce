//! The change feed's table.
//!
//! A row becomes visible only when no earlier one can still commit: there is one writer at a time (see [`super`]),
//! so the order of sequence numbers is the order of commits.

use prost::Message as _;
use sea_orm::{
    ActiveValue::NotSet, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::entity::event;
use crate::{error::Result, time::to_proto};

/// Records an event in the transaction that made it happen.
pub(crate) async fn record(
    db: &impl ConnectionTrait,
    now: i64,
    test: bool,
    kind: v1::event::Kind,
) -> Result<()> {
    let mut row = event(now, test, kind).into_active_model();
    row.sequence = NotSet;
    event::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// An event's row; its sequence number is the database's to give.
pub(crate) fn event(now: i64, test: bool, kind: v1::event::Kind) -> event::Model {
    let body = v1::Event {
        id: Uuid::now_v7().to_string(),
        recorded_at: Some(to_proto(now)),
        test,
        kind: Some(kind),
    };
    event::Model { sequence: 0, test, body: body.encode_to_vec() }
}

/// The next events after a sequence number, at most `limit`.
pub(crate) async fn after(
    db: &impl ConnectionTrait,
    sequence: i64,
    limit: u64,
) -> Result<Vec<event::Model>> {
    let rows = event::Entity::find()
        .filter(event::Column::Sequence.gt(sequence))
        .order_by_asc(event::Column::Sequence)
        .limit(limit)
        .all(db)
        .await?;
    Ok(rows)
}

/// The newest sequence number; 0 where nothing ever happened.
pub(crate) async fn newest(db: &impl ConnectionTrait) -> Result<i64> {
    let newest =
        event::Entity::find().order_by_desc(event::Column::Sequence).limit(1).one(db).await?;
    Ok(newest.map_or(0, |event| event.sequence))
}
