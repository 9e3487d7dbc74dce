//! Registrations and the people behind them.

use std::fmt::Write as _;

use tagalong_attendee_registry::keys::DataKeys;
use tagalong_proto::v1;
use tonic::Code;

use crate::{
    messages::{
        by_email, by_id, click, click_id, order, product, programme, reference, registration,
        registration_key, time, webinar, with_email, with_token,
    },
    world::{MINUTE, World, field, refusal},
};

#[tokio::test]
async fn a_registration_counts_once_however_often_it_is_reported() {
    let world = World::new().await;
    let first = world.register(registration("1", "jane@example.com", "max")).await.unwrap();
    assert!(!first.repeated);
    let jane = first.attendee.unwrap();
    assert!(jane.has_email);
    assert_eq!((jane.registrations.len(), jane.touches.len()), (1, 1));
    assert_eq!(jane.touches[0].affiliate_id, "max");
    let events = world.rows("event").await;
    for minutes in [0, 5] {
        world.at(minutes * MINUTE);
        let again = world.register(registration("1", " JANE@Example.com", "max")).await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.attendee.unwrap(), jane);
    }
    assert_eq!(world.rows("event").await, events);

    // Another affiliate under the same key is one more touch, not one more registration.
    let other = world.register(registration("1", "", "eva")).await.unwrap();
    assert!(other.repeated);
    let other = other.attendee.unwrap();
    assert_eq!((other.registrations.len(), other.touches.len()), (1, 2));

    // Another report of the same person.
    let more = world.registered(registration("2", "Jane@EXAMPLE.com", "max")).await;
    assert_eq!((more.id == jane.id, more.registrations.len()), (true, 2));
    let bob = world.registered(registration("3", "", "max")).await;
    assert!(bob.id != jane.id && !bob.has_email);
}

#[tokio::test]
async fn a_registration_without_an_id_is_told_by_what_it_says() {
    let world = World::new().await;
    let nameless = |email: &str, session: &str, seconds: i64| v1::RegisterAttendeeRequest {
        key: Some(v1::RegistrationKey { external_id: String::new(), ..registration_key("") }),
        session_id: session.to_owned(),
        registered_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..registration("", email, "max")
    };
    let first = world.register(nameless("jane@example.com", "s", 1_000)).await.unwrap();
    let again = world.register(nameless(" JANE@example.com", "s", 1_000)).await.unwrap();
    assert!(!first.repeated && again.repeated);
    let jane = again.attendee.unwrap();
    assert_eq!(Some(&jane), first.attendee.as_ref());
    let id = jane.registrations[0].key.clone().unwrap().external_id;
    assert!(id.starts_with("content-") && !id.contains("jane"), "{id}");

    let later = world.registered(nameless("jane@example.com", "s", 1_001)).await;
    let session = world.registered(nameless("jane@example.com", "t", 1_000)).await;
    assert_eq!((later.id.as_str(), session.id.as_str()), (jane.id.as_str(), jane.id.as_str()));
    assert_eq!(session.registrations.len(), 3);
    let bob = world.register(nameless("bob@example.com", "s", 1_000)).await.unwrap();
    assert!(!bob.repeated && bob.attendee.unwrap().id != jane.id);
    let nobody = world.register(nameless("", "s", 1_000)).await.unwrap_err();
    assert_eq!(field(&nobody), "key.external_id");
}

#[tokio::test]
async fn one_person_in_two_webinars_is_two_attendees() {
    let world = World::new().await;
    world.webinar(webinar("autumn")).await.unwrap();
    let first = world.registered(registration("1", "jane@example.com", "max")).await;
    let mut request = registration("2", "jane@example.com", "eva");
    request.webinar_id = "autumn".to_owned();
    let second = world.registered(request.clone()).await;
    assert_ne!(first.id, second.id);
    request.key = Some(registration_key("1"));
    assert_eq!(field(&world.register(request).await.unwrap_err()), "key");
    for (webinar, id) in [("launch", &first.id), ("autumn", &second.id)] {
        let request =
            v1::GetAttendeeRequest { attendee: Some(by_email(webinar, "JANE@example.com")) };
        let found = world.attendees().get_attendee(request).await.unwrap().into_inner();
        assert_eq!(&found.attendee.unwrap().id, id);
    }
}

