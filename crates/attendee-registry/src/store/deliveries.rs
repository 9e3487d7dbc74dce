//! What was posted to sources, and what became of it.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, Set,
    sea_query::{Expr, ExprTrait as _, OnConflict, SimpleExpr},
};
use tagalong_attribution::decide::EmailHash;
use tagalong_proto::v1::{self, DeliveryState};
use uuid::Uuid;

use super::{
    CHUNK,
    entity::{attendee_email, delivery, delivery_email, item, order_email},
};
use crate::{
    error::{Error, Result, What},
    keys::DataKeys,
    time::to_proto,
};

/// What bodies are sealed for.
const BODIES: &str = "delivery";

/// How long deliveries are kept, in microseconds since they were received.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Those that were taken, or that there was nothing to take of.
    pub handled: i64,
    /// Those that are parked.
    pub parked: i64,
}

/// What became of a delivery once it was tried.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What it tells, as presets spell it; empty where it was not understood.
    pub(crate) kind: &'static str,
    /// Whose addresses it holds.
    pub(crate) emails: Vec<EmailHash>,
    pub(crate) result: Result<Taken, Problem>,
}

impl Outcome {
    pub(crate) fn parked(kind: &'static str, problem: Problem) -> Self {
        Self { kind, emails: Vec::new(), result: Err(problem) }
    }
}

/// What of a delivery was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Everything,
    /// It says nothing that bears on anything here.
    Nothing,
}

/// Why a delivery could not be taken as a whole. Holds no personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: &'static str,
    pub(crate) path: String,
    pub(crate) message: String,
    /// What has to be known before it can be taken.
    pub(crate) waits_for: Option<String>,
}

/// Stores what was posted, or counts it where the very same was posted before; whether it is new.
pub(crate) async fn receive(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    source: &str,
    digest: Vec<u8>,
    body: &[u8],
    now: i64,
) -> Result<bool> {
    let known = delivery::Entity::find()
        .filter(delivery::Column::Source.eq(source))
        .filter(delivery::Column::Digest.eq(digest.clone()))
        .one(db)
        .await?;
    if let Some(known) = known {
        let copies = known.copies.saturating_add(1);
        let mut row = known.into_active_model();
        row.copies = Set(copies);
        row.update(db).await?;
        return Ok(false);
    }
    let id = Uuid::now_v7();
    let row = delivery::Model {
        id,
        source: source.to_owned(),
        digest,
        received_at: now,
        copies: 1,
        sealed: Some(keys.seal_for(BODIES, id, body)?),
        state: DeliveryState::Received.into(),
        kind: String::new(),
        reason: String::new(),
        path: String::new(),
        message: String::new(),
        waits_for: None,
        handled_at: None,
    };
    delivery::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(true)
}

/// The next deliveries that wait for their turn, oldest first.
pub(crate) async fn waiting(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<delivery::Model>> {
    Ok(delivery::Entity::find()
        .filter(delivery::Column::State.eq(i32::from(DeliveryState::Received)))
        .order_by_asc(delivery::Column::Id)
        .limit(limit)
        .all(db)
        .await?)
}

pub(crate) async fn delivery(db: &impl ConnectionTrait, id: Uuid) -> Result<delivery::Model> {
    delivery::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Delivery, id.to_string()))
}

/// What was posted; none where it was erased.
pub(crate) fn body(keys: &DataKeys, row: &delivery::Model) -> Result<Option<Vec<u8>>> {
    row.sealed.as_deref().map(|sealed| keys.open_for(BODIES, row.id, sealed)).transpose()
}

/// Notes what became of a delivery.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    id: Uuid,
    outcome: Outcome,
    now: i64,
) -> Result<delivery::Model> {
    let mut row = delivery(db, id).await?;
    row.kind = outcome.kind.to_owned();
    row.handled_at = Some(now);
    let (state, problem) = match outcome.result {
        Ok(Taken::Everything) => (DeliveryState::Mapped, Problem::default()),
        Ok(Taken::Nothing) => (DeliveryState::Ignored, Problem::default()),
        Err(problem) => (DeliveryState::Parked, problem),
    };
    row.state = state.into();
    row.reason = problem.reason.to_owned();
    row.path = problem.path;
    row.message = problem.message;
    row.waits_for = problem.waits_for;
    for hash in outcome.emails {
        let email = delivery_email::Model { delivery: id, hash: hash.to_vec() };
        delivery_email::Entity::insert(email.into_active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(db)
            .await?;
    }
    Ok(row.into_active_model().reset_all().update(db).await?)
}

/// What a delivery waits for that names a product nobody knows.
pub(crate) fn waits_for_product(programme: &str, external_id: &str) -> String {
    format!("product:{programme}:{external_id}")
}

/// Lets parked deliveries be tried again that waited for one of these things.
pub(crate) async fn wake(db: &impl ConnectionTrait, things: &[String]) -> Result<()> {
    for things in things.chunks(CHUNK) {
        try_again(db, delivery::Column::WaitsFor.is_in(things.to_vec())).await?;
    }
    Ok(())
}

/// Lets all parked deliveries of a source be tried again.
pub(crate) async fn wake_source(db: &impl ConnectionTrait, source: &str) -> Result<()> {
    try_again(db, delivery::Column::Source.eq(source)).await
}

async fn try_again(db: &impl ConnectionTrait, which: SimpleExpr) -> Result<()> {
    delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::value(i32::from(DeliveryState::Received)))
        .col_expr(delivery::Column::HandledAt, Expr::value(None::<i64>))
        .filter(delivery::Column::State.eq(i32::from(DeliveryState::Parked)))
        .filter(delivery::Column::Sealed.is_not_null())
        .filter(which)
        .exec(db)
        .await?;
    Ok(())
}

