//! Payments and reversals. They are keyed by the platform's names, so that they can come before their order.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{messages, order};
use crate::{
    error::{Error, Result, What},
    sale::{ItemKey, Payment, Reversal},
    store::{
        CHUNK,
        entity::{item, payment, reversal, sale_order},
        feed,
    },
    time::to_proto,
};

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
        .filter(payment::Column::ItemExternalId.eq(&key.item))
        .filter(payment::Column::ExternalId.eq(&new.external_id))
        .one(db)
        .await?;
    if let Some(known) = known {
        let same = (known.amount, &known.currency) == (new.amount, &new.currency);
        let name = format!("{} with another amount", new.external_id);
        return if same { Ok(false) } else { Err(Error::Exists { what: What::Payment, name }) };
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
        .filter(reversal::Column::ItemExternalId.eq(&key.item))
        .filter(reversal::Column::ExternalId.eq(&new.external_id))
        .one(db)
        .await?;
    if let Some(known) = known {
        let same = (known.kind, known.amount, &known.currency)
            == (new.kind.into(), new.amount, &new.currency);
        let name = format!("{} with another amount", new.external_id);
        return if same { Ok(false) } else { Err(Error::Exists { what: What::Reversal, name }) };
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
pub(super) async fn tell_early_money(
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
    let paid = v1::SalePaid { item_id: item.id.to_string(), payment: Some(payment_message(row)) };
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

/// An item as the platform names it: source, order, item.
pub(super) type MoneyKey = (String, String, String);

pub(super) fn money_key(order: &sale_order::Model, item: &item::Model) -> MoneyKey {
    (order.source.clone(), order.external_id.clone(), item.external_id.clone())
}

#[derive(Default)]
pub(super) struct Money {
    pub(super) payments: HashMap<MoneyKey, Vec<payment::Model>>,
    pub(super) reversals: HashMap<MoneyKey, Vec<reversal::Model>>,
}

/// What was paid and reversed for some orders, oldest first.
pub(super) async fn money(
    db: &impl ConnectionTrait,
    orders: &[sale_order::Model],
) -> Result<Money> {
    let mut money = Money::default();
    for orders in orders.chunks(CHUNK) {
        let sources: BTreeSet<&str> = orders.iter().map(|order| order.source.as_str()).collect();
        let ids: Vec<&str> = orders.iter().map(|order| order.external_id.as_str()).collect();
        let rows = payment::Entity::find()
            .filter(payment::Column::Source.is_in(sources.clone()))
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
            .filter(reversal::Column::Source.is_in(sources))
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

/// Marks each reversal by which more went back than had arrived. Where no payment was reported, the price counts
/// as arrived.
pub(super) fn reversal_messages(
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

pub(super) fn payment_message(row: payment::Model) -> v1::Payment {
    v1::Payment {
        external_id: row.external_id,
        amount: Some(v1::Money { minor_units: row.amount, currency: row.currency }),
        paid_at: Some(to_proto(row.paid_at)),
        sequence: row.sequence,
    }
}
