//! Webinars and the products they promote and offer.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use tagalong_attribution::id::ProgrammeId;
use tagalong_proto::v1;

use super::{Write, allow, checkout, lines, next_revision, product, programme, put, sales_page};
use crate::{
    catalogue::{Product, Webinar, same_page},
    error::{Error, Result, What},
    store::{
        CHUNK,
        entity::{webinar, webinar_product},
    },
    time::to_proto,
};

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
    let form = new.form.as_ref();
    let row = webinar::Model {
        id: id.to_owned(),
        title: new.title.clone(),
        campaign_ends_at: new.campaign_ends_at,
        test: new.test,
        revision,
        created_at,
        room_url: new.room_url.clone(),
        form_key: form.map(|form| form.key.clone()),
        form_origins: form.map(|form| form.allowed_origins.join("\n")).unwrap_or_default(),
        form_thank_you_url: form.map(|form| form.thank_you_url.clone()).unwrap_or_default(),
        form_programme: form.and_then(|form| form.programme.as_ref().map(ToString::to_string)),
        form_keep_emails: form.is_some_and(|form| form.keep_emails),
    };
    put(db, row.into_active_model(), write).await?;

    webinar_product::Entity::delete_many()
        .filter(webinar_product::Column::Webinar.eq(id))
        .exec(db)
        .await?;
    let mut programmes = BTreeSet::new();
    for (product_id, promotes, offers) in &new.products {
        let product = match product(db, product_id.as_str()).await {
            Err(Error::NotFound { .. }) => {
                let field = if *offers {
                    "webinar.offers_product_ids"
                } else {
                    "webinar.promotes_product_ids"
                };
                return Err(Error::invalid(field, format!("there is no product {product_id}")));
            }
            found => found?,
        };
        if programme(db, &product.programme).await?.test != new.test {
            return Err(Error::invalid(
                "webinar.test",
                format!("must be as in the programme of product {product_id}"),
            ));
        }
        programmes.insert(product.programme);
        let row = webinar_product::Model {
            webinar: id.to_owned(),
            product: product_id.to_string(),
            promotes: *promotes,
            offers: *offers,
        };
        webinar_product::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    }
    refuse_loop(db, id, None).await?;
    if let Some(form) = form {
        check_programme(db, form.programme.as_ref(), programmes.len()).await?;
    }
    webinar_message(db, id).await
}

/// Nobody is there to be asked when a form is posted: its programme has to be known before.
async fn check_programme(
    db: &impl ConnectionTrait,
    named: Option<&ProgrammeId>,
    programmes: usize,
) -> Result<()> {
    const FIELD: &str = "webinar.form.programme_id";
    match named {
        None if programmes == 1 => Ok(()),
        None => Err(Error::invalid(
            FIELD,
            "is required where the webinar's products do not all belong to one programme",
        )),
        Some(id) => match programme(db, id.as_str()).await {
            Err(Error::NotFound { .. }) => {
                Err(Error::invalid(FIELD, format!("there is no programme {id}")))
            }
            found => found.map(|_| ()),
        },
    }
}

/// Refuses a webinar that sells through a checkout which is one of its invitation pages. `changed` is a product as it
/// is about to be.
pub(super) async fn refuse_loop(
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
                format!(
                    "the checkout of {product} is an invitation page of webinar {webinar}: a buyer would walk in a circle"
                ),
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

pub(super) async fn webinar_messages(
    db: &impl ConnectionTrait,
    rows: Vec<webinar::Model>,
) -> Result<Vec<v1::Webinar>> {
    let mut links: HashMap<String, Vec<webinar_product::Model>> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
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
                room_url: row.room_url,
                form: row.form_key.map(|key| v1::RegistrationForm {
                    key,
                    allowed_origins: lines(&row.form_origins),
                    thank_you_url: row.form_thank_you_url,
                    programme_id: row.form_programme.unwrap_or_default(),
                    keep_emails: row.form_keep_emails,
                }),
            }
        })
        .collect())
}

/// Takes products that are removed out of their webinars.
pub(crate) async fn forget_products(
    db: &impl ConnectionTrait,
    products: &[String],
    now: i64,
) -> Result<u64> {
    let links = webinar_product::Column::Product.is_in(products.to_vec());
    let rows = webinar_product::Entity::find().filter(links.clone()).all(db).await?;
    let webinars: BTreeSet<String> = rows.into_iter().map(|link| link.webinar).collect();
    for id in webinars {
        let mut row = webinar(db, &id).await?.into_active_model();
        row.revision = Set(next_revision(db, now).await?);
        row.update(db).await?;
    }
    Ok(webinar_product::Entity::delete_many().filter(links).exec(db).await?.rows_affected)
}
