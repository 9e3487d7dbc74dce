//! Rules about visits: 1 and 6.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use tagalong_proto::v1::{self, ClickClass};

use crate::support::{Composition, Options, System, browser, campaign, clients::all};

/// With a healthy click log, an answered human redirect's click survives kill -9 and counts once.
pub(super) async fn rule_01_an_answered_click_survives_and_counts_once(composition: Composition) {
    let mut system = System::start(composition).await;
    campaign::load(&system).await;
    campaign::saved(&system, "course").await;
    let mut answered = HashSet::new();
    for round in 0..3 {
        let phone = system.phone();
        for _ in 0..5 {
            let answer = phone.open(&format!("/ticket/p/max/?sub1=round-{round}")).await;
            assert_eq!(answer.status, StatusCode::FOUND);
            answered.insert(answer.parameter("click").unwrap());
        }
        system.redirect().kill9();
        system.start_again(System::redirect).await;
    }
    assert_eq!(answered.len(), 15);
    // What was shipped twice because the answer was lost would be there by now: runs go in order.
    let last = system.phone().open("/course/p/max/").await.parameter("click").unwrap();
    let clicks = system.shipped(16).await;
    answered.insert(last);
    let stored: HashSet<String> = clicks.iter().map(|click| click.id.clone()).collect();
    assert_eq!(clicks.len(), 16, "a click counts once");
    assert_eq!(stored, answered);
    assert!(clicks.iter().all(|click| click.affiliate_id == "max"));
    assert!(clicks.iter().all(|click| click.class() == ClickClass::Human));
}

/// With a sick click log, visitors are still served, and every click not recorded is counted as dropped.
pub(super) async fn rule_01_a_sick_click_log_costs_visitors_nothing_and_is_counted(
    composition: Composition,
) {
    let options = Options { sick_click_log: true, ..Options::default() };
    let system = System::start_with(composition, &options).await;
    campaign::load(&system).await;
    let phone = system.phone();
    for _ in 0..7 {
        let answer = phone.open("/ticket/p/max/?consent=1").await;
        assert_eq!(answer.status, StatusCode::FOUND);
        assert_eq!(answer.parameter("aff").as_deref(), Some("max"));
        assert_eq!(answer.set_cookie, None, "a cookie would name a click that nobody knows");
    }
    let metrics = system.metrics().await;
    let dropped: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("tagalong_clicks_dropped"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!((dropped - 7.0).abs() < f64::EPSILON, "{dropped} dropped:\n{metrics}");
    assert_eq!(system.clicks().await, []);
}

/// A GET never registers or consumes anything; cookies are set on human GETs only.
pub(super) async fn rule_06_a_get_registers_nothing_and_cookies_are_for_humans(
    composition: Composition,
) {
    let system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    campaign::register(&clients, campaign::registration("jane", "anna")).await.unwrap();
    let link = campaign::path_of(&campaign::purchase_link(&clients, "jane").await.url);
    let token = link.rsplit('/').next().unwrap();
    let join = format!("/-/join/launch/{token}");
    let count = async || {
        let request = v1::ListAttendeesRequest { page_size: 1, ..Default::default() };
        let attendees = all!(clients.attendees, list_attendees, request, attendees).len();
        let request = v1::GetAttendeeRequest { attendee: campaign::by_key("jane") };
        let jane = clients.attendees.clone().get_attendee(request).await.unwrap().into_inner();
        let jane = jane.attendee.unwrap();
        let sales = v1::ListSalesRequest { page_size: 1, ..Default::default() };
        let sales = all!(clients.sales, list_sales, sales, sales).len();
        (attendees, jane.registrations.len(), jane.touches.len(), sales)
    };
    let before = count().await;
    assert_eq!(before, (1, 1, 1, 0));

    // A mail scanner follows every link, twice.
    let scanner = system.pc();
    for _ in 0..2 {
        for path in [
            "/ticket/p/max/",
            "/-/register/launch?key=launch-form&email=john%40people.example&affiliate=max",
            "/-/hooks/tool?email=john%40people.example",
            "/-/touch?product=ticket&affiliate=max",
            "/-/r/tool/jane/course",
            "/course/go?email=jane%40people.example",
            &join,
            "/course/p/max/buy?order=1",
            &link,
        ] {
            scanner.open(path).await;
        }
        let answer = scanner.open(&link).await;
        assert_eq!(answer.parameter("affiliate").as_deref(), Some("anna"), "usable many times");
        assert!(answer.parameter("reference").is_some_and(|token| link.ends_with(&token)));
    }
    // The scanner's clicks have arrived: nothing came of them.
    system.shipped(8).await;
    assert_eq!(count().await, before);

    for (method, headers, query, expected) in [
        (Method::GET, vec![], "?consent=1", true),
        (Method::GET, vec![], "", false),
        (Method::GET, vec![], "?consent=0", false),
        (Method::HEAD, vec![], "?consent=1", false),
        (Method::POST, vec![], "?consent=1", false),
        (Method::GET, vec![("user-agent", "Googlebot/2.1")], "?consent=1", false),
        (Method::GET, vec![("user-agent", "WhatsApp/2.23")], "?consent=1", false),
        (Method::GET, vec![("user-agent", "")], "?consent=1", false),
        (Method::GET, vec![("sec-purpose", "prefetch;prerender")], "?consent=1", false),
        (Method::GET, vec![("purpose", "prefetch")], "?consent=1", false),
        (Method::GET, vec![("x-moz", "prefetch")], "?consent=1", false),
        (Method::GET, vec![("sec-gpc", "1")], "?consent=1", false),
    ] {
        // Whoever says who it is itself does not say that it is a phone as well.
        let agent = if headers.iter().any(|(name, _)| *name == "user-agent") {
            headers[0].1
        } else {
            browser::PHONE
        };
        let others: Vec<(&str, &str)> =
            headers.iter().copied().filter(|(name, _)| *name != "user-agent").collect();
        let visitor = browser::Browser::new(system.http(), agent);
        let link = format!("/ticket/p/max/{query}");
        let answer = visitor.try_open(method.clone(), &link, &others).await.unwrap();
        let case = format!("{method} {link} {headers:?}");
        assert_eq!(answer.set_cookie.is_some(), expected, "{case}: {answer:?}");
        if let Some(cookie) = &answer.set_cookie {
            assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
            assert!(!cookie.contains("max"), "{cookie}");
        }
        if method != Method::POST {
            assert_eq!(answer.status, StatusCode::FOUND, "{case}");
            assert_eq!(answer.parameter("aff").as_deref(), Some("max"), "{case}");
        }
    }
}
