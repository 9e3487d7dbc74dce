//! The answer as a CSV file: one row for each sale.

use std::path::Path;

use super::report::{Report, credit_word};
use crate::file::{Target, foreign, written};

/// Writes it. What comes from the files is harmless in a spreadsheet.
pub(super) fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(Target::open(path)?);
    let header = [
        "order",
        "item",
        "product",
        "sold_at",
        "amount",
        "currency",
        "affiliate",
        "platform_affiliate",
        "credit",
        "reversed",
        "carried_by",
        "reason",
        "line",
    ];
    csv.write_record(header).map_err(written)?;
    for sale in &report.sales {
        let amounts = sale.amounts.plain();
        let join = |parts: Vec<&str>| parts.join(" + ");
        csv.write_record([
            foreign(&sale.order).as_ref(),
            foreign(&sale.item).as_ref(),
            foreign(&sale.product).as_ref(),
            &sale.sold_at.to_string(),
            &join(amounts.iter().map(|(units, _)| units.as_str()).collect()),
            &join(amounts.iter().map(|(_, code)| code.as_str()).collect()),
            sale.affiliate.as_deref().unwrap_or_default(),
            foreign(sale.platform_affiliate.as_deref().unwrap_or_default()).as_ref(),
            credit_word(sale.credit),
            if sale.reversed { "true" } else { "false" },
            sale.carried_by.unwrap_or_default(),
            foreign(&sale.reason).as_ref(),
            &sale.line.to_string(),
        ])
        .map_err(written)?;
    }
    let target = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(target.finish()?)
}
