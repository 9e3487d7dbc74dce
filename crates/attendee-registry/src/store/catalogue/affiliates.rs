//! Affiliates, their coupons and suspensions.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{Write, allow, next_revision, programme, put};
use crate::{
    catalogue::Affiliate,
    error::{Error, Result, What},
    keys::DataKeys,
    store::{
        CHUNK,
        entity::{affiliate, affiliate_coupon, affiliate_email, suspension},
    },
    time::to_proto,
};

pub(crate) async fn put_affiliate(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Affiliate,
    keys: &DataKeys,
    now: i64,
) -> Result<v1::Affiliate> {
    let revision = next_revision(db, now).await?;
    let (programme_id, id) = (new.programme.as_str(), new.id.as_str());
    programme(db, programme_id).await?;
    let stored =
        affiliate::Entity::find_by_id((programme_id.to_owned(), id.to_owned())).one(db).await?;
    // An affiliate first heard of in a touch has no revision yet: creating it says more about it.
    let heard_of = stored.as_ref().is_some_and(|row| row.revision == 0);
    let row_write = if heard_of { Write::Replace } else { write };
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(row_write, What::Affiliate, id, stored, new.revision, now)?;
    let row = affiliate::Model {
        programme: programme_id.to_owned(),
        id: id.to_owned(),
        title: new.title.clone(),
        house: new.house,
        confirmed: new.confirmed,
        revision,
        created_at,
    };
    put(db, row.into_active_model(), row_write).await?;

    affiliate_coupon::Entity::delete_many()
        .filter(affiliate_coupon::Column::Programme.eq(programme_id))
        .filter(affiliate_coupon::Column::Affiliate.eq(id))
        .exec(db)
        .await?;
    for code in &new.coupons {
        if let Some(other) = coupon_owner(db, programme_id, code).await? {
            return Err(Error::invalid(
                "affiliate.coupon_codes",
                format!("{code} belongs to {other}"),
            ));
        }
        let row = affiliate_coupon::Model {
            programme: programme_id.to_owned(),
            code: code.clone(),
            affiliate: id.to_owned(),
        };
        affiliate_coupon::Entity::insert(row.into_active_model())
            .exec_without_returning(db)
            .await?;
    }
    for hash in new.emails.iter().flat_map(|email| keys.email_hashes(email)) {
        let row = affiliate_email::Model {
            programme: programme_id.to_owned(),
            affiliate: id.to_owned(),
            hash: hash.to_vec(),
        };
        affiliate_email::Entity::insert(row.into_active_model())
            .on_conflict_do_nothing()
            .exec_without_returning(db)
            .await?;
    }
    affiliate_message(db, programme_id, id).await
}

/// Whose coupon it is.
pub(crate) async fn coupon_owner(
    db: &impl ConnectionTrait,
    programme: &str,
    code: &str,
) -> Result<Option<String>> {
    let key = (programme.to_owned(), code.to_owned());
    Ok(affiliate_coupon::Entity::find_by_id(key).one(db).await?.map(|row| row.affiliate))
}

/// Notes an affiliate that a touch names, where it is new.
pub(crate) async fn hear_of(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
    now: i64,
) -> Result<()> {
    affiliate::Entity::insert(heard_of(programme, id, now).into_active_model())
        .on_conflict_do_nothing()
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// An affiliate of whom nothing but the ID is known.
pub(crate) fn heard_of(programme: &str, id: &str, now: i64) -> affiliate::Model {
    affiliate::Model {
        programme: programme.to_owned(),
        id: id.to_owned(),
        title: String::new(),
        house: false,
        confirmed: false,
        revision: 0,
        created_at: now,
    }
}

pub(crate) async fn suspend(
    db: &impl ConnectionTrait,
    (programme, id): (&str, &str),
    (starts_at, reason): (i64, String),
    now: i64,
) -> Result<v1::Affiliate> {
    touch_affiliate(db, programme, id, now).await?;
    if open_suspension(db, programme, id).await?.is_some() {
        return Err(Error::Precondition {
            reason: "AFFILIATE_SUSPENDED",
            message: format!("affiliate {id} is suspended already"),
        });
    }
    let row = suspension::Model {
        id: Uuid::now_v7(),
        programme: programme.to_owned(),
        affiliate: id.to_owned(),
        starts_at,
        ends_at: None,
        reason,
        recorded_at: now,
    };
    suspension::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    affiliate_message(db, programme, id).await
}

pub(crate) async fn reinstate(
    db: &impl ConnectionTrait,
    (programme, id): (&str, &str),
    at: i64,
    now: i64,
) -> Result<v1::Affiliate> {
    touch_affiliate(db, programme, id, now).await?;
    let open = open_suspension(db, programme, id).await?.ok_or_else(|| Error::Precondition {
        reason: "AFFILIATE_NOT_SUSPENDED",
        message: format!("affiliate {id} is not suspended"),
    })?;
    if at < open.starts_at {
        return Err(Error::invalid("at", "is before the suspension began"));
    }
    let mut open = open.into_active_model();
    open.ends_at = Set(Some(at));
    open.update(db).await?;
    affiliate_message(db, programme, id).await
}

/// Gives a known affiliate a new revision.
async fn touch_affiliate(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
    now: i64,
) -> Result<()> {
    let revision = next_revision(db, now).await?;
    let mut row = affiliate::Entity::find_by_id((programme.to_owned(), id.to_owned()))
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Affiliate, id))?
        .into_active_model();
    row.revision = Set(revision);
    row.update(db).await?;
    Ok(())
}

