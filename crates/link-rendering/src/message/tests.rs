use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};
use proptest::prelude::*;

use super::*;

/// With everything in it that must not reach the message as it is.
const LINK: &str = "https://go.test/a'b&c/p/max/buy/T-1";
const PERCENT: &str = "https%3A%2F%2Fgo.test%2Fa%27b%26c%2Fp%2Fmax%2Fbuy%2FT-1";
const HTML: &str = "https://go.test/a&#39;b&amp;c/p/max/buy/T-1";

fn fill(body: &str, format: Format) -> Result<String, String> {
    let message = Message::read(body, format).map_err(|Refused(why)| why)?;
    let filled = message.fill(|placeholder| {
        Ok(match placeholder {
            Placeholder::PurchaseLink(_) => LINK,
            Placeholder::Affiliate(_) => "max",
            Placeholder::Token => "T-1",
        })
    });
    filled.map_err(|error| error.to_string())
}

#[test]
fn plain_text() {
    for (body, expected) in [
        ("", String::new()),
        ("no placeholder", "no placeholder".to_owned()),
        ("{{purchase_link:kurs}}", LINK.to_owned()),
        ("Kaufen: {{ purchase_link : kurs }}!", format!("Kaufen: {LINK}!")),
        ("{{affiliate:kurs}} {{token}} {{\ttoken }}", "max T-1 T-1".to_owned()),
        ("<{{purchase_link:kurs}}>", format!("<{LINK}>")),
        ("{{purchase_link:kurs}}?sub1=mail", format!("{LINK}?sub1=mail")),
        // Inside a query's value of another URL.
        ("https://t.test/?u={{purchase_link:kurs}}", format!("https://t.test/?u={PERCENT}")),
        ("t.test?a=1&u=x{{purchase_link:kurs}}&b=2", format!("t.test?a=1&u=x{PERCENT}&b=2")),
        ("mailto:a@b.test?body={{purchase_link:kurs}}", format!("mailto:a@b.test?body={PERCENT}")),
        ("{{base}}?u={{purchase_link:kurs}}", format!("{{{{base}}}}?u={PERCENT}")),
        (
            "https://t.test/?a={{ x.y | z }}&u={{purchase_link:kurs}}",
            format!("https://t.test/?a={{{{ x.y | z }}}}&u={PERCENT}"),
        ),
        (
            "{{purchase_link:kurs}}?u={{purchase_link:kurs}} {{purchase_link:kurs}}",
            format!("{LINK}?u={PERCENT} {LINK}"),
        ),
        // Not there.
        ("https://t.test/?u= {{purchase_link:kurs}}", format!("https://t.test/?u= {LINK}")),
        ("https://t.test/u={{purchase_link:kurs}}", format!("https://t.test/u={LINK}")),
        ("https://t.test/?={{purchase_link:kurs}}", format!("https://t.test/?={LINK}")),
        ("What?link={{purchase_link:kurs}}", format!("What?link={LINK}")),
        ("link={{purchase_link:kurs}}", format!("link={LINK}")),
        // Other tools' tags.
        (
            "{{ contact.AFF }} {{tokens}} {{token_2}}",
            "{{ contact.AFF }} {{tokens}} {{token_2}}".to_owned(),
        ),
        (
            "{{ token.url }} {{#if a}}{{token}}{{/if}}",
            "{{ token.url }} {{#if a}}T-1{{/if}}".to_owned(),
        ),
        ("{{ {{token}}", "{{ T-1".to_owned()),
        ("{{token}}}", "T-1}".to_owned()),
        (
            "{ {token} } *|TOKEN|* {{Token}} %7B%7Btokens",
            "{ {token} } *|TOKEN|* {{Token}} %7B%7Btokens".to_owned(),
        ),
    ] {
        assert_eq!(fill(body, Format::Text).as_ref(), Ok(&expected), "{body}");
    }
}

#[test]
fn broken_placeholders_are_refused_by_line() {
    for (body, expected) in [
        (
            "{{purchase_link}}",
            "line 1: `{{purchase_link}}` must name a product: `{{purchase_link:PRODUCT}}`",
        ),
        (
            "a\nb {{ affiliate }}",
            "line 2: `{{ affiliate }}` must name a product: `{{affiliate:PRODUCT}}`",
        ),
        (
            "{{purchase_link:}}",
            "line 1: `{{purchase_link:}}` names no product ID: it must be 1 to 64",
        ),
        ("{{purchase_link:a b}}", "names no product ID"),
        ("{{purchase_link:*|P|*}}", "names no product ID"),
        ("{{affiliate|kurs}}", "must name a product"),
        ("{{token:kurs}}", "must be `{{token}}`"),
        ("{{token|upper}}", "must be `{{token}}`"),
        ("{{{token}}}", "line 1: `{{{token}}` must stand in two braces"),
        ("{{token }\n}}", "must be `{{token}}`"),
        ("{{token }\nnothing", "line 1: `{{token }` is never closed"),
        ("{{purchase_link:kurs", "is never closed"),
        (
            "https://x/%7B%7Bpurchase_link%3Akurs%7D%7D",
            "line 1: `%7B%7Bpurchase_link` is percent-encoded",
        ),
        ("%7b%7b%20token%7d%7d", "is percent-encoded"),
    ] {
        for format in [Format::Text, Format::Html] {
            let why = fill(body, format).unwrap_err();
            assert!(why.contains(expected), "{body}: {why}");
        }
    }
}

