//! Orders, their items, and the money that moves for them.

use std::collections::HashMap;

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Set,
};
use tagalong_attribution::decide::EmailHash;
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK, attendees, catalogue,
    entity::{
        attendee_email, click_claim, item, order_email, payment, product, registration, reversal,
        sale_order, touch,
    },
    evidence::email_hash,
    feed,
};
use crate::{
    deciding,
    error::{Error, Result, What},
    keys::DataKeys,
    sale::{Item, ItemKey, Order, Payment, Reversal},
    time::to_proto,
};

/// What became of a report.
pub(crate) struct Reported {
    pub(crate) order: Uuid,
    pub(crate) repeated: bool,
}

/// Takes an order with its items and payments, and decides what is new.
pub(crate) async fn report(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    new: &Order,
    now: i64,
) -> Result<Reported> {
    let programme = catalogue::programme(db, new.programme.as_str()).await?;
    let known = order_by_key(db, &new.source, &new.external_id).await?;
    let (order, mut news) = match known {
        Some(known) if known.programme != programme.id => {
            return Err(Error::invalid(
                "order.programme_id",
                format!("is not {}, as first reported", known.programme),
            ));
        }
        Some(known) => complete(db, known, new).await?,
        None => (insert(db, new, new.test || programme.test, now).await?, true),
    };
    if let Some(email) = &new.buyer.email {
        news |= add_email(db, order.id, keys.email_hash(email)).await?;
    }
    for item in &new.items {
        news |= put_item(db, &order, item, now).await?;
    }
    if news {
        let mut items = items_of_order(db, order.id).await?;
        items.sort_by_key(|item| (item.kind != i32::from(v1::ItemKind::Main), item.id));
        let mut ids: Vec<Uuid> = items.into_iter().map(|item| item.id).collect();
        ids.extend(items_of_children(db, &order).await?);
        deciding::items_again(db, ids, now).await?;
    }
    Ok(Reported { order: order.id, repeated: !news })
}

async fn insert(
    db: &impl ConnectionTrait,
    new: &Order,
    test: bool,
    now: i64,
) -> Result<sale_order::Model> {
    let key = new.buyer.registration.clone();
    let row = sale_order::Model {
        id: Uuid::now_v7(),
        source: new.source.clone(),
        external_id: new.external_id.clone(),
        programme: new.programme.to_string(),
        parent_external_id: new.parent.clone(),
        sold_at: new.ordered_at.filter(|at| *at <= now).unwrap_or(now),
        received_at: now,
        token_attendee: new.buyer.token_attendee,
        token_invalid: new.buyer.token_invalid,
        click: new.buyer.click,
        registration_source: key.as_ref().map(|key| key.source.clone()),
        registration_external_webinar: key.as_ref().map(|key| key.external_webinar_id.clone()),
        registration_external_id: key.map(|key| key.external_id),
        coupon: new.buyer.coupon.clone(),
        test,
    };
    sale_order::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    Ok(row)
}

/// Adds what a later report of the same order knows more; whether it did.
async fn complete(
    db: &impl ConnectionTrait,
    known: sale_order::Model,
    new: &Order,
) -> Result<(sale_order::Model, bool)> {
    let mut row = known.clone().into_active_model();
    if known.token_attendee.is_none() && new.buyer.token_attendee.is_some() {
        row.token_attendee = Set(new.buyer.token_attendee);
    }
    if known.token_attendee.is_none() && new.buyer.token_invalid && !known.token_invalid {
        row.token_invalid = Set(true);
    }
    if known.click.is_none() && new.buyer.click.is_some() {
        row.click = Set(new.buyer.click);
    }
    if known.parent_external_id.is_none() && new.parent.is_some() {
        row.parent_external_id = Set(new.parent.clone());
    }
    if known.coupon.is_none() && new.buyer.coupon.is_some() {
        row.coupon = Set(new.buyer.coupon.clone());
    }
    if let (None, Some(key)) = (&known.registration_external_id, &new.buyer.registration) {
        row.registration_source = Set(Some(key.source.clone()));
        row.registration_external_webinar = Set(Some(key.external_webinar_id.clone()));
        row.registration_external_id = Set(Some(key.external_id.clone()));
    }
    if row.is_changed() { Ok((row.update(db).await?, true)) } else { Ok((known, false)) }
}

async fn add_email(db: &impl ConnectionTrait, order: Uuid, hash: EmailHash) -> Result<bool> {
    let key = (order, hash.to_vec());
    if order_email::Entity::find_by_id(key).one(db).await?.is_some() {
        return Ok(false);
    }
    let row = order_email::Model { sale_order: order, hash: hash.to_vec() };
    order_email::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(true)
}

