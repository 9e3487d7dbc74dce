//! E-mail addresses: the only place that sees one in clear.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// A normalised e-mail address, version 1 of the normalisation: trimmed, Unicode NFC, lower case, the domain in IDNA
/// ASCII form. Nothing cleverer: dots and `+tags` tell people apart at most providers.
///
/// Prints as `[e-mail]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

/// A text that is not an e-mail address. Does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an e-mail address")]
pub struct EmailError;

impl Email {
    /// Normalises an address.
    ///
    /// # Errors
    /// If it is none: no `@`, an empty or over-long part (64 and 254 bytes), spaces or control characters,
    /// or a domain that is not one.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text: String = text.trim().nfc().collect::<String>().to_lowercase().nfc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let printable = |c: char| !c.is_control() && !c.is_whitespace();
        if local.is_empty() || local.len() > 64 || !local.chars().all(printable) {
            return Err(EmailError);
        }
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| EmailError)?;
        let address = format!("{local}@{domain}");
        if domain.is_empty() || domain.split('.').any(str::is_empty) || address.len() > 254 {
            return Err(EmailError);
        }
        Ok(Self(address))
    }

    /// The address in clear: for hashing and sealing only.
    pub(crate) fn expose(&self) -> &str {
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_address() {
        for (text, expected) in [
            ("jane@example.com", "jane@example.com"),
            ("  Jane@Example.COM\n", "jane@example.com"),
            ("jane@bücher.example", "jane@xn--bcher-kva.example"),
            ("jane@XN--BCHER-KVA.example", "jane@xn--bcher-kva.example"),
            ("u\u{0308}@example.com", "\u{00fc}@example.com"),
            ("a@b@example.com", "a@b@example.com"),
            ("jane+tag@example.com", "jane+tag@example.com"),
            ("j.ane@example.com", "j.ane@example.com"),
            ("jane@example.com.", "jane@example.com"),
        ] {
            assert_eq!(Email::parse(text).unwrap().expose(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "@",
            "jane",
            "jane@",
            "@example.com",
            "ja ne@example.com",
            "jane@exa mple.com",
            "jane@.com",
            "jane@a..b",
            "jane\u{0}@example.com",
            "{{ contact.EMAIL }}",
            "%EMAIL%",
        ] {
            assert_eq!(Email::parse(text), Err(EmailError), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "x".repeat(65))).is_err());
    }

    #[test]
    fn never_printed() {
        let email = Email::parse("jane@example.com").unwrap();
        assert_eq!(format!("{email} {email:?}"), "[e-mail] [e-mail]");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,20}@\\PC{0,20}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.expose()), Ok(email.clone()));
            }
        }
    }
}
