//! What a destination may be, and that no visitor's value can leave the place it was meant for.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use proptest::prelude::*;
use tagalong_attribution::{
    id::is_id,
    template::{Destination, DestinationError, MAX_LEN, TemplateError, Values},
};
use url::Url;

fn plain(template: &str) -> Result<Destination, TemplateError> {
    Destination::parse("", template).map_err(|error| {
        assert_eq!(error.field, "without_affiliate");
        error.error
    })
}

#[test]
fn templates_that_lead_anywhere_but_a_page_are_refused() {
    use TemplateError::{Characters, Empty, NotAUrl, PlaceholderInHost, Scheme, TooLong, UserInfo};
    let not_a_url = |why: url::ParseError| NotAUrl(why.to_string());
    let too_long = format!("https://x.test/{}", "y".repeat(MAX_LEN - 14));
    for (template, expected) in [
        ("", Empty),
        (&too_long, TooLong),
        // Schemes
        ("javascript:alert(1)", Scheme),
        ("javascript://x.test/%0aalert(1)", Scheme),
        ("data:text/html,x", Scheme),
        ("ftp://x.test/", Scheme),
        ("//x.test/", Scheme),
        ("/buy", Scheme),
        ("x.test/buy", Scheme),
        ("https:x.test", Scheme),
        ("https:/x.test", Scheme),
        ("{product}://x.test/", Scheme),
        ("http{product}://x.test/", Scheme),
        // Characters
        (" https://x.test/", Characters),
        ("https://x.test/a b", Characters),
        ("https://x.test/\n", Characters),
        ("ht\ttps://x.test/", Characters),
        ("https://x.test/\r\nSet-Cookie:a=b", Characters),
        ("https://x.test/\0", Characters),
        ("https://x.test/\x7f", Characters),
        ("https://x.test\\@evil.test/", Characters),
        ("https:\\\\x.test/", Characters),
        ("https://bücher.test/", Characters),
        ("https://x.test/ä", Characters),
        ("https://x.test/\u{202e}", Characters),
        // User information
        ("https://user@x.test/", UserInfo),
        ("https://user:secret@x.test/", UserInfo),
        ("https://:@x.test/", UserInfo),
        ("https://@x.test/", UserInfo),
        ("https://x.test@evil.test/{product}", UserInfo),
        // Hosts
        ("https://", not_a_url(url::ParseError::EmptyHost)),
        ("https:///", not_a_url(url::ParseError::EmptyHost)),
        ("https:///{product}", not_a_url(url::ParseError::EmptyHost)),
        ("https:///{product}/x", not_a_url(url::ParseError::EmptyHost)),
        ("https:////x.test/{product}", not_a_url(url::ParseError::EmptyHost)),
        ("https://?a=b", not_a_url(url::ParseError::EmptyHost)),
        ("https://#a", not_a_url(url::ParseError::EmptyHost)),
        ("https://:80/", not_a_url(url::ParseError::EmptyHost)),
        ("https://x.test:99999/", not_a_url(url::ParseError::InvalidPort)),
        ("https://x.test:a/", not_a_url(url::ParseError::InvalidPort)),
        ("https://[::1/", not_a_url(url::ParseError::InvalidIpv6Address)),
        ("https://1.2.3.4.5/", not_a_url(url::ParseError::InvalidIpv4Address)),
        ("https://x%2ftest/", not_a_url(url::ParseError::IdnaError)),
        ("https://xn--a/", not_a_url(url::ParseError::IdnaError)),
        ("https://{product}", PlaceholderInHost),
        ("https://{product}/", PlaceholderInHost),
        ("https://{product}.x.test/", PlaceholderInHost),
        ("https://x.test{product}/", PlaceholderInHost),
        ("https://x.test:{product}/", PlaceholderInHost),
        ("https://x.test:80{product}/", PlaceholderInHost),
        ("https://[{product}]/", PlaceholderInHost),
        ("https://{product}@x.test/", PlaceholderInHost),
        ("https://x.test}/", PlaceholderInHost),
    ] {
        assert_eq!(plain(template).unwrap_err(), expected, "{template:?}");
    }
}