/// Stores an item, or what a later report of it knows more; whether there was anything.
async fn put_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    new: &Item,
    now: i64,
) -> Result<bool> {
    let product = match &new.product {
        Some(id) => {
            let row = catalogue::product(db, id.as_str()).await?;
            if row.programme != order.programme {
                return Err(Error::invalid(
                    "items",
                    format!("product {id} belongs to programme {}", row.programme),
                ));
            }
            Some(row.id)
        }
        None => {
            catalogue::product_by_external_id(db, &order.programme, &new.external_product).await?
        }
    };
    let known = item::Entity::find()
        .filter(item::Column::SaleOrder.eq(order.id))
        .filter(item::Column::ExternalId.eq(&new.external_id))
        .one(db)
        .await?;
    let (item, mut news) = match known {
        Some(known) => {
            let mut row = known.clone().into_active_model();
            if known.platform_affiliate.is_none() && new.platform_affiliate.is_some() {
                row.platform_affiliate = Set(new.platform_affiliate.clone());
            }
            if known.price.is_none() && new.price.is_some() {
                row.price = Set(new.price.as_ref().map(|(amount, _)| *amount));
                row.currency = Set(new.price.as_ref().map(|(_, currency)| currency.clone()));
            }
            if known.product.is_none()
                && let Some(product) = &product
            {
                set_product(db, &mut row, product, now).await?;
            }
            if row.is_changed() { (row.update(db).await?, true) } else { (known, false) }
        }
        None => {
            let mut row = item::Model {
                id: Uuid::now_v7(),
                sale_order: order.id,
                external_id: new.external_id.clone(),
                product: None,
                programme: order.programme.clone(),
                external_product: new.external_product.clone(),
                kind: new.kind.into(),
                price: new.price.as_ref().map(|(amount, _)| *amount),
                currency: new.price.as_ref().map(|(_, currency)| currency.clone()),
                platform_affiliate: new.platform_affiliate.clone(),
                received_at: now,
                settles_at: None,
                policy_version: None,
                test: order.test,
                decision: None,
                attendee: None,
                affiliate: None,
                credit: 0,
                carried_by: 0,
            }
            .into_active_model();
            if let Some(product) = &product {
                set_product(db, &mut row, product, now).await?;
            }
            item::Entity::insert(row.clone()).exec_without_returning(db).await?;
            let item = sea_orm::TryIntoModel::try_into_model(row)?;
            tell_early_money(db, order, &item, now).await?;
            (item, true)
        }
    };
    let key = ItemKey {
        source: order.source.clone(),
        order: order.external_id.clone(),
        item: item.external_id.clone(),
    };
    for payment in &new.payments {
        news |= add_payment(db, &key, payment, Some(&item), now).await?;
    }
    Ok(news)
}

/// Fixes the product of an item, and with it the policy it is decided under and when it settles.
async fn set_product(
    db: &impl ConnectionTrait,
    item: &mut item::ActiveModel,
    product: &str,
    now: i64,
) -> Result<()> {
    let version = catalogue::product(db, product).await?.policy_version;
    let policy = catalogue::stored_policy(db, product, version).await?;
    item.product = Set(Some(product.to_owned()));
    item.policy_version = Set(Some(version));
    item.settles_at = Set(Some(now + policy.settle_after_seconds * 1_000_000));
    Ok(())
}

/// Gives items that waited for it their product, and decides them.
pub(crate) async fn map_items(
    db: &impl ConnectionTrait,
    programme: &str,
    product: &str,
    external_ids: &[String],
    now: i64,
) -> Result<()> {
    let mut mapped = Vec::new();
    for ids in external_ids.chunks(CHUNK) {
        let rows = item::Entity::find()
            .filter(item::Column::Programme.eq(programme))
            .filter(item::Column::ExternalProduct.is_in(ids.to_vec()))
            .filter(item::Column::Product.is_null())
            .all(db)
            .await?;
        for row in rows {
            mapped.push(row.id);
            let mut row = row.into_active_model();
            set_product(db, &mut row, product, now).await?;
            row.update(db).await?;
        }
    }
    deciding::items_again(db, mapped, now).await
}

