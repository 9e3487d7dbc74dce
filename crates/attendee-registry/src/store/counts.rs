//! Numbers for the campaign's owner, kept with the writes that cause them.
//!
//! A write adds rows to `count_delta`, so that no two writers wait for one row. From time to time [`fold`] moves them into
//! `count_total`. What is counted is the sum of both, at any moment. Test records are never counted.

use std::{borrow::Cow, collections::HashMap};

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use tagalong_proto::v1;

use super::{
    entity::{attendee, click, count_delta, item, registration},
    insert::insert,
};
use crate::{
    error::{Error, Result},
    time::day,
};

/// What is counted together. Texts are empty for none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Key<'a> {
    product: &'a str,
    webinar: &'a str,
    day: i64,
    what: i32,
    programme: &'a str,
    affiliate: &'a str,
    credit: i32,
    carried_by: i32,
    currency: &'a str,
}

/// The columns of a key.
const KEY: &str = "product, webinar, day, what, programme, affiliate, credit, carried_by, currency";

/// What a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    HumanClick = 1,
    OtherClick = 2,
    PurchaseLink = 3,
    Registration = 4,
    Sale = 5,
}

/// How much more there is of each, and what it is worth in minor units.
#[derive(Default)]
pub(crate) struct Counts<'a>(HashMap<Key<'a>, (i64, i64)>);

impl<'a> Counts<'a> {
    fn add(mut self, key: Key<'a>, number: i64, value: i64) -> Self {
        let sum = self.0.entry(key).or_default();
        *sum = (sum.0 + number, sum.1 + value);
        self
    }

    /// A new click of an affiliate link, or a purchase link opened by a person.
    pub(crate) fn click(self, click: &'a click::Model) -> Self {
        let human = click.class == i32::from(v1::ClickClass::Human);
        let what = match v1::LinkKind::try_from(click.link) {
            _ if click.test => return self,
            // Where affiliates share the platform's links, the landing is the first that is seen of a click.
            Ok(v1::LinkKind::Affiliate | v1::LinkKind::Landing) if human => What::HumanClick,
            Ok(v1::LinkKind::Affiliate | v1::LinkKind::Landing) => What::OtherClick,
            Ok(v1::LinkKind::Purchase) if human => What::PurchaseLink,
            _ => return self,
        };
        let key = Key {
            product: &click.product,
            day: day(click.occurred_at),
            what: what as i32,
            programme: click.programme.as_deref().unwrap_or_default(),
            affiliate: click.affiliate.as_deref().unwrap_or_default(),
            ..Key::default()
        };
        self.add(key, 1, 0)
    }

    /// A registration: 1 for the one there is now, -1 for what it was before.
    pub(crate) fn registration(
        self,
        attendee: &'a attendee::Model,
        registration: &'a registration::Model,
        times: i64,
    ) -> Self {
        if attendee.test {
            return self;
        }
        let key = Key {
            webinar: &attendee.webinar,
            day: day(registration.registered_at),
            what: What::Registration as i32,
            programme: registration.programme.as_deref().unwrap_or_default(),
            affiliate: registration.affiliate.as_deref().unwrap_or_default(),
            ..Key::default()
        };
        self.add(key, times, 0)
    }

    /// An item that was decided: 1 for the one there is now, -1 for what it was before.
    pub(crate) fn sale(self, sold_at: i64, item: &'a item::Model, times: i64) -> Self {
        let (Some(product), Some(_), false) = (&item.product, item.decision, item.test) else {
            return self;
        };
        let key = Key {
            product,
            day: day(sold_at),
            what: What::Sale as i32,
            programme: &item.programme,
            affiliate: item.affiliate.as_deref().unwrap_or_default(),
            credit: item.credit,
            carried_by: item.carried_by,
            currency: item.currency.as_deref().unwrap_or_default(),
            ..Key::default()
        };
        self.add(key, times, times * item.price.unwrap_or(0))
    }

    /// Stores what changed, in the transaction that changed it.
    pub(crate) async fn store(self, db: &impl ConnectionTrait) -> Result<()> {
        let changed = self.0.into_iter().filter(|(_, sum)| *sum != (0, 0));
        insert::<count_delta::Entity>(db, &changed.map(row).collect::<Vec<_>>()).await
    }
}

