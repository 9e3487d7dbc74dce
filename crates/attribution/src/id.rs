//! IDs, and what stands in a link where an affiliate's ID belongs.

use std::{fmt, str::FromStr};

/// Longest ID, in bytes.
pub const MAX_LEN: usize = 64;

/// A text that is not an ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ - and start with a letter, a digit, _ or ~"
)]
pub struct IdError;

/// Whether `text` is `[A-Za-z0-9_~][A-Za-z0-9._~-]{0,63}`: one URL path segment that needs no encoding and is
/// neither a dot segment nor one of our own paths, which start with `-`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let unreserved = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
    bytes.len() <= MAX_LEN
        && bytes.first().is_some_and(|b| !matches!(b, b'.' | b'-'))
        && bytes.iter().all(unreserved)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The ID as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(IdError) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                if is_id(&text) { Ok(Self(text)) } else { Err(IdError) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A programme: an account at an affiliate platform.
    ProgrammeId
);
id!(
    /// An affiliate; the same text at another programme is somebody else.
    AffiliateId
);
id!(
    /// A product.
    ProductId
);
id!(
    /// A webinar.
    WebinarId
);
id!(
    /// A source: a configured connection to a tool or checkout.
    SourceId
);

/// Why a link or a registration names no affiliate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAffiliate {
    /// Nothing stands there.
    #[error("no affiliate ID")]
    Missing,
    /// A merge tag that an e-mail or webinar tool did not fill in.
    #[error("a merge tag that was not filled in")]
    Unresolved,
    /// Anything else that cannot be an ID.
    #[error("not an affiliate ID")]
    Malformed,
}

impl AffiliateId {
    /// Reads what stands where an affiliate's ID belongs: a decoded path segment, a registration's field.
    ///
    /// # Errors
    /// Says why it names nobody; such a text never creates an affiliate.
    pub fn read(text: &str) -> Result<Self, NoAffiliate> {
        let text = text.trim();
        if text.is_empty() {
            Err(NoAffiliate::Missing)
        } else if is_unresolved(text) {
            Err(NoAffiliate::Unresolved)
        } else {
            text.parse().map_err(|IdError| NoAffiliate::Malformed)
        }
    }
}

/// Whether `text` looks like a merge tag, in the syntaxes of the common e-mail and webinar tools:
/// `*|AFF|*` (Mailchimp), `%AFF%` (`ActiveCampaign`, `KlickTipp`), `{{ contact.AFF }}` (Brevo, `HubSpot`, Klaviyo,
/// Kit), `{$aff}` (`MailerLite`), `{!custom aff}` (`AWeber`), `{contactfield=aff}` (Mautic), `[[aff]]` (`GetResponse`,
/// Quentn), `[AFF]` (`MailWizz`), `__aff__` (placeholders of test mails), and our own `{affiliate}`.
#[must_use]
pub fn is_unresolved(text: &str) -> bool {
    let wrapped = |open: &str, close: &str| {
        text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    };
    [("*|", "|*"), ("%", "%"), ("{", "}"), ("[", "]"), ("__", "__"), ("<", ">")]
        .iter()
        .any(|(open, close)| wrapped(open, close))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_where_an_affiliate_belongs() {
        use NoAffiliate::{Malformed, Missing, Unresolved};
        for (text, expected) in [
            ("max", None),
            (" max ", None),
            ("JohnSmith", None),
            ("a.b_c~d-e", None),
            ("~x", None),
            ("", Some(Missing)),
            ("   ", Some(Missing)),
            ("*|AFF|*", Some(Unresolved)),
            ("%AFF%", Some(Unresolved)),
            ("%Subscriber:CustomFieldAff%", Some(Unresolved)),
            ("{{ contact.AFF }}", Some(Unresolved)),
            ("{{contact.AFF|urlencode}}", Some(Unresolved)),
            ("{$aff}", Some(Unresolved)),
            ("{!custom aff}", Some(Unresolved)),
            ("{contactfield=aff}", Some(Unresolved)),
            ("[[aff]]", Some(Unresolved)),
            ("[AFF]", Some(Unresolved)),
            ("__test_aff__", Some(Unresolved)),
            ("{affiliate}", Some(Unresolved)),
            ("-max", Some(Malformed)),
            ("..", Some(Malformed)),
            ("a/b", Some(Malformed)),
            ("ma x", Some(Malformed)),
            ("mäx", Some(Malformed)),
        ] {
            assert_eq!(AffiliateId::read(text).err(), expected, "{text:?}");
        }
        assert_eq!(AffiliateId::read(&"x".repeat(65)).err(), Some(Malformed));
        assert!(AffiliateId::read(&"x".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn an_id_survives_a_url_untouched(text in any::<String>()) {
            if let Ok(id) = AffiliateId::read(&text) {
                let url = url::Url::parse(&format!("https://x.test/{id}/y")).unwrap();
                prop_assert_eq!(url.path(), format!("/{id}/y"));
            }
        }
    }
}
