//! Programmes, affiliates, products, webinars.

use std::collections::HashMap;

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set, sea_query::OnConflict,
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::entity::{
    affiliate, affiliate_coupon, affiliate_email, catalogue_clock, catalogue_removal, policy, product,
    product_external_id, programme, suspension, webinar, webinar_product,
};
use crate::{
    catalogue::{Affiliate, Product, Programme, StoredPolicy, Webinar, same_page},
    error::{Error, Result, What},
    keys::DataKeys,
    time::to_proto,
};

/// The next revision. Whoever changes the catalogue holds the clock until the commit, so revisions appear in order.
/// They follow the time of day, so that those of a restored or exchanged database differ from what redirects have.
pub(crate) async fn next_revision(db: &impl ConnectionTrait, now: i64) -> Result<i64> {
    let clock = catalogue_clock::Entity::find_by_id(1)
        .lock_exclusive()
        .one(db)
        .await?
        .ok_or_else(|| Error::internal("the catalogue's clock is missing"))?;
    let revision = now.max(clock.revision + 1);
    let mut clock = clock.into_active_model();
    clock.revision = Set(revision);
    clock.update(db).await?;
    Ok(revision)
}

/// The last revision given out.
pub(crate) async fn revision(db: &impl ConnectionTrait) -> Result<i64> {
    let clock = catalogue_clock::Entity::find_by_id(1).one(db).await?;
    Ok(clock.map_or(0, |clock| clock.revision))
}

/// Whether a write makes a record or replaces one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Replace,
}

/// Whether the stored record, if any, allows the write; its time of creation.
fn allow(write: Write, what: What, name: &str, stored: Option<(i64, i64)>, expected: i64, now: i64) -> Result<i64> {
    match (write, stored) {
        (Write::Create, None) => Ok(now),
        (Write::Create, Some(_)) => Err(Error::Exists { what, name: name.to_owned() }),
        (Write::Replace, None) => Err(Error::not_found(what, name)),
        (Write::Replace, Some((revision, _))) if expected != 0 && expected != revision => {
            Err(Error::Changed { what, name: name.to_owned(), revision })
        }
        (Write::Replace, Some((_, created_at))) => Ok(created_at),
    }
}

pub(crate) async fn put_programme(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Programme,
    now: i64,
) -> Result<v1::Programme> {
    let revision = next_revision(db, now).await?;
    let id = new.id.as_str();
    let stored = programme::Entity::find_by_id(id).one(db).await?;
    if stored.as_ref().is_some_and(|stored| stored.test != new.test) && write == Write::Replace {
        return Err(Error::invalid("programme.test", "cannot be changed"));
    }
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(write, What::Programme, id, stored, new.revision, now)?;
    let row = programme::Model {
        id: id.to_owned(),
        platform: new.platform.clone(),
        title: new.title.clone(),
        never_names_affiliates: new.never_names_affiliates,
        test: new.test,
        revision,
        created_at,
    };
    put(db, row.clone().into_active_model(), write).await?;
    Ok(programme_message(row))
}

/// Inserts a row, or replaces the one with its key.
async fn put<A>(db: &impl ConnectionTrait, row: A, write: Write) -> Result<()>
where
    A: sea_orm::ActiveModelTrait + sea_orm::ActiveModelBehavior + Send,
    <A::Entity as sea_orm::EntityTrait>::Model: sea_orm::IntoActiveModel<A> + Sync,
{
    match write {
        Write::Create => {
            A::Entity::insert(row).exec_without_returning(db).await?;
        }
        Write::Replace => {
            row.reset_all().update(db).await?;
        }
    }
    Ok(())
}

pub(crate) async fn programme(db: &impl ConnectionTrait, id: &str) -> Result<programme::Model> {
    programme::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Programme, id))
}

