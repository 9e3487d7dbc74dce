//! What a visitor's query brings along.

use std::{borrow::Cow, collections::HashSet};

use tagalong_attribution::template::Destination;
use tagalong_proto::v1;

/// Longest path and query whose query is looked at, in bytes.
pub(crate) const MAX_LEN: usize = 8192;
/// How much of a query is passed on, encoded, in bytes.
const MAX_PASSED: usize = 2048;
/// Longest sub-ID that is kept, in characters.
const MAX_SUB: usize = 128;
const SUBS: [&str; 5] = ["sub1", "sub2", "sub3", "sub4", "sub5"];
const CONSENT: &str = "consent";

/// A visitor's query parameters, decoded, in their order.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(query: &'a str) -> Self {
        let named = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !name.is_empty());
        Self(named.collect())
    }

    /// The same, outliving the request.
    pub(crate) fn into_owned(self) -> Query<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Query(self.0.into_iter().map(|(name, value)| (owned(name), owned(value))).collect())
    }

    /// The value of the first parameter of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }

    /// Whether the link says that the visitor consented to a cookie.
    pub(crate) fn consents(&self) -> bool {
        self.first(CONSENT) == Some("1")
    }

    /// `sub1` and so on, up to the last that is set. One that may be an e-mail address counts as empty: some tools
    /// merge it into every link, and it belongs neither on our disk nor into another URL.
    pub(crate) fn sub_ids(&self) -> Vec<String> {
        let kept = |value: &str| value.chars().filter(|c| !c.is_control()).take(MAX_SUB).collect();
        let mut subs: Vec<String> = SUBS
            .iter()
            .map(|name| self.first(name).filter(|sub| !sub.contains('@')))
            .map(|sub| sub.map_or_else(String::new, kept))
            .collect();
        let set = subs.iter().rposition(|sub| !sub.is_empty()).map_or(0, |last| last + 1);
        subs.truncate(set);
        subs
    }

    /// What is passed on to the product's pages: what the rule lets through, as far as it fits.
    pub(crate) fn passed(&self, rule: &Rule) -> Vec<(&str, &str)> {
        let mut room = MAX_PASSED;
        let mut passed = Vec::new();
        for (name, value) in &self.0 {
            if SUBS.contains(&name.as_ref()) && value.contains('@') {
                continue;
            }
            let length = encoded_len(name) + encoded_len(value) + 2;
            if length <= room && rule.passes(name) {
                room -= length;
                passed.push((name.as_ref(), value.as_ref()));
            }
        }
        passed
    }
}

fn encoded_len(text: &str) -> usize {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { 1 } else { 3 }).sum()
}

/// Which parameters a product's pages get from visitors.
#[derive(Debug)]
pub(crate) struct Rule {
    only: bool,
    names: HashSet<String>,
    reserved: HashSet<String>,
}

impl Rule {
    /// The names that the pages' own templates use are reserved, whatever the rule says.
    pub(crate) fn new(rule: Option<&v1::QueryRule>, pages: &[&Destination]) -> Self {
        let own = pages.iter().flat_map(|page| page.reserved());
        let reserved = own.chain([CONSENT.to_owned()]).map(|name| as_servers_read(&name)).collect();
        let (only, names) = match rule {
            Some(rule) => {
                (rule.mode() == v1::QueryRuleMode::Only, rule.names.iter().cloned().collect())
            }
            None => (false, HashSet::new()),
        };
        Self { only, names, reserved }
    }

    fn passes(&self, name: &str) -> bool {
        self.names.contains(name) == self.only && !self.reserved.contains(&as_servers_read(name))
    }
}

/// A name as the laxest of servers understands it: to PHP `aff[]`, ` aff` and `aff%00x` all set `aff`, and `a.b` sets `a_b`;
/// others do not tell upper case from lower. The last one there wins, so none may pass.
fn as_servers_read(name: &str) -> String {
    let name = name.trim_start();
    let end = name.find(|c: char| c == '[' || c.is_control()).unwrap_or(name.len());
    let simple = |c: char| if matches!(c, '.' | ' ') { '_' } else { c.to_ascii_lowercase() };
    name[..end].trim_end().chars().map(simple).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(mode: v1::QueryRuleMode, names: &[&str]) -> Rule {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let sales = Destination::parse("https://s.test/?aff={affiliate}&lang=de", "").unwrap();
        let checkout =
            Destination::parse("https://c.test/?partner={affiliate}&a.b={token}", "").unwrap();
        Rule::new(Some(&v1::QueryRule { mode: mode.into(), names }), &[&sales, &checkout])
    }

    #[test]
    fn reserved_names_never_pass() {
        let rule = rule(v1::QueryRuleMode::AllExcept, &["secret"]);
        for name in [
            "aff", "AFF", "lang", "partner", "a.b", "a_b", "a b", "aff[]", "aff[x", " aff",
            "aff\0x", "aff ", "consent", "secret",
        ] {
            assert!(!rule.passes(name), "{name:?}");
        }
        for name in ["affiliate", "utm_source", "sub1", "tag[]", "x"] {
            assert!(rule.passes(name), "{name:?}");
        }
    }

    #[test]
    fn only_what_is_named_and_still_nothing_reserved() {
        let rule = rule(v1::QueryRuleMode::Only, &["utm_source", "aff"]);
        let query = Query::parse("utm_source=a&aff=evil&x=1&utm_source=b");
        assert_eq!(query.passed(&rule), [("utm_source", "a"), ("utm_source", "b")]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let rule = rule(v1::QueryRuleMode::Unspecified, &[]);
        let long = "ä".repeat(340);
        let text = format!("a={long}&b={long}&c=1");
        let query = Query::parse(&text);
        assert_eq!(query.passed(&rule), [("a", long.as_str()), ("c", "1")]);
    }

    #[test]
    fn sub_ids() {
        let long = "ö".repeat(200);
        let text = format!("sub3={long}&sub1=a%00b%0d%0a&sub1=second&sub4=&sub6=x&sub5=%FF%zz");
        let mut subs = Query::parse(&text).sub_ids();
        assert_eq!(subs.pop().unwrap(), "\u{fffd}%zz");
        assert_eq!(subs, ["ab", "", &"ö".repeat(128), ""]);
        assert!(Query::parse("sub1=&sub2=").sub_ids().is_empty());
        assert_eq!(Query::parse("sub1=jane%40example.com&sub2=mail").sub_ids(), ["", "mail"]);
    }

    #[test]
    fn the_first_consent_counts() {
        for (query, consents) in [
            ("consent=1", true),
            ("consent=0&consent=1", false),
            ("consent", false),
            ("", false),
            ("x&consent=%31", true),
        ] {
            assert_eq!(Query::parse(query).consents(), consents, "{query}");
        }
    }
}
