//! What the path of a link asks for.
//!
//! Nothing here fails for a product's link: whatever is wrong with it, the visitor lands.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use tagalong_attribution::id::{AffiliateId, NoAffiliate, ProductId};
use tagalong_proto::v1::LinkKind;

/// A link, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) product: ProductId,
    pub(crate) kind: LinkKind,
    pub(crate) affiliate: Result<AffiliateId, NoAffiliate>,
    /// What stands where a token belongs, unverified.
    pub(crate) token: Option<String>,
    /// The one link for a whole room, which finds out who is asking.
    pub(crate) room: bool,
}

/// Reads a path; none where its first segment is no product's ID, as in our own paths, `/-/…`.
///
/// Whatever has `buy` somewhere behind a product is a purchase link, however odd the rest: taken for an affiliate link it
/// would lead a buyer back to the sales page. `/{product}/go`, the one link for a whole room, is one that knows nobody
/// yet.
pub(crate) fn parse(path: &str) -> Option<Link> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let product = decode(segments.next()?).parse().ok()?;
    let link = |kind, affiliate, token: Option<&str>| {
        let token = token.map(decode).filter(|token| !token.is_empty()).map(Cow::into_owned);
        Some(Link { product, kind, affiliate, token, room: false })
    };
    let mut segments = segments.skip_while(|segment| segment.is_empty());
    match segments.next() {
        Some(segment) if is(segment, "buy") => {
            let token = segments.next().filter(|token| !token.is_empty());
            let kind = if token.is_some() { LinkKind::Purchase } else { LinkKind::Checkout };
            link(kind, Err(NoAffiliate::Missing), token)
        }
        Some(segment) if is(segment, "p") => {
            let segment = segments.next().unwrap_or_default();
            let affiliate = read_affiliate(segment);
            let inside = decode(segment).split('/').skip(1).any(|part| is(part, "buy"));
            if inside || segments.any(|segment| is(segment, "buy")) {
                link(LinkKind::Purchase, affiliate, segments.next())
            } else {
                link(LinkKind::Affiliate, affiliate, None)
            }
        }
        Some(segment) if is(segment, "go") => {
            let link = link(LinkKind::Checkout, Err(NoAffiliate::Missing), None);
            link.map(|link| Link { room: true, ..link })
        }
        first => {
            let mut rest = first.into_iter().chain(segments).map(decode);
            let buy = rest.any(|segment| segment.split('/').any(|part| is(part, "buy")));
            let kind = if buy { LinkKind::Checkout } else { LinkKind::Affiliate };
            link(kind, Err(NoAffiliate::Missing), None)
        }
    }
}

/// Before decoding too: decoded, `%AFF%` is no longer what the tool left there.
fn read_affiliate(segment: &str) -> Result<AffiliateId, NoAffiliate> {
    match AffiliateId::read(segment) {
        Err(NoAffiliate::Malformed) => AffiliateId::read(&decode(segment)),
        read => read,
    }
}

fn is(segment: &str, word: &str) -> bool {
    decode(segment).eq_ignore_ascii_case(word)
}

fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use LinkKind::{Affiliate, Checkout, Purchase};
    use NoAffiliate::{Malformed, Missing, Unresolved};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_path() {
        let max = || Ok("max");
        for (path, kind, affiliate, token) in [
            ("/course/p/max", Affiliate, max(), None),
            ("/course/p/max/", Affiliate, max(), None),
            ("/course/p/%6dax/", Affiliate, max(), None),
            ("/course/p/%20max%20/", Affiliate, max(), None),
            ("/course/%70/max/", Affiliate, max(), None),
            ("/course/p/max/).", Affiliate, max(), None),
            ("/course/p/max/buy", Purchase, max(), None),
            ("/course/p/max/buy/", Purchase, max(), None),
            ("/course/p/max/BUY", Purchase, max(), None),
            ("/course/p/max//buy", Purchase, max(), None),
            ("/course/p/max/buy/tok", Purchase, max(), Some("tok")),
            ("/course/p/max/buy/tok/", Purchase, max(), Some("tok")),
            ("/course/p/max/buy/tok/more", Purchase, max(), Some("tok")),
            ("/course/p/buy/buy", Purchase, Ok("buy"), None),
            ("/course/p//buy", Purchase, Err(Missing), None),
            ("/course/p/*|AFF|*/buy/tok", Purchase, Err(Unresolved), Some("tok")),
            ("/course/p/{{a/b}}/buy/tok", Purchase, Err(Malformed), Some("tok")),
            ("/course/p/-x/buy", Purchase, Err(Malformed), None),
            ("/course/buy", Checkout, Err(Missing), None),
            ("/course/buy/", Checkout, Err(Missing), None),
            ("/course/buy/tok", Purchase, Err(Missing), Some("tok")),
            ("/course/buy/tok/", Purchase, Err(Missing), Some("tok")),
            ("/course//p/max/buy", Purchase, max(), None),
            ("/course//buy/tok", Purchase, Err(Missing), Some("tok")),
            ("/course/p/max%2Fbuy", Purchase, Err(Malformed), None),
            ("/course/p%2Fmax%2Fbuy", Checkout, Err(Missing), None),
            ("/course/x/buy", Checkout, Err(Missing), None),
            ("/course/go", Checkout, Err(Missing), None),
            ("/course/GO/", Checkout, Err(Missing), None),
            ("/course", Affiliate, Err(Missing), None),
            ("/course/", Affiliate, Err(Missing), None),
            ("/course/p", Affiliate, Err(Missing), None),
            ("/course/p/", Affiliate, Err(Missing), None),
            ("/course/p//", Affiliate, Err(Missing), None),
            ("/course/whatever/else", Affiliate, Err(Missing), None),
            ("/course/p/%AFF%/", Affiliate, Err(Unresolved), None),
            ("/course/p/%25AFF%25/", Affiliate, Err(Unresolved), None),
            ("/course/p/*|AFF|*/", Affiliate, Err(Unresolved), None),
            ("/course/p/%7B%7Baff%7D%7D/", Affiliate, Err(Unresolved), None),
            ("/course/p/a%2Fb/", Affiliate, Err(Malformed), None),
            ("/course/p/..", Affiliate, Err(Malformed), None),
            ("/course/p/%FF/", Affiliate, Err(Malformed), None),
            ("/course/p/100%/", Affiliate, Err(Malformed), None),
        ] {
            let link = parse(path).unwrap();
            assert_eq!(link.product.as_str(), "course", "{path}");
            assert_eq!(link.kind, kind, "{path}");
            assert_eq!(
                link.affiliate.as_ref().map(AffiliateId::as_str),
                affiliate.as_ref().map(|a| *a),
                "{path}"
            );
            assert_eq!(link.token.as_deref(), token, "{path}");
            assert_eq!(link.room, path.to_ascii_lowercase().starts_with("/course/go"), "{path}");
        }
    }

    #[test]
    fn no_product_no_link() {
        for path in [
            "",
            "/",
            "//",
            "//course/p/max",
            "/-/hooks/x",
            "/.well-known/x",
            "/%2e%2e/p/max",
            "*",
            "/c%20d",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_product_are_a_link(bytes in any::<Vec<u8>>()) {
            let path = format!("/course/{}", String::from_utf8_lossy(&bytes));
            let link = parse(&path).unwrap();
            prop_assert_eq!(link.product.as_str(), "course");
        }

        #[test]
        fn buy_behind_an_affiliate_is_never_an_affiliate_link(affiliate in "[^/]{0,80}", token in any::<String>()) {
            let link = parse(&format!("/course/p/{affiliate}/buy/{token}")).unwrap();
            prop_assert_eq!(link.kind, Purchase);
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
