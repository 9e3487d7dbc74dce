//! Finding orders and items.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use tagalong_attribution::decide::EmailHash;
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    error::{Error, Result, What},
    sale::ItemKey,
    store::{
        CHUNK,
        entity::{
            attendee, attendee_email, click_claim, item, order_email, product, registration,
            sale_order,
        },
        evidence::email_hash,
    },
};

pub(crate) async fn order(db: &impl ConnectionTrait, id: Uuid) -> Result<sale_order::Model> {
    sale_order::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::internal(format!("order {id} is missing")))
}

pub(crate) async fn order_by_key(
    db: &impl ConnectionTrait,
    source: &str,
    external_id: &str,
) -> Result<Option<sale_order::Model>> {
    Ok(sale_order::Entity::find()
        .filter(sale_order::Column::Source.eq(source))
        .filter(sale_order::Column::ExternalId.eq(external_id))
        .one(db)
        .await?)
}

pub(crate) async fn items_of_order(
    db: &impl ConnectionTrait,
    order: Uuid,
) -> Result<Vec<item::Model>> {
    Ok(item::Entity::find()
        .filter(item::Column::SaleOrder.eq(order))
        .order_by_asc(item::Column::ExternalId)
        .all(db)
        .await?)
}

pub(crate) async fn item(db: &impl ConnectionTrait, id: Uuid) -> Result<item::Model> {
    item::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Sale, id.to_string()))
}

pub(crate) async fn item_by_key(
    db: &impl ConnectionTrait,
    key: &ItemKey,
) -> Result<Option<item::Model>> {
    let Some(order) = order_by_key(db, &key.source, &key.order).await? else { return Ok(None) };
    Ok(item::Entity::find()
        .filter(item::Column::SaleOrder.eq(order.id))
        .filter(item::Column::ExternalId.eq(&key.item))
        .one(db)
        .await?)
}

pub(super) async fn items_of_orders(
    db: &impl ConnectionTrait,
    orders: Vec<Uuid>,
) -> Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for orders in orders.chunks(CHUNK) {
        let rows = item::Entity::find()
            .filter(item::Column::SaleOrder.is_in(orders.to_vec()))
            .order_by_asc(item::Column::Id)
            .all(db)
            .await?;
        ids.extend(rows.into_iter().map(|row| row.id));
    }
    Ok(ids)
}