pub(crate) async fn programmes(
    db: &impl ConnectionTrait,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<v1::Programme>> {
    let mut query = programme::Entity::find().order_by_asc(programme::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(programme::Column::Id.gt(after));
    }
    Ok(query.all(db).await?.into_iter().map(programme_message).collect())
}

pub(crate) async fn put_affiliate(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Affiliate,
    keys: &DataKeys,
    now: i64,
) -> Result<v1::Affiliate> {
    let revision = next_revision(db, now).await?;
    let (programme_id, id) = (new.programme.as_str(), new.id.as_str());
    programme(db, programme_id).await?;
    let stored = affiliate::Entity::find_by_id((programme_id.to_owned(), id.to_owned())).one(db).await?;
    // An affiliate first heard of in a touch has no revision yet: creating it says more about it.
    let heard_of = stored.as_ref().is_some_and(|row| row.revision == 0);
    let row_write = if heard_of { Write::Replace } else { write };
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(row_write, What::Affiliate, id, stored, new.revision, now)?;
    let row = affiliate::Model {
        programme: programme_id.to_owned(),
        id: id.to_owned(),
        title: new.title.clone(),
        house: new.house,
        confirmed: new.confirmed,
        revision,
        created_at,
    };
    put(db, row.into_active_model(), row_write).await?;

    affiliate_coupon::Entity::delete_many()
        .filter(affiliate_coupon::Column::Programme.eq(programme_id))
        .filter(affiliate_coupon::Column::Affiliate.eq(id))
        .exec(db)
        .await?;
    for (n, code) in new.coupons.iter().enumerate() {
        if let Some(other) = coupon_owner(db, programme_id, code).await? {
            return Err(Error::invalid(
                format!("affiliate.coupon_codes[{n}]"),
                format!("belongs to {other}"),
            ));
        }
        let row = affiliate_coupon::Model {
            programme: programme_id.to_owned(),
            code: code.clone(),
            affiliate: id.to_owned(),
        };
        affiliate_coupon::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    }
    for email in &new.emails {
        let row = affiliate_email::Model {
            programme: programme_id.to_owned(),
            affiliate: id.to_owned(),
            hash: keys.email_hash(email).to_vec(),
        };
        affiliate_email::Entity::insert(row.into_active_model())
            .on_conflict_do_nothing()
            .exec_without_returning(db)
            .await?;
    }
    affiliate_message(db, programme_id, id).await
}

/// Whose coupon it is.
pub(crate) async fn coupon_owner(
    db: &impl ConnectionTrait,
    programme: &str,
    code: &str,
) -> Result<Option<String>> {
    let key = (programme.to_owned(), code.to_owned());
    Ok(affiliate_coupon::Entity::find_by_id(key).one(db).await?.map(|row| row.affiliate))
}

/// Notes an affiliate that a touch names, where it is new.
pub(crate) async fn hear_of(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
    now: i64,
) -> Result<()> {
    let row = affiliate::Model {
        programme: programme.to_owned(),
        id: id.to_owned(),
        title: String::new(),
        house: false,
        confirmed: false,
        revision: 0,
        created_at: now,
    };
    affiliate::Entity::insert(row.into_active_model())
        .on_conflict_do_nothing()
        .exec_without_returning(db)
        .await?;
    Ok(())
}

pub(crate) async fn suspend(
    db: &impl ConnectionTrait,
    (programme, id): (&str, &str),
    (starts_at, reason): (i64, String),
    now: i64,
) -> Result<v1::Affiliate> {
    touch_affiliate(db, programme, id, now).await?;
    if open_suspension(db, programme, id).await?.is_some() {
        return Err(Error::Precondition {
            reason: "AFFILIATE_SUSPENDED",
            message: format!("affiliate {id} is suspended already"),
        });
    }
    let row = suspension::Model {
        id: Uuid::now_v7(),
        programme: programme.to_owned(),
        affiliate: id.to_owned(),
        starts_at,
        ends_at: None,
        reason,
        recorded_at: now,
    };
    suspension::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    affiliate_message(db, programme, id).await
}

pub(crate) async fn reinstate(
    db: &impl ConnectionTrait,
    (programme, id): (&str, &str),
    at: i64,
    now: i64,
) -> Result<v1::Affiliate> {
    touch_affiliate(db, programme, id, now).await?;
    let open = open_suspension(db, programme, id).await?.ok_or_else(|| Error::Precondition {
        reason: "AFFILIATE_NOT_SUSPENDED",
        message: format!("affiliate {id} is not suspended"),
    })?;
    if at < open.starts_at {
        return Err(Error::invalid("at", "is before the suspension began"));
    }
    let mut open = open.into_active_model();
    open.ends_at = Set(Some(at));
    open.update(db).await?;
    affiliate_message(db, programme, id).await
}

/// Gives a known affiliate a new revision.
async fn touch_affiliate(db: &impl ConnectionTrait, programme: &str, id: &str, now: i64) -> Result<()> {
    let revision = next_revision(db, now).await?;
    let mut row = affiliate::Entity::find_by_id((programme.to_owned(), id.to_owned()))
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Affiliate, id))?
        .into_active_model();
    row.revision = Set(revision);
    row.update(db).await?;
    Ok(())
}