#[test]
fn placeholders_stand_where_they_can_do_no_harm() {
    use TemplateError::{DotSegment, Escape, LoneBrace, PlaceholderPlace, QueryOnly, Unknown};
    for (template, expected) in [
        // Braces
        ("https://x.test/{", LoneBrace),
        ("https://x.test/}", LoneBrace),
        ("https://x.test/{product", LoneBrace),
        ("https://x.test/product}", LoneBrace),
        ("https://x.test/{product}}", LoneBrace),
        ("https://x.test/?a={product&b=1", LoneBrace),
        ("https://x.test/{}", Unknown(String::new())),
        ("https://x.test/{aff}", Unknown("aff".to_owned())),
        ("https://x.test/{Product}", Unknown("Product".to_owned())),
        ("https://x.test/{sub6}", Unknown("sub6".to_owned())),
        ("https://x.test/{+product}", Unknown("+product".to_owned())),
        ("https://x.test/{product*}", Unknown("product*".to_owned())),
        ("https://x.test/{?product}", LoneBrace),
        ("https://x.test/{&product}", Unknown("&product".to_owned())),
        ("https://x.test/{product,click}", Unknown("product,click".to_owned())),
        ("https://x.test/{{product}}", Unknown("{product".to_owned())),
        // Places
        ("https://x.test/?{product}=1", PlaceholderPlace),
        ("https://x.test/?{product}", PlaceholderPlace),
        ("https://x.test/?a{product}=1", PlaceholderPlace),
        ("https://x.test/#{product}", PlaceholderPlace),
        ("https://x.test/#a?b={product}", PlaceholderPlace),
        ("https://x.test/#/buy/{product}", PlaceholderPlace),
        ("https://x.test/#}", PlaceholderPlace),
        ("https://x.test/{token}", QueryOnly("token")),
        ("https://x.test/{sub1}", QueryOnly("sub1")),
        ("https://x.test/a{sub5}b?c={sub5}", QueryOnly("sub5")),
        // Path structure
        ("https://x.test/.", DotSegment),
        ("https://x.test/..", DotSegment),
        ("https://x.test/{product}/..", DotSegment),
        ("https://x.test/{product}/../y", DotSegment),
        ("https://x.test/{product}/%2e%2E", DotSegment),
        ("https://x.test/{product}/.%2e?a=b", DotSegment),
        ("https://x.test/%2E/{product}#a", DotSegment),
        // Escapes, also those that a value would complete
        ("https://x.test/%AFF%", Escape),
        ("https://x.test/?aff=%AFF%", Escape),
        ("https://x.test/100%", Escape),
        ("https://x.test/%zz", Escape),
        ("https://x.test/#%", Escape),
        ("https://x.test/%{product}", Escape),
        ("https://x.test/%2{product}", Escape),
        ("https://x.test/?a=%{sub1}", Escape),
    ] {
        assert_eq!(plain(template).unwrap_err(), expected, "{template:?}");
    }
}

#[test]
fn templates_that_lead_to_a_page_are_accepted() {
    let longest = format!("https://x.test/{}", "y".repeat(MAX_LEN - 15));
    let values = Values { product: "course", click: "c1", ..Values::default() };
    for (template, expected) in [
        (longest.as_str(), longest.as_str()),
        ("https://x.test", "https://x.test"),
        ("http://x.test/", "http://x.test/"),
        ("HTTPS://X.test/Buy", "HTTPS://X.test/Buy"),
        ("https://x.test:8443/{product}", "https://x.test:8443/course"),
        ("https://[2001:db8::1]:8443/{product}", "https://[2001:db8::1]:8443/course"),
        ("http://127.0.0.1:8080/{product}", "http://127.0.0.1:8080/course"),
        ("http://localhost/{product}", "http://localhost/course"),
        ("https://xn--bcher-kva.test/{product}", "https://xn--bcher-kva.test/course"),
        ("https://x.test/@max/{product}", "https://x.test/@max/course"),
        ("https://x.test//{product}//", "https://x.test//course//"),
        ("https://x.test/a.b/.hidden/...", "https://x.test/a.b/.hidden/..."),
        ("https://x.test/..{product}", "https://x.test/..course"),
        ("https://x.test/%2e{product}.", "https://x.test/%2ecourse."),
        ("https://x.test/%C3%A4/{product}%20x", "https://x.test/%C3%A4/course%20x"),
        ("https://x.test/{product}-{click}.html", "https://x.test/course-c1.html"),
        ("https://x.test/{product}{product}", "https://x.test/coursecourse"),
        ("https://x.test?a={product}", "https://x.test?a=course"),
        ("https://x.test/?a=b?c=d&e=//y@z", "https://x.test/?a=b?c=d&e=//y@z"),
        ("https://x.test/?a=..&b=../{product}", "https://x.test/?a=..&b=../course"),
        ("https://x.test/?a&b=&=c", "https://x.test/?a&b=&=c"),
        ("https://x.test/?", "https://x.test/"),
        ("https://x.test/#a?b=c#d", "https://x.test/#a?b=c#d"),
        ("https://x.test/#/../buy", "https://x.test/#/../buy"),
    ] {
        assert_eq!(plain(template).unwrap().url(&values, &[]), expected, "{template:?}");
    }
}

