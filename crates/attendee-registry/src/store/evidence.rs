//! What a decision is made from, in the terms of the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _,
};
use sha2::{Digest as _, Sha256};
use tagalong_attribution::{
    decide::{
        CouponRank, EmailHash, Policy, Reach, Session, Standing, Subject, Suspension, Touch,
        TouchKind, TouchModel, Webinar, reach,
    },
    id::{AffiliateId, ProductId, WebinarId},
    resolve::Named,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK,
    catalogue::{self, webinar_products, webinars_of},
    entity::{
        affiliate, affiliate_email, attendee, attendee_email, registration, sale_order, suspension,
        touch,
    },
};
use crate::{
    catalogue::StoredPolicy,
    error::{Error, Result},
    time::from_micros,
};

/// A stored policy in the terms of the rules.
pub(crate) fn policy(stored: StoredPolicy) -> Policy {
    Policy {
        model: match stored.model {
            v1::TouchModel::First => TouchModel::First,
            v1::TouchModel::Last | v1::TouchModel::Unspecified => TouchModel::Last,
        },
        window: SignedDuration::from_secs(stored.window_seconds),
        coupon_rank: match stored.coupon_rank {
            v1::CouponRank::Unspecified | v1::CouponRank::Ignored => CouponRank::Ignored,
            v1::CouponRank::Click => CouponRank::Click,
            v1::CouponRank::Registration => CouponRank::Registration,
            v1::CouponRank::AboveAll => CouponRank::AboveAll,
        },
    }
}

/// The webinars that offer a product, with all their products.
pub(crate) async fn webinars_offering(
    db: &impl ConnectionTrait,
    product: &str,
) -> Result<Vec<Webinar>> {
    let mut webinars = Vec::new();
    for link in webinars_of(db, product).await?.into_iter().filter(|link| link.offers) {
        let row = catalogue::webinar(db, &link.webinar).await?;
        let products = webinar_products(db, &link.webinar).await?;
        let ids = |wanted: fn(&super::entity::webinar_product::Model) -> bool| {
            products
                .iter()
                .filter(|link| wanted(link))
                .map(|link| stored_id(&link.product))
                .collect::<Result<Vec<ProductId>>>()
        };
        webinars.push(Webinar {
            id: stored_id(&row.id)?,
            promotes: ids(|link| link.promotes)?,
            offers: ids(|link| link.offers)?,
            ends_at: row.campaign_ends_at.map(from_micros),
        });
    }
    Ok(webinars)
}

/// An ID that was checked when it was stored.
pub(crate) fn stored_id<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(Error::internal)
}

