//! Sources and their secrets.

use std::collections::HashMap;

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use tagalong_chassis::config::Secret;
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK,
    catalogue::{self, Write, allow, put},
    entity::{source, source_key, source_webinar},
};
use crate::{
    error::{Error, Result, What},
    keys::DataKeys,
    source::{Rotation, Source},
    time::to_proto,
};

/// What secrets are sealed for.
const SECRETS: &str = "source_key";

/// How many secrets of a source are kept: each is tried on every request that is not authentic.
const MAX_SECRETS: usize = 8;

pub(crate) async fn put_source(
    db: &impl ConnectionTrait,
    write: Write,
    new: &Source,
    now: i64,
) -> Result<v1::Source> {
    let id = new.id.as_str();
    let stored = source::Entity::find_by_id(id).one(db).await?;
    let stored = stored.map(|row| (row.revision, row.created_at));
    let created_at = allow(write, What::Source, id, stored, new.revision, now)?;
    if let Some(programme) = &new.programme {
        let missing =
            || Error::invalid("source.programme_id", format!("there is no programme {programme}"));
        or_invalid(catalogue::programme(db, programme.as_str()).await, missing)?;
    }
    let row = source::Model {
        id: id.to_owned(),
        preset: new.preset.clone(),
        title: new.title.clone(),
        programme: new.programme.as_ref().map(ToString::to_string),
        keep_emails: new.keep_emails,
        disabled: new.disabled,
        revision: now.max(stored.map_or(0, |(revision, _)| revision + 1)),
        created_at,
        registrant_links: new.registrant_links,
    };
    put(db, row.clone().into_active_model(), write).await?;

    source_webinar::Entity::delete_many()
        .filter(source_webinar::Column::Source.eq(id))
        .exec(db)
        .await?;
    for (n, (external_id, webinar)) in new.webinars.iter().enumerate() {
        let missing = || {
            let field = format!("source.webinars[{n}].webinar_id");
            Error::invalid(field, format!("there is no webinar {webinar}"))
        };
        or_invalid(catalogue::webinar(db, webinar.as_str()).await, missing)?;
        let row = source_webinar::Model {
            source: id.to_owned(),
            external_id: external_id.clone(),
            webinar: webinar.to_string(),
        };
        source_webinar::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    }
    message(db, row).await
}

/// A record that does not exist is the field's fault that names it.
fn or_invalid<T>(found: Result<T>, missing: impl Fn() -> Error) -> Result<T> {
    match found {
        Err(Error::NotFound { .. }) => Err(missing()),
        found => found,
    }
}

pub(crate) async fn source(db: &impl ConnectionTrait, id: &str) -> Result<source::Model> {
    source::Entity::find_by_id(id).one(db).await?.ok_or_else(|| Error::not_found(What::Source, id))
}

pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<source::Model>> {
    let mut query = source::Entity::find().order_by_asc(source::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(source::Column::Id.gt(after));
    }
    Ok(query.all(db).await?)
}

/// Our webinar for a tool's own ID of it, if the source names one.
pub(crate) async fn webinar(
    db: &impl ConnectionTrait,
    source: &str,
    external_id: &str,
) -> Result<Option<String>> {
    let rows = source_webinar::Entity::find()
        .filter(source_webinar::Column::Source.eq(source))
        .filter(source_webinar::Column::ExternalId.is_in([external_id, ""]))
        .order_by_desc(source_webinar::Column::ExternalId)
        .all(db)
        .await?;
    Ok(rows.into_iter().next().map(|row| row.webinar))
}