#[test]
fn html() {
    for (body, expected) in [
        ("no placeholder <b", "no placeholder <b".to_owned()),
        ("<p>{{purchase_link:kurs}}</p>", format!("<p>{HTML}</p>")),
        ("<title>{{purchase_link:kurs}}</title>", format!("<title>{HTML}</title>")),
        ("<p title='{{purchase_link:kurs}}'>", format!("<p title='{HTML}'>")),
        ("<p title=\"a {{purchase_link:kurs}} b\">", format!("<p title=\"a {HTML} b\">")),
        ("<P\n DATA-X = \"{{token}}\">\r\n", "<P\n DATA-X = \"T-1\">\r\n".to_owned()),
        // Whole addresses.
        ("<a href=\"{{purchase_link:kurs}}\">", format!("<a href=\"{HTML}\">")),
        ("<a href=' \n{{purchase_link:kurs}}?a=b'>", format!("<a href=' \n{HTML}?a=b'>")),
        ("<FORM ACTION='{{purchase_link:kurs}}'>", format!("<FORM ACTION='{HTML}'>")),
        // Parts of other addresses.
        (
            "<a href=\"https://t.test/?a=1&amp;u={{purchase_link:kurs}}&amp;b=2\">",
            format!("<a href=\"https://t.test/?a=1&amp;u={PERCENT}&amp;b=2\">"),
        ),
        ("<a href='?{{purchase_link:kurs}}'>", format!("<a href='?{PERCENT}'>")),
        (
            "<a href='//t.test/r/{{purchase_link:kurs}}'>",
            format!("<a href='//t.test/r/{PERCENT}'>"),
        ),
        ("<a href='/r/{{affiliate:kurs}}/#{{token}}'>", "<a href='/r/max/#T-1'>".to_owned()),
        ("<a href='{{base}}/{{affiliate:kurs}}'>", "<a href='{{base}}/max'>".to_owned()),
        (
            "<a href='whatsapp://send?text={{purchase_link:kurs}}'>",
            format!("<a href='whatsapp://send?text={PERCENT}'>"),
        ),
        (
            "<a href='mailto:?body={{purchase_link:kurs}}'>",
            format!("<a href='mailto:?body={PERCENT}'>"),
        ),
        (
            "<a href='sms:+49&body={{purchase_link:kurs}}'>",
            format!("<a href='sms:+49&body={PERCENT}'>"),
        ),
        // Addresses in text.
        (
            "<p>https://t.test/?u={{purchase_link:kurs}}</p>",
            format!("<p>https://t.test/?u={PERCENT}</p>"),
        ),
        (
            "<p data-u='t.test?a=b&amp;u={{purchase_link:kurs}}'>",
            format!("<p data-u='t.test?a=b&amp;u={PERCENT}'>"),
        ),
        (
            "https://t.test/?u=<b>{{purchase_link:kurs}}</b>",
            format!("https://t.test/?u=<b>{HTML}</b>"),
        ),
        // Must not become a character reference.
        (
            "&{{token}}; &am{{affiliate:kurs}}; &#{{token}}",
            "&&#84;-1; &am&#109;ax; &#&#84;-1".to_owned(),
        ),
        ("&amp;{{token}} &lt{{token}}", "&amp;T-1 &lt&#84;-1".to_owned()),
        // Raw only where it is not.
        ("<style>a{}</style>{{token}}", "<style>a{}</style>T-1".to_owned()),
        ("<script>'<p>'</script><p>{{token}}", "<script>'<p>'</script><p>T-1".to_owned()),
        (
            "<!--[if !mso]><!-->{{token}}<!--<![endif]-->",
            "<!--[if !mso]><!-->T-1<!--<![endif]-->".to_owned(),
        ),
        ("a < {{token}} > b", "a < T-1 > b".to_owned()),
    ] {
        assert_eq!(fill(body, Format::Html).as_ref(), Ok(&expected), "{body}");
    }
}

