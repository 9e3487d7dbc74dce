//! Removing what a test made.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait, QueryFilter as _, QuerySelect as _, QueryTrait as _,
    sea_query::{SelectStatement, SimpleExpr},
};

use super::{
    catalogue,
    entity::{
        affiliate, affiliate_coupon, affiliate_email, assignment, attendee, attendee_email, click,
        click_claim, decision, decision_conflict, decision_touch, item, order_email, payment, policy,
        product, product_external_id, programme, registration, reversal, sale_order, suspension, touch,
        webinar, webinar_product,
    },
    sales,
};
use crate::error::{Error, Result};

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

/// Removes a test webinar with its attendees.
pub(crate) async fn remove_webinar(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<u64> {
    if !catalogue::webinar(db, id).await?.test {
        return Err(not_a_test("webinar", id));
    }
    let attendees = || ids::<attendee::Entity>(attendee::Column::Id, attendee::Column::Webinar.eq(id));
    let removed = delete::<attendee_email::Entity>(db, attendee_email::Column::Webinar.eq(id)).await?
        + delete::<click_claim::Entity>(db, click_claim::Column::Attendee.in_subquery(attendees()))
            .await?
        + delete::<touch::Entity>(db, touch::Column::Attendee.in_subquery(attendees())).await?
        + delete::<registration::Entity>(
            db,
            registration::Column::Attendee.in_subquery(attendees()),
        )
        .await?
        + delete::<attendee::Entity>(db, attendee::Column::Webinar.eq(id)).await?
        + delete::<webinar_product::Entity>(db, webinar_product::Column::Webinar.eq(id)).await?
        + delete::<webinar::Entity>(db, webinar::Column::Id.eq(id)).await?;
    catalogue::removed(db, "webinar", id, now).await?;
    Ok(removed)
}

/// Removes a test programme with its products, affiliates, clicks and orders.
pub(crate) async fn remove_programme(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<u64> {
    if !catalogue::programme(db, id).await?.test {
        return Err(not_a_test("programme", id));
    }
    let products = sales::products_of_programme(db, id).await?;
    let orders =
        || ids::<sale_order::Entity>(sale_order::Column::Id, sale_order::Column::Programme.eq(id));
    let items = || ids::<item::Entity>(item::Column::Id, item::Column::Programme.eq(id));
    let decisions = || ids::<decision::Entity>(decision::Column::Id, decision::Column::Programme.eq(id));
    // Money is keyed by the platform's names, so that it can come before its order.
    let names = |column| ids::<sale_order::Entity>(column, sale_order::Column::Programme.eq(id));
    let order_names = || names(sale_order::Column::ExternalId);
    let sources = || names(sale_order::Column::Source);
    let mut removed = payment::Entity::delete_many()
        .filter(payment::Column::OrderExternalId.in_subquery(order_names()))
        .filter(payment::Column::Source.in_subquery(sources()))
        .exec(db)
        .await?
        .rows_affected
        + reversal::Entity::delete_many()
            .filter(reversal::Column::OrderExternalId.in_subquery(order_names()))
            .filter(reversal::Column::Source.in_subquery(sources()))
            .exec(db)
            .await?
            .rows_affected
        + delete::<decision_touch::Entity>(
            db,
            decision_touch::Column::Decision.in_subquery(decisions()),
        )
        .await?
        + delete::<decision_conflict::Entity>(
            db,
            decision_conflict::Column::Decision.in_subquery(decisions()),
        )
        .await?
        + delete::<assignment::Entity>(db, assignment::Column::Item.in_subquery(items())).await?
        + delete::<decision::Entity>(db, decision::Column::Programme.eq(id)).await?
        + delete::<touch::Entity>(db, touch::Column::SaleOrder.in_subquery(orders())).await?
        + delete::<touch::Entity>(db, touch::Column::Programme.eq(id)).await?
        + delete::<item::Entity>(db, item::Column::Programme.eq(id)).await?
        + delete::<order_email::Entity>(db, order_email::Column::SaleOrder.in_subquery(orders())).await?
        + delete::<sale_order::Entity>(db, sale_order::Column::Programme.eq(id)).await?
        + delete::<click::Entity>(db, click::Column::Programme.eq(id)).await?;
    for product in &products {
        removed += delete::<product_external_id::Entity>(
            db,
            product_external_id::Column::Product.eq(product),
        )
        .await?
            + delete::<policy::Entity>(db, policy::Column::Product.eq(product)).await?
            + delete::<webinar_product::Entity>(db, webinar_product::Column::Product.eq(product))
                .await?
            + delete::<product::Entity>(db, product::Column::Id.eq(product)).await?;
        catalogue::removed(db, "product", product, now).await?;
    }
    removed += delete::<affiliate_coupon::Entity>(db, affiliate_coupon::Column::Programme.eq(id))
        .await?
        + delete::<affiliate_email::Entity>(db, affiliate_email::Column::Programme.eq(id)).await?
        + delete::<suspension::Entity>(db, suspension::Column::Programme.eq(id)).await?
        + delete::<affiliate::Entity>(db, affiliate::Column::Programme.eq(id)).await?
        + delete::<programme::Entity>(db, programme::Column::Id.eq(id)).await?;
    catalogue::removed(db, "programme", id, now).await?;
    Ok(removed)
}
