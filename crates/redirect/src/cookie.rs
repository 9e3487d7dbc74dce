//! Cookies: one names the last click of a browser, others the person who joined a webinar on it. Hints; nothing depends on
//! them.

use std::time::Duration;

use http::{HeaderMap, header::COOKIE};
use tagalong_attribution::{id::ProductId, link::read_click_id};
use tagalong_proto::v1::{ClickClass, CookiePolicy};
use uuid::Uuid;

const CLICK: &str = "tagalong";
const PERSON: &str = "tagalong_me";

/// The click a browser remembers.
pub(crate) fn read(headers: &HeaderMap) -> Option<Uuid> {
    values(headers, CLICK).find_map(read_click_id)
}

/// Who joined on this browser: what may be the person's token.
pub(crate) fn read_person(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    values(headers, PERSON).map(str::trim)
}

fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let headers = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    headers.flat_map(|header| header.split(';')).filter_map(move |pair| {
        let (other, value) = pair.split_once('=')?;
        (other.trim() == name).then_some(value)
    })
}

/// What a visit is like, as far as cookies go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) class: ClickClass,
    /// The visit is a touch: its link credits an affiliate, and it is not an attendee's own purchase link.
    pub(crate) touch: bool,
    /// The link says `consent=1`.
    pub(crate) consents: bool,
    /// `Sec-GPC: 1`.
    pub(crate) opted_out: bool,
}

/// Whether a visit sets the cookie of the click. Never one that credits nobody: it would displace one that does.
pub(crate) fn is_set(policy: CookiePolicy, visitor: Visitor) -> bool {
    visitor.touch && is_allowed(policy, visitor)
}

/// Whether a visitor may be remembered.
pub(crate) fn is_allowed(policy: CookiePolicy, visitor: Visitor) -> bool {
    let allowed = match policy {
        CookiePolicy::Unspecified | CookiePolicy::OnConsent => visitor.consents,
        CookiePolicy::Always => true,
        CookiePolicy::Never => false,
    };
    allowed && visitor.class == ClickClass::Human && !visitor.opted_out
}

/// The browser says `Sec-GPC: 1`.
pub(crate) fn opted_out(headers: &HeaderMap) -> bool {
    headers.get("sec-gpc").is_some_and(|value| value.as_bytes().trim_ascii() == b"1")
}

/// How the cookie is set.
#[derive(Debug)]
pub(crate) struct Setting {
    max_age: String,
    /// What stands behind the path.
    rest: String,
}

impl Setting {
    pub(crate) fn new(max_age: Duration, secure: bool) -> Self {
        let secure = if secure { "; Secure" } else { "" };
        let seconds = max_age.as_secs();
        Self {
            max_age: format!("; Max-Age={seconds}"),
            rest: format!("; HttpOnly{secure}; SameSite=Lax"),
        }
    }

    /// The value of `Set-Cookie` that names a click.
    pub(crate) fn of(&self, click: &str) -> String {
        [CLICK, "=", click, &self.max_age, "; Path=/", &self.rest].concat()
    }

    /// The same that names a person, to the one page that asks who somebody is.
    pub(crate) fn of_person(&self, token: &str, product: &ProductId) -> String {
        let path = ["; Path=/", product.as_str(), "/go"].concat();
        [PERSON, "=", token, &self.max_age, &path, &self.rest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_is_set() {
        let human =
            Visitor { class: ClickClass::Human, touch: true, consents: false, opted_out: false };
        let consents = Visitor { consents: true, ..human };
        for (policy, visitor, expected) in [
            (CookiePolicy::Unspecified, human, false),
            (CookiePolicy::Unspecified, consents, true),
            (CookiePolicy::OnConsent, human, false),
            (CookiePolicy::OnConsent, consents, true),
            (CookiePolicy::Always, human, true),
            (CookiePolicy::Never, consents, false),
            (CookiePolicy::Always, Visitor { opted_out: true, ..consents }, false),
            (CookiePolicy::Always, Visitor { touch: false, ..human }, false),
            (CookiePolicy::Always, Visitor { class: ClickClass::Bot, ..human }, false),
            (CookiePolicy::Always, Visitor { class: ClickClass::Head, ..human }, false),
            (CookiePolicy::Always, Visitor { class: ClickClass::Prefetch, ..human }, false),
            (CookiePolicy::Always, Visitor { class: ClickClass::Preview, ..human }, false),
        ] {
            assert_eq!(is_set(policy, visitor), expected, "{policy:?} {visitor:?}");
        }
    }

    #[test]
    fn only_a_click_id_is_read() {
        let id = "01935a2b-7c8d-7e9f-8a1b-2c3d4e5f6071";
        for (values, expected) in [
            (vec![format!("a=1; tagalong={id}; b=2")], true),
            (vec!["tagalong=junk".to_owned(), format!(" tagalong = {id}")], true),
            (vec!["tagalong=".to_owned()], false),
            (vec!["tagalong=5f3a3c1e-8f1d-4c8e-9b1a-0d2f6c1e7a11".to_owned()], false),
            (vec![format!("xtagalong={id}")], false),
        ] {
            let headers = values.iter().map(|value| (COOKIE, value.parse().unwrap())).collect();
            assert_eq!(read(&headers).is_some(), expected, "{values:?}");
        }
    }

    #[test]
    fn attributes() {
        let day = Duration::from_hours(24);
        assert_eq!(
            Setting::new(day, true).of("x"),
            "tagalong=x; Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Lax"
        );
        assert!(!Setting::new(day, false).of("x").contains("Secure"));
    }
}
