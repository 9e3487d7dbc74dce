//! Sums of money, each currency by itself.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use crate::sheet::currency;

/// Minor units of each currency; the empty one is that of amounts nothing names a currency for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Amounts(BTreeMap<String, i128>);

impl Amounts {
    /// Adds an amount `sign` times.
    pub(super) fn add_signed(&mut self, amount: Option<&(i64, String)>, sign: i64) {
        if let Some((units, currency)) = amount {
            *self.0.entry(currency.clone()).or_default() += i128::from(*units) * i128::from(sign);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (currency, units) in &other.0 {
            *self.0.entry(currency.clone()).or_default() += units;
        }
    }

    /// Everything that arrived went back.
    pub(super) fn is_reversed(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|units| *units <= 0)
    }

    /// For sorting: currencies cannot be compared, but something has to come first.
    pub(super) fn size(&self) -> i128 {
        self.0.values().sum()
    }

    /// A share of it, in hundredths of a per cent, rounded to the nearest minor unit.
    pub(super) fn share(&self, basis_points: i128) -> Self {
        let share = |units: &i128| (units * basis_points + 5_000).div_euclid(10_000);
        Self(self.0.iter().map(|(code, units)| (code.clone(), share(units))).collect())
    }

    /// Currencies and decimals for a program: `497.00`.
    pub(super) fn plain(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(code, units)| (decimal(*units, code, ""), code.clone())).collect()
    }
}

/// Units, point, decimals; thousands apart.
fn decimal(units: i128, code: &str, between: &str) -> String {
    let exponent = currency(code).map_or(2, |(_, exponent)| exponent);
    let unit = 10_u128.pow(exponent);
    let (whole, part) = (units.unsigned_abs() / unit, units.unsigned_abs() % unit);
    let digits = whole.to_string();
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push_str(between);
        }
        grouped.push(digit);
    }
    let sign = if units < 0 { "-" } else { "" };
    if exponent == 0 {
        format!("{sign}{grouped}")
    } else {
        format!("{sign}{grouped}.{part:0width$}", width = exponent as usize)
    }
}

/// For people: `5 964.00 EUR + 10.00 USD`. A space, because a comma means something else to half of them.
impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (n, (code, units)) in self.0.iter().enumerate() {
            let plus = if n > 0 { " + " } else { "" };
            let space = if code.is_empty() { "" } else { "\u{a0}" };
            write!(f, "{plus}{}{space}{code}", decimal(*units, code, "\u{202f}"))?;
        }
        Ok(())
    }
}

/// `[{"currency": "EUR", "minor_units": 596400}]`
impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Amount<'a> {
            currency: &'a str,
            minor_units: i128,
        }
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for (currency, minor_units) in &self.0 {
            seq.serialize_element(&Amount { currency, minor_units: *minor_units })?;
        }
        seq.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(of: &[(i64, &str)]) -> Amounts {
        let mut amounts = Amounts::default();
        for (units, currency) in of {
            amounts.add_signed(Some(&(*units, (*currency).to_owned())), 1);
        }
        amounts
    }

    #[test]
    fn sums_are_kept_by_currency() {
        let sum = amounts(&[(596_400, "EUR"), (1_000, "USD"), (123_456_700, "EUR"), (497, "JPY")]);
        let text = sum.to_string().replace(['\u{202f}', '\u{a0}'], "_");
        assert_eq!(text, "1_240_531.00_EUR + 497_JPY + 10.00_USD");
        assert_eq!(sum.plain()[0], ("1240531.00".to_owned(), "EUR".to_owned()));
        assert_eq!(Amounts::default().to_string(), "-");
        assert_eq!(amounts(&[(-5, "")]).to_string(), "-0.05");
    }

    #[test]
    fn a_share_is_rounded_to_the_nearest_unit() {
        for (units, basis_points, expected) in [
            (49_700, 4_000, "198.80"),
            (101, 5_000, "0.51"),
            (1, 4_999, "0.00"),
            (3, 3_333, "0.01"),
        ] {
            let share = amounts(&[(units, "EUR")]).share(basis_points);
            assert_eq!(share.plain()[0].0, expected);
        }
    }

    #[test]
    fn what_went_back_whole_is_reversed() {
        assert!(amounts(&[(5, "EUR"), (-5, "EUR")]).is_reversed());
        assert!(!amounts(&[(5, "EUR"), (-4, "EUR")]).is_reversed());
        assert!(!Amounts::default().is_reversed());
    }
}
