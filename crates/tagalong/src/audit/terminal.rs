//! The answer on a terminal.

use comfy_table::{CellAlignment, Table, presets};
use jiff::tz::TimeZone;

use super::report::{Report, Sale, Sum, counted, credit_word};

/// How many sales and affiliates a terminal shows.
const SHOWN: usize = 20;

/// Everything a person has to know, the sums first.
pub(super) fn text(report: &Report, zone: &TimeZone) -> String {
    let mut parts = vec![headline(report)];
    if !report.affiliates.is_empty() {
        parts.push(affiliates(report));
    }
    parts.push(all_sales(report));
    let missing: Vec<&Sale> = report.sales.iter().filter(|sale| sale.is_missing()).collect();
    if !missing.is_empty() {
        let more = match missing.len() {
            count if count > SHOWN => {
                format!(" (the largest {SHOWN} of {count}; all with --csv FILE)")
            }
            _ => String::new(),
        };
        parts.push(format!("What to ask the platform for{more}\n{}", sales(&missing, zone)));
    }
    for (title, lines) in [
        ("Careful", &report.warnings),
        ("Left out", &report.left_out),
        ("Assumed", &report.assumed),
    ] {
        if !lines.is_empty() {
            parts.push(format!("{title}\n  {}", lines.join("\n  ")));
        }
    }
    parts.join("\n\n")
}

fn headline(report: &Report) -> String {
    let credits = &report.credits;
    let mut lines = Vec::new();
    if credits.unreported.sales > 0 && report.missing.sales == 0 {
        lines.push(format!("Brought by affiliates: {}", sum(&credits.unreported)));
    } else if report.missing.sales == 0 {
        lines.push("Nothing is owed: the platform credited whoever brought the buyer.".to_owned());
    } else {
        lines.push(format!("Owed to affiliates: {}", sum(&report.missing)));
    }
    if let (Some(commission), Some(rate)) =
        (&report.missing.commission, report.commission_basis_points)
    {
        lines.push(format!("  at {} commission: {commission}", percent(rate)));
    }
    for (part, what) in [
        (&credits.owed, "the platform credited nobody"),
        (&credits.mismatch, "the platform credited somebody else"),
    ] {
        if part.sales > 0 {
            lines.push(format!("  {}: {what}", sum(part)));
        }
    }
    lines.join("\n")
}

/// `40 %`, `33.33 %`
pub(super) fn percent(basis_points: i128) -> String {
    match (basis_points / 100, basis_points % 100) {
        (whole, 0) => format!("{whole}\u{a0}%"),
        (whole, part) => format!("{whole}.{part:02}\u{a0}%"),
    }
}

/// `5 964.00 EUR in 12 sales`
pub(super) fn sum(sum: &Sum) -> String {
    let sales = counted(sum.sales, "sale");
    if sum.amounts.size() == 0 { sales } else { format!("{} in {sales}", sum.amounts) }
}

fn affiliates(report: &Report) -> String {
    let header =
        ["AFFILIATE", "OWED", "SALES", "TO NOBODY", "TO OTHERS", "AGREED", "GOT OF OTHERS"];
    let mut table = table(&header);
    for affiliate in report.affiliates.iter().take(SHOWN) {
        let credits = &affiliate.credits;
        let missing = credits.missing();
        table.add_row([
            affiliate.id.clone(),
            missing.owed().to_string(),
            credits.due().sales.to_string(),
            credits.owed.sales.to_string(),
            credits.mismatch.sales.to_string(),
            credits.agreed.sales.to_string(),
            affiliate.received_of_others.sales.to_string(),
        ]);
    }
    right(&mut table, 1..header.len());
    let more = report.affiliates.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!("\n… and {more} more; all with --html FILE")
    } else {
        String::new()
    };
    format!("{}{more}", trimmed(&table))
}

fn all_sales(report: &Report) -> String {
    let credits = &report.credits;
    let mut table = table(&["ALL SALES", "", "", ""]);
    for (name, part, what) in [
        ("agreed", &credits.agreed, "the platform credited who brought the buyer"),
        ("owed", &credits.owed, "the platform credited nobody"),
        ("mismatch", &credits.mismatch, "the platform credited somebody else"),
        ("unreported", &credits.unreported, "the file does not say whom the platform credited"),
        ("platform-only", &credits.platform_only, "only the platform names an affiliate"),
        ("none", &credits.none, "nobody brought the buyer"),
    ] {
        if part.sales > 0 {
            let sales = part.sales.to_string();
            table.add_row([name.to_owned(), sales, part.amounts.to_string(), what.to_owned()]);
        }
    }
    if report.unmatched.sales > 0 {
        table.add_row([
            "not matched".to_owned(),
            report.unmatched.sales.to_string(),
            report.unmatched.amounts.to_string(),
            "of these: the buyer registered with another address, or not at all".to_owned(),
        ]);
    }
    right(&mut table, 1..3);
    trimmed(&table)
}

fn sales(sales: &[&Sale], zone: &TimeZone) -> String {
    let mut table = table(&["ORDER", "SOLD", "AMOUNT", "OURS", "PLATFORM", "CREDIT"]);
    for sale in sales.iter().take(SHOWN) {
        table.add_row([
            printable(&sale.order),
            sale.sold_at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
            sale.amounts.to_string(),
            sale.affiliate.clone().unwrap_or_else(|| "-".to_owned()),
            sale.platform_affiliate
                .as_deref()
                .filter(|theirs| !theirs.is_empty())
                .map_or_else(|| "-".to_owned(), printable),
            credit_word(sale.credit).to_owned(),
        ]);
    }
    right(&mut table, 2..3);
    let text = trimmed(&table);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default().to_owned();
    // The reason is too long for a column.
    let with_reason =
        |(line, sale): (&str, &&Sale)| format!("{line}\n     {}", printable(&sale.reason));
    let sales: Vec<String> = lines.zip(sales).map(with_reason).collect();
    format!("{header}\n{}", sales.join("\n"))
}

/// A text from outside without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter().copied());
    table
}

fn right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