/// A destination has two templates, and an error names the one at fault.
#[test]
fn the_two_templates_of_a_destination_go_together() {
    let parse = |with, without| {
        Destination::parse(with, without)
            .err()
            .map(|DestinationError { field, error }| (field, error))
    };
    let with = "https://x.test/?aff={affiliate}";
    let in_path = "https://x.test/{affiliate}";
    let without = "https://x.test/";
    assert_eq!(parse(with, without), None);
    assert_eq!(parse(with, ""), None);
    assert_eq!(parse("", without), None);
    assert_eq!(parse(in_path, without), None);
    assert_eq!(parse("", ""), Some(("without_affiliate", TemplateError::Empty)));
    assert_eq!(parse(without, without), Some(("with_affiliate", TemplateError::AffiliateMissing)));
    assert_eq!(parse(with, with), Some(("without_affiliate", TemplateError::AffiliateUnexpected)));
    assert_eq!(
        parse(with, in_path),
        Some(("without_affiliate", TemplateError::AffiliateUnexpected))
    );
    assert_eq!(parse("", with), Some(("without_affiliate", TemplateError::AffiliateUnexpected)));
    assert_eq!(parse(in_path, ""), Some(("without_affiliate", TemplateError::WithoutRequired)));
    assert_eq!(
        parse("https://x.test/{affiliate}?a={affiliate}", ""),
        Some(("without_affiliate", TemplateError::WithoutRequired))
    );
    assert_eq!(parse("ftp://x", without), Some(("with_affiliate", TemplateError::Scheme)));
    assert_eq!(parse(with, "ftp://x"), Some(("without_affiliate", TemplateError::Scheme)));
    assert_eq!(
        Destination::parse("https://{affiliate}.x.test/", without).unwrap_err().to_string(),
        "with_affiliate: must not hold a placeholder in scheme or host"
    );
}

const COPECART: &str = "https://copecart.test/p/{product}/{affiliate}?metadata={reference}";
const BARE: &str = "https://copecart.test/p/{product}?metadata={reference}";
const DIGISTORE: &str =
    "https://digistore.test/{product}?aff={affiliate}&custom={token}&cam={sub1}";

