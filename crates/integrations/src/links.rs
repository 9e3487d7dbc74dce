//! How a platform learns the affiliate.

use serde::Deserialize;

/// A page of a platform, as two URL templates in the syntax of [`tagalong_attribution::template`]. What is settled
/// once, when a product is set up, stands in angle brackets: `<product>` is the platform's product ID, `<account>`
/// the vendor's name there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// For links that name an affiliate.
    pub with_affiliate: String,
    /// For links that name none.
    pub without_affiliate: String,
}

/// How a platform compares affiliates' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AffiliateNames {
    /// Letter by letter.
    #[default]
    Exact,
    /// `JohnSmith` and `johnsmith` are one affiliate.
    IgnoreCase,
}

impl AffiliateNames {
    /// Whether two names are one affiliate's.
    #[must_use]
    pub fn same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Exact => one == other,
            Self::IgnoreCase => one.to_lowercase() == other.to_lowercase(),
        }
    }
}
