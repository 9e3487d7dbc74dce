//! Clicks: ingest exactly once in effect, and the attendees they turn out to belong to.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, sea_query::OnConflict,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK, attendees, catalogue,
    counts::Counts,
    entity::{attendee, click, click_claim, click_log, product, sale_order, touch},
    insert::insert_new_ids,
};
use crate::{
    click::Run,
    deciding,
    error::{Error, Result},
    time::to_proto,
};

/// The position after the last one stored of a log.
pub(crate) async fn next_position(db: &impl ConnectionTrait, log: Uuid) -> Result<i64> {
    let row = click_log::Entity::find_by_id(log).one(db).await?;
    Ok(row.map_or(1, |row| row.next_position))
}

/// Stores what is new of a run, moves the log's position with it, and decides again what the clicks bear on.
pub(crate) async fn record(db: &impl ConnectionTrait, run: Run, now: i64) -> Result<i64> {
    let next = next_position(db, run.log).await?;
    if run.first_position > next && run.first_position != run.oldest_position {
        return Err(Error::ClickLogGap { next_position: next });
    }
    if run.first_position > next {
        let lost = run.first_position - next;
        tracing::warn!(log = %run.log, lost, "a click log no longer holds clicks that were not stored here");
    }
    let known = usize::try_from(next - run.first_position).unwrap_or(0);
    let end = run.first_position + i64::try_from(run.clicks.len()).unwrap_or(i64::MAX);
    let clicks = with_programmes(db, run.clicks.into_iter().skip(known), now).await?;
    let new = insert(db, clicks).await?;
    if end > next {
        let row = click_log::Model { id: run.log, next_position: end };
        click_log::Entity::insert(row.into_active_model())
            .on_conflict(
                OnConflict::column(click_log::Column::Id)
                    .update_column(click_log::Column::NextPosition)
                    .to_owned(),
            )
            .exec_without_returning(db)
            .await?;
    }
    new.iter().fold(Counts::default(), Counts::click).store(db).await?;
    connect(db, &new, now).await?;
    Ok(end.max(next))
}