#[test]
fn values_stand_where_the_template_says() {
    let nothing = Values { product: "course", click: "c1", ..Values::default() };
    let known = Values { affiliate: Some("max"), token: Some("t1"), ..nothing };
    let untokened = Values { affiliate: Some("max"), ..nothing };
    let subbed = Values { subs: &["mail", "", "x y&z=1#%/?+"], ..untokened };
    for (with, without, values, passed, expected) in [
        (COPECART, BARE, known, &[][..], "https://copecart.test/p/course/max?metadata=t1"),
        (COPECART, BARE, untokened, &[], "https://copecart.test/p/course/max?metadata=c1"),
        (COPECART, BARE, nothing, &[], "https://copecart.test/p/course?metadata=c1"),
        // An empty token is none, and what is no ID is no affiliate.
        (
            COPECART,
            BARE,
            Values { token: Some(""), ..known },
            &[],
            "https://copecart.test/p/course/max?metadata=c1",
        ),
        (
            COPECART,
            BARE,
            Values { affiliate: Some(""), ..known },
            &[],
            "https://copecart.test/p/course?metadata=t1",
        ),
        (
            COPECART,
            BARE,
            Values { affiliate: Some(".."), ..known },
            &[],
            "https://copecart.test/p/course?metadata=t1",
        ),
        (
            DIGISTORE,
            "",
            Values { affiliate: Some("%AFF%"), ..known },
            &[],
            "https://digistore.test/course?custom=t1",
        ),
        // A parameter without its value is left out, and the derived template has no affiliate.
        (DIGISTORE, "", known, &[], "https://digistore.test/course?aff=max&custom=t1"),
        (DIGISTORE, "", untokened, &[], "https://digistore.test/course?aff=max"),
        (DIGISTORE, "", nothing, &[], "https://digistore.test/course"),
        (DIGISTORE, "", subbed, &[], "https://digistore.test/course?aff=max&cam=mail"),
        (
            "https://x.test/?q=1&a={sub1}-{affiliate}&b={sub1}-{token}&c#d",
            "",
            subbed,
            &[],
            "https://x.test/?q=1&a=mail-max&c#d",
        ),
        (
            "https://x.test/?q=1&a={sub1}-{affiliate}&b={sub1}-{click}&c#d",
            "",
            Values { affiliate: None, ..subbed },
            &[],
            "https://x.test/?q=1&b=mail-c1&c#d",
        ),
        // But never the affiliate's own.
        (
            "https://x.test/?ref={affiliate}.{sub1}&custom={token}",
            "",
            untokened,
            &[],
            "https://x.test/?ref=max.",
        ),
        // Sub-IDs: the second is empty, the fourth is missing, the third needs encoding.
        (
            "",
            "https://x.test/?1={sub1}&2={sub2}&3={sub3}&4={sub4}&5={sub5}",
            subbed,
            &[],
            "https://x.test/?1=mail&3=x%20y%26z%3D1%23%25%2F%3F%2B",
        ),
        // What a visitor brought follows, encoded, before the fragment.
        (
            "",
            "https://x.test/?keep=this#part",
            known,
            &[("utm_source", "a b"), ("ä&=", "#?/"), ("empty", "")],
            "https://x.test/?keep=this&utm_source=a%20b&%C3%A4%26%3D=%23%3F%2F&empty=#part",
        ),
        ("", "https://x.test#part", known, &[("a", "1")], "https://x.test?a=1#part"),
        ("", "https://x.test/?a={token}", nothing, &[("b", "2")], "https://x.test/?b=2"),
        // A path takes IDs only: no dot segment, no empty segment, nothing to decode.
        (
            "",
            "https://x.test/{product}/..{click}/{reference}?click={click}",
            Values { product: "..", click: "", token: Some("a/b"), ..nothing },
            &[],
            "https://x.test/-/..-/-",
        ),
        // The page cannot be told the affiliate.
        ("", "https://x.test/{product}", known, &[], "https://x.test/course"),
    ] {
        let destination = Destination::parse(with, without).unwrap();
        assert_eq!(destination.url(&values, passed), expected, "{with} | {without}");
    }
}

/// RFC 6570, 1.2 and 3.2.2: level 1, simple string expansion.
#[test]
fn rfc_6570_level_1() {
    for (value, expanded) in [
        ("value", "value"),
        ("Hello World!", "Hello%20World%21"),
        ("50%", "50%25"),
        ("/foo/bar", "%2Ffoo%2Fbar"),
        ("fred", "fred"),
        ("1024", "1024"),
        // 1.6: reserved characters, and characters outside ASCII as UTF-8.
        (":/?#[]@!$&'()*+,;=", "%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D"),
        ("AZaz09-._~", "AZaz09-._~"),
        ("á", "%C3%A1"),
        ("%C3%A1", "%25C3%25A1"),
    ] {
        let destination = plain("https://x.test/?O={sub1}x&X={sub1}").unwrap();
        let values = Values { subs: &[value], ..Values::default() };
        let expected = format!("https://x.test/?O={expanded}x&X={expanded}");
        assert_eq!(destination.url(&values, &[]), expected);
    }
}

#[test]
fn the_names_that_templates_use_are_reserved_as_a_server_reads_them() {
    let reserved = |with, without| -> Vec<String> {
        Destination::parse(with, without).unwrap().reserved().collect()
    };
    let names = reserved(
        "https://x.test/?aff={affiliate}&cus%74om+x=1&flag&a%2Bb=c=d",
        "https://x.test/?plain=1#no=1",
    );
    assert_eq!(names, ["aff", "custom x", "flag", "a+b", "plain"]);
    // Also the one that the derived template leaves out.
    assert!(reserved(DIGISTORE, "").contains(&"aff".to_owned()));
    assert_eq!(reserved("", "https://x.test/#?a=1"), <[&str; 0]>::default());
}