/// Items decided as an attendee's, and items of orders that name the attendee in any way.
pub(crate) async fn items_about_attendee(
    db: &impl ConnectionTrait,
    attendee: Uuid,
) -> Result<Vec<Uuid>> {
    let hashes = attendee_email::Entity::find()
        .select_only()
        .column(attendee_email::Column::Hash)
        .filter(attendee_email::Column::Attendee.eq(attendee))
        .into_query();
    let by_email = order_email::Entity::find()
        .select_only()
        .column(order_email::Column::SaleOrder)
        .filter(order_email::Column::Hash.in_subquery(hashes))
        .into_query();
    let clicks = click_claim::Entity::find()
        .select_only()
        .column(click_claim::Column::Click)
        .filter(click_claim::Column::Attendee.eq(attendee))
        .into_query();
    let mut naming = Condition::any()
        .add(sale_order::Column::TokenAttendee.eq(attendee))
        .add(sale_order::Column::Click.in_subquery(clicks))
        .add(sale_order::Column::Id.in_subquery(by_email));
    let registrations = registration::Entity::find()
        .filter(registration::Column::Attendee.eq(attendee))
        .all(db)
        .await?;
    for key in registrations {
        naming = naming.add(names_registration(key));
    }
    let orders = sale_order::Entity::find().filter(naming).all(db).await?;
    let mut ids = items_of_orders(db, orders.into_iter().map(|order| order.id).collect()).await?;
    let decided = item::Entity::find().filter(item::Column::Attendee.eq(attendee)).all(db).await?;
    ids.extend(decided.into_iter().map(|item| item.id));
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Orders that name a registration.
pub(super) fn names_registration(registration: registration::Model) -> Condition {
    Condition::all()
        .add(sale_order::Column::RegistrationSource.eq(registration.source))
        .add(sale_order::Column::RegistrationExternalWebinar.eq(registration.external_webinar))
        .add(sale_order::Column::RegistrationExternalId.eq(registration.external_id))
}

/// Items of orders in which one of these coupons was entered.
pub(crate) async fn items_with_coupons(
    db: &impl ConnectionTrait,
    programme: &str,
    codes: &[String],
) -> Result<Vec<Uuid>> {
    let orders = sale_order::Entity::find()
        .filter(sale_order::Column::Programme.eq(programme))
        .filter(sale_order::Column::Coupon.is_in(codes.to_vec()))
        .all(db)
        .await?;
    items_of_orders(db, orders.into_iter().map(|order| order.id).collect()).await
}

/// Items of orders that name one of these clicks.
pub(crate) async fn items_naming_clicks(
    db: &impl ConnectionTrait,
    clicks: &[Uuid],
) -> Result<Vec<Uuid>> {
    let orders = sale_order::Entity::find()
        .filter(sale_order::Column::Click.is_in(clicks.to_vec()))
        .all(db)
        .await?;
    items_of_orders(db, orders.into_iter().map(|order| order.id).collect()).await
}

/// The items of some products that have not settled.
pub(crate) async fn items_of_products(
    db: &impl ConnectionTrait,
    products: &[String],
    now: i64,
) -> Result<Vec<Uuid>> {
    let rows = item::Entity::find()
        .filter(item::Column::Product.is_in(products.to_vec()))
        .filter(item::Column::SettlesAt.gte(now))
        .order_by_asc(item::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

pub(crate) fn registration_key(order: &sale_order::Model) -> Option<v1::RegistrationKey> {
    Some(v1::RegistrationKey {
        source: order.registration_source.clone()?,
        external_webinar_id: order.registration_external_webinar.clone()?,
        external_id: order.registration_external_id.clone()?,
    })
}

/// The buyer's addresses, as stored.
pub(crate) async fn email_hashes(db: &impl ConnectionTrait, order: Uuid) -> Result<Vec<Vec<u8>>> {
    let rows = order_email::Entity::find()
        .filter(order_email::Column::SaleOrder.eq(order))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.hash).collect())
}

pub(crate) async fn emails(db: &impl ConnectionTrait, order: Uuid) -> Result<Vec<EmailHash>> {
    Ok(email_hashes(db, order).await?.into_iter().filter_map(email_hash).collect())
}

/// Which sales a list shows.
pub(crate) struct Filter {
    pub(crate) credit: Option<v1::Credit>,
    pub(crate) carried_by: Option<v1::CarriedBy>,
    pub(crate) product: Option<String>,
    pub(crate) programme: Option<String>,
    pub(crate) affiliate: Option<String>,
    pub(crate) include_test: bool,
}

/// Items, newest first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<item::Model>> {
    let mut query = item::Entity::find().order_by_desc(item::Column::Id).limit(limit);
    if let Some(credit) = filter.credit {
        query = query.filter(item::Column::Credit.eq(i32::from(credit)));
    }
    if let Some(carried_by) = filter.carried_by {
        query = query.filter(item::Column::CarriedBy.eq(i32::from(carried_by)));
    }
    if let Some(product) = &filter.product {
        query = query.filter(item::Column::Product.eq(product));
    }
    if let Some(programme) = &filter.programme {
        query = query.filter(item::Column::Programme.eq(programme));
    }
    if let Some(affiliate) = &filter.affiliate {
        query = query.filter(item::Column::Affiliate.eq(affiliate));
    }
    if !filter.include_test {
        query = query.filter(item::Column::Test.eq(false));
    }
    if let Some(before) = before {
        query = query.filter(item::Column::Id.lt(before));
    }
    Ok(query.all(db).await?)
}

/// Items with their orders.
pub(crate) async fn with_orders(
    db: &impl ConnectionTrait,
    items: Vec<item::Model>,
) -> Result<Vec<(sale_order::Model, item::Model)>> {
    let mut orders: HashMap<Uuid, sale_order::Model> = HashMap::new();
    for items in items.chunks(CHUNK) {
        let ids: Vec<Uuid> = items.iter().map(|item| item.sale_order).collect();
        let rows =
            sale_order::Entity::find().filter(sale_order::Column::Id.is_in(ids)).all(db).await?;
        orders.extend(rows.into_iter().map(|row| (row.id, row)));
    }
    Ok(items
        .into_iter()
        .filter_map(|item| orders.get(&item.sale_order).cloned().map(|order| (order, item)))
        .collect())
}

/// The products of a programme.
pub(crate) async fn products_of_programme(
    db: &impl ConnectionTrait,
    programme: &str,
) -> Result<Vec<String>> {
    let rows =
        product::Entity::find().filter(product::Column::Programme.eq(programme)).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Whether the buyer of an order was erased.
pub(super) async fn is_erased(db: &impl ConnectionTrait, order: Uuid) -> Result<bool> {
    let buyers = item::Entity::find()
        .select_only()
        .column(item::Column::Attendee)
        .filter(item::Column::SaleOrder.eq(order))
        .into_query();
    let erased = attendee::Entity::find()
        .filter(attendee::Column::Id.in_subquery(buyers))
        .filter(attendee::Column::ErasedAt.is_not_null())
        .one(db)
        .await?;
    Ok(erased.is_some())
}