async fn open_suspension(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
) -> Result<Option<suspension::Model>> {
    Ok(suspension::Entity::find()
        .filter(suspension::Column::Programme.eq(programme))
        .filter(suspension::Column::Affiliate.eq(id))
        .filter(suspension::Column::EndsAt.is_null())
        .one(db)
        .await?)
}

pub(crate) async fn affiliate_message(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
) -> Result<v1::Affiliate> {
    let row = affiliate::Entity::find_by_id((programme.to_owned(), id.to_owned())).one(db).await?;
    let row = row.ok_or_else(|| Error::not_found(What::Affiliate, id))?;
    Ok(affiliate_messages(db, vec![row]).await?.remove(0))
}

pub(crate) async fn affiliates(
    db: &impl ConnectionTrait,
    programme: Option<&str>,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<v1::Affiliate>> {
    let mut query = affiliate::Entity::find()
        .order_by_asc(affiliate::Column::Programme)
        .order_by_asc(affiliate::Column::Id)
        .limit(limit);
    if let Some(programme) = programme {
        query = query.filter(affiliate::Column::Programme.eq(programme));
    }
    if let Some((programme, id)) = after.as_deref().and_then(|key| key.split_once(' ')) {
        query = query.filter(
            Condition::any().add(affiliate::Column::Programme.gt(programme)).add(
                Condition::all()
                    .add(affiliate::Column::Programme.eq(programme))
                    .add(affiliate::Column::Id.gt(id)),
            ),
        );
    }
    affiliate_messages(db, query.all(db).await?).await
}

/// Adds what belongs to each of the rows.
pub(super) async fn affiliate_messages(
    db: &impl ConnectionTrait,
    rows: Vec<affiliate::Model>,
) -> Result<Vec<v1::Affiliate>> {
    type Key = (String, String);
    let mut coupons: HashMap<Key, Vec<String>> = HashMap::new();
    let mut emails: HashSet<Key> = HashSet::new();
    let mut suspensions: HashMap<Key, Vec<v1::Suspension>> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let programmes: BTreeSet<&str> = rows.iter().map(|row| row.programme.as_str()).collect();
        for row in affiliate_coupon::Entity::find()
            .filter(affiliate_coupon::Column::Programme.is_in(programmes.clone()))
            .filter(affiliate_coupon::Column::Affiliate.is_in(ids.clone()))
            .order_by_asc(affiliate_coupon::Column::Code)
            .all(db)
            .await?
        {
            coupons.entry((row.programme, row.affiliate)).or_default().push(row.code);
        }
        for row in affiliate_email::Entity::find()
            .filter(affiliate_email::Column::Programme.is_in(programmes.clone()))
            .filter(affiliate_email::Column::Affiliate.is_in(ids.clone()))
            .all(db)
            .await?
        {
            emails.insert((row.programme, row.affiliate));
        }
        for row in suspension::Entity::find()
            .filter(suspension::Column::Programme.is_in(programmes))
            .filter(suspension::Column::Affiliate.is_in(ids))
            .order_by_asc(suspension::Column::StartsAt)
            .all(db)
            .await?
        {
            suspensions.entry((row.programme, row.affiliate)).or_default().push(v1::Suspension {
                starts_at: Some(to_proto(row.starts_at)),
                ends_at: row.ends_at.map(to_proto),
                reason: row.reason,
            });
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let key = (row.programme.clone(), row.id.clone());
            v1::Affiliate {
                programme_id: row.programme,
                id: row.id,
                title: row.title,
                house: row.house,
                confirmed: row.confirmed,
                coupon_codes: coupons.remove(&key).unwrap_or_default(),
                suspensions: suspensions.remove(&key).unwrap_or_default(),
                has_email: emails.contains(&key),
                revision: row.revision,
                created_at: Some(to_proto(row.created_at)),
            }
        })
        .collect())
}
