//! The answer as a page that needs nothing but itself: no script, no request, everything from outside escaped.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use tagalong_attribution::credit::Credit;

use super::{
    report::{Report, Sale, counted, credit_word},
    terminal::{percent, sum},
};

/// How many sales of a kind the page shows: a browser has to stay quick.
const SHOWN: usize = 2000;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5d6673;--line:#dfe3e8;--page:#f6f7f9;--card:#fff;--owed:#b42318;--good:#17663a;--warn:#8a5300}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#9aa4b2;--line:#2d343d;--page:#12151a;--card:#1a1f26;--owed:#ff8a7a;--good:#6fd79b;--warn:#f2c063}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1rem;font-weight:600;color:var(--soft);margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.5rem 0 .5rem}
.sum{font-size:clamp(2rem,7vw,3.5rem);font-weight:700;line-height:1.1;color:var(--owed);margin:0;overflow-wrap:anywhere}
.sum.good{color:var(--good)}
.lead{color:var(--soft);margin:.5rem 0 0}
.careful{border-left:4px solid var(--warn);background:var(--card);padding:.75rem 1rem;margin:1.5rem 0}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:.5rem;overflow:hidden}
th,td{padding:.5rem .75rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0;font-size:.8rem;color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.why{color:var(--soft);font-size:.9rem}
.owed,.mismatch{color:var(--owed);font-weight:600}
.agreed{color:var(--good)}
details{margin:1rem 0}
summary{cursor:pointer;font-weight:600;padding:.5rem 0}
ul{padding-left:1.2rem;margin:.25rem 0}
li{overflow-wrap:anywhere}
td{overflow-wrap:break-word}
td.w{white-space:nowrap}
footer{color:var(--soft);font-size:.85rem;margin-top:3rem}
@media(max-width:44rem){
td{overflow-wrap:anywhere}
thead{display:none}
table,tbody,tr,td{display:block;width:100%}
tr{padding:.5rem 0;border-top:1px solid var(--line)}
tr:first-child{border-top:0}
td,td.n,td.w{border:0;padding:.15rem .75rem;text-align:left;white-space:normal}
td[data-label]:before{content:attr(data-label);display:inline-block;min-width:8.5rem;color:var(--soft);font-size:.85rem}
}
";

/// The whole page.
pub(super) fn page(report: &Report, zone: &TimeZone) -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
    );
    let (missing, rest): (Vec<&Sale>, Vec<&Sale>) =
        report.sales.iter().partition(|sale| sale.is_missing());
    let (unknown, known): (Vec<&Sale>, Vec<&Sale>) =
        rest.into_iter().partition(|sale| !sale.known && sale.credit != Credit::Agreed);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { "Affiliate audit" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (headline(report))
                    @if !report.warnings.is_empty() {
                        div class="careful" { strong { "Careful" } (list(&report.warnings)) }
                    }
                    @if !report.affiliates.is_empty() {
                        h2 { "Affiliates" }
                        (affiliates(report))
                    }
                    h2 { "All sales" }
                    (all_sales(report))
                    @if !missing.is_empty() {
                        h2 { "What to ask the platform for" }
                        (sales(&missing, zone))
                    }
                    @if !unknown.is_empty() {
                        h2 { "Not matched" }
                        p class="lead" {
                            "These buyers registered with another address, or not at all. The platform may have "
                            "credited somebody; the registrations cannot say."
                        }
                        details {
                            summary { (counted(unknown.len() as u64, "sale")) }
                            (sales(&unknown, zone))
                        }
                    }
                    @if !known.is_empty() {
                        h2 { "All others" }
                        details {
                            summary { (counted(known.len() as u64, "sale")) }
                            (sales(&known, zone))
                        }
                    }
                    @if !report.left_out.is_empty() { h2 { "Left out" } (list(&report.left_out)) }
                    h2 { "Assumed" }
                    (list(&report.assumed))
                    footer { "Made by Tagalong from two files. Nothing was sent anywhere, nothing is kept." }
                }
            }
        }
    };
    page.into_string()
}