#[tokio::test]
async fn a_verified_report_outranks_what_anybody_could_have_posted() {
    let world = World::new().await;
    let mut form = registration("1", "jane@example.com", "max");
    form.unverified = true;
    form.session_id = "posted".to_owned();
    form.registered_at = Some(time(-100));
    let posted = world.registered(form).await;
    assert!(!posted.touches[0].verified && !posted.registrations[0].verified);
    let mut hook = registration("1", "jane@example.com", "max");
    hook.session_id = "monday".to_owned();
    let hooked = world.register(hook).await.unwrap();
    assert!(hooked.repeated);
    let hooked = hooked.attendee.unwrap();
    let [registration] = &hooked.registrations[..] else { panic!() };
    let [posted, touch] = &hooked.touches[..] else { panic!() };
    assert!(registration.verified && touch.verified && !posted.verified);
    assert_eq!(
        (registration.session_id.as_str(), touch.session_id.as_str(), touch.occurred_at),
        ("monday", "monday", Some(time(0)))
    );
}

#[tokio::test]
async fn what_is_no_affiliate_is_none() {
    let world = World::new().await;
    for (n, text) in ["", "*|AFF|*", "{{ contact.AFF }}", "%AFF%", "a b", "../x"].iter().enumerate()
    {
        let jane = world.registered(registration(&n.to_string(), "", text)).await;
        assert!(jane.touches.is_empty(), "{text}");
        assert_eq!(jane.registrations[0].affiliate_id, "", "{text}");
    }
}

#[tokio::test]
async fn the_programme_is_named_where_there_could_be_two() {
    let world = World::new().await;
    world.programme(programme("digistore")).await.unwrap();
    world.product(product("digistore", "other")).await.unwrap();
    let mut launch = webinar("launch");
    launch.offers_product_ids.push("other".to_owned());
    world.change_webinar(launch).await.unwrap();
    let mut request = registration("1", "", "max");
    assert_eq!(field(&world.register(request.clone()).await.unwrap_err()), "programme_id");
    // Nobody is credited, so nobody needs to be told apart.
    world.register(registration("0", "", "")).await.unwrap();
    request.programme_id = "digistore".to_owned();
    world.register(request.clone()).await.unwrap();
    request.programme_id = "copecart".to_owned();
    let jane = world.registered(request).await;
    let programmes: Vec<_> = jane.touches.iter().map(|touch| touch.programme_id.as_str()).collect();
    assert_eq!(programmes, ["digistore", "copecart"]);

    let mut empty = webinar("empty");
    empty.promotes_product_ids.clear();
    empty.offers_product_ids.clear();
    world.webinar(empty).await.unwrap();
    let mut request = registration("9", "", "max");
    request.webinar_id = "empty".to_owned();
    assert_eq!(field(&world.register(request).await.unwrap_err()), "programme_id");
}

#[tokio::test]
async fn a_request_id_can_stand_for_the_key() {
    let world = World::new().await;
    let request = v1::RegisterAttendeeRequest {
        request_id: "form-1".to_owned(),
        key: None,
        ..registration("", "jane@example.com", "max")
    };
    let first = world.register(request.clone()).await.unwrap();
    assert_eq!(world.register(request.clone()).await.unwrap(), first);
    let key = first.attendee.unwrap().registrations.remove(0).key.unwrap();
    assert_eq!((key.source.as_str(), key.external_id.as_str()), ("grpc", "form-1"));
    let nothing = v1::RegisterAttendeeRequest { request_id: String::new(), ..request };
    assert_eq!(field(&world.register(nothing).await.unwrap_err()), "key");
}

