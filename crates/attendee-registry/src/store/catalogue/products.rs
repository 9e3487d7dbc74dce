//! Products and their policies.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use tagalong_proto::v1;

use super::{
    Write, allow, lines, next_revision, programmes::programme, put, refuse_loop, webinars_of,
};
use crate::{
    catalogue::{Product, StoredPolicy},
    error::{Error, Result, What},
    store::{
        CHUNK,
        entity::{self, policy, product, product_external_id},
    },
    time::to_proto,
};

pub(crate) async fn put_product(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Product,
    now: i64,
) -> Result<v1::Product> {
    let revision = next_revision(db, now).await?;
    let id = new.id.as_str();
    programme(db, new.programme.as_str()).await?;
    let stored = product::Entity::find_by_id(id).one(db).await?;
    let policy_version = match &stored {
        Some(stored) if stored.programme != new.programme.as_str() && write == Write::Replace => {
            return Err(Error::invalid("product.programme_id", "cannot be changed"));
        }
        Some(stored) => stored.policy_version,
        None => 0,
    };
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(write, What::Product, id, stored, new.revision, now)?;
    for webinar in webinars_of(db, id).await? {
        refuse_loop(db, &webinar.webinar, Some((id, new))).await?;
    }

    let policy_version = put_policy(db, id, policy_version, new.policy, now).await?;
    let (sales_page_with, sales_page_without) = match &new.sales_page {
        Some(page) => (Some(page.with_affiliate.clone()), Some(page.without_affiliate.clone())),
        None => (None, None),
    };
    let row = product::Model {
        id: id.to_owned(),
        programme: new.programme.to_string(),
        title: new.title.clone(),
        sales_page_with,
        sales_page_without,
        checkout_with: new.checkout.with_affiliate.clone(),
        checkout_without: new.checkout.without_affiliate.clone(),
        cookie_policy: new.cookie_policy.into(),
        query_mode: new.query_mode.into(),
        query_names: new.query_names.join("\n"),
        policy_version,
        revision,
        created_at,
    };
    put(db, row.into_active_model(), write).await?;

    product_external_id::Entity::delete_many()
        .filter(product_external_id::Column::Product.eq(id))
        .exec(db)
        .await?;
    for external_id in &new.external_ids {
        if let Some(other) = product_by_external_id(db, new.programme.as_str(), external_id).await?
        {
            return Err(Error::invalid(
                "product.external_ids",
                format!("{external_id} belongs to product {other}"),
            ));
        }
        let row = product_external_id::Model {
            programme: new.programme.to_string(),
            external_id: external_id.clone(),
            product: id.to_owned(),
        };
        product_external_id::Entity::insert(row.into_active_model())
            .exec_without_returning(db)
            .await?;
    }
    product_message(db, id).await
}

/// Stores a policy as a new version where it differs from the present one; the version that is in force.
async fn put_policy(
    db: &impl ConnectionTrait,
    product: &str,
    version: i64,
    new: StoredPolicy,
    now: i64,
) -> Result<i64> {
    if version > 0 && stored_policy(db, product, version).await? == new {
        return Ok(version);
    }
    let row = policy::Model {
        product: product.to_owned(),
        version: version + 1,
        model: new.model.into(),
        window_seconds: new.window_seconds,
        settle_after_seconds: new.settle_after_seconds,
        coupon_rank: new.coupon_rank.into(),
        created_at: now,
    };
    policy::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(version + 1)
}

pub(crate) async fn stored_policy(
    db: &impl ConnectionTrait,
    product: &str,
    version: i64,
) -> Result<StoredPolicy> {
    let row = policy::Entity::find_by_id((product.to_owned(), version))
        .one(db)
        .await?
        .ok_or_else(|| Error::internal(format!("policy {version} of {product} is missing")))?;
    Ok(policy_of(&row))
}

fn policy_of(row: &policy::Model) -> StoredPolicy {
    StoredPolicy {
        model: v1::TouchModel::try_from(row.model).unwrap_or(v1::TouchModel::Last),
        window_seconds: row.window_seconds,
        settle_after_seconds: row.settle_after_seconds,
        coupon_rank: v1::CouponRank::try_from(row.coupon_rank).unwrap_or(v1::CouponRank::Ignored),
    }
}