fn row((key, (number, value)): (Key<'_>, (i64, i64))) -> count_delta::Model {
    let Key { product, webinar, day, what, programme, affiliate, credit, carried_by, currency } =
        key;
    count_delta::Model {
        product: product.to_owned(),
        webinar: webinar.to_owned(),
        day,
        what,
        programme: programme.to_owned(),
        affiliate: affiliate.to_owned(),
        credit,
        carried_by,
        currency: currency.to_owned(),
        number,
        value,
    }
}

/// Whether there is something to [`fold`].
pub(crate) async fn unfolded(db: &impl ConnectionTrait) -> Result<bool> {
    let sql = "SELECT 1 FROM count_delta LIMIT 1";
    let any = Statement::from_string(db.get_database_backend(), sql);
    Ok(db.query_one_raw(any).await?.is_some())
}

/// Moves what writes added into the totals. The transaction is the one writer's: no row can come between the two
/// statements.
pub(crate) async fn fold(db: &impl ConnectionTrait) -> Result<()> {
    let add = format!(
        "INSERT INTO count_total ({KEY}, number, value) \
         SELECT {KEY}, CAST(SUM(number) AS bigint), CAST(SUM(value) AS bigint) \
         FROM count_delta GROUP BY {KEY} ON CONFLICT ({KEY}) DO UPDATE SET \
         number = count_total.number + excluded.number, \
         value = count_total.value + excluded.value"
    );
    for sql in [add.as_str(), "DELETE FROM count_delta"] {
        db.execute_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    }
    Ok(())
}

/// Which counts to sum up.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Its registrations, and all else of the products it promotes or offers.
    pub(crate) webinar: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) programme: Option<String>,
    /// Empty for what is nobody's.
    pub(crate) affiliate: Option<String>,
    /// Days since 1970, the first and the last.
    pub(crate) days: (i64, i64),
}

/// What to sum up separately.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "any of them with any other")]
pub(crate) struct Grouping {
    pub(crate) day: bool,
    pub(crate) product: bool,
    pub(crate) webinar: bool,
    pub(crate) affiliate: bool,
}

/// A sum. What it is not grouped by is empty.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Sum {
    pub(crate) day: i64,
    pub(crate) product: String,
    pub(crate) webinar: String,
    pub(crate) programme: String,
    pub(crate) affiliate: String,
    pub(crate) what: i32,
    pub(crate) credit: i32,
    pub(crate) carried_by: i32,
    pub(crate) currency: String,
    pub(crate) number: i64,
    pub(crate) value: i64,
}

/// Most sums one answer holds.
const MOST: usize = 20_000;

/// Sums up, ordered by what it is grouped by.
///
/// # Errors
/// If that would be too many sums.
pub(crate) async fn sums(
    db: &impl ConnectionTrait,
    filter: &Filter,
    grouping: &Grouping,
) -> Result<Vec<Sum>> {
    let mut values: Vec<Value> = vec![filter.days.0.into(), filter.days.1.into()];
    let mut which = "day BETWEEN $1 AND $2".to_owned();
    let mut only = |condition: &str, value: &Option<String>| {
        if let Some(value) = value {
            values.push(value.as_str().into());
            let place = format!("${}", values.len());
            which.push_str(" AND ");
            which.push_str(&condition.replace('?', &place));
        }
    };
    only("product = ?", &filter.product);
    only("programme = ?", &filter.programme);
    only("affiliate = ?", &filter.affiliate);
    only(
        "webinar IN (?, '') AND product IN \
         (SELECT '' UNION SELECT product FROM webinar_product WHERE webinar = ?)",
        &filter.webinar,
    );
    let by = |yes: bool, column: &'static str, none: &str| -> Cow<'static, str> {
        if yes { column.into() } else { format!("{none} AS {column}").into() }
    };
    let columns = [
        by(grouping.day, "day", "CAST(0 AS bigint)"),
        by(grouping.product, "product", "''"),
        by(grouping.webinar, "webinar", "''"),
        by(grouping.affiliate, "programme", "''"),
        by(grouping.affiliate, "affiliate", "''"),
    ];
    let grouped: Vec<&str> = columns
        .iter()
        .map(AsRef::as_ref)
        .filter(|column| !column.contains(' '))
        .chain(["what", "credit", "carried_by", "currency"])
        .collect();
    let grouped = grouped.join(", ");
    let sql = format!(
        "SELECT {columns}, what, credit, carried_by, currency, \
         CAST(SUM(number) AS bigint) AS number, CAST(SUM(value) AS bigint) AS value \
         FROM (SELECT * FROM count_total WHERE {which} \
         UNION ALL SELECT * FROM count_delta WHERE {which}) AS counts \
         GROUP BY {grouped} HAVING SUM(number) <> 0 OR SUM(value) <> 0 \
         ORDER BY {grouped} LIMIT {limit}",
        columns = columns.join(", "),
        limit = MOST + 1,
    );
    let query = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let sums = Sum::find_by_statement(query).all(db).await?;
    if sums.len() > MOST {
        return Err(Error::Precondition {
            reason: "TOO_MANY_ROWS",
            message: format!("more than {MOST} numbers; ask for fewer days or group by less"),
        });
    }
    Ok(sums)
}
