//! Sales as messages.

use sea_orm::ConnectionTrait;
use tagalong_proto::v1;
use uuid::Uuid;

use super::money::{money, money_key, payment_message, reversal_messages};
use crate::{
    error::Result,
    store::{
        decisions,
        entity::{item, sale_order},
    },
    time::to_proto,
};

/// Sales as messages.
pub(crate) async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<(sale_order::Model, item::Model)>,
    with_touches: bool,
) -> Result<Vec<v1::Sale>> {
    let orders: Vec<sale_order::Model> = rows.iter().map(|(order, _)| order.clone()).collect();
    let mut money = money(db, &orders).await?;
    let ids: Vec<Uuid> = rows.iter().filter_map(|(_, item)| item.decision).collect();
    let mut decisions = decisions::by_id(db, &ids, with_touches).await?;
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
