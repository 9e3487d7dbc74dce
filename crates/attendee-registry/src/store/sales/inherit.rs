//! Which items inherit from which.

use std::collections::HashSet;

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{find::items_of_orders, items_of_order, order_by_key};
use crate::{
    error::Result,
    store::entity::{item, sale_order},
};

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
    if parent.programme != order.programme || !circle(db, order).await?.is_empty() {
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

/// The orders that follow each other in a circle that an order is part of: none of them inherits.
async fn circle(db: &impl ConnectionTrait, order: &sale_order::Model) -> Result<HashSet<Uuid>> {
    let mut passed = HashSet::new();
    let mut next = Some(order.clone());
    while let Some(ancestor) = next {
        next = parent(db, &ancestor).await?;
        if !passed.insert(ancestor.id) {
            // Or a circle further up that the order only leads to.
            return Ok(if ancestor.id == order.id { passed } else { HashSet::new() });
        }
    }
    Ok(HashSet::new())
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

/// The items that inherit or no longer inherit because an order is there: those of the orders that follow it, and of all
/// in the circle that it may have closed.
pub(super) async fn items_around(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
) -> Result<Vec<Uuid>> {
    let mut items = items_of_children(db, order).await?;
    items.extend(items_of_orders(db, circle(db, order).await?.into_iter().collect()).await?);
    Ok(items)
}

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