#[tokio::test]
async fn lists_are_oldest_first_and_go_on() {
    let world = World::new().await;
    world.webinar(webinar("autumn")).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.registered(registration(&n.to_string(), "", "")).await.id);
        let mut other = registration(&format!("o{n}"), "", "");
        other.webinar_id = "autumn".to_owned();
        world.register(other).await.unwrap();
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v1::ListAttendeesRequest { page_size: 2, page_token, webinar_id: "launch".to_owned() };
        let page = world.attendees().list_attendees(request).await.unwrap().into_inner();
        listed.extend(page.attendees.into_iter().map(|attendee| attendee.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn an_erased_person_is_unknown_and_their_sale_still_explained() {
    let world = World::new().await;
    world.record(1, vec![click(1, "ticket", "max", -60)]).await.unwrap();
    let request = v1::RegisterAttendeeRequest {
        request_id: "secret-request".to_owned(),
        keep_email: true,
        click_id: click_id(1),
        ..registration("secret-key", "jane@example.com", "max")
    };
    let jane = world.registered(request.clone()).await;
    world.order(order("o1", with_email("jane@example.com"))).await.unwrap();
    let mut by_key = order("o2", with_email("home@example.com"));
    by_key.buyer.as_mut().unwrap().registration = Some(registration_key("secret-key"));
    world.order(by_key).await.unwrap();
    // Somebody else's order, in which Jane's address was typed.
    let bob = world.registered(registration("bob", "bob@example.com", "eva")).await;
    let mut typed = order("o3", with_token(world.token(&bob)));
    typed.buyer.as_mut().unwrap().email = "jane@example.com".to_owned();
    world.order(typed).await.unwrap();

    let request_export = v1::ExportAttendeeRequest { attendee: Some(by_id(&jane.id)) };
    let exported = world.attendees().export_attendee(request_export).await.unwrap().into_inner();
    assert_eq!(exported.email, "jane@example.com");

    world.at(MINUTE);
    let erase = v1::EraseAttendeeRequest { attendee: Some(by_email("launch", "Jane@example.com")) };
    let erased = world.attendees().erase_attendee(erase.clone()).await.unwrap().into_inner();
    let erased = erased.attendee.unwrap();
    assert_eq!((erased.erased_at, erased.has_email), (Some(time(MINUTE)), false));
    let dump = world.dump().await;
    assert_eq!(dump["attendee_email"].len(), 1);
    assert_eq!(dump["order_email"].len(), 0);
    let all = format!("{dump:?}");
    assert!(!all.contains("secret"), "{all}");
    assert!(!all.contains(&hex("secret")), "{all}");
    let again = world.attendees().erase_attendee(erase).await.unwrap_err();
    assert_eq!(refusal(&again), (Code::NotFound, "ATTENDEE_NOT_FOUND".to_owned()));
    let request_export = v1::ExportAttendeeRequest { attendee: Some(by_id(&jane.id)) };
    let exported = world.attendees().export_attendee(request_export).await.unwrap().into_inner();
    assert_eq!(exported.email, "");

    // What is decided again afterwards must not cost the affiliate the sale.
    world.change_webinar(webinar("launch")).await.unwrap();
    for (order, affiliate) in [("o1", "max"), ("o2", "max"), ("o3", "eva")] {
        let explained = world.explain(order, "1").await;
        let decision = explained.sale.unwrap().decision.unwrap();
        assert_eq!(decision.affiliate_id, affiliate, "{order}: {}", decision.reason);
        assert!(!decision.touches.is_empty());
    }
    // A tool's or a checkout's retry does not bring back whom we forgot.
    let dump = world.dump().await;
    let mut request = v1::RegisterAttendeeRequest { request_id: String::new(), ..request };
    let retried = world.register(request.clone()).await.unwrap();
    assert!(retried.repeated && retried.attendee.unwrap().id == jane.id);
    assert_eq!(world.dump().await, dump);
    // Who registers anew is somebody new.
    request.key = Some(registration_key("anew"));
    assert_ne!(world.registered(request).await.id, jane.id);
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02X}").unwrap();
        hex
    })
}