async fn open_suspension(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
) -> Result<Option<suspension::Model>> {
    Ok(suspension::Entity::find()
        .filter(suspension::Column::Programme.eq(programme))
        .filter(suspension::Column::Affiliate.eq(id))
        .filter(suspension::Column::EndsAt.is_null())
        .one(db)
        .await?)
}

pub(crate) async fn affiliate_message(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
) -> Result<v1::Affiliate> {
    let row = affiliate::Entity::find_by_id((programme.to_owned(), id.to_owned())).one(db).await?;
    let row = row.ok_or_else(|| Error::not_found(What::Affiliate, id))?;
    Ok(affiliate_messages(db, vec![row]).await?.remove(0))
}

pub(crate) async fn affiliates(
    db: &impl ConnectionTrait,
    programme: Option<&str>,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<v1::Affiliate>> {
    let mut query = affiliate::Entity::find()
        .order_by_asc(affiliate::Column::Programme)
        .order_by_asc(affiliate::Column::Id)
        .limit(limit);
    if let Some(programme) = programme {
        query = query.filter(affiliate::Column::Programme.eq(programme));
    }
    if let Some((programme, id)) = after.as_deref().and_then(|key| key.split_once(' ')) {
        query = query.filter(
            Condition::any().add(affiliate::Column::Programme.gt(programme)).add(
                Condition::all()
                    .add(affiliate::Column::Programme.eq(programme))
                    .add(affiliate::Column::Id.gt(id)),
            ),
        );
    }
    affiliate_messages(db, query.all(db).await?).await
}

/// Adds what belongs to each of the rows.
async fn affiliate_messages(
    db: &impl ConnectionTrait,
    rows: Vec<affiliate::Model>,
) -> Result<Vec<v1::Affiliate>> {
    type Key = (String, String);
    let mut coupons: HashMap<Key, Vec<String>> = HashMap::new();
    let mut emails: HashMap<Key, bool> = HashMap::new();
    let mut suspensions: HashMap<Key, Vec<v1::Suspension>> = HashMap::new();
    for rows in rows.chunks(super::CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        for row in affiliate_coupon::Entity::find()
            .filter(affiliate_coupon::Column::Affiliate.is_in(ids.clone()))
            .order_by_asc(affiliate_coupon::Column::Code)
            .all(db)
            .await?
        {
            coupons.entry((row.programme, row.affiliate)).or_default().push(row.code);
        }
        for row in affiliate_email::Entity::find()
            .filter(affiliate_email::Column::Affiliate.is_in(ids.clone()))
            .all(db)
            .await?
        {
            emails.insert((row.programme, row.affiliate), true);
        }
        for row in suspension::Entity::find()
            .filter(suspension::Column::Affiliate.is_in(ids))
            .order_by_asc(suspension::Column::StartsAt)
            .all(db)
            .await?
        {
            suspensions.entry((row.programme, row.affiliate)).or_default().push(v1::Suspension {
                starts_at: Some(to_proto(row.starts_at)),
                ends_at: row.ends_at.map(to_proto),
                reason: row.reason,
            });
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let key = (row.programme.clone(), row.id.clone());
            v1::Affiliate {
                programme_id: row.programme,
                id: row.id,
                title: row.title,
                house: row.house,
                confirmed: row.confirmed,
                coupon_codes: coupons.remove(&key).unwrap_or_default(),
                suspensions: suspensions.remove(&key).unwrap_or_default(),
                has_email: emails.contains_key(&key),
                revision: row.revision,
                created_at: Some(to_proto(row.created_at)),
            }
        })
        .collect())
}

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
    for (n, external_id) in new.external_ids.iter().enumerate() {
        if let Some(other) = product_by_external_id(db, new.programme.as_str(), external_id).await? {
            return Err(Error::invalid(
                format!("product.external_ids[{n}]"),
                format!("belongs to product {other}"),
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

async fn product_messages(
    db: &impl ConnectionTrait,
    rows: Vec<product::Model>,
) -> Result<Vec<v1::Product>> {
    let mut external: HashMap<String, Vec<String>> = HashMap::new();
    let mut policies: HashMap<(String, i64), StoredPolicy> = HashMap::new();
    let mut tests: HashMap<String, bool> = HashMap::new();
    for rows in rows.chunks(super::CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        for row in product_external_id::Entity::find()
            .filter(product_external_id::Column::Product.is_in(ids.clone()))
            .order_by_asc(product_external_id::Column::ExternalId)
            .all(db)
            .await?
        {
            external.entry(row.product).or_default().push(row.external_id);
        }
        for row in policy::Entity::find().filter(policy::Column::Product.is_in(ids)).all(db).await? {
            policies.insert((row.product.clone(), row.version), policy_of(&row));
        }
        let programmes: Vec<&str> = rows.iter().map(|row| row.programme.as_str()).collect();
        for row in
            programme::Entity::find().filter(programme::Column::Id.is_in(programmes)).all(db).await?
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

fn sales_page(row: &product::Model) -> Option<v1::Destination> {
    (row.sales_page_with.is_some() || row.sales_page_without.is_some()).then(|| v1::Destination {
        with_affiliate: row.sales_page_with.clone().unwrap_or_default(),
        without_affiliate: row.sales_page_without.clone().unwrap_or_default(),
    })
}

fn checkout(row: &product::Model) -> v1::Destination {
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

/// The lines of a column that holds one value a line.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

pub(crate) async fn put_webinar(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Webinar,
    now: i64,
) -> Result<v1::Webinar> {
    let revision = next_revision(db, now).await?;
    let id = new.id.as_str();
    let stored = webinar::Entity::find_by_id(id).one(db).await?;
    if stored.as_ref().is_some_and(|stored| stored.test != new.test) && write == Write::Replace {
        return Err(Error::invalid("webinar.test", "cannot be changed"));
    }
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(write, What::Webinar, id, stored, new.revision, now)?;
    let row = webinar::Model {
        id: id.to_owned(),
        title: new.title.clone(),
        campaign_ends_at: new.campaign_ends_at,
        test: new.test,
        revision,
        created_at,
    };
    put(db, row.into_active_model(), write).await?;

    webinar_product::Entity::delete_many()
        .filter(webinar_product::Column::Webinar.eq(id))
        .exec(db)
        .await?;
    for (product_id, promotes, offers) in &new.products {
        let product = product(db, product_id.as_str()).await?;
        if programme(db, &product.programme).await?.test != new.test {
            return Err(Error::invalid(
                "webinar.test",
                format!("must be as in the programme of product {product_id}"),
            ));
        }
        let row = webinar_product::Model {
            webinar: id.to_owned(),
            product: product_id.to_string(),
            promotes: *promotes,
            offers: *offers,
        };
        webinar_product::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    }
    refuse_loop(db, id, None).await?;
    webinar_message(db, id).await
}

/// Refuses a webinar that sells through a checkout which is one of its invitation pages. `changed` is a product as it
/// is about to be.
async fn refuse_loop(
    db: &impl ConnectionTrait,
    webinar: &str,
    changed: Option<(&str, &Product)>,
) -> Result<()> {
    let (mut sales_pages, mut checkouts) = (Vec::new(), Vec::new());
    for link in webinar_products(db, webinar).await? {
        let (sales, buy) = match changed {
            Some((id, product)) if id == link.product => {
                (product.sales_page.clone(), product.checkout.clone())
            }
            _ => {
                let row = product(db, &link.product).await?;
                (sales_page(&row), checkout(&row))
            }
        };
        if link.promotes {
            sales_pages.extend(sales);
        }
        if link.offers {
            checkouts.push((link.product, buy));
        }
    }
    for (product, checkout) in &checkouts {
        if sales_pages.iter().any(|page| same_page(page, checkout)) {
            let field =
                if changed.is_some() { "product.checkout" } else { "webinar.offers_product_ids" };
            return Err(Error::invalid(
                field,
                format!("the checkout of {product} is an invitation page of webinar {webinar}: a buyer would walk in a circle"),
            ));
        }
    }
    Ok(())
}

pub(crate) async fn webinar(db: &impl ConnectionTrait, id: &str) -> Result<webinar::Model> {
    webinar::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or_else(|| Error::not_found(What::Webinar, id))
}

pub(crate) async fn webinar_products(
    db: &impl ConnectionTrait,
    webinar: &str,
) -> Result<Vec<webinar_product::Model>> {
    Ok(webinar_product::Entity::find()
        .filter(webinar_product::Column::Webinar.eq(webinar))
        .order_by_asc(webinar_product::Column::Product)
        .all(db)
        .await?)
}

/// The webinars that promote or offer a product.
pub(crate) async fn webinars_of(
    db: &impl ConnectionTrait,
    product: &str,
) -> Result<Vec<webinar_product::Model>> {
    Ok(webinar_product::Entity::find()
        .filter(webinar_product::Column::Product.eq(product))
        .all(db)
        .await?)
}

/// The programmes of a webinar's products.
pub(crate) async fn webinar_programmes(db: &impl ConnectionTrait, webinar: &str) -> Result<Vec<String>> {
    let mut programmes = Vec::new();
    for link in webinar_products(db, webinar).await? {
        programmes.push(product(db, &link.product).await?.programme);
    }
    programmes.sort();
    programmes.dedup();
    Ok(programmes)
}

pub(crate) async fn webinar_message(db: &impl ConnectionTrait, id: &str) -> Result<v1::Webinar> {
    let row = webinar(db, id).await?;
    Ok(webinar_messages(db, vec![row]).await?.remove(0))
}

pub(crate) async fn webinars(
    db: &impl ConnectionTrait,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<v1::Webinar>> {
    let mut query = webinar::Entity::find().order_by_asc(webinar::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(webinar::Column::Id.gt(after));
    }
    webinar_messages(db, query.all(db).await?).await
}

async fn webinar_messages(
    db: &impl ConnectionTrait,
    rows: Vec<webinar::Model>,
) -> Result<Vec<v1::Webinar>> {
    let mut links: HashMap<String, Vec<webinar_product::Model>> = HashMap::new();
    for rows in rows.chunks(super::CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        for link in webinar_product::Entity::find()
            .filter(webinar_product::Column::Webinar.is_in(ids))
            .order_by_asc(webinar_product::Column::Product)
            .all(db)
            .await?
        {
            links.entry(link.webinar.clone()).or_default().push(link);
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let links = links.remove(&row.id).unwrap_or_default();
            let products = |wanted: fn(&webinar_product::Model) -> bool| {
                links.iter().filter(|link| wanted(link)).map(|link| link.product.clone()).collect()
            };
            v1::Webinar {
                promotes_product_ids: products(|link| link.promotes),
                offers_product_ids: products(|link| link.offers),
                id: row.id,
                title: row.title,
                campaign_ends_at: row.campaign_ends_at.map(to_proto),
                test: row.test,
                revision: row.revision,
                created_at: Some(to_proto(row.created_at)),
            }
        })
        .collect())
}

pub(crate) fn programme_message(row: programme::Model) -> v1::Programme {
    v1::Programme {
        id: row.id,
        platform: row.platform,
        title: row.title,
        never_names_affiliates: row.never_names_affiliates,
        test: row.test,
        revision: row.revision,
        created_at: Some(to_proto(row.created_at)),
    }
}

/// Everything that changed after a revision, in the order of revisions.
pub(crate) async fn changes_after(
    db: &impl ConnectionTrait,
    after: i64,
) -> Result<Vec<v1::CatalogueChange>> {
    use v1::catalogue_change::Change;
    let mut changes: Vec<(i64, Change)> = Vec::new();
    let rows =
        programme::Entity::find().filter(programme::Column::Revision.gt(after)).all(db).await?;
    changes.extend(rows.into_iter().map(|row| (row.revision, Change::Programme(programme_message(row)))));
    let rows =
        affiliate::Entity::find().filter(affiliate::Column::Revision.gt(after)).all(db).await?;
    let messages = affiliate_messages(db, rows).await?;
    changes.extend(messages.into_iter().map(|row| (row.revision, Change::Affiliate(row))));
    let rows = product::Entity::find().filter(product::Column::Revision.gt(after)).all(db).await?;
    let messages = product_messages(db, rows).await?;
    changes.extend(messages.into_iter().map(|row| (row.revision, Change::Product(row))));
    let rows = webinar::Entity::find().filter(webinar::Column::Revision.gt(after)).all(db).await?;
    let messages = webinar_messages(db, rows).await?;
    changes.extend(messages.into_iter().map(|row| (row.revision, Change::Webinar(row))));
    let rows = catalogue_removal::Entity::find()
        .filter(catalogue_removal::Column::Revision.gt(after))
        .all(db)
        .await?;
    changes.extend(rows.into_iter().map(|row| {
        let mut removal = v1::CatalogueRemoval::default();
        match row.kind.as_str() {
            "programme" => removal.programme_id = row.key,
            "product" => removal.product_id = row.key,
            _ => removal.webinar_id = row.key,
        }
        (row.revision, Change::Removed(removal))
    }));
    changes.sort_by_key(|(revision, _)| *revision);
    Ok(changes
        .into_iter()
        .map(|(_, change)| v1::CatalogueChange { change: Some(change) })
        .collect())
}

/// Notes that a record was removed.
pub(crate) async fn removed(db: &impl ConnectionTrait, kind: &str, key: &str, now: i64) -> Result<()> {
    let row = catalogue_removal::Model {
        revision: next_revision(db, now).await?,
        kind: kind.to_owned(),
        key: key.to_owned(),
    };
    catalogue_removal::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}
