//! Removing what a test made.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait, QueryFilter as _, QuerySelect as _,
    QueryTrait as _,
    sea_query::{Expr, ExprTrait as _, SelectStatement, SimpleExpr},
};
use tagalong_proto::v1;

use super::{
    catalogue,
    entity::{
        affiliate, affiliate_coupon, affiliate_email, assignment, attendee, attendee_email,
        attendee_request, click, click_claim, decision, decision_conflict, decision_touch,
        delivery, delivery_email, event, item, order_email, payment, policy, product,
        product_external_id, programme, registration, request, reversal, sale_order, source,
        source_key, source_webinar, suspension, touch, webinar, webinar_product,
    },
    feed, sales,
};
use crate::error::{Error, Result};

/// Removes a test webinar and a test programme with everything below them; the number of rows.
pub(crate) async fn remove(
    db: &impl ConnectionTrait,
    webinar: Option<&str>,
    programme: Option<&str>,
    now: i64,
) -> Result<u64> {
    let before = feed::newest(db).await?;
    let mut removed = 0;
    if let Some(webinar) = webinar {
        removed += remove_webinar(db, webinar, now).await?;
    }
    if let Some(programme) = programme {
        removed += remove_programme(db, programme, now).await?;
    }
    Ok(removed + forget_events(db, before).await?)
}

fn not_a_test(what: &str, id: &str) -> Error {
    Error::Precondition {
        reason: "NOT_A_TEST_RECORD",
        message: format!("{what} {id} is not marked as a test"),
    }
}

async fn delete<E: EntityTrait>(db: &impl ConnectionTrait, which: SimpleExpr) -> Result<u64> {
    Ok(E::delete_many().filter(which).exec(db).await?.rows_affected)
}

fn ids<E: EntityTrait>(column: E::Column, which: SimpleExpr) -> SelectStatement {
    E::find().select_only().column(column).filter(which).into_query()
}

