//! Rules about where links lead: 2, 3 and 5.

use rustix::process::Signal;
use tagalong_proto::v1;

use crate::support::{
    Clients, Composition, Options, System,
    campaign::{self, CHECKOUT, INVITATION},
};

async fn suspend(clients: &Clients, affiliate: &str) {
    let request = v1::SuspendAffiliateRequest {
        programme_id: "copecart".to_owned(),
        id: affiliate.to_owned(),
        reason: "a test".to_owned(),
        ..Default::default()
    };
    clients.catalogue.clone().suspend_affiliate(request).await.unwrap();
    let link = format!("/ticket/p/{affiliate}/");
    campaign::resolves(clients, &link, |answer| {
        answer.no_affiliate() == v1::NoAffiliate::Suspended
    })
    .await;
}

/// An affiliate link needs nothing behind the redirect; a purchase link asks for the fresh decision, and falls back to
/// the affiliate in its path.
pub(super) async fn rule_02_affiliate_links_need_nothing_and_purchase_links_fall_back(
    composition: Composition,
) {
    // Long enough that a decision comes, short enough to wait for one that does not.
    let options = Options { decision_deadline_ms: 2000, ..Options::default() };
    let mut system = System::start_with(composition, &options).await;
    let clients = campaign::load(&system).await;
    suspend(&clients, "ads").await;
    campaign::register(&clients, campaign::registration("jane", "anna")).await.unwrap();
    let token = campaign::purchase_link(&clients, "jane").await.token;
    let tokened = |affiliate: &str| format!("/course/p/{affiliate}/buy/{token}");
    let phone = system.phone();
    let whose = async |link: &str| {
        let answer = phone.open(link).await;
        assert!(answer.location.starts_with(CHECKOUT), "{link}: {answer:?}");
        answer.parameter("affiliate")
    };

    // Up: the decision beats the affiliate in the path, whoever that is.
    for affiliate in ["anna", "max", "ads", "*|AFF|*"] {
        assert_eq!(whose(&tokened(affiliate)).await.as_deref(), Some("anna"), "{affiliate}");
    }
    // A bad token degrades to the link without it.
    let (begin, end) = token.split_at(20);
    let other = if end.starts_with('A') { "B" } else { "A" };
    let forged = format!("/course/p/max/buy/{begin}{other}{}", &end[1..]);
    assert_eq!(whose(&forged).await.as_deref(), Some("max"));

    // What was decided once is decided again when something happens.
    campaign::register(&clients, campaign::registration("john", "ben")).await.unwrap();
    let token_of_john = campaign::purchase_link(&clients, "john").await.token;
    let johns = format!("/course/p/max/buy/{token_of_john}");
    for _ in 0..2 {
        assert_eq!(whose(&johns).await.as_deref(), Some("ben"));
    }
    suspend(&clients, "ben").await;
    crate::support::until("the decision falls with its affiliate", async || {
        (whose(&johns).await.as_deref() == Some("max")).then_some(())
    })
    .await;

    let path_stands = async || {
        // All at once: each may wait until the deadline.
        let (max, ads) = (tokened("max"), tokened("ads"));
        let (stands, suspended, travels, untokened) =
            tokio::join!(whose(&max), whose(&ads), phone.open(&max), whose("/course/p/max/buy"));
        assert_eq!(stands.as_deref(), Some("max"));
        assert_eq!(suspended, None);
        assert_eq!(travels.parameter("reference").as_deref(), Some(&*token));
        assert_eq!(untokened.as_deref(), Some("max"));
        let answer = phone.open("/ticket/p/max/").await;
        assert!(answer.location.starts_with(INVITATION), "{answer:?}");
        assert_eq!(answer.parameter("aff").as_deref(), Some("max"));
        assert_eq!(phone.open("/ticket/p/ads/").await.parameter("aff"), None);
    };
    if composition == Composition::Separate {
        campaign::saved(&system, "course").await;
        system.rendering().signal(Signal::STOP);
        path_stands().await;
        system.registry().signal(Signal::STOP);
        path_stands().await;
        // A redirect that starts while nobody behind it answers.
        system.redirect().kill9();
        system.start_again(System::redirect).await;
        path_stands().await;
        system.registry().kill9();
        system.rendering().kill9();
        path_stands().await;
        system.redirect().kill9();
        system.start_again(System::redirect).await;
        path_stands().await;
        system.start_again(System::registry).await;
        system.start_again(System::rendering).await;
        crate::support::until("decisions come again", async || {
            (whose(&tokened("max")).await.as_deref() == Some("anna")).then_some(())
        })
        .await;
    }
}

const HOSTILE: [&str; 25] = [
    "https:%2F%2Fevil.example",
    "%2F%2Fevil.example",
    "//evil.example",
    "@evil.example",
    "max@evil.example",
    "max%40evil.example",
    "..%2F..%2F",
    "max%0d%0aLocation:%20https://evil.example",
    "max%00",
    "max%23",
    "max%3Faff=evil",
    "max&aff=evil",
    "max%26aff%3Devil",
    "max;aff=evil",
    "javascript:alert(1)",
    "%FF%FE",
    "%",
    "%%",
    "%AFF%",
    "*|AFF|*",
    "{{aff}}",
    "{affiliate}",
    "%7Baffiliate%7D",
    "max\\evil",
    "%E2%80%AEmax",
];

