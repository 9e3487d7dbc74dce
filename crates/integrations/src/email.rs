//! E-mail addresses, as tools send them.

use std::fmt;

/// What stands where an e-mail address belongs, trimmed. Prints as `[e-mail]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address; none where the text cannot be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let whole = !local.is_empty() && !domain.is_empty();
        let printable = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        (whole && printable).then(|| Self(text.to_owned()))
    }

    /// The address in clear: for hashing and sealing only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[e-mail]")
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[e-mail]")
    }
}