pub(crate) async fn product(db: &impl ConnectionTrait, id: &str) -> Result<product::Model> {
    product::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Product, id))
}

pub(crate) async fn product_by_external_id(
    db: &impl ConnectionTrait,
    programme: &str,
    external_id: &str,
) -> Result<Option<String>> {
    let key = (programme.to_owned(), external_id.to_owned());
    Ok(product_external_id::Entity::find_by_id(key).one(db).await?.map(|row| row.product))
}

pub(crate) async fn product_message(db: &impl ConnectionTrait, id: &str) -> Result<v1::Product> {
    let row = product(db, id).await?;
    Ok(product_messages(db, vec![row]).await?.remove(0))
}

pub(crate) async fn products(
    db: &impl ConnectionTrait,
    programme: Option<&str>,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<v1::Product>> {
    let mut query = product::Entity::find().order_by_asc(product::Column::Id).limit(limit);
    if let Some(programme) = programme {
        query = query.filter(product::Column::Programme.eq(programme));
    }
    if let Some(after) = after {
        query = query.filter(product::Column::Id.gt(after));
    }
    product_messages(db, query.all(db).await?).await
}

pub(super) async fn product_messages(
    db: &impl ConnectionTrait,
    rows: Vec<product::Model>,
) -> Result<Vec<v1::Product>> {
    let mut external: HashMap<String, Vec<String>> = HashMap::new();
    let mut policies: HashMap<(String, i64), StoredPolicy> = HashMap::new();
    let mut tests: HashMap<String, bool> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        for row in product_external_id::Entity::find()
            .filter(product_external_id::Column::Product.is_in(ids.clone()))
            .order_by_asc(product_external_id::Column::ExternalId)
            .all(db)
            .await?
        {
            external.entry(row.product).or_default().push(row.external_id);
        }
        for row in policy::Entity::find().filter(policy::Column::Product.is_in(ids)).all(db).await?
        {
            policies.insert((row.product.clone(), row.version), policy_of(&row));
        }
        let programmes: Vec<&str> = rows.iter().map(|row| row.programme.as_str()).collect();
        for row in entity::programme::Entity::find()
            .filter(entity::programme::Column::Id.is_in(programmes))
            .all(db)
            .await?
        {
            tests.insert(row.id, row.test);
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let policy = policies.get(&(row.id.clone(), row.policy_version));
            v1::Product {
                external_ids: external.remove(&row.id).unwrap_or_default(),
                policy: policy.map(|policy| policy_message(row.policy_version, *policy)),
                test: tests.get(&row.programme).copied().unwrap_or_default(),
                sales_page: sales_page(&row),
                checkout: Some(checkout(&row)),
                cookie_policy: row.cookie_policy,
                query_rule: Some(v1::QueryRule {
                    mode: row.query_mode,
                    names: lines(&row.query_names),
                }),
                id: row.id,
                programme_id: row.programme,
                title: row.title,
                revision: row.revision,
                created_at: Some(to_proto(row.created_at)),
            }
        })
        .collect())
}

pub(super) fn sales_page(row: &product::Model) -> Option<v1::Destination> {
    (row.sales_page_with.is_some() || row.sales_page_without.is_some()).then(|| v1::Destination {
        with_affiliate: row.sales_page_with.clone().unwrap_or_default(),
        without_affiliate: row.sales_page_without.clone().unwrap_or_default(),
    })
}

pub(super) fn checkout(row: &product::Model) -> v1::Destination {
    v1::Destination {
        with_affiliate: row.checkout_with.clone(),
        without_affiliate: row.checkout_without.clone(),
    }
}

fn policy_message(version: i64, policy: StoredPolicy) -> v1::Policy {
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    v1::Policy {
        version,
        model: policy.model.into(),
        window: duration(policy.window_seconds),
        settle_after: duration(policy.settle_after_seconds),
        coupon_rank: policy.coupon_rank.into(),
    }
}
