//! Programmes, affiliates, products, webinars; what they have in common.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, Set, sea_query::OnConflict,
};
use tagalong_proto::v1;

use super::entity::{affiliate, catalogue_clock, catalogue_removal, product, programme, webinar};
use crate::error::{Error, Result, What};

mod affiliates;
mod products;
mod programmes;
mod webinars;

use affiliates::affiliate_messages;
pub(crate) use affiliates::{
    affiliate_message, affiliates, coupon_owner, hear_of, heard_of, put_affiliate, reinstate,
    suspend,
};
use products::{checkout, product_messages, sales_page};
pub(crate) use products::{
    product, product_by_external_id, product_message, products, put_product, stored_policy,
};
pub(crate) use programmes::{programme, programme_message, programmes, put_programme};
pub(crate) use webinars::{
    forget_products, put_webinar, webinar, webinar_message, webinar_products, webinars, webinars_of,
};
use webinars::{refuse_loop, webinar_messages};

/// The next revision.
/// They follow the time of day, so that those of a restored or exchanged database differ from what redirects have.
pub(crate) async fn next_revision(db: &impl ConnectionTrait, now: i64) -> Result<i64> {
    let clock = catalogue_clock::Entity::find_by_id(1)
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
pub(super) fn allow(
    write: Write,
    what: What,
    name: &str,
    stored: Option<(i64, i64)>,
    expected: i64,
    now: i64,
) -> Result<i64> {
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

/// Inserts a row, or replaces the one with its key.
pub(super) async fn put<A>(db: &impl ConnectionTrait, row: A, write: Write) -> Result<()>
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

/// Everything that changed after a revision, in the order of revisions.
pub(crate) async fn changes_after(
    db: &impl ConnectionTrait,
    after: i64,
) -> Result<Vec<v1::CatalogueChange>> {
    use v1::catalogue_change::Change;
    let mut changes: Vec<(i64, Change)> = Vec::new();
    let rows =
        programme::Entity::find().filter(programme::Column::Revision.gt(after)).all(db).await?;
    changes.extend(
        rows.into_iter().map(|row| (row.revision, Change::Programme(programme_message(row)))),
    );
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
pub(crate) async fn removed(
    db: &impl ConnectionTrait,
    kind: &str,
    key: &str,
    now: i64,
) -> Result<()> {
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

/// The lines of a column that holds one value a line.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
