//! Amounts of money, as people and tools write them.

use iso_currency::Currency;

/// What stands between units and their parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Decimal {
    /// `1.234,56`
    Comma,
    /// `1,234.56`
    Point,
}

/// Largest amount, in minor units, as the registry takes it.
const MAX_MINOR_UNITS: i64 = 1_000_000_000_000_000;

/// An amount as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written<'a> {
    negative: bool,
    /// Digits, points and commas.
    body: String,
    /// A code or a sign beside it.
    pub(super) currency: Option<&'a str>,
}

impl<'a> Written<'a> {
    /// Takes an amount apart: `-1.234,56 €`, `EUR 497`, `(497.00)`, `1'234.50`.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let mut negative = inner.is_some();
        let (mut body, mut currency) = (String::new(), None);
        let mut rest = inner.unwrap_or(text);
        while let Some(c) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let length = if word > 0 { word } else { c.len_utf8() };
            let (part, after) = rest.split_at(length);
            let is_currency = word > 0 || matches!(c, '€' | '$' | '£' | '¥');
            match c {
                '0'..='9' | '.' | ',' => body.push(c),
                '-' | '−' if !negative => negative = true,
                '+' | '\'' | '’' => {}
                c if c.is_whitespace() => {}
                _ if is_currency && currency.is_none() => currency = Some(code(part)),
                _ => return None,
            }
            rest = after;
        }
        body.chars().any(|c| c.is_ascii_digit()).then_some(Self { negative, body, currency })
    }

    /// What the amount shows of how decimals are written; nothing where it could be either: `1.234`.
    pub(super) fn shows(&self) -> Option<Decimal> {
        let other = |decimal| match decimal {
            Decimal::Comma => Decimal::Point,
            Decimal::Point => Decimal::Comma,
        };
        let last = self.body.rfind(['.', ','])?;
        let mark = if self.body[last..].starts_with(',') { Decimal::Comma } else { Decimal::Point };
        let (before, after) = (&self.body[..last], &self.body[last + 1..]);
        match before.rfind(['.', ',']) {
            Some(at) if before[at..].starts_with(sign(mark)) => Some(other(mark)),
            Some(_) => Some(mark),
            None if after.len() != 3 || before.len() > 3 || before.starts_with('0') => Some(mark),
            None => None,
        }
    }

    /// Whether it has points or commas at all.
    pub(super) fn has_marks(&self) -> bool {
        self.body.contains(['.', ','])
    }

    /// The amount in minor units, negative where it is written so.
    pub(super) fn minor_units(&self, decimal: Decimal, exponent: u32) -> Option<i64> {
        let (whole, part) = self.body.split_once(sign(decimal)).unwrap_or((self.body.as_str(), ""));
        let groups: Vec<&str> = whole.split(['.', ',']).collect();
        if groups.len() > 1
            && (groups[1..].iter().any(|group| group.len() != 3)
                || !(1..=3).contains(&groups[0].len()))
        {
            return None;
        }
        // Nothing is rounded: what the currency has no coin for is no amount.
        let part = part.trim_end_matches('0');
        let missing = exponent.checked_sub(u32::try_from(part.len()).ok()?)?;
        let digits = format!("0{}{part}", groups.concat());
        let units: i64 = digits.parse().ok()?;
        let units = units.checked_mul(10_i64.checked_pow(missing)?)?;
        (units <= MAX_MINOR_UNITS).then_some(if self.negative { -units } else { units })
    }
}

fn sign(decimal: Decimal) -> char {
    match decimal {
        Decimal::Comma => ',',
        Decimal::Point => '.',
    }
}

fn code(text: &str) -> &str {
    match text {
        "€" => "EUR",
        "$" => "USD",
        "£" => "GBP",
        "¥" => "JPY",
        _ => text,
    }
}

/// A currency's code in upper case, and how many decimals it has; none where it is no currency.
pub(crate) fn currency(text: &str) -> Option<(String, u32)> {
    let code = code(text.trim()).to_ascii_uppercase();
    let exponent = Currency::from_code(&code)?.exponent().map_or(2, u32::from);
    Some((code, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_all_their_spellings() {
        use Decimal::{Comma, Point};
        for (text, decimal, exponent, expected, currency) in [
            ("497", Point, 2, 49_700, None),
            ("497.00", Point, 2, 49_700, None),
            ("497,5", Comma, 2, 49_750, None),
            ("1.234,56 €", Comma, 2, 123_456, Some("EUR")),
            ("$1,234.56", Point, 2, 123_456, Some("USD")),
            ("EUR 497", Comma, 2, 49_700, Some("EUR")),
            ("497,00\u{a0}EUR", Comma, 2, 49_700, Some("EUR")),
            ("1'234.50", Point, 2, 123_450, None),
            ("1 234,50", Comma, 2, 123_450, None),
            ("1.234.567", Comma, 2, 123_456_700, None),
            ("-497,00", Comma, 2, -49_700, None),
            ("−497,00", Comma, 2, -49_700, None),
            ("497,00-", Comma, 2, -49_700, None),
            ("(497.00)", Point, 2, -49_700, None),
            ("497.0000", Point, 2, 49_700, None),
            (",50", Comma, 2, 50, None),
            ("1.234", Point, 3, 1_234, None),
            ("1,234", Point, 0, 1_234, None),
            ("0", Point, 2, 0, None),
        ] {
            let written = Written::read(text).unwrap();
            assert_eq!(written.minor_units(decimal, exponent), Some(expected), "{text}");
            assert_eq!(written.currency, currency, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount() {
        for text in ["", "-", "free", "€", "1 EUR 2 EUR", "--5", "12:30"] {
            assert_eq!(Written::read(text), None, "{text}");
        }
        for text in ["4.975", "1.23.456", "1234.567.890", "4,97,5", "99999999999999999", "1..5"] {
            let written = Written::read(text).unwrap();
            let both = [Decimal::Comma, Decimal::Point].map(|style| written.minor_units(style, 2));
            // What one style reads as thousands may be fine; what it reads as decimals is not.
            assert!(both.contains(&None), "{text}: {both:?}");
        }
    }

    #[test]
    fn what_an_amount_shows_of_its_style() {
        use Decimal::{Comma, Point};
        for (text, expected) in [
            ("497", None),
            ("1.234", None),
            ("1,234", None),
            ("497,00", Some(Comma)),
            ("497.5", Some(Point)),
            ("1.234,56", Some(Comma)),
            ("1,234.56", Some(Point)),
            ("1.234.567", Some(Comma)),
            ("1,234,567", Some(Point)),
            ("0,123", Some(Comma)),
            ("1234.567", Some(Point)),
        ] {
            assert_eq!(Written::read(text).unwrap().shows(), expected, "{text}");
        }
    }

    #[test]
    fn currencies_have_their_decimals() {
        assert_eq!(currency("eur"), Some(("EUR".to_owned(), 2)));
        assert_eq!(currency("€"), Some(("EUR".to_owned(), 2)));
        assert_eq!(currency("JPY"), Some(("JPY".to_owned(), 0)));
        assert_eq!(currency("BHD"), Some(("BHD".to_owned(), 3)));
        assert_eq!(currency("EURO"), None);
    }
}