/// A test webinar with its attendees.
async fn remove_webinar(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<u64> {
    if !catalogue::webinar(db, id).await?.test {
        return Err(not_a_test("webinar", id));
    }
    let attendees =
        || ids::<attendee::Entity>(attendee::Column::Id, attendee::Column::Webinar.eq(id));
    let requests = ids::<attendee_request::Entity>(
        attendee_request::Column::Request,
        attendee_request::Column::Attendee.in_subquery(attendees()),
    );
    let mut removed = 0;
    removed += delete::<request::Entity>(db, request::Column::Id.in_subquery(requests)).await?;
    let whose = attendee_request::Column::Attendee.in_subquery(attendees());
    removed += delete::<attendee_request::Entity>(db, whose).await?;
    removed += delete::<attendee_email::Entity>(db, attendee_email::Column::Webinar.eq(id)).await?;
    let whose = click_claim::Column::Attendee.in_subquery(attendees());
    removed += delete::<click_claim::Entity>(db, whose).await?;
    let whose = touch::Column::Attendee.in_subquery(attendees());
    removed += delete::<touch::Entity>(db, whose).await?;
    let whose = registration::Column::Attendee.in_subquery(attendees());
    removed += delete::<registration::Entity>(db, whose).await?;
    removed += delete::<attendee::Entity>(db, attendee::Column::Webinar.eq(id)).await?;
    let links = webinar_product::Column::Webinar.eq(id);
    removed += delete::<webinar_product::Entity>(db, links).await?;
    let links = source_webinar::Column::Webinar.eq(id);
    removed += delete::<source_webinar::Entity>(db, links).await?;
    removed += delete::<webinar::Entity>(db, webinar::Column::Id.eq(id)).await?;
    catalogue::removed(db, "webinar", id, now).await?;
    let gone = v1::CatalogueChanged { webinar_id: id.to_owned(), ..Default::default() };
    feed::record(db, now, true, v1::event::Kind::CatalogueChanged(gone)).await?;
    Ok(removed)
}

/// A test programme with its products, affiliates, clicks and orders.
async fn remove_programme(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<u64> {
    if !catalogue::programme(db, id).await?.test {
        return Err(not_a_test("programme", id));
    }
    let products = sales::products_of_programme(db, id).await?;
    let mut removed = remove_orders(db, id).await?;
    removed += remove_clicks(db, id).await?;
    removed += remove_sources(db, id).await?;
    removed += catalogue::forget_products(db, &products, now).await?;
    for product in &products {
        let names = product_external_id::Column::Product.eq(product);
        removed += delete::<product_external_id::Entity>(db, names).await?;
        removed += delete::<policy::Entity>(db, policy::Column::Product.eq(product)).await?;
        removed += delete::<product::Entity>(db, product::Column::Id.eq(product)).await?;
        catalogue::removed(db, "product", product, now).await?;
        let gone = v1::CatalogueChanged { product_id: product.clone(), ..Default::default() };
        feed::record(db, now, true, v1::event::Kind::CatalogueChanged(gone)).await?;
    }
    let coupons = affiliate_coupon::Column::Programme.eq(id);
    removed += delete::<affiliate_coupon::Entity>(db, coupons).await?;
    let emails = affiliate_email::Column::Programme.eq(id);
    removed += delete::<affiliate_email::Entity>(db, emails).await?;
    removed += delete::<suspension::Entity>(db, suspension::Column::Programme.eq(id)).await?;
    removed += delete::<affiliate::Entity>(db, affiliate::Column::Programme.eq(id)).await?;
    removed += delete::<programme::Entity>(db, programme::Column::Id.eq(id)).await?;
    catalogue::removed(db, "programme", id, now).await?;
    let gone = v1::CatalogueChanged { programme_id: id.to_owned(), ..Default::default() };
    feed::record(db, now, true, v1::event::Kind::CatalogueChanged(gone)).await?;
    Ok(removed)
}

async fn remove_orders(db: &impl ConnectionTrait, programme: &str) -> Result<u64> {
    let own = || sale_order::Column::Programme.eq(programme);
    let orders = || ids::<sale_order::Entity>(sale_order::Column::Id, own());
    let items =
        || ids::<item::Entity>(item::Column::Id, item::Column::SaleOrder.in_subquery(orders()));
    let decisions = || {
        let whose = decision::Column::Item.in_subquery(items());
        ids::<decision::Entity>(decision::Column::Id, whose)
    };
    // Money is keyed by the platform's names, so that it can come before its order.
    let names = || {
        sale_order::Entity::find()
            .select_only()
            .columns([sale_order::Column::Source, sale_order::Column::ExternalId])
            .filter(own())
            .into_query()
    };
    let mut removed = 0;
    let key = [Expr::col(payment::Column::Source), Expr::col(payment::Column::OrderExternalId)];
    removed += delete::<payment::Entity>(db, Expr::tuple(key).in_subquery(names())).await?;
    let key = [Expr::col(reversal::Column::Source), Expr::col(reversal::Column::OrderExternalId)];
    removed += delete::<reversal::Entity>(db, Expr::tuple(key).in_subquery(names())).await?;
    let which = decision_touch::Column::Decision.in_subquery(decisions());
    removed += delete::<decision_touch::Entity>(db, which).await?;
    let which = decision_conflict::Column::Decision.in_subquery(decisions());
    removed += delete::<decision_conflict::Entity>(db, which).await?;
    let which = assignment::Column::Item.in_subquery(items());
    removed += delete::<assignment::Entity>(db, which).await?;
    let which = decision::Column::Item.in_subquery(items());
    removed += delete::<decision::Entity>(db, which).await?;
    let which = touch::Column::SaleOrder.in_subquery(orders());
    removed += delete::<touch::Entity>(db, which).await?;
    removed += delete::<touch::Entity>(db, touch::Column::Programme.eq(programme)).await?;
    let which = item::Column::SaleOrder.in_subquery(orders());
    removed += delete::<item::Entity>(db, which).await?;
    let which = order_email::Column::SaleOrder.in_subquery(orders());
    removed += delete::<order_email::Entity>(db, which).await?;
    removed += delete::<sale_order::Entity>(db, own()).await?;
    Ok(removed)
}

async fn remove_clicks(db: &impl ConnectionTrait, programme: &str) -> Result<u64> {
    let products =
        || ids::<product::Entity>(product::Column::Id, product::Column::Programme.eq(programme));
    let own = || click::Column::Product.in_subquery(products());
    let claims =
        click_claim::Column::Click.in_subquery(ids::<click::Entity>(click::Column::Id, own()));
    let removed = delete::<click_claim::Entity>(db, claims).await?;
    Ok(removed + delete::<click::Entity>(db, own()).await?)
}

async fn remove_sources(db: &impl ConnectionTrait, programme: &str) -> Result<u64> {
    let own = || source::Column::Programme.eq(programme);
    let sources = || ids::<source::Entity>(source::Column::Id, own());
    let posted = delivery::Column::Source.in_subquery(sources());
    let deliveries = ids::<delivery::Entity>(delivery::Column::Id, posted.clone());
    let whose = delivery_email::Column::Delivery.in_subquery(deliveries);
    let mut removed = delete::<delivery_email::Entity>(db, whose).await?;
    removed += delete::<delivery::Entity>(db, posted).await?;
    let whose = source_key::Column::Source.in_subquery(sources());
    removed += delete::<source_key::Entity>(db, whose).await?;
    let whose = source_webinar::Column::Source.in_subquery(sources());
    removed += delete::<source_webinar::Entity>(db, whose).await?;
    Ok(removed + delete::<source::Entity>(db, own()).await?)
}

/// Removes the events of tests once no test is left, so that tests that run again and again leave nothing behind. Never
/// the newest event, because cursors are checked against it.
async fn forget_events(db: &impl ConnectionTrait, until: i64) -> Result<u64> {
    let programme = programme::Entity::find().filter(programme::Column::Test.eq(true)).one(db);
    let webinar = webinar::Entity::find().filter(webinar::Column::Test.eq(true)).one(db);
    if programme.await?.is_some() || webinar.await?.is_some() {
        return Ok(0);
    }
    let old = event::Column::Sequence.lte(until).and(event::Column::Test.eq(true));
    delete::<event::Entity>(db, old).await
}