/// Texts that try to leave their place, among ordinary ones.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[./%2eE]{0,6}",
        "[a-z]{1,8}",
        prop::sample::select(vec![
            "",
            ".",
            "..",
            "%2e%2e",
            "2e",
            "e",
            "/",
            "//evil.test",
            "\\",
            "@evil.test",
            "?",
            "#",
            "&aff=eva",
            "=",
            "+",
            "{affiliate}",
            "javascript:alert(1)",
            "\r\nX: y",
            "-",
            "max",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Templates put together from pieces, `{affiliate}` among them once or not at all; about half of them parse.
fn templates(affiliate: bool) -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        12 => prop::sample::select(vec![
            "https://x.test/", "HTTP://X.test:8080/", "https://[::1]/", "http://127.0.0.1:80/",
            "https://xn--bcher-kva.test/", "https://x.test:/",
        ]),
        1 => prop::sample::select(vec!["https://x.test", "https://", "https:///", "https://a@b/", ""]),
    ];
    let part = prop_oneof![
        12 => prop::sample::select(vec![
            "/", "/", "/", "a", "..", ".", "%2e", "%2E", "{product}", "{click}", "{reference}", "@", ":", ";",
            "~", "+",
        ]),
        1 => prop::sample::select(vec!["%2", "%", "{token}", "{sub1}", "/../"]),
    ];
    let value = prop_oneof![
        20 => prop::sample::select(vec![
            "a", "{product}", "{click}", "{reference}", "{token}", "{sub1}", "{sub5}", "%20", "?", "/", "=", "+",
            "@", "..", "",
        ]),
        1 => prop::sample::select(vec!["%", "{", "{aff}"]),
    ];
    let query = (0..3_usize, prop::collection::vec(value, 0..3))
        .prop_map(|(name, value)| format!("{}{}", ["a=", "b%20=", "c="][name], value.concat()));
    let fragment = prop::sample::select(vec!["", "#", "#/x?y=z&a", "#%41"]);
    (
        origin,
        prop::collection::vec(part, 0..6),
        prop::collection::vec(query, 0..4),
        fragment,
        any::<prop::sample::Index>(),
    )
        .prop_map(move |(origin, path, query, fragment, at)| {
            let mut path: Vec<String> = path.into_iter().map(str::to_owned).collect();
            let mut query = query;
            if affiliate {
                let at = at.index(path.len() + query.len() + 1);
                if at <= path.len() {
                    path.insert(at, "{affiliate}".to_owned());
                } else {
                    query[at - path.len() - 1].push_str("{affiliate}");
                }
            }
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{origin}{}{mark}{}{fragment}", path.concat(), query.join("&"))
        })
}

fn shape(url: &Url) -> (String, Option<String>, Option<u16>, usize, Option<String>) {
    (
        url.scheme().to_owned(),
        url.host_str().map(str::to_owned),
        url.port(),
        url.path().split('/').count(),
        url.fragment().map(str::to_owned),
    )
}

const NAMES: [&str; 9] =
    ["affiliate", "product", "token", "click", "reference", "sub1", "sub2", "sub3", "sub4"];

