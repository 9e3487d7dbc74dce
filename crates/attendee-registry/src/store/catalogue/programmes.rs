//! Programmes.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use tagalong_proto::v1;

use super::{Write, allow, next_revision, put};
use crate::{
    catalogue::Programme,
    error::{Error, Result, What},
    store::entity::programme,
    time::to_proto,
};

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
        ignore_affiliate_case: new.ignore_affiliate_case,
        test: new.test,
        revision,
        created_at,
    };
    put(db, row.clone().into_active_model(), write).await?;
    Ok(programme_message(row))
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

pub(crate) fn programme_message(row: programme::Model) -> v1::Programme {
    v1::Programme {
        id: row.id,
        platform: row.platform,
        title: row.title,
        never_names_affiliates: row.never_names_affiliates,
        ignore_affiliate_case: row.ignore_affiliate_case,
        test: row.test,
        revision: row.revision,
        created_at: Some(to_proto(row.created_at)),
    }
}