const HOSTILE_QUERIES: [&str; 16] = [
    "aff=evil",
    "aff=evil&aff=worse",
    "AFF=evil",
    "aff[]=evil",
    "affiliate=evil&reference=evil&click=evil",
    "%61ff=evil",
    "+aff=evil",
    "aff%00=evil",
    "a=b%26aff%3Devil",
    "a=b%23aff",
    "sub1=%0d%0aSet-Cookie:%20a=b",
    "sub1=https://evil.example",
    "=evil",
    "&&&&",
    "%",
    "url=https://evil.example&next=//evil.example",
];

/// A redirect goes only where an operator configured; visitors' values never change its shape.
pub(super) async fn rule_03_a_redirect_goes_only_where_configured(composition: Composition) {
    let system = System::start(composition).await;
    campaign::load(&system).await;
    let phone = system.phone();
    let check = async |link: &str, pages: &[&str], reserved: &[&str]| {
        let answer = phone.open(link).await;
        assert_eq!(answer.status, 302, "{link}: {answer:?}");
        let url = answer.url();
        assert!(answer.location.bytes().all(|byte| byte.is_ascii_graphic()), "{link}: {url}");
        let page = format!("{}{}", url.origin().ascii_serialization(), url.path());
        assert!(pages.contains(&page.as_str()), "{link} leads to {url}");
        assert!(matches!(url.fragment(), None | Some("top")), "{link} leads to {url}");
        assert_eq!(url.username(), "", "{link} leads to {url}");
        for (name, value) in url.query_pairs() {
            let reserved = reserved
                .iter()
                .any(|reserved| name.trim_start().to_ascii_lowercase().starts_with(reserved));
            assert!(!(reserved && value.contains("evil")), "{link} leads to {url}");
        }
        // None of them twice.
        for name in reserved {
            answer.parameter(name);
        }
    };
    let mut links: Vec<String> =
        HOSTILE.iter().flat_map(|bad| [format!("{bad}/"), format!("{bad}/buy")]).collect();
    links
        .extend(HOSTILE_QUERIES.iter().flat_map(|q| [format!("max/?{q}"), format!("max/buy?{q}")]));
    for link in &links {
        let sold = link.contains("/buy");
        let ticket: &[&str] =
            if sold { &["https://checkout.example/ticket"] } else { &[INVITATION] };
        check(&format!("/ticket/p/{link}"), ticket, &["aff", "click", "reference"]).await;
        let path: &[&str] = if sold {
            &["https://checkout.example/path"]
        } else {
            &["https://pages.example/by/max/start", "https://pages.example/start"]
        };
        check(&format!("/path/p/{link}"), path, &["click", "affiliate", "reference"]).await;
    }
}

/// A purchase link always reaches a checkout, never a sales page, and never has an empty or unreplaced affiliate.
pub(super) async fn rule_05_a_purchase_link_reaches_a_checkout(composition: Composition) {
    let system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    campaign::register(&clients, campaign::registration("jane", "")).await.unwrap();
    let rendered = campaign::purchase_link(&clients, "jane").await;
    assert_eq!((rendered.affiliate_id.as_str(), rendered.basis()), ("", v1::LinkBasis::Nobody));
    let token = rendered.token;
    let nobody = [
        "",
        "-max",
        "%20",
        "*|AFF|*",
        "%AFF%",
        "{{aff}}",
        "%7B%7Baff%7D%7D",
        "[aff]",
        "max%2Fanna",
    ];
    let long = "x".repeat(65);
    let named = ["max", "anna", "somebody-new", "%6dax"];
    let affiliates = named.iter().chain(&nobody).copied().chain([long.as_str()]);
    let phone = system.phone();
    for affiliate in affiliates {
        for end in ["buy", "buy/", "BUY", "buy/junk", "buy//", &*format!("buy/{token}"), "buy?a=1"]
        {
            for product in ["ticket", "path", "course"] {
                let link = format!("/{product}/p/{affiliate}/{end}");
                let answer = phone.open(&link).await;
                assert_eq!(answer.status, 302, "{link}: {answer:?}");
                let url = answer.url();
                assert_eq!(url.host_str(), Some("checkout.example"), "{link} leads to {url}");
                assert_eq!(url.path(), format!("/{product}"), "{link} leads to {url}");
                let credited = answer.parameter("affiliate");
                if named.contains(&affiliate) {
                    let expected = affiliate.replace("%6d", "m");
                    assert_eq!(credited.as_deref(), Some(&*expected), "{link} leads to {url}");
                } else {
                    assert_eq!(credited, None, "{link} leads to {url}");
                }
                assert!(!answer.location.contains(['{', '}', '|']), "{link} leads to {url}");
                assert!(answer.parameter("reference").is_some(), "{link} leads to {url}");
            }
        }
    }
    for link in [
        "/ticket/buy",
        "/ticket/buy/",
        &*format!("/ticket/buy/{token}"),
        &*campaign::path_of(&rendered.url),
    ] {
        let answer = phone.open(link).await;
        assert_eq!(answer.host(), "checkout.example", "{link}: {answer:?}");
        assert_eq!(answer.parameter("affiliate"), None, "{link}: {answer:?}");
    }
}