fn headline(report: &Report) -> Markup {
    let credits = &report.credits;
    let unreported = credits.unreported.sales > 0 && report.missing.sales == 0;
    html! {
        @if unreported {
            h1 { "Brought by affiliates" }
            p class="sum" { (credits.unreported.amounts) }
            p class="lead" { "in " (counted(credits.unreported.sales, "sale")) }
        } @else if report.missing.sales == 0 {
            h1 { "Owed to affiliates" }
            p class="sum good" { "Nothing" }
            p class="lead" { "The platform credited whoever brought the buyer." }
        } @else {
            h1 { "Owed to affiliates" }
            @if let (Some(commission), Some(rate)) =
                (&report.missing.commission, report.commission_basis_points)
            {
                p class="sum" { (commission) }
                p class="lead" {
                    "commission of " (percent(rate)) " on " (sum(&report.missing))
                    " that the platform did not credit to who brought the buyer"
                }
            } @else {
                p class="sum" { (report.missing.amounts) }
                p class="lead" {
                    "in " (counted(report.missing.sales, "sale"))
                    " that the platform did not credit to who brought the buyer"
                }
            }
        }
    }
}

fn affiliates(report: &Report) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Affiliate" }
                th class="n" { "Owed" }
                th class="n" { "Sales brought" }
                th class="n" { "Credited to nobody" }
                th class="n" { "Credited to others" }
                th class="n" { "Agreed" }
                th class="n" { "Got of others" }
            } }
            tbody {
                @for affiliate in report.affiliates.iter().take(SHOWN) {
                    @let credits = &affiliate.credits;
                    @let missing = credits.missing();
                    tr {
                        td data-label="Affiliate" { strong { (affiliate.id) } }
                        td class={ "n" @if missing.sales > 0 { " owed" } } data-label="Owed" { (missing.owed()) }
                        td class="n" data-label="Sales brought" { (credits.due().sales) }
                        td class="n" data-label="To nobody" { (credits.owed.sales) }
                        td class="n" data-label="To others" { (credits.mismatch.sales) }
                        td class="n" data-label="Agreed" { (credits.agreed.sales) }
                        td class="n" data-label="Got of others" { (affiliate.received_of_others.sales) }
                    }
                }
            }
        }
    }
}

fn all_sales(report: &Report) -> Markup {
    let credits = &report.credits;
    let rows = [
        ("agreed", &credits.agreed, "the platform credited who brought the buyer"),
        ("owed", &credits.owed, "the platform credited nobody"),
        ("mismatch", &credits.mismatch, "the platform credited somebody else"),
        ("unreported", &credits.unreported, "the file does not say whom the platform credited"),
        ("platform-only", &credits.platform_only, "only the platform names an affiliate"),
        ("none", &credits.none, "nobody brought the buyer"),
        (
            "not matched",
            &report.unmatched,
            "of these: the buyer registered with another address, or not at all",
        ),
    ];
    html! {
        table { tbody {
            @for (name, part, what) in rows {
                @if part.sales > 0 {
                    tr {
                        td class=(name) { (name) }
                        td class="n" data-label="Sales" { (part.sales) }
                        td class="n" data-label="Amount" { (part.amounts) }
                        td class="why" { (what) }
                    }
                }
            }
        } }
    }
}

fn sales(sales: &[&Sale], zone: &TimeZone) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Order" } th { "Sold" } th class="n" { "Amount" } th { "Whose" }
                th { "Platform credited" } th { "Result" } th { "Why" }
            } }
            tbody {
                @for sale in sales.iter().take(SHOWN) {
                    tr {
                        td data-label="Order" { (sale.order) }
                        td class="w" data-label="Sold" {
                            (sale.sold_at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M"))
                        }
                        td class="n" data-label="Amount" { (sale.amounts) }
                        td data-label="Whose" { (sale.affiliate.as_deref().unwrap_or("nobody")) }
                        td data-label="Platform credited" {
                            @match sale.platform_affiliate.as_deref() {
                                None => "does not say",
                                Some("") => "nobody",
                                Some(theirs) => (theirs),
                            }
                        }
                        td class={ "w " (credit_word(sale.credit)) } data-label="Result" {
                            (credit_word(sale.credit)) @if sale.reversed { ", paid back" }
                        }
                        td class="why" { (sale.reason) }
                    }
                }
            }
        }
        @if sales.len() > SHOWN {
            p class="lead" { "The first " (SHOWN) " of " (sales.len()) "; the CSV file has them all." }
        }
    }
}

fn list(lines: &[String]) -> Markup {
    html! { ul { @for line in lines { li { (line) } } } }
}
