//! One module for each thing the command line knows.

use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;

pub(crate) mod affiliate;
pub(crate) mod attendee;
pub(crate) mod click;
pub(crate) mod delivery;
pub(crate) mod event;
pub(crate) mod funnel;
pub(crate) mod healthcheck;
pub(crate) mod key;
pub(crate) mod links;
pub(crate) mod migrate;
pub(crate) mod preset;
pub(crate) mod product;
pub(crate) mod programme;
pub(crate) mod sale;
pub(crate) mod snippet;
pub(crate) mod source;
pub(crate) mod webinar;

/// How much of a list to print, and how.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Listing {
    /// Print at most this many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Print JSON Lines
    #[arg(long)]
    pub json: bool,
}

impl Listing {
    /// How many to ask for next; none where the limit is reached.
    pub(crate) fn next_page(self, printed: usize) -> Option<i32> {
        let left =
            if self.limit == 0 { 1000 } else { self.limit.saturating_sub(printed).min(1000) };
        i32::try_from(left).ok().filter(|size| *size > 0)
    }
}

/// Prints a whole list, page by page.
macro_rules! list_all {
    ($listing:expr, $client:expr, $method:ident, $request:expr, $field:ident, $header:expr, $row:expr) => {{
        let listing: $crate::commands::Listing = $listing;
        let mut request = $request;
        let mut rows = Vec::new();
        while let Some(size) = listing.next_page(rows.len()) {
            request.page_size = size;
            let answer = $client.$method(request.clone()).await.explained()?;
            rows.extend(answer.$field);
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            // JSON goes out page by page; a table has to know all its columns first.
            if listing.json && listing.limit == 0 {
                $crate::output::list(true, $header, &rows, $row)?;
                rows.clear();
            }
        }
        $crate::output::list(listing.json, $header, &rows, $row)
    }};
}
pub(crate) use list_all;

/// Reads a moment: `2026-02-03T18:00:00Z`, or with another offset.
pub(crate) fn moment(text: &str) -> Result<prost_types::Timestamp, String> {
    let at: Timestamp = text.parse().map_err(|_| {
        "expected a time with its zone, such as 2026-02-03T18:00:00+01:00".to_owned()
    })?;
    Ok(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

/// Reads an amount in minor units: `49700EUR`.
pub(crate) fn amount(text: &str) -> Result<tagalong_proto::v1::Money, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, currency) = text.split_at(digits);
    match number.parse() {
        Ok(minor_units) if currency.len() == 3 => {
            Ok(tagalong_proto::v1::Money { minor_units, currency: currency.to_ascii_uppercase() })
        }
        _ => Err("expected minor units and currency, such as 49700EUR".to_owned()),
    }
}

/// An e-mail address as given, or read from standard input for `-`, which keeps it out of process lists.
pub(crate) fn email(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("no address on standard input")?;
            Ok(line.trim().to_owned())
        }
        given => Ok(given.unwrap_or_default().to_owned()),
    }
}

/// Whom to name as the author of a change: the system's user, where the caller does not say.
pub(crate) fn author(given: Option<String>) -> anyhow::Result<String> {
    given
        .or_else(|| std::env::var("USER").ok())
        .filter(|name| !name.is_empty())
        .context("say who you are with --author")
}

/// Reads a text file, or standard input for `-`.
pub(crate) fn text_file(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_minor_units_and_a_currency() {
        let amount = amount("49700eur").unwrap();
        assert_eq!((amount.minor_units, amount.currency.as_str()), (49_700, "EUR"));
        for text in ["", "EUR", "497", "-1EUR", "4.97EUR", "99999999999999999999EUR"] {
            assert!(super::amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_need_a_zone() {
        assert_eq!(moment("1970-01-01T01:00:00+01:00").unwrap().seconds, 0);
        assert!(moment("2026-02-03T18:00:00").is_err());
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn pages_end_at_the_limit() {
        let listing = |limit| Listing { limit, json: false };
        assert_eq!(listing(100).next_page(0), Some(100));
        assert_eq!(listing(100).next_page(100), None);
        assert_eq!(listing(2500).next_page(2000), Some(500));
        assert_eq!(listing(0).next_page(1_000_000), Some(1000));
    }
}
