//! Orders with their items, as they are reported.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _, QueryTrait as _, Set,
    sea_query::Expr,
};
use tagalong_attribution::decide::EmailHash;
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK, attendees, catalogue,
    counts::Counts,
    entity::{attendee_email, item, order_email, registration, sale_order, touch},
};
use crate::{
    deciding,
    error::{Error, Result},
    keys::DataKeys,
    sale::{Item, ItemKey, Order},
};

mod find;
mod inherit;
mod message;
mod money;

pub(crate) use find::{
    Filter, email_hashes, emails, item, item_by_key, items_about_attendee, items_naming_clicks,
    items_of_order, items_of_products, items_with_coupons, list, order, order_by_key,
    products_of_programme, registration_key, with_orders,
};
use inherit::items_around;
pub(crate) use inherit::{inherits_from, items_inheriting};
pub(crate) use message::messages;
use money::tell_early_money;
pub(crate) use money::{add_payment, add_reversal};

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
    if let Some(email) = &new.buyer.email
        && !find::is_erased(db, order.id).await?
    {
        news |= add_email(db, order.id, keys.email_hashes(email)).await?;
    }
    for (n, item) in new.items.iter().enumerate() {
        news |= put_item(db, &order, n, item, now).await?;
    }
    if news {
        let mut items = items_of_order(db, order.id).await?;
        items.sort_by_key(|item| (item.kind != i32::from(v1::ItemKind::Main), item.id));
        let mut ids: Vec<Uuid> = items.into_iter().map(|item| item.id).collect();
        ids.extend(items_around(db, &order).await?);
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

/// Adds what a later report of the same order knows more; whether it did. Where two reports contradict each other, content
/// decides and not arrival: the earlier time, the smaller ID.
async fn complete(
    db: &impl ConnectionTrait,
    known: sale_order::Model,
    new: &Order,
) -> Result<(sale_order::Model, bool)> {
    let key = registration_key(&known).into_iter().chain(new.buyer.registration.clone());
    let key = key.min_by(|a, b| parts(a).cmp(&parts(b)));
    let row = sale_order::Model {
        parent_external_id: smaller(known.parent_external_id.as_ref(), new.parent.as_ref()),
        sold_at: new.ordered_at.map_or(known.sold_at, |at| at.min(known.sold_at)),
        token_attendee: smaller(known.token_attendee.as_ref(), new.buyer.token_attendee.as_ref()),
        token_invalid: known.token_invalid || new.buyer.token_invalid,
        click: smaller(known.click.as_ref(), new.buyer.click.as_ref()),
        registration_source: key.as_ref().map(|key| key.source.clone()),
        registration_external_webinar: key.as_ref().map(|key| key.external_webinar_id.clone()),
        registration_external_id: key.map(|key| key.external_id),
        coupon: smaller(known.coupon.as_ref(), new.buyer.coupon.as_ref()),
        ..known.clone()
    };
    if row == known {
        return Ok((known, false));
    }
    if row.sold_at != known.sold_at {
        for item in items_of_order(db, row.id).await? {
            let counts = Counts::default().sale(known.sold_at, &item, -1);
            counts.sale(row.sold_at, &item, 1).store(db).await?;
        }
    }
    Ok((row.into_active_model().reset_all().update(db).await?, true))
}

fn parts(key: &v1::RegistrationKey) -> [&str; 3] {
    [&key.source, &key.external_webinar_id, &key.external_id]
}

/// The smaller of two values, as far as they are known.
fn smaller<T: Ord + Clone>(known: Option<&T>, new: Option<&T>) -> Option<T> {
    known.into_iter().chain(new).min().cloned()
}

/// Adds an address, by its hashes; whether it was new.
async fn add_email(db: &impl ConnectionTrait, order: Uuid, hashes: Vec<EmailHash>) -> Result<bool> {
    let stored = email_hashes(db, order).await?;
    let is_stored = |hash: &EmailHash| stored.iter().any(|stored| stored == hash);
    let known = hashes.iter().any(is_stored);
    for hash in hashes.into_iter().filter(|hash| !is_stored(hash)) {
        let row = order_email::Model { sale_order: order, hash: hash.to_vec() };
        order_email::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    }
    Ok(!known)
}

/// Stores an item, or what a later report of it knows more; whether there was anything.
async fn put_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    n: usize,
    new: &Item,
    now: i64,
) -> Result<bool> {
    let product = match &new.product {
        Some(id) => {
            let row = match catalogue::product(db, id.as_str()).await {
                Err(Error::NotFound { .. }) => {
                    let field = format!("items[{n}].item.product_id");
                    return Err(Error::invalid(field, format!("there is no product {id}")));
                }
                found => found?,
            };
            if row.programme != order.programme {
                return Err(Error::invalid(
                    format!("items[{n}].item.product_id"),
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
        Some(known) => complete_item(db, order, known, new, product.as_deref(), now).await?,
        None => (insert_item(db, order, new, product.as_deref(), now).await?, true),
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

async fn insert_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    new: &Item,
    product: Option<&str>,
    now: i64,
) -> Result<item::Model> {
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
    if let Some(product) = product {
        set_product(db, &mut row, product, now).await?;
    }
    item::Entity::insert(row.clone()).exec_without_returning(db).await?;
    let item = sea_orm::TryIntoModel::try_into_model(row)?;
    tell_early_money(db, order, &item, now).await?;
    Ok(item)
}

/// Adds what a later report of the same item knows more; whether it did.
async fn complete_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    known: item::Model,
    new: &Item,
    product: Option<&str>,
    now: i64,
) -> Result<(item::Model, bool)> {
    let mut row = known.clone().into_active_model();
    // An answer that names an affiliate replaces what the platform said before: that is how it repairs a mismatch. One
    // that names nobody may be a retry from before the repair.
    let names = new.platform_affiliate.as_deref().is_some_and(|affiliate| !affiliate.is_empty());
    if (names || known.platform_affiliate.is_none())
        && new.platform_affiliate.is_some()
        && known.platform_affiliate != new.platform_affiliate
    {
        row.platform_affiliate = Set(new.platform_affiliate.clone());
    }
    if known.price.is_none() && new.price.is_some() {
        row.price = Set(new.price.as_ref().map(|(amount, _)| *amount));
        row.currency = Set(new.price.as_ref().map(|(_, currency)| currency.clone()));
    }
    if known.product.is_none()
        && let Some(product) = product
    {
        set_product(db, &mut row, product, now).await?;
    }
    if !row.is_changed() {
        return Ok((known, false));
    }
    let row = row.update(db).await?;
    let counts = Counts::default().sale(order.sold_at, &known, -1);
    counts.sale(order.sold_at, &row, 1).store(db).await?;
    Ok((row, true))
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

/// Makes the order's coupon a touch of the order, where the code is an affiliate's. It stays that affiliate's when the code
/// is given to another one later.
pub(crate) async fn add_coupon_touch(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    now: i64,
) -> Result<()> {
    let Some(code) = &order.coupon else { return Ok(()) };
    let origin = format!("coupon:{}:{code}", order.id);
    let known = touch::Entity::find().filter(touch::Column::Origin.eq(&origin)).one(db).await?;
    if let Some(known) = known {
        if known.occurred_at != order.sold_at {
            let mut row = known.into_active_model();
            row.occurred_at = Set(order.sold_at);
            row.update(db).await?;
        }
        return Ok(());
    }
    let Some(affiliate) = catalogue::coupon_owner(db, &order.programme, code).await? else {
        return Ok(());
    };
    let touch = touch::Model {
        id: Uuid::now_v7(),
        origin,
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

/// Removes what orders say of an attendee: the addresses of the attendee's own orders, and from all orders the attendee's
/// addresses and registrations.
pub(crate) async fn forget_buyer(db: &impl ConnectionTrait, attendee: Uuid) -> Result<()> {
    let orders = item::Entity::find()
        .select_only()
        .column(item::Column::SaleOrder)
        .filter(item::Column::Attendee.eq(attendee))
        .into_query();
    // The same address may be another webinar's attendee's, whose orders keep it.
    let hashes = |whose| {
        attendee_email::Entity::find()
            .select_only()
            .column(attendee_email::Column::Hash)
            .filter(whose)
            .into_query()
    };
    let own = hashes(attendee_email::Column::Attendee.eq(attendee));
    let others = hashes(attendee_email::Column::Attendee.ne(attendee));
    order_email::Entity::delete_many()
        .filter(
            Condition::any().add(order_email::Column::SaleOrder.in_subquery(orders)).add(
                Condition::all()
                    .add(order_email::Column::Hash.in_subquery(own))
                    .add(order_email::Column::Hash.not_in_subquery(others)),
            ),
        )
        .exec(db)
        .await?;
    let registrations =
        registration::Entity::find().filter(registration::Column::Attendee.eq(attendee)).all(db);
    for registration in registrations.await? {
        let nothing = || Expr::value(None::<String>);
        sale_order::Entity::update_many()
            .col_expr(sale_order::Column::RegistrationSource, nothing())
            .col_expr(sale_order::Column::RegistrationExternalWebinar, nothing())
            .col_expr(sale_order::Column::RegistrationExternalId, nothing())
            .filter(find::names_registration(registration))
            .exec(db)
            .await?;
    }
    Ok(())
}
