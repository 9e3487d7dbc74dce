//! Amounts, as platforms spell them.

/// An amount of money, never negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// In the currency's minor unit: cents for EUR, yen for JPY. At most 10^15.
    pub minor_units: i64,
    /// ISO 4217, upper case.
    pub currency: String,
}