#[tokio::test]
async fn attendees_are_found_in_every_way_and_in_no_other() {
    use v1::attendee_reference::Reference;
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    for found in [
        by_id(&jane.id),
        reference(Reference::Token(world.token(&jane))),
        reference(Reference::Registration(registration_key("1"))),
        by_email("launch", "jane@EXAMPLE.com"),
    ] {
        let request = v1::GetAttendeeRequest { attendee: Some(found) };
        let found = world.attendees().get_attendee(request).await.unwrap().into_inner();
        assert_eq!(found.attendee.unwrap(), jane);
    }
    for missing in [
        by_id("00000000-0000-0000-0000-000000000000"),
        reference(Reference::Token("x".repeat(46))),
        reference(Reference::Registration(registration_key("2"))),
        by_email("autumn", "jane@example.com"),
    ] {
        let request = v1::GetAttendeeRequest { attendee: Some(missing) };
        let missing = world.attendees().get_attendee(request).await.unwrap_err();
        assert_eq!(refusal(&missing), (Code::NotFound, "ATTENDEE_NOT_FOUND".to_owned()));
        assert!(!missing.message().contains("jane") && !missing.message().contains("xxx"));
    }
}

#[tokio::test]
async fn people_and_orders_meet_across_a_change_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |name: &str, versions: &[(u8, &str)]| {
        let path = dir.path().join(name);
        let mut text = String::new();
        for (version, byte) in versions {
            let secret = byte.repeat(43) + "=";
            let _ = write!(text, "[[pepper]]\nversion = {version}\nsecret = \"{secret}\"\n");
        }
        let _ = write!(text, "[[seal]]\nversion = 1\nsecret = \"{}=\"\n", "A".repeat(43));
        std::fs::write(&path, text).unwrap();
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).unwrap();
        DataKeys::load(&path).unwrap()
    };
    let world = World::new().await.reopened(Some(keys("old", &[(1, "A")]))).await;
    world.register(registration("1", "jane@example.com", "max")).await.unwrap();
    world.order(order("early", with_email("bob@example.com"))).await.unwrap();
    let world = world.reopened(Some(keys("new", &[(2, "E"), (1, "A")]))).await;
    world.order(order("late", with_email("jane@example.com"))).await.unwrap();
    assert_eq!(world.credited("late").await, "max");
    world
        .register(v1::RegisterAttendeeRequest {
            registered_at: Some(time(-60)),
            ..registration("2", "bob@example.com", "eva")
        })
        .await
        .unwrap();
    assert_eq!(world.credited("early").await, "eva");
    let again = world.order(order("early", with_email("bob@example.com"))).await.unwrap();
    assert!(again.repeated);
}

#[tokio::test]
async fn an_unverified_report_takes_nobody_over() {
    let world = World::new().await;
    // An attacker's own attendee is given a victim's address by a form anybody can post.
    let mallory = world.registered(registration("m", "mallory@example.com", "evil")).await;
    for email in ["mallory@example.com", "jane@example.com"] {
        let mut form = registration("form", email, "evil");
        form.unverified = true;
        world.registered(form).await;
    }
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    assert_ne!(jane.id, mallory.id);
}

#[tokio::test]
async fn a_click_that_a_form_claims_is_as_unverified_as_the_form() {
    let world = World::new().await;
    world.record(1, vec![click(1, "ticket", "evil", 0)]).await.unwrap();
    let jane = world.registered(registration("1", "jane@example.com", "")).await;
    world.at(MINUTE);
    let mut form = registration("form", "jane@example.com", "");
    (form.unverified, form.click_id) = (true, click_id(1));
    let touched = world.registered(form).await;
    assert_eq!(touched.id, jane.id);
    assert!(!touched.touches[0].verified);
    world.sold(order("o1", with_token(world.token(&jane)))).await;
    assert_eq!(world.credited("o1").await, "");
}

#[tokio::test]
async fn a_form_in_another_webinar_takes_no_sale() {
    let world = World::new().await;
    world.webinar(webinar("autumn")).await.unwrap();
    world.registered(registration("1", "jane@example.com", "max")).await;
    world.at(MINUTE);
    let mut form = registration("form", "jane@example.com", "evil");
    (form.unverified, form.webinar_id) = (true, "autumn".to_owned());
    world.register(form).await.unwrap();
    world.sold(order("o1", with_email("jane@example.com"))).await;
    assert_eq!(world.credited("o1").await, "max");
}