#[test]
fn places_in_html_where_nothing_can_be_put() {
    for (body, place) in [
        ("<script>x='{{token}}'</script>", "in <script>"),
        ("<SCRIPT SRC=x>{{token}}", "in <script>"),
        ("<style>a:after{content:'{{token}}'}</style>", "in <style>"),
        ("<noscript>{{token}}</noscript>", "in <noscript>"),
        ("<iframe>{{token}}</iframe>", "in <iframe>"),
        ("<noframes>{{token}}</noframes>", "in <noframes>"),
        ("<plaintext>{{token}}", "in <plaintext>"),
        ("<!-- {{token}} -->", "in a comment"),
        ("<!--[if mso]><a href='{{purchase_link:kurs}}'><![endif]-->", "in a comment"),
        ("<![CDATA[{{token}}]]>", "in a comment"),
        ("<?x {{token}}?>", "in a comment"),
        ("<!doctype {{token}}>", "in the document type"),
        ("<!doctype html public '{{token}}'>", "in the document type"),
        ("<{{token}}>", "in the name of a tag"),
        ("<a{{token}}>", "in the name of a tag"),
        ("</{{token}}>", "in the name of a tag"),
        ("<p {{token}}>", "in the name of an attribute, or in a value without quotes"),
        ("<p x{{token}}=1>", "in the name of an attribute"),
        ("<a href={{purchase_link:kurs}}>", "in a value without quotes"),
        ("<a href=https://t.test/?u={{purchase_link:kurs}}>", "in a value without quotes"),
        ("<p title={{token}}x>", "in a value without quotes"),
        ("</p title='{{token}}'>", "in a closing tag"),
        ("<p onclick=\"go('{{token}}')\">", "in the attribute onclick"),
        ("<p STYLE=\"background:url({{purchase_link:kurs}})\">", "in the attribute style"),
        ("<iframe srcdoc='{{token}}'>", "in the attribute srcdoc"),
        ("<img srcset='{{purchase_link:kurs}} 2x'>", "in the attribute srcset"),
        ("<a href='{{token}}'>", "at the beginning of an address"),
        ("<a href='{{affiliate:kurs}}:x'>", "at the beginning of an address"),
        ("<a href='x{{purchase_link:kurs}}'>", "at the beginning of an address"),
        ("<a href='{{base}}{{purchase_link:kurs}}'>", "at the beginning of an address"),
        ("<a href='https://{{affiliate:kurs}}.t.test/'>", "in the host of an address"),
        ("<a href='https://t.test{{purchase_link:kurs}}'>", "in the host of an address"),
        ("<a href='ht\ntps:\\\\{{token}}'>", "in the host of an address"),
        ("<a href='//{{token}}/'>", "in the host of an address"),
        ("<a href='/\\{{token}}/'>", "in the host of an address"),
        ("<a href='https:{{token}}'>", "in the host of an address"),
        ("<a href='javascript:go(1,{{token}})'>", "in a script"),
        ("<a href='&#106;ava\tscript:{{token}}'>", "in a script"),
        ("<a href='data:text/html,{{token}}'>", "in a script"),
        ("<a href='{{purchase_link:kurs}}", "in a tag that is never closed"),
        ("<p title=\"{{token}}\"", "in a tag that is never closed"),
        // What stands for the first placeholder while places are judged, written by somebody who knows it.
        ("&#122;qtagalong0z zq<script>{{token}}</script>", "in <script>"),
    ] {
        let why = fill(&format!("<b>\n{body}"), Format::Html).unwrap_err();
        assert!(why.contains("line ") && why.contains(&format!("stands {place}")), "{body}: {why}");
    }
}

#[test]
fn our_own_mark_is_refused() {
    let why = fill("ZQtagalong {{token}}", Format::Html).unwrap_err();
    assert!(why.contains("must not contain `zqtagalong`"), "{why}");
}

#[test]
fn messages_that_are_too_long_are_refused() {
    // The results themselves are too long to be shown by a failing `unwrap_err`.
    let why = |body: &str| fill(body, Format::Text).err().unwrap_or_default();
    assert!(fill(&"x".repeat(MAX_LEN), Format::Text).is_ok());
    assert!(why(&"x".repeat(MAX_LEN + 1)).contains("at most 1048576 bytes"));
    let body = "{{token}}".repeat(MAX_LEN / 9);
    let message = Message::read(&body, Format::Text).unwrap();
    let filled = |value: &str| message.fill(|_| Ok(value)).map(|filled| filled.len());
    assert!(filled(&"x".repeat(35)).is_ok());
    assert!(filled(&"x".repeat(36)).unwrap_err().to_string().contains("it would be longer than"));
    let many = |count: usize| {
        let placeholders: Vec<_> = (0..count).map(|n| format!("{{{{affiliate:p{n}}}}}")).collect();
        placeholders.concat()
    };
    assert!(fill(&many(MAX_PRODUCTS), Format::Text).is_ok());
    assert!(why(&many(MAX_PRODUCTS + 1)).contains("at most 32 products"));
}

