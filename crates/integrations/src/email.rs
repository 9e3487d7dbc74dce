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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_an_address() {
        for text in ["ada@example.org", " Ada@Example.org\n", "a@b@example.org", "ä@bücher.example"]
        {
            assert_eq!(Email::read(text).unwrap().expose(), text.trim());
        }
        for text in ["", "ada", "@example.org", "ada@", "a da@example.org", "ada@exa\u{0}mple.org"]
        {
            assert_eq!(Email::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn never_printed() {
        let email = Email::read("ada@example.org").unwrap();
        assert_eq!(format!("{email} {email:?}"), "[e-mail] [e-mail]");
    }
}