/// Adds each click's programme. Test clicks of a product that is gone are left out: the test is over.
async fn with_programmes(
    db: &impl ConnectionTrait,
    clicks: impl Iterator<Item = click::Model>,
    now: i64,
) -> Result<Vec<click::Model>> {
    let mut clicks: Vec<click::Model> = clicks.collect();
    let products: HashSet<&str> = clicks.iter().map(|click| click.product.as_str()).collect();
    let products: Vec<&str> = products.into_iter().collect();
    let mut programmes: HashMap<String, String> = HashMap::new();
    for products in products.chunks(CHUNK) {
        let rows: Vec<(String, String)> = product::Entity::find()
            .select_only()
            .columns([product::Column::Id, product::Column::Programme])
            .filter(product::Column::Id.is_in(products.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        programmes.extend(rows);
    }
    clicks.retain_mut(|click| {
        click.programme = programmes.get(&click.product).cloned();
        click.received_at = now;
        click.programme.is_some() || !click.test
    });
    Ok(clicks)
}

/// Stores clicks whose IDs are new, the first of each; returns those.
async fn insert(
    db: &impl ConnectionTrait,
    mut clicks: Vec<click::Model>,
) -> Result<Vec<click::Model>> {
    if let Some(new) = insert_new_ids::<click::Entity>(db, &clicks).await? {
        let mut new: HashSet<Uuid> = new.into_iter().collect();
        clicks.retain(|click| new.remove(&click.id));
    }
    Ok(clicks)
}

/// Connects new clicks with the attendees and orders that name them.
async fn connect(db: &impl ConnectionTrait, clicks: &[click::Model], now: i64) -> Result<()> {
    let mut touched = claim_by_cookie(db, clicks, now).await?;
    let mut ids: Vec<Uuid> = clicks.iter().map(|click| click.id).collect();
    ids.sort_unstable();
    let claimed = named_in::<click_claim::Entity>(db, click_claim::Column::Click, &ids).await?;
    if !claimed.is_empty() {
        let clicks: HashMap<Uuid, &click::Model> =
            clicks.iter().map(|click| (click.id, click)).collect();
        for ids in claimed.chunks(CHUNK) {
            let claims = click_claim::Entity::find()
                .filter(click_claim::Column::Click.is_in(ids.iter().copied()))
                .all(db)
                .await?;
            for claim in claims {
                if let Some(click) = clicks.get(&claim.click)
                    && add_touch(db, click, Some(claim.attendee), claim.verified, now).await?
                {
                    touched.push(claim.attendee);
                }
            }
        }
    }
    let ordered = named_in::<sale_order::Entity>(db, sale_order::Column::Click, &ids).await?;
    for ids in ordered.chunks(CHUNK) {
        deciding::about_clicks(db, ids, now).await?;
    }
    touched.sort_unstable();
    touched.dedup();
    for attendee in touched {
        deciding::about_attendee(db, attendee, now).await?;
    }
    Ok(())
}

/// A person opened a valid token in a browser whose cookie names an earlier click: both are that person's. Returns the
/// attendees of whom this is news.
async fn claim_by_cookie(
    db: &impl ConnectionTrait,
    clicks: &[click::Model],
    now: i64,
) -> Result<Vec<Uuid>> {
    let human = i32::from(v1::ClickClass::Human);
    let pairs: BTreeSet<(Uuid, Uuid)> = clicks
        .iter()
        .filter(|click| click.class == human)
        .filter_map(|click| click.cookie_click.zip(click.attendee))
        .collect();
    let pairs: Vec<(Uuid, Uuid)> = pairs.into_iter().collect();
    let mut news = Vec::new();
    for pairs in pairs.chunks(CHUNK) {
        let known = click_claim::Entity::find()
            .filter(click_claim::Column::Click.is_in(pairs.iter().map(|(click, _)| *click)))
            .filter(click_claim::Column::Verified.eq(true))
            .all(db)
            .await?;
        let known: HashSet<(Uuid, Uuid)> =
            known.into_iter().map(|claim| (claim.click, claim.attendee)).collect();
        let there: HashSet<Uuid> = attendee::Entity::find()
            .select_only()
            .column(attendee::Column::Id)
            .filter(attendee::Column::Id.is_in(pairs.iter().map(|(_, attendee)| *attendee)))
            .filter(attendee::Column::ErasedAt.is_null())
            .into_tuple::<Uuid>()
            .all(db)
            .await?
            .into_iter()
            .collect();
        for (click, attendee) in pairs {
            if !known.contains(&(*click, *attendee))
                && there.contains(attendee)
                && claim(db, *click, *attendee, true, now).await?
            {
                news.push(*attendee);
            }
        }
    }
    Ok(news)
}

/// Those of the clicks, sorted, that rows of a table name. Clicks that come together are near each other in an index of
/// their IDs, which begin with the time: where none is named, one look at the index says so.
async fn named_in<E: EntityTrait>(
    db: &impl ConnectionTrait,
    column: E::Column,
    clicks: &[Uuid],
) -> Result<Vec<Uuid>> {
    let [first, .., last] = clicks else { return named_one_by_one::<E>(db, column, clicks).await };
    let near = E::find()
        .select_only()
        .column(column)
        .distinct()
        .filter(column.between(*first, *last))
        .limit(u64::try_from(clicks.len()).unwrap_or(u64::MAX))
        .into_tuple::<Uuid>()
        .all(db)
        .await?;
    if near.len() < clicks.len() {
        return Ok(near.into_iter().filter(|id| clicks.binary_search(id).is_ok()).collect());
    }
    named_one_by_one::<E>(db, column, clicks).await
}

async fn named_one_by_one<E: EntityTrait>(
    db: &impl ConnectionTrait,
    column: E::Column,
    clicks: &[Uuid],
) -> Result<Vec<Uuid>> {
    let mut named = Vec::new();
    for clicks in clicks.chunks(CHUNK) {
        let rows = E::find()
            .select_only()
            .column(column)
            .distinct()
            .filter(column.is_in(clicks.iter().copied()))
            .into_tuple::<Uuid>();
        named.extend(rows.all(db).await?);
    }
    Ok(named)
}

/// Says that an attendee made a click, which may not have arrived yet; whether that is new. The touch is as verified as
/// this is: the click itself is ours, but not whose it is.
pub(crate) async fn claim(
    db: &impl ConnectionTrait,
    click_id: Uuid,
    attendee: Uuid,
    verified: bool,
    now: i64,
) -> Result<bool> {
    let row = click_claim::Model { click: click_id, attendee, verified };
    match click_claim::Entity::find_by_id((click_id, attendee)).one(db).await? {
        Some(known) if known.verified || !verified => return Ok(false),
        Some(_) => {
            row.into_active_model().reset_all().update(db).await?;
        }
        None => {
            click_claim::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
        }
    }
    if let Some(click) = get(db, click_id).await? {
        add_touch(db, &click, Some(attendee), verified, now).await?;
    }
    Ok(true)
}

/// Makes a click a touch: of an attendee, or of a buyer of whom nothing else is known. A tokened purchase
/// link's opening is none.
pub(crate) async fn add_touch(
    db: &impl ConnectionTrait,
    click: &click::Model,
    attendee: Option<Uuid>,
    verified: bool,
    now: i64,
) -> Result<bool> {
    let (Some(affiliate), None) = (&click.affiliate, click.attendee) else { return Ok(false) };
    let programme = match &click.programme {
        Some(programme) => programme.clone(),
        // The product was not known here when the click arrived.
        None => match product::Entity::find_by_id(&click.product).one(db).await? {
            Some(product) => product.programme,
            None => return Ok(false),
        },
    };
    catalogue::hear_of(db, &programme, affiliate, now).await?;
    let landing = click.link == i32::from(v1::LinkKind::Landing);
    let whose = attendee.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    let touch = touch::Model {
        id: Uuid::now_v7(),
        origin: format!("click:{}:{whose}", click.id),
        attendee,
        sale_order: None,
        click: Some(click.id),
        kind: if landing { v1::TouchKind::Landing } else { v1::TouchKind::Click }.into(),
        programme,
        affiliate: affiliate.clone(),
        product: Some(click.product.clone()),
        webinar: None,
        session: String::new(),
        occurred_at: click.occurred_at,
        received_at: now,
        // Anybody can say that a page was opened, whoever vouches for who did it.
        verified: verified && !landing,
    };
    attendees::add_touch(db, touch, click.test, now).await
}

pub(crate) async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<click::Model>> {
    Ok(click::Entity::find_by_id(id).one(db).await?)
}

/// The attendees verifiably said to have made a click.
pub(crate) async fn claimants(db: &impl ConnectionTrait, click: Uuid) -> Result<Vec<Uuid>> {
    let rows = click_claim::Entity::find()
        .filter(click_claim::Column::Click.eq(click))
        .filter(click_claim::Column::Verified.eq(true))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.attendee).collect())
}

pub(crate) async fn list(
    db: &impl ConnectionTrait,
    product: Option<&str>,
    include_test: bool,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<click::Model>> {
    let mut query = click::Entity::find().order_by_asc(click::Column::Id).limit(limit);
    if let Some(product) = product {
        query = query.filter(click::Column::Product.eq(product));
    }
    if !include_test {
        query = query.filter(click::Column::Test.eq(false));
    }
    if let Some(after) = after {
        query = query.filter(click::Column::Id.gt(after));
    }
    Ok(query.all(db).await?)
}

pub(crate) fn message(row: click::Model) -> v1::Click {
    let uuid = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    v1::Click {
        id: row.id.to_string(),
        product_id: row.product,
        affiliate_id: row.affiliate.unwrap_or_default(),
        no_affiliate: row.no_affiliate,
        occurred_at: Some(to_proto(row.occurred_at)),
        class: row.class,
        link: row.link,
        sub_ids: catalogue::lines(&row.sub_ids),
        attendee_id: uuid(row.attendee),
        cookie_click_id: uuid(row.cookie_click),
        test: row.test,
    }
}