/// What a browser makes of an HTML text, without the texts and values themselves.
fn structure(html: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match event {
            CallbackEvent::OpenStartTag { name } => seen.push("<".to_owned() + &text(name)),
            CallbackEvent::EndTag { name } => seen.push("</".to_owned() + &text(name)),
            CallbackEvent::AttributeName { name } => seen.push(text(name)),
            CallbackEvent::AttributeValue { .. } => seen.push("=".to_owned()),
            CallbackEvent::CloseStartTag { self_closing } => seen.push(format!("> {self_closing}")),
            CallbackEvent::String { .. } => seen.push("text".to_owned()),
            CallbackEvent::Comment { value } => seen.push("!--".to_owned() + &text(value)),
            CallbackEvent::Doctype { name, .. } => seen.push("!doctype ".to_owned() + &text(name)),
            CallbackEvent::Error(_) => {}
        }
        None::<std::convert::Infallible>
    });
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    seen
}

/// Bodies in which much goes wrong.
fn bodies() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{{token}}",
        "{{ purchase_link:p }}",
        "{{affiliate:p}}",
        "{{x}}",
        "{{",
        "}}",
        "{",
        "<a href=",
        "<p title=",
        "<",
        ">",
        "/",
        "=",
        "\"",
        "'",
        "&",
        "&amp",
        ";",
        "#",
        "x",
        "lt",
        " ",
        "\n",
        "\r",
        "\t",
        "\0",
        "<!--",
        "-->",
        "--!>",
        "<script>",
        "</script>",
        "<style>",
        "</style",
        "<title>",
        "</title>",
        "<textarea ",
        "</p>",
        "<![CDATA[",
        "]]>",
        "https://t.test/",
        "?u=",
        "&u=",
        "javascript:",
        "zqtagalong0z zq",
        "zqtagalong",
        "<svg>",
        "<!doctype ",
        "ü",
        "\u{a0}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn nothing_but_placeholders_changes(body in bodies(), html in any::<bool>()) {
        let format = if html { Format::Html } else { Format::Text };
        let Ok(message) = Message::read(&body, format) else { return Ok(()) };
        let filled = message.fill(|_| Ok("\u{1}")).unwrap();
        let (mut rest, mut done) = (filled.as_str(), 0);
        for slot in &message.slots {
            let kept = &body[done..slot.range.start];
            let value = encode("\u{1}", slot.encoding);
            prop_assert!(rest.starts_with(kept) && rest[kept.len()..].starts_with(&*value));
            rest = &rest[kept.len() + value.len()..];
            done = slot.range.end;
        }
        prop_assert_eq!(rest, &body[done..]);
    }

    #[test]
    fn arbitrary_text_without_placeholders_stays_as_it_is(body in any::<String>()) {
        for format in [Format::Text, Format::Html] {
            if let Ok(filled) = fill(&body, format) && !body.contains("{{") {
                prop_assert_eq!(&filled, &body);
            }
        }
    }

    #[test]
    fn filled_html_keeps_its_structure(body in bodies(), value in "[ -~]{1,12}") {
        let Ok(message) = Message::read(&body, Format::Html) else { return Ok(()) };
        // The token is one word; what a browser makes of spaces in it does not matter.
        let filled = message.fill(|_| Ok(&value)).unwrap();
        let harmless = message.fill(|_| Ok("x")).unwrap();
        prop_assert_eq!(structure(&filled), structure(&harmless), "{}", filled);
    }

    #[test]
    fn values_come_out_of_filled_html_as_they_went_in(
        before in "[a-z&#;0-9]{0,6}", value in "[ -~]{1,12}", after in "[a-z;0-9]{0,6}",
    ) {
        let body = format!("<p title=\"{before}{{{{token}}}}{after}\">{before}{{{{token}}}}{after}</p>");
        let message = Message::read(&body, Format::Html).unwrap();
        let filled = message.fill(|_| Ok(&value)).unwrap();
        // The same with a value that nothing can be mistaken for.
        let plain = message.fill(|_| Ok("\u{e000}")).unwrap();
        let texts = |html: &str| {
            let mut texts = Vec::new();
            let emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
                if let CallbackEvent::String { value } | CallbackEvent::AttributeValue { value } = event {
                    texts.push(String::from_utf8_lossy(value).into_owned());
                }
                None::<std::convert::Infallible>
            });
            let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
            texts
        };
        let expected: Vec<_> =
            texts(&plain).into_iter().map(|text| text.replace('\u{e000}', &value)).collect();
        prop_assert_eq!(texts(&filled), expected);
    }
}
