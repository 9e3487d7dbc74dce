//! Amounts, as platforms spell them.

use iso_currency::Currency;
use serde::Deserialize;

/// Largest amount, in minor units: sums of a million of them stay within 64 bits.
const MAX: i128 = 1_000_000_000_000_000;

/// An amount of money, never negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// In the currency's minor unit: cents for EUR, yen for JPY. At most 10^15.
    pub minor_units: i64,
    /// ISO 4217, upper case.
    pub currency: String,
}

/// What a platform's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Euros: `497.00`.
    #[default]
    Major,
    /// Cents: `49700`.
    Minor,
}

/// What is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnAmount;

/// A currency, in any case.
pub(crate) fn currency(text: &str) -> Option<Currency> {
    Currency::from_code(&text.trim().to_ascii_uppercase())
}

/// Minor units of `quantity` times the amount, rounded half away from zero; negative where the amount is.
pub(crate) fn minor_units(
    text: &str,
    unit: Unit,
    currency: Currency,
    quantity: u32,
) -> Result<i64, NotAnAmount> {
    let (negative, digits, scale) = decimal(text).ok_or(NotAnAmount)?;
    let exponent = match unit {
        Unit::Major => currency.exponent().map_or(2, i32::from),
        Unit::Minor => 0,
    };
    let value = digits.checked_mul(i128::from(quantity)).ok_or(NotAnAmount)?;
    let value = shift(value, exponent - scale).filter(|value| *value <= MAX).ok_or(NotAnAmount)?;
    let value = i64::try_from(value).map_err(|_| NotAnAmount)?;
    Ok(if negative { -value } else { value })
}

/// A decimal number as sign, digits and how many of them follow the point: `-497.00`, `4.97E2`, `497,00`.
fn decimal(text: &str) -> Option<(bool, i128, i32)> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|n| (-30..=30).contains(n))?;
    let (whole, fraction) = match number.split_once('.') {
        Some(parts) => parts,
        // Two digits after a comma are cents; three may be thousands.
        None => match number.split_once(',') {
            Some((whole, fraction)) if fraction.len() == 2 => (whole, fraction),
            Some(_) => return None,
            None => (number, ""),
        },
    };
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !is_number(whole)
        || !is_number(fraction)
        || whole.len() + fraction.len() > 36
    {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((negative, digits, i32::try_from(fraction.len()).ok()? - exponent))
}

/// `value` times ten to the `places`.
fn shift(value: i128, places: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(places.unsigned_abs());
    if places >= 0 {
        return if value == 0 { Some(0) } else { value.checked_mul(factor?) };
    }
    // What is divided by more than there is comes to nothing.
    let Some(factor) = factor else { return Some(0) };
    Some(value / factor + i128::from(value % factor >= factor / 2 && value % factor != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, unit: Unit, code: &str) -> Option<i64> {
        minor_units(text, unit, currency(code).unwrap(), 1).ok()
    }

    #[test]
    fn major_units_have_the_decimals_of_their_currency() {
        for (text, code, expected) in [
            ("497", "EUR", Some(49_700)),
            ("497.0", "eur", Some(49_700)),
            ("497.00", "EUR", Some(49_700)),
            ("497,00", "EUR", Some(49_700)),
            ("+0.05", "EUR", Some(5)),
            ("-497.5", "EUR", Some(-49_750)),
            ("0", "EUR", Some(0)),
            ("0.0", "EUR", Some(0)),
            ("4.97e2", "EUR", Some(49_700)),
            ("49700E-2", "EUR", Some(49_700)),
            ("0.30000000000000004", "EUR", Some(30)),
            ("16.665", "EUR", Some(1_667)),
            ("16.664999", "EUR", Some(1_666)),
            ("0.001", "EUR", Some(0)),
            ("1e-30", "EUR", Some(0)),
            ("497", "JPY", Some(497)),
            ("497.4", "JPY", Some(497)),
            ("1.2345", "BHD", Some(1_235)),
            ("10000000000000.00", "EUR", Some(1_000_000_000_000_000)),
            ("10000000000000.01", "EUR", None),
            ("1,234", "EUR", None),
            ("1,234.50", "EUR", None),
            ("1e99", "EUR", None),
            ("1e30", "EUR", None),
            ("NaN", "EUR", None),
            ("", "EUR", None),
            (".5", "EUR", None),
            ("5 EUR", "EUR", None),
            ("--5", "EUR", None),
            ("9999999999999999999999999999999999999999999", "EUR", None),
        ] {
            assert_eq!(read(text, Unit::Major, code), expected, "{text} {code}");
        }
    }

    #[test]
    fn minor_units_are_whole() {
        for (text, code, expected) in [
            ("49700", "EUR", Some(49_700)),
            ("49700.0", "EUR", Some(49_700)),
            ("497", "JPY", Some(497)),
        ] {
            assert_eq!(read(text, Unit::Minor, code), expected, "{text} {code}");
        }
        assert_eq!(minor_units("19.90", Unit::Major, Currency::EUR, 3), Ok(5_970));
        assert_eq!(minor_units("19.90", Unit::Major, Currency::EUR, 0), Ok(0));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.,eE]{0,50}", quantity in any::<u32>()) {
            let _ = minor_units(&text, Unit::Major, Currency::EUR, quantity);
        }

        #[test]
        fn cents_are_kept(cents in 0_i64..=1_000_000_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(read(&text, Unit::Major, "EUR"), Some(cents));
            prop_assert_eq!(read(&cents.to_string(), Unit::Minor, "EUR"), Some(cents));
        }
    }
}