/// The touches of some attendees, no more than a statement can name, in the order of their IDs.
pub(crate) async fn touches_of(
    db: &impl ConnectionTrait,
    attendees: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<touch::Model>> {
    Ok(touch::Entity::find()
        .filter(touch::Column::Attendee.is_in(attendees))
        .order_by_asc(touch::Column::Id)
        .all(db)
        .await?)
}

/// The touches that bear on one order.
pub(crate) async fn touches_for(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    attendee: Option<Uuid>,
    clicks: &[Uuid],
) -> Result<Vec<touch::Model>> {
    let mut whose = Condition::any();
    if let Some(code) = &order.coupon {
        whose = whose.add(touch::Column::Origin.eq(format!("coupon:{}:{code}", order.id)));
    }
    if let Some(attendee) = attendee {
        whose = whose.add(touch::Column::Attendee.eq(attendee));
    }
    for click in clicks {
        whose = whose.add(touch::Column::Origin.eq(format!("click:{click}:nobody")));
    }
    if whose.is_empty() {
        return Ok(Vec::new());
    }
    Ok(touch::Entity::find().filter(whose).order_by_asc(touch::Column::Id).all(db).await?)
}

/// A touch in the terms of the rules; it reaches no product where none is given.
pub(crate) fn touch(
    row: &touch::Model,
    webinars: &[Webinar],
    product: Option<&ProductId>,
) -> Result<Touch> {
    let touched = row.product.as_deref().map(stored_id::<ProductId>).transpose()?;
    let webinar = row.webinar.as_deref().map(stored_id::<WebinarId>).transpose()?;
    let kind = match v1::TouchKind::try_from(row.kind) {
        Ok(v1::TouchKind::Landing) => TouchKind::Landing,
        Ok(v1::TouchKind::Registration) => TouchKind::Registration,
        Ok(v1::TouchKind::Coupon) => TouchKind::Coupon,
        Ok(v1::TouchKind::Click | v1::TouchKind::Unspecified) | Err(_) => TouchKind::Click,
    };
    let subject = match (&touched, &webinar) {
        _ if kind == TouchKind::Coupon => Some(Subject::Item),
        (Some(touched), _) => Some(Subject::Product(touched)),
        (None, Some(webinar)) => Some(Subject::Webinar(webinar)),
        (None, None) => None,
    };
    let reach = match (subject, product) {
        (Some(subject), Some(product)) => reach(webinars, subject, product),
        _ => Reach::Unrelated,
    };
    let session = match webinar {
        Some(webinar) if !row.session.is_empty() => {
            Some(Session { webinar, id: row.session.clone() })
        }
        _ => None,
    };
    Ok(Touch {
        id: row.id,
        kind,
        programme: stored_id(&row.programme)?,
        affiliate: stored_id(&row.affiliate)?,
        at: from_micros(row.occurred_at),
        received_at: from_micros(row.received_at),
        verified: row.verified,
        session,
        reach,
    })
}

/// What is known of affiliates of one programme.
pub(crate) async fn standings(
    db: &impl ConnectionTrait,
    programme: &str,
    affiliates: BTreeSet<&str>,
) -> Result<BTreeMap<AffiliateId, Standing>> {
    let mut standings: BTreeMap<AffiliateId, Standing> = BTreeMap::new();
    let affiliates: Vec<&str> = affiliates.into_iter().collect();
    for ids in affiliates.chunks(CHUNK) {
        let rows = affiliate::Entity::find()
            .filter(affiliate::Column::Programme.eq(programme))
            .filter(affiliate::Column::Id.is_in(ids.to_vec()))
            .filter(affiliate::Column::House.eq(true))
            .all(db)
            .await?;
        for row in rows {
            standings.entry(stored_id(&row.id)?).or_default().house = true;
        }
        let rows = suspension::Entity::find()
            .filter(suspension::Column::Programme.eq(programme))
            .filter(suspension::Column::Affiliate.is_in(ids.to_vec()))
            .all(db)
            .await?;
        for row in rows {
            let standing = standings.entry(stored_id(&row.affiliate)?).or_default();
            standing.suspensions.push(Suspension {
                from: from_micros(row.starts_at),
                until: row.ends_at.map(from_micros),
                recorded_at: from_micros(row.recorded_at),
            });
        }
        let rows = affiliate_email::Entity::find()
            .filter(affiliate_email::Column::Programme.eq(programme))
            .filter(affiliate_email::Column::Affiliate.is_in(ids.to_vec()))
            .all(db)
            .await?;
        for row in rows {
            let standing = standings.entry(stored_id(&row.affiliate)?).or_default();
            standing.emails.extend(email_hash(row.hash));
        }
    }
    Ok(standings)
}

/// The addresses of several attendees.
pub(crate) async fn emails_of(
    db: &impl ConnectionTrait,
    attendees: &[Uuid],
) -> Result<HashMap<Uuid, Vec<EmailHash>>> {
    let mut emails: HashMap<Uuid, Vec<EmailHash>> = HashMap::new();
    for attendees in attendees.chunks(CHUNK) {
        let rows = attendee_email::Entity::find()
            .filter(attendee_email::Column::Attendee.is_in(attendees.to_vec()))
            .all(db)
            .await?;
        for row in rows {
            emails.entry(row.attendee).or_default().extend(email_hash(row.hash));
        }
    }
    Ok(emails)
}

pub(crate) fn email_hash(stored: Vec<u8>) -> Option<EmailHash> {
    stored.try_into().ok()
}

/// How an attendee stands as a reference's meaning.
pub(crate) async fn named(
    db: &impl ConnectionTrait,
    attendee: Uuid,
    webinars: &[Webinar],
    sold_at: i64,
) -> Result<Named> {
    let Some(row) = attendee::Entity::find_by_id(attendee).one(db).await? else {
        return Ok(Named::Unknown);
    };
    let registrations = registration::Entity::find()
        .filter(registration::Column::Attendee.eq(attendee))
        .all(db)
        .await?;
    // Or a form anybody can post would make somebody the newest owner of an address.
    let newest = registrations
        .iter()
        .filter(|row| row.verified && row.registered_at <= sold_at)
        .map(|row| row.registered_at)
        .max();
    Ok(Named::Attendee {
        id: attendee,
        offered: webinars.iter().any(|webinar| webinar.id.as_str() == row.webinar),
        registered_at: newest.map(from_micros),
        mark: mark(&registrations),
    })
}

/// What breaks a tie between attendees: the first of their registrations' keys, hashed, because that has the same order
/// in every database.
fn mark(registrations: &[registration::Model]) -> u128 {
    let key = |row: &registration::Model| {
        let mut key = Sha256::new();
        for part in [&row.source, &row.external_webinar, &row.external_id] {
            key.update(part.len().to_be_bytes());
            key.update(part);
        }
        key.finalize().iter().take(16).fold(0, |mark, byte| mark << 8 | u128::from(*byte))
    };
    let first = registrations.iter().map(|row| (!row.verified, key(row))).min();
    first.map_or(0, |(_, key)| key)
}

/// The attendees that have one of these addresses.
pub(crate) async fn attendees_with(
    db: &impl ConnectionTrait,
    hashes: Vec<Vec<u8>>,
) -> Result<Vec<Uuid>> {
    let rows = attendee_email::Entity::find()
        .filter(attendee_email::Column::Hash.is_in(hashes))
        .all(db)
        .await?;
    let mut ids: Vec<Uuid> = rows.into_iter().map(|row| row.attendee).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