/// How many are parked.
pub(crate) async fn parked(db: &impl ConnectionTrait) -> Result<u64> {
    let parked = delivery::Column::State.eq(i32::from(DeliveryState::Parked));
    Ok(delivery::Entity::find().filter(parked).count(db).await?)
}

/// The oldest deliveries that were kept long enough, no more than one statement names.
pub(crate) async fn outdated(
    db: &impl ConnectionTrait,
    retention: Retention,
    now: i64,
) -> Result<Vec<Uuid>> {
    let kept = |states: &[DeliveryState], time: i64| {
        let states = states.iter().map(|state| i32::from(*state));
        delivery::Column::State
            .is_in(states)
            .and(delivery::Column::ReceivedAt.lte(now.saturating_sub(time)))
    };
    let rows = delivery::Entity::find()
        .select_only()
        .column(delivery::Column::Id)
        .filter(
            Condition::any()
                .add(kept(&[DeliveryState::Mapped, DeliveryState::Ignored], retention.handled))
                .add(kept(&[DeliveryState::Parked], retention.parked)),
        )
        .order_by_asc(delivery::Column::Id)
        .limit(CHUNK as u64)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows)
}

/// Removes deliveries with all that is known of them.
pub(crate) async fn remove(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<u64> {
    delivery_email::Entity::delete_many()
        .filter(delivery_email::Column::Delivery.is_in(ids.clone()))
        .exec(db)
        .await?;
    let done = delivery::Entity::delete_many().filter(delivery::Column::Id.is_in(ids));
    Ok(done.exec(db).await?.rows_affected)
}

/// Erases the bodies that hold an address of an attendee's, one of the attendee's own orders' too. That they came stays,
/// so that a platform's retry brings nothing back.
pub(crate) async fn erase_bodies(db: &impl ConnectionTrait, attendee: Uuid) -> Result<()> {
    let orders = item::Entity::find()
        .select_only()
        .column(item::Column::SaleOrder)
        .filter(item::Column::Attendee.eq(attendee))
        .into_query();
    let registered = attendee_email::Entity::find()
        .select_only()
        .column(attendee_email::Column::Hash)
        .filter(attendee_email::Column::Attendee.eq(attendee))
        .into_query();
    let ordered = order_email::Entity::find()
        .select_only()
        .column(order_email::Column::Hash)
        .filter(order_email::Column::SaleOrder.in_subquery(orders))
        .into_query();
    let theirs = Condition::any()
        .add(delivery_email::Column::Hash.in_subquery(registered))
        .add(delivery_email::Column::Hash.in_subquery(ordered));
    let deliveries = delivery_email::Entity::find()
        .select_only()
        .column(delivery_email::Column::Delivery)
        .filter(theirs.clone())
        .into_query();
    let unfinished = [DeliveryState::Received, DeliveryState::Parked].map(i32::from);
    delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::value(i32::from(DeliveryState::Ignored)))
        .filter(delivery::Column::Id.in_subquery(deliveries.clone()))
        .filter(delivery::Column::State.is_in(unfinished))
        .exec(db)
        .await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::Sealed, Expr::value(None::<Vec<u8>>))
        .filter(delivery::Column::Id.in_subquery(deliveries))
        .exec(db)
        .await?;
    delivery_email::Entity::delete_many().filter(theirs).exec(db).await?;
    Ok(())
}

/// Which deliveries a list shows.
pub(crate) struct Filter {
    pub(crate) source: Option<String>,
    pub(crate) state: Option<DeliveryState>,
}

/// Deliveries, newest first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<delivery::Model>> {
    let mut query = delivery::Entity::find().order_by_desc(delivery::Column::Id).limit(limit);
    if let Some(source) = &filter.source {
        query = query.filter(delivery::Column::Source.eq(source));
    }
    if let Some(state) = filter.state {
        query = query.filter(delivery::Column::State.eq(i32::from(state)));
    }
    if let Some(before) = before {
        query = query.filter(delivery::Column::Id.lt(before));
    }
    Ok(query.all(db).await?)
}

pub(crate) fn message(row: delivery::Model, retention: Retention) -> v1::Delivery {
    let parked = row.state == i32::from(DeliveryState::Parked);
    let kept_for = if parked { retention.parked } else { retention.handled };
    v1::Delivery {
        id: row.id.to_string(),
        source_id: row.source,
        received_at: Some(to_proto(row.received_at)),
        copies: row.copies,
        state: row.state,
        kind: row.kind,
        problem: parked.then_some(v1::DeliveryProblem {
            reason: row.reason,
            path: row.path,
            message: row.message,
        }),
        handled_at: row.handled_at.map(to_proto),
        kept_until: Some(to_proto(row.received_at.saturating_add(kept_for))),
        body_erased: row.sealed.is_none(),
    }
}
