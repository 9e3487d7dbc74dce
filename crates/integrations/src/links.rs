//! How a platform learns the affiliate, and what it hands back.

use std::collections::BTreeMap;

use serde::Deserialize;
use tagalong_attribution::template::{Destination, DestinationError};

/// `[links]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// What stands in angle brackets in the templates, and what each of it is, in words.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The platform's own affiliate link.
    pub affiliate: Option<Templates>,
    /// The platform's affiliate link to a page of somebody's own choice.
    pub content: Option<Templates>,
    /// Where purchase links lead.
    pub purchase: Option<Templates>,
    /// The page on which one registers for a webinar.
    pub invitation: Option<Templates>,
    /// Query parameters in which the platform hands the affiliate to a sales page, the usual one first.
    #[serde(default)]
    pub landing_parameters: Vec<String>,
    /// How long after a click the platform credits the affiliate, in days.
    pub window_days: Option<u16>,
    /// How the platform compares affiliates' names.
    #[serde(default)]
    pub affiliate_names: AffiliateNames,
    /// Where the token or the click's ID travels.
    pub reference: Option<FreeField>,
    /// What to know before using them, in words.
    #[serde(default)]
    pub caveats: Vec<String>,
}

/// A page of a platform, as two URL templates in the syntax of [`tagalong_attribution::template`]. What is settled
/// once, when a product is set up, stands in angle brackets: `<product>`, the platform's product ID.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// For links that name an affiliate.
    pub with_affiliate: String,
    /// For links that name none; empty where it is the same less the parameters that hold the affiliate.
    #[serde(default)]
    pub without_affiliate: String,
}

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A setting is needed.
    #[error("<{0}> is not given")]
    Missing(String),
    /// A setting may hold letters, digits and `-._~` only.
    #[error("<{0}> may hold letters, digits, and - . _ ~ only")]
    Characters(String),
    /// The result is no template.
    #[error(transparent)]
    Template(#[from] DestinationError),
}

impl Templates {
    /// The two templates with the settings in their places, as a product's `Destination` takes them.
    ///
    /// # Errors
    /// If a setting is missing, or the result may not be used.
    pub fn fill(&self, settings: &BTreeMap<String, String>) -> Result<Self, FillError> {
        let filled = Self {
            with_affiliate: fill(&self.with_affiliate, settings)?,
            without_affiliate: fill(&self.without_affiliate, settings)?,
        };
        Destination::parse(&filled.with_affiliate, &filled.without_affiliate)?;
        Ok(filled)
    }
}

fn fill(template: &str, settings: &BTreeMap<String, String>) -> Result<String, FillError> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once('<').and_then(|(before, rest)| Some((before, rest.split_once('>')?)))
    {
        let value = settings.get(name).ok_or_else(|| FillError::Missing(name.to_owned()))?;
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if value.is_empty() || !value.bytes().all(unreserved) {
            return Err(FillError::Characters(name.to_owned()));
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
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

/// A checkout's field that takes any text from a link and comes back with the order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeField {
    /// The link's parameter.
    pub parameter: String,
    /// At most this many characters; none where it is not known.
    pub max_length: Option<usize>,
    /// The characters that are kept, as ranges and single ones with `-` the last: `A-Za-z0-9_-`; none where it is not known.
    pub characters: Option<String>,
}

impl FreeField {
    /// Whether a text comes back whole, as far as is known.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let short = self.max_length.is_none_or(|max| text.chars().count() <= max);
        let kept = self.characters.as_deref().is_none_or(|set| text.chars().all(|c| is_in(set, c)));
        short && kept
    }
}

fn is_in(set: &str, c: char) -> bool {
    let set: Vec<char> = set.chars().collect();
    let mut rest = set.as_slice();
    loop {
        match rest {
            [] => return false,
            [from, '-', to, after @ ..] => {
                if (*from..=*to).contains(&c) {
                    return true;
                }
                rest = after;
            }
            [one, after @ ..] => {
                if *one == c {
                    return true;
                }
                rest = after;
            }
        }
    }
}

/// `[merge_tags]`: how a tool puts a person's field into a mail or a page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeTags {
    /// The tag, `<field>` in the place of the field's key.
    pub field: String,
    /// How the tool spells a field's key.
    #[serde(default)]
    pub spelling: Spelling,
    /// Longest key, in characters.
    pub max_length: Option<usize>,
    /// Where in the tool to create a field.
    pub create: String,
    /// What to know before using them.
    #[serde(default)]
    pub caveats: Vec<String>,
    /// What the tag of the field `aff` is.
    pub sample: String,
}

/// How a tool spells the keys of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// As one types it.
    #[default]
    AsTyped,
    /// In capitals.
    Upper,
    /// In small letters.
    Lower,
}

impl MergeTags {
    /// A field's key as the tool spells it; none where it would be too long.
    #[must_use]
    pub fn key(&self, field: &str) -> Option<String> {
        let key = match self.spelling {
            Spelling::AsTyped => field.to_owned(),
            Spelling::Upper => field.to_uppercase(),
            Spelling::Lower => field.to_lowercase(),
        };
        self.max_length.is_none_or(|max| key.chars().count() <= max).then_some(key)
    }

    /// The tag of a field; none where its key would be too long.
    #[must_use]
    pub fn tag(&self, field: &str) -> Option<String> {
        Some(self.field.replace("<field>", &self.key(field)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_take_the_places_in_angle_brackets() {
        let templates = Templates {
            with_affiliate: "https://<account>.shop.example/<product>/{affiliate}".to_owned(),
            without_affiliate: "https://<account>.shop.example/<product>".to_owned(),
        };
        let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let filled = templates.fill(&settings(&[("account", "acme"), ("product", "p1")])).unwrap();
        assert_eq!(filled.with_affiliate, "https://acme.shop.example/p1/{affiliate}");
        assert_eq!(filled.without_affiliate, "https://acme.shop.example/p1");
        assert_eq!(
            templates.fill(&settings(&[("account", "acme")])),
            Err(FillError::Missing("product".to_owned()))
        );
        for bad in ["", "a/b", "{click}", "a<b>"] {
            assert_eq!(
                templates.fill(&settings(&[("account", "acme"), ("product", bad)])),
                Err(FillError::Characters("product".to_owned()))
            );
        }
    }

    #[test]
    fn free_fields_know_what_they_keep() {
        let field = |max_length, characters: Option<&str>| FreeField {
            parameter: "custom".to_owned(),
            max_length,
            characters: characters.map(str::to_owned),
        };
        assert!(field(None, None).holds("anything at all"));
        assert!(field(Some(3), None).holds("äöü"));
        assert!(!field(Some(3), None).holds("abcd"));
        let letters = field(None, Some("A-Za-z0-9_-"));
        assert!(letters.holds("aZ09_-"));
        assert!(!letters.holds("a.b"));
        assert!(!field(None, Some("")).holds("a"));
    }

    #[test]
    fn names_are_compared_as_the_platform_does() {
        assert!(AffiliateNames::IgnoreCase.same("JohnSmith", "johnsmith"));
        assert!(!AffiliateNames::Exact.same("JohnSmith", "johnsmith"));
        assert!(!AffiliateNames::IgnoreCase.same("john", "johnsmith"));
    }
}