fn many() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(many())]

    /// Every place a value can stand in, literals around it included.
    #[test]
    fn a_value_stays_in_its_place(values in prop::collection::vec(values(), 10), names in any::<bool>()) {
        let places = NAMES.map(|name| format!("{name}=x{{{name}}}y&bare-{name}={{{name}}}")).join("&");
        let with = format!(
            "https://x.test:8443/p/{{product}}/..{{affiliate}}/{{click}}{{reference}}/.%2e{{product}}?{places}#part"
        );
        let without = "https://x.test:8443/p/{product}/%2e{click}/..{reference}/y?t={token}#part";
        let destination = Destination::parse(&with, without).unwrap();
        let subs: Vec<&str> = values[..5].iter().map(String::as_str).collect();
        let [affiliate, token, click, product] = [&values[5], &values[6], &values[7], &values[8]];
        let filled = Values { product, affiliate: Some(affiliate), token: Some(token), click, subs: &subs };
        let passed = [("passed", values[9].as_str()), (values[9].as_str(), "")];
        let text = destination.url(&filled, if names { &passed } else { &passed[..1] });

        prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{}", text);
        let url = Url::parse(&text).unwrap();
        prop_assert_eq!(url.username(), "");
        prop_assert_eq!(url.password(), None);
        let sample = if is_id(affiliate) { "https://x.test:8443/p/1/2/3/4#part" } else { "https://x.test:8443/p/1/2/3/y#part" };
        prop_assert_eq!(shape(&url), shape(&Url::parse(sample).unwrap()));

        let reference = if token.is_empty() { click } else { token };
        let mut expected: Vec<(String, String)> = Vec::new();
        if is_id(affiliate) {
            let given = [affiliate, product, token, click, reference, &values[0], &values[1], &values[2], &values[3]];
            for (name, value) in NAMES.iter().zip(given) {
                if !value.is_empty() {
                    expected.push(((*name).to_owned(), format!("x{value}y")));
                    expected.push((format!("bare-{name}"), value.clone()));
                }
            }
        } else if !token.is_empty() {
            expected.push(("t".to_owned(), token.clone()));
        }
        expected.push(("passed".to_owned(), values[9].clone()));
        if names {
            expected.push((values[9].clone(), String::new()));
        }
        let found: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(found, expected);
    }

    /// Of any template that parses: whatever the values, the page is the one that harmless values lead to.
    #[test]
    fn no_value_changes_where_a_template_leads(
        with in templates(true), without in templates(false), values in prop::collection::vec(values(), 9), affiliate in "[a-z.~]{1,4}",
    ) {
        for (with, without) in [(with.as_str(), without.as_str()), ("", &without), (&with, ""), (&with, "https://z.test")] {
            let Ok(destination) = Destination::parse(with, without) else { continue };
            let subs: Vec<&str> = values[..5].iter().map(String::as_str).collect();
            let harmless = Values { product: "p", affiliate: None, token: Some("t"), click: "c", subs: &["s"; 5] };
            let harmful = Values {
                product: &values[5], affiliate: Some(&values[6]), token: Some(&values[7]), click: &values[8], subs: &subs,
            };
            for given in [&values[6], &affiliate] {
                let harmless = Values { affiliate: is_id(given).then_some("a"), ..harmless };
                let harmful = Values { affiliate: Some(given), ..harmful };
                let expected = Url::parse(&destination.url(&harmless, &[])).unwrap();
                let text = destination.url(&harmful, &[]);
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!(shape(&url), shape(&expected), "{} from {:?} {:?}", text, with, without);
                prop_assert_eq!(url.username(), "");
                prop_assert_eq!(url.password(), None);
                // Nothing that was configured is missing from where a browser goes.
                let path = text.split(['?', '#']).next().unwrap();
                prop_assert_eq!(path.split('/').skip(3).count().max(1), url.path().split('/').count() - 1, "{}", text);
            }
        }
    }

    #[test]
    fn an_accepted_template_loses_no_affiliate(
        with in templates(true), without in templates(false),
    ) {
        if let Ok(destination) = Destination::parse(&with, &without) {
            let nobody = Values { product: "p", token: Some("t"), click: "c", ..Values::default() };
            for token in [None, Some("t")] {
                let somebody = Values { affiliate: Some("zzz"), token, ..nobody };
                let url = Url::parse(&destination.url(&somebody, &[])).unwrap();
                prop_assert!(url.as_str().contains("zzz"), "{}", url);
            }
            let url = destination.url(&nobody, &[]);
            prop_assert!(!url.contains(['{', '}']), "{}", url);
        }
    }

    #[test]
    fn arbitrary_text_as_a_template_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..64), tail in "[{}%?#&=/:@.a-z\\[\\]]{0,32}",
    ) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for template in [text.clone(), format!("https://{text}"), format!("https://x.test/{tail}"), format!("https://{tail}")] {
            let affiliate = Values { affiliate: Some("max"), ..Values::default() };
            for (with, without) in [(template.as_str(), ""), ("", template.as_str()), (&template, &template)] {
                if let Ok(destination) = Destination::parse(with, without) {
                    prop_assert!(Url::parse(&destination.url(&affiliate, &[])).is_ok());
                    prop_assert!(Url::parse(&destination.url(&Values::default(), &[])).is_ok());
                }
            }
        }
    }
}