/// Stores a payment once; whether it was new.
pub(crate) async fn add_payment(
    db: &impl ConnectionTrait,
    key: &ItemKey,
    new: &Payment,
    item: Option<&item::Model>,
    now: i64,
) -> Result<bool> {
    let known = payment::Entity::find()
        .filter(payment::Column::Source.eq(&key.source))
        .filter(payment::Column::OrderExternalId.eq(&key.order))
        .filter(payment::Column::ExternalId.eq(&new.external_id))
        .one(db)
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let row = payment::Model {
        id: Uuid::now_v7(),
        source: key.source.clone(),
        order_external_id: key.order.clone(),
        item_external_id: key.item.clone(),
        external_id: new.external_id.clone(),
        amount: new.amount,
        currency: new.currency.clone(),
        paid_at: new.paid_at.filter(|at| *at <= now).unwrap_or(now),
        sequence: new.sequence,
    };
    payment::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    if let Some(item) = item {
        tell_payment(db, item, row, now).await?;
    }
    Ok(true)
}

/// Stores a reversal once; whether it was new.
pub(crate) async fn add_reversal(
    db: &impl ConnectionTrait,
    key: &ItemKey,
    new: &Reversal,
    item: Option<&item::Model>,
    now: i64,
) -> Result<bool> {
    let known = reversal::Entity::find()
        .filter(reversal::Column::Source.eq(&key.source))
        .filter(reversal::Column::OrderExternalId.eq(&key.order))
        .filter(reversal::Column::ExternalId.eq(&new.external_id))
        .one(db)
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let row = reversal::Model {
        id: Uuid::now_v7(),
        source: key.source.clone(),
        order_external_id: key.order.clone(),
        item_external_id: key.item.clone(),
        external_id: new.external_id.clone(),
        kind: new.kind.into(),
        amount: new.amount,
        currency: new.currency.clone(),
        reversed_at: new.reversed_at.filter(|at| *at <= now).unwrap_or(now),
    };
    reversal::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    if let Some(item) = item {
        tell_reversal(db, item, row, now).await?;
    }
    Ok(true)
}

/// Tells of money that was reported before its item.
async fn tell_early_money(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    now: i64,
) -> Result<()> {
    let money = money(db, std::slice::from_ref(order)).await?;
    let key = money_key(order, item);
    for payment in money.payments.get(&key).cloned().unwrap_or_default() {
        tell_payment(db, item, payment, now).await?;
    }
    for reversal in money.reversals.get(&key).cloned().unwrap_or_default() {
        tell_reversal(db, item, reversal, now).await?;
    }
    Ok(())
}

async fn tell_payment(
    db: &impl ConnectionTrait,
    item: &item::Model,
    row: payment::Model,
    now: i64,
) -> Result<()> {
    let paid =
        v1::SalePaid { item_id: item.id.to_string(), payment: Some(payment_message(row)) };
    feed::record(db, now, item.test, v1::event::Kind::SalePaid(paid)).await
}

async fn tell_reversal(
    db: &impl ConnectionTrait,
    item: &item::Model,
    row: reversal::Model,
    now: i64,
) -> Result<()> {
    let order = order(db, item.sale_order).await?;
    let sale = messages(db, vec![(order, item.clone())], false).await?.remove(0);
    let external_id = row.external_id.clone();
    let reversal = sale.reversals.into_iter().find(|reversal| reversal.external_id == external_id);
    let reversed = v1::SaleReversed { item_id: item.id.to_string(), reversal };
    feed::record(db, now, item.test, v1::event::Kind::SaleReversed(reversed)).await
}

/// Makes the order's coupon a touch of the order, where the code is an affiliate's.
pub(crate) async fn add_coupon_touch(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    now: i64,
) -> Result<()> {
    let Some(code) = &order.coupon else { return Ok(()) };
    let Some(affiliate) = catalogue::coupon_owner(db, &order.programme, code).await? else {
        return Ok(());
    };
    let touch = touch::Model {
        id: Uuid::now_v7(),
        origin: format!("coupon:{}:{affiliate}", order.id),
        attendee: None,
        sale_order: Some(order.id),
        click: None,
        kind: v1::TouchKind::Coupon.into(),
        programme: order.programme.clone(),
        affiliate,
        product: None,
        webinar: None,
        session: String::new(),
        occurred_at: order.sold_at,
        received_at: now,
        verified: true,
    };
    attendees::add_touch(db, touch, order.test, now).await?;
    Ok(())
}

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

