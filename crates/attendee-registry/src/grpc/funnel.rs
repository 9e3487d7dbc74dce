//! Numbers of `EventService`.

use jiff::{Span, civil::Date};
use tagalong_attribution::id::{AffiliateId, ProductId, ProgrammeId, WebinarId};
use tagalong_proto::v1;

use crate::{
    error::{Error, Result},
    field,
    store::counts::{Filter, Grouping, Sum, What},
};

/// Reads a request.
pub(super) fn read(message: &v1::GetFunnelRequest) -> Result<(Filter, Grouping)> {
    let webinar: Option<WebinarId> = field::optional_id("webinar_id", &message.webinar_id)?;
    let product: Option<ProductId> = field::optional_id("product_id", &message.product_id)?;
    if webinar.is_some() && product.is_some() {
        return Err(Error::invalid("product_id", "must be empty where webinar_id is set"));
    }
    let programme: Option<ProgrammeId> = field::optional_id("programme_id", &message.programme_id)?;
    let affiliate = match message.affiliate_id.as_deref() {
        Some("") => Some(String::new()),
        Some(_) if programme.is_none() => {
            return Err(Error::invalid("affiliate_id", "needs the programme_id"));
        }
        Some(id) => Some(field::id::<AffiliateId>("affiliate_id", id)?.into()),
        None => None,
    };
    let from = day("from_day", &message.from_day)?.unwrap_or(i64::MIN);
    let to = day("to_day", &message.to_day)?.unwrap_or(i64::MAX);
    let mut grouping = Grouping::default();
    for (n, dimension) in message.group_by.iter().enumerate() {
        let name = format!("group_by[{n}]");
        match field::enumeration::<v1::FunnelDimension>(&name, *dimension)? {
            v1::FunnelDimension::Unspecified => return Err(Error::invalid(name, "is required")),
            v1::FunnelDimension::Day => grouping.day = true,
            v1::FunnelDimension::Product => grouping.product = true,
            v1::FunnelDimension::Webinar => grouping.webinar = true,
            v1::FunnelDimension::Affiliate => grouping.affiliate = true,
        }
    }
    let filter = Filter {
        webinar: webinar.map(Into::into),
        product: product.map(Into::into),
        programme: programme.map(Into::into),
        affiliate,
        days: (from, to),
    };
    Ok((filter, grouping))
}

/// Day 0.
const FIRST: Date = Date::constant(1970, 1, 1);

/// Reads a day, where there is one, as days since 1970.
fn day(field: &str, text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Error::invalid(field, "must be a day, such as 2026-11-22");
    let day: Date = text.parse().map_err(|_| invalid())?;
    let since = day.since(FIRST).map_err(|_| invalid())?;
    Ok(Some(since.get_days().into()))
}

/// As messages have it.
fn to_text(day: i64) -> String {
    let span = Span::new().try_days(day);
    span.and_then(|span| FIRST.checked_add(span))
        .map_or_else(|_| String::new(), |day| day.to_string())
}

/// Makes rows of sums, which are ordered by what they are grouped by.
pub(super) fn rows(sums: Vec<Sum>, grouping: &Grouping) -> Vec<v1::FunnelRow> {
    let mut rows: Vec<v1::FunnelRow> = Vec::new();
    for sum in sums {
        let group = v1::FunnelRow {
            day: if grouping.day { to_text(sum.day) } else { String::new() },
            product_id: sum.product,
            webinar_id: sum.webinar,
            programme_id: sum.programme,
            affiliate_id: sum.affiliate,
            ..Default::default()
        };
        if rows.last().is_none_or(|row| names(row) != names(&group)) {
            rows.push(group);
        }
        let Some(row) = rows.last_mut() else { continue };
        let what = [
            (What::HumanClick, &mut row.human_clicks),
            (What::OtherClick, &mut row.other_clicks),
            (What::PurchaseLink, &mut row.purchase_links_opened),
            (What::Registration, &mut row.registrations),
        ];
        match what.into_iter().find(|(what, _)| *what as i32 == sum.what) {
            Some((_, number)) => *number = sum.number,
            None => row.sales.push(v1::FunnelSales {
                credit: sum.credit,
                carried_by: sum.carried_by,
                items: sum.number,
                value: (!sum.currency.is_empty())
                    .then_some(v1::Money { minor_units: sum.value, currency: sum.currency }),
            }),
        }
    }
    rows
}

fn names(row: &v1::FunnelRow) -> [&str; 5] {
    [&row.day, &row.product_id, &row.webinar_id, &row.programme_id, &row.affiliate_id]
}