/// Adds the first secret of a source.
pub(crate) async fn add_secret(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    source: &str,
    secret: &Secret,
    now: i64,
) -> Result<()> {
    let id = Uuid::now_v7();
    let row = source_key::Model {
        id,
        source: source.to_owned(),
        sealed: keys.seal_for(SECRETS, id, secret.expose().as_bytes())?,
        created_at: now,
        expires_at: None,
    };
    source_key::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

/// Adds a secret, lets those before it expire, and forgets what has expired.
pub(crate) async fn rotate(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    new: &Rotation,
    now: i64,
) -> Result<v1::Source> {
    let row = source(db, new.source.as_str()).await?;
    let expires_at = now.saturating_add(new.keep_old_seconds * 1_000_000);
    for (n, secret) in stored_secrets(db, &[&row.id]).await?.into_iter().enumerate() {
        let expires_at = secret.expires_at.map_or(expires_at, |at| at.min(expires_at));
        if expires_at <= now || n + 1 >= MAX_SECRETS {
            source_key::Entity::delete_by_id(secret.id).exec(db).await?;
        } else if secret.expires_at != Some(expires_at) {
            let mut secret = secret.into_active_model();
            secret.expires_at = Set(Some(expires_at));
            secret.update(db).await?;
        }
    }
    add_secret(db, keys, &row.id, &new.secret, now).await?;
    let row = source::Model { revision: now.max(row.revision + 1), ..row };
    row.clone().into_active_model().reset_all().update(db).await?;
    message(db, row).await
}

/// The secrets of a source that are valid, newest first.
pub(crate) async fn secrets(
    db: &impl ConnectionTrait,
    keys: &DataKeys,
    source: &str,
    now: i64,
) -> Result<Vec<Secret>> {
    let rows = source_key::Entity::find()
        .filter(source_key::Column::Source.eq(source))
        .filter(
            Condition::any()
                .add(source_key::Column::ExpiresAt.is_null())
                .add(source_key::Column::ExpiresAt.gt(now)),
        )
        .order_by_desc(source_key::Column::Id)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| {
            let secret = keys.open_for(SECRETS, row.id, &row.sealed)?;
            String::from_utf8(secret).map(Secret::from).map_err(Error::internal)
        })
        .collect()
}

async fn stored_secrets(
    db: &impl ConnectionTrait,
    sources: &[&str],
) -> Result<Vec<source_key::Model>> {
    Ok(source_key::Entity::find()
        .filter(source_key::Column::Source.is_in(sources.to_vec()))
        .order_by_desc(source_key::Column::Id)
        .all(db)
        .await?)
}

pub(crate) async fn message(db: &impl ConnectionTrait, row: source::Model) -> Result<v1::Source> {
    Ok(messages(db, vec![row]).await?.remove(0))
}

pub(crate) async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<source::Model>,
) -> Result<Vec<v1::Source>> {
    let mut webinars: HashMap<String, Vec<v1::SourceWebinar>> = HashMap::new();
    let mut secrets: HashMap<String, Vec<v1::SourceSecret>> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let links = source_webinar::Entity::find()
            .filter(source_webinar::Column::Source.is_in(ids.clone()))
            .order_by_asc(source_webinar::Column::ExternalId)
            .all(db)
            .await?;
        for link in links {
            webinars.entry(link.source).or_default().push(v1::SourceWebinar {
                external_id: link.external_id,
                webinar_id: link.webinar,
            });
        }
        for secret in stored_secrets(db, &ids).await? {
            secrets.entry(secret.source).or_default().push(v1::SourceSecret {
                id: secret.id.to_string(),
                created_at: Some(to_proto(secret.created_at)),
                expires_at: secret.expires_at.map(to_proto),
            });
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| v1::Source {
            webinars: webinars.remove(&row.id).unwrap_or_default(),
            secrets: secrets.remove(&row.id).unwrap_or_default(),
            id: row.id,
            preset: row.preset,
            title: row.title,
            programme_id: row.programme.unwrap_or_default(),
            keep_emails: row.keep_emails,
            disabled: row.disabled,
            // Known to whoever answers.
            hook_url: String::new(),
            revision: row.revision,
            created_at: Some(to_proto(row.created_at)),
            registrant_links: row.registrant_links,
        })
        .collect())
}