/// Held until the commit, so that an item is decided by one at a time.
pub(crate) async fn lock_item(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<item::Model>> {
    Ok(item::Entity::find_by_id(id).lock_exclusive().one(db).await?)
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

/// The item whose decision another inherits: an upsell or bump from the main item of its order, a main item of an
/// order that follows another from that one's.
pub(crate) async fn inherits_from(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
) -> Result<Option<item::Model>> {
    let main = i32::from(v1::ItemKind::Main);
    if item.kind != main {
        let items = items_of_order(db, order.id).await?;
        if let Some(item) = items.into_iter().find(|other| other.kind == main) {
            return Ok(Some(item));
        }
    }
    let Some(parent) = parent(db, order).await? else { return Ok(None) };
    if parent.programme != order.programme || follows(db, &parent, order.id).await? {
        return Ok(None);
    }
    let items = items_of_order(db, parent.id).await?;
    Ok(items.iter().find(|item| item.kind == main).or(items.first()).cloned())
}

async fn parent(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
) -> Result<Option<sale_order::Model>> {
    match &order.parent_external_id {
        Some(parent) => order_by_key(db, &order.source, parent).await,
        None => Ok(None),
    }
}

/// Whether an order follows another through its parents: then that one cannot inherit from it.
async fn follows(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    ancestor: Uuid,
) -> Result<bool> {
    const LONGEST_CHAIN: usize = 64;
    let mut order = order.clone();
    for _ in 0..LONGEST_CHAIN {
        if order.id == ancestor {
            return Ok(true);
        }
        match parent(db, &order).await? {
            Some(parent) => order = parent,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The items that inherit an item's decision.
pub(crate) async fn items_inheriting(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
) -> Result<Vec<Uuid>> {
    let main = i32::from(v1::ItemKind::Main);
    let mut heirs: Vec<Uuid> = items_of_order(db, order.id)
        .await?
        .into_iter()
        .filter(|other| other.kind != main && other.id != item.id && item.kind == main)
        .map(|other| other.id)
        .collect();
    heirs.extend(items_of_children(db, order).await?);
    Ok(heirs)
}

/// The items of the orders that follow an order.
async fn items_of_children(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
) -> Result<Vec<Uuid>> {
    let children = sale_order::Entity::find()
        .filter(sale_order::Column::Source.eq(&order.source))
        .filter(sale_order::Column::ParentExternalId.eq(&order.external_id))
        .all(db)
        .await?;
    items_of_orders(db, children.into_iter().map(|order| order.id).collect()).await
}

async fn items_of_orders(db: &impl ConnectionTrait, orders: Vec<Uuid>) -> Result<Vec<Uuid>> {
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
        naming = naming.add(
            Condition::all()
                .add(sale_order::Column::RegistrationSource.eq(key.source))
                .add(sale_order::Column::RegistrationExternalWebinar.eq(key.external_webinar))
                .add(sale_order::Column::RegistrationExternalId.eq(key.external_id)),
        );
    }
    let orders = sale_order::Entity::find().filter(naming).all(db).await?;
    let mut ids = items_of_orders(db, orders.into_iter().map(|order| order.id).collect()).await?;
    let decided =
        item::Entity::find().filter(item::Column::Attendee.eq(attendee)).all(db).await?;
    ids.extend(decided.into_iter().map(|item| item.id));
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
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

/// The items of some products.
pub(crate) async fn items_of_products(
    db: &impl ConnectionTrait,
    products: &[String],
) -> Result<Vec<Uuid>> {
    let rows = item::Entity::find()
        .filter(item::Column::Product.is_in(products.to_vec()))
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

/// Removes the addresses from the orders of an attendee.
pub(crate) async fn forget_buyer(db: &impl ConnectionTrait, attendee: Uuid) -> Result<()> {
    let orders = item::Entity::find()
        .select_only()
        .column(item::Column::SaleOrder)
        .filter(item::Column::Attendee.eq(attendee))
        .into_query();
    order_email::Entity::delete_many()
        .filter(order_email::Column::SaleOrder.in_subquery(orders))
        .exec(db)
        .await?;
    Ok(())
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

/// An item as the platform names it: source, order, item.
type MoneyKey = (String, String, String);

fn money_key(order: &sale_order::Model, item: &item::Model) -> MoneyKey {
    (order.source.clone(), order.external_id.clone(), item.external_id.clone())
}

#[derive(Default)]
struct Money {
    payments: HashMap<MoneyKey, Vec<payment::Model>>,
    reversals: HashMap<MoneyKey, Vec<reversal::Model>>,
}

/// What was paid and reversed for some orders, oldest first.
async fn money(db: &impl ConnectionTrait, orders: &[sale_order::Model]) -> Result<Money> {
    let mut money = Money::default();
    for orders in orders.chunks(CHUNK) {
        let ids: Vec<&str> = orders.iter().map(|order| order.external_id.as_str()).collect();
        let rows = payment::Entity::find()
            .filter(payment::Column::OrderExternalId.is_in(ids.clone()))
            .order_by_asc(payment::Column::PaidAt)
            .order_by_asc(payment::Column::ExternalId)
            .all(db)
            .await?;
        for row in rows {
            let key =
                (row.source.clone(), row.order_external_id.clone(), row.item_external_id.clone());
            money.payments.entry(key).or_default().push(row);
        }
        let rows = reversal::Entity::find()
            .filter(reversal::Column::OrderExternalId.is_in(ids))
            .order_by_asc(reversal::Column::ReversedAt)
            .order_by_asc(reversal::Column::ExternalId)
            .all(db)
            .await?;
        for row in rows {
            let key =
                (row.source.clone(), row.order_external_id.clone(), row.item_external_id.clone());
            money.reversals.entry(key).or_default().push(row);
        }
    }
    Ok(money)
}

/// Sales as messages.
pub(crate) async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<(sale_order::Model, item::Model)>,
    with_touches: bool,
) -> Result<Vec<v1::Sale>> {
    let orders: Vec<sale_order::Model> = rows.iter().map(|(order, _)| order.clone()).collect();
    let mut money = money(db, &orders).await?;
    let ids: Vec<Uuid> = rows.iter().filter_map(|(_, item)| item.decision).collect();
    let mut decisions = super::decisions::by_id(db, &ids, with_touches).await?;
    Ok(rows
        .into_iter()
        .map(|(order, item)| {
            let key = money_key(&order, &item);
            let payments = money.payments.remove(&key).unwrap_or_default();
            let reversals = money.reversals.remove(&key).unwrap_or_default();
            let decision = item.decision.and_then(|id| decisions.remove(&id.to_string()));
            v1::Sale {
                reversals: reversal_messages(&item, &payments, reversals),
                payments: payments.into_iter().map(payment_message).collect(),
                order: Some(order_message(order)),
                item: Some(item_message(item)),
                decision,
            }
        })
        .collect())
}

/// Marks each reversal by which more went back than had arrived. Where no payment was reported, the price counts
/// as arrived.
fn reversal_messages(
    item: &item::Model,
    payments: &[payment::Model],
    reversals: Vec<reversal::Model>,
) -> Vec<v1::Reversal> {
    let arrived = |currency: &str| -> i64 {
        if payments.is_empty() {
            let same = item.currency.as_deref() == Some(currency);
            return item.price.filter(|_| same).unwrap_or(0);
        }
        payments
            .iter()
            .filter(|payment| payment.currency == currency)
            .fold(0, |sum: i64, payment| sum.saturating_add(payment.amount))
    };
    let won_back = i32::from(v1::ReversalKind::WonBack);
    let mut back: HashMap<String, i64> = HashMap::new();
    reversals
        .into_iter()
        .map(|row| {
            let back = back.entry(row.currency.clone()).or_default();
            let sign = if row.kind == won_back { -1 } else { 1 };
            *back = back.saturating_add(sign * row.amount);
            v1::Reversal {
                external_id: row.external_id,
                kind: row.kind,
                exceeds_payments: row.kind != won_back && *back > arrived(&row.currency),
                amount: Some(v1::Money { minor_units: row.amount, currency: row.currency }),
                reversed_at: Some(to_proto(row.reversed_at)),
            }
        })
        .collect()
}

fn payment_message(row: payment::Model) -> v1::Payment {
    v1::Payment {
        external_id: row.external_id,
        amount: Some(v1::Money { minor_units: row.amount, currency: row.currency }),
        paid_at: Some(to_proto(row.paid_at)),
        sequence: row.sequence,
    }
}

fn order_message(row: sale_order::Model) -> v1::Order {
    v1::Order {
        id: row.id.to_string(),
        source: row.source,
        external_id: row.external_id,
        programme_id: row.programme,
        parent_external_id: row.parent_external_id.unwrap_or_default(),
        ordered_at: Some(to_proto(row.sold_at)),
        received_at: Some(to_proto(row.received_at)),
        test: row.test,
    }
}

fn item_message(row: item::Model) -> v1::Item {
    v1::Item {
        id: row.id.to_string(),
        external_id: row.external_id,
        product_id: row.product.unwrap_or_default(),
        external_product_id: row.external_product,
        kind: row.kind,
        price: row
            .price
            .zip(row.currency)
            .map(|(minor_units, currency)| v1::Money { minor_units, currency }),
        platform_affiliate_id: row.platform_affiliate,
    }
}

/// The product a deleted row named is gone; used by tests of mapping.
pub(crate) async fn products_of_programme(
    db: &impl ConnectionTrait,
    programme: &str,
) -> Result<Vec<String>> {
    let rows =
        product::Entity::find().filter(product::Column::Programme.eq(programme)).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
