//! Previews, and that nothing alters one without being told: link-rendering keeps them.

use std::collections::BTreeMap;

use tagalong_proto::v1::{self, event::Kind};
use tonic::Streaming;

use crate::{
    messages::{
        affiliate, by_id, click, click_id, product, programme, registration, time, webinar,
    },
    world::{HOUR, World},
};

/// Everybody's preview of `course`, and the feed that has to tell of what alters them.
struct Told<'a> {
    world: &'a World,
    people: Vec<String>,
    previews: BTreeMap<String, v1::PreviewDecisionResponse>,
    feed: Streaming<v1::WatchResponse>,
    steps: usize,
}

impl<'a> Told<'a> {
    async fn begin(world: &'a World, people: &[&v1::Attendee]) -> Self {
        let request =
            v1::WatchRequest { only_new: true, include_test: true, ..v1::WatchRequest::default() };
        let mut feed = world.events().watch(request).await.unwrap().into_inner();
        feed.message().await.unwrap().unwrap();
        let people: Vec<String> = people.iter().map(|person| person.id.clone()).collect();
        let previews = previews(world, &people).await;
        Self { world, people, previews, feed, steps: 0 }
    }

    /// What happened since altered the preview of one person at least, and everybody whose preview it altered was told of.
    async fn altered(&mut self, what: &str, whose: &v1::Attendee) {
        let previews = previews(self.world, &self.people).await;
        self.steps += 1;
        let end = format!("end-of-{}", self.steps);
        self.world.webinar(v1::Webinar { id: end.clone(), ..Default::default() }).await.unwrap();
        let (mut everybody, mut told) = (false, Vec::new());
        loop {
            let step = self.feed.message().await.unwrap().unwrap();
            match step.event.unwrap().kind.unwrap() {
                Kind::CatalogueChanged(changed) if changed.webinar_id == end => break,
                Kind::CatalogueChanged(_) | Kind::AffiliateChanged(_) => everybody = true,
                Kind::RegistrationCreated(event) => told.push(event.attendee_id),
                Kind::TouchAdded(event) => told.push(event.attendee_id),
                Kind::AttendeeChanged(event) => told.push(event.attendee_id),
                Kind::AttendeeErased(event) => told.push(event.attendee_id),
                Kind::SaleDecided(_) | Kind::SalePaid(_) | Kind::SaleReversed(_) => {}
            }
        }
        assert_ne!(previews[&whose.id], self.previews[&whose.id], "{what} alters nothing");
        for person in &self.people {
            let same = previews[person] == self.previews[person];
            assert!(same || everybody || told.contains(person), "{what} is not told");
        }
        self.previews = previews;
    }
}

/// What everybody's purchase in an hour would be; for a whole webinar they come out the same.
async fn previews(
    world: &World,
    people: &[String],
) -> BTreeMap<String, v1::PreviewDecisionResponse> {
    let at = Some(time(HOUR));
    let mut previews = BTreeMap::new();
    for id in people {
        let request = v1::PreviewDecisionRequest {
            attendee: Some(by_id(id)),
            product_id: "course".to_owned(),
            at,
        };
        let preview = world.sales().preview_decision(request).await.unwrap().into_inner();
        previews.insert(id.clone(), preview);
    }
    let request = v1::PreviewDecisionsRequest {
        webinar_id: "launch".to_owned(),
        product_id: "course".to_owned(),
        at,
    };
    let mut stream = world.sales().preview_decisions(request).await.unwrap().into_inner();
    while let Some(one) = stream.message().await.unwrap() {
        if let Some(preview) = previews.get(&one.attendee_id) {
            assert_eq!(one.affiliate_id, preview.decision.as_ref().unwrap().affiliate_id);
        }
    }
    previews
}

#[tokio::test]
async fn whatever_alters_a_preview_is_told() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let bob = world.registered(registration("2", "", "ida")).await;
    let mut form = registration("3", "", "zoe");
    form.unverified = true;
    let sue = world.registered(form.clone()).await;
    let mut bobs = affiliate("ida");
    let mut request = v1::CreateAffiliateRequest {
        affiliate: Some(bobs.clone()),
        emails: vec!["bob@example.com".to_owned()],
        ..Default::default()
    };
    world.catalogue().create_affiliate(request.clone()).await.unwrap();
    let mut told = Told::begin(&world, &[&jane, &bob, &sue]).await;

    // Registrations.
    world.at(60).register(registration("4", "jane@example.com", "eva")).await.unwrap();
    told.altered("a registration", &jane).await;
    world.register(registration("1", "", "leo")).await.unwrap();
    told.altered("another affiliate of a known registration", &jane).await;
    let mut earlier = registration("4", "", "eva");
    earlier.registered_at = Some(time(30));
    world.register(earlier).await.unwrap();
    told.altered("an earlier time", &jane).await;
    form.unverified = false;
    world.register(form).await.unwrap();
    told.altered("a report that is verified now", &sue).await;
    world.register(registration("2", "bob@example.com", "")).await.unwrap();
    told.altered("an address", &bob).await;

    // Clicks.
    let mut claim = registration("3", "", "");
    claim.click_id = click_id(1);
    world.register(claim).await.unwrap();
    world.record(1, vec![click(1, "ticket", "tom", 10)]).await.unwrap();
    told.altered("a click that was claimed before", &sue).await;
    world.record(2, vec![click(2, "ticket", "kim", 20)]).await.unwrap();
    let mut opened = click(3, "course", "", 70);
    opened.link = v1::LinkKind::Purchase.into();
    opened.attendee_id = jane.id.clone();
    opened.cookie_click_id = click_id(2);
    world.record(3, vec![opened]).await.unwrap();
    told.altered("a token beside a cookie", &jane).await;

    // Erasing.
    let erase = v1::EraseAttendeeRequest { attendee: Some(by_id(&bob.id)) };
    world.attendees().erase_attendee(erase).await.unwrap();
    told.altered("erasing", &bob).await;

    // The catalogue.
    let mut course = product("copecart", "course");
    course.policy.get_or_insert_default().set_model(v1::TouchModel::First);
    world.change_product(course).await.unwrap();
    told.altered("the policy", &jane).await;
    let mut launch = webinar("launch");
    launch.campaign_ends_at = Some(time(HOUR + 1));
    world.change_webinar(launch.clone()).await.unwrap();
    told.altered("the campaign's end", &jane).await;
    launch.offers_product_ids = vec!["extra".to_owned()];
    world.change_webinar(launch.clone()).await.unwrap();
    told.altered("what a webinar offers", &jane).await;
    world.change_webinar(webinar("launch")).await.unwrap();
    told.altered("what a webinar offers again", &jane).await;

    // Affiliates.
    world.suspend("max", 2 * HOUR).await.unwrap();
    told.altered("a suspension to come", &jane).await;
    let reinstate = v1::ReinstateAffiliateRequest {
        programme_id: "copecart".to_owned(),
        id: "max".to_owned(),
        at: Some(time(3 * HOUR)),
        ..Default::default()
    };
    world.catalogue().reinstate_affiliate(reinstate).await.unwrap();
    world.suspend("max", 30).await.unwrap();
    told.altered("a suspension", &jane).await;
    bobs.house = true;
    let update = v1::UpdateAffiliateRequest { affiliate: Some(bobs), ..Default::default() };
    world.catalogue().update_affiliate(update).await.unwrap();
    let mut house = affiliate("leo");
    house.house = true;
    world.affiliate(house).await.unwrap();
    told.altered("a house affiliate", &jane).await;
    request.affiliate = Some(affiliate("kim"));
    request.emails = vec!["jane@example.com".to_owned()];
    world.catalogue().create_affiliate(request).await.unwrap();
    told.altered("an affiliate's address", &jane).await;

    // Tests.
    let mut test = programme("test");
    test.test = true;
    world.programme(test).await.unwrap();
    let mut foreign = registration("1", "", "tim");
    foreign.programme_id = "test".to_owned();
    world.register(foreign).await.unwrap();
    told.altered("another programme's affiliate", &jane).await;
    let remove =
        v1::RemoveTestRecordsRequest { programme_id: "test".to_owned(), ..Default::default() };
    world.catalogue().remove_test_records(remove).await.unwrap();
    told.altered("the removal of a test", &jane).await;
}

#[tokio::test]
async fn a_preview_says_how_long_it_stands() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    world.suspend("max", 2 * HOUR).await.unwrap();
    let preview = previews(&world, std::slice::from_ref(&jane.id)).await.remove(&jane.id).unwrap();
    assert_eq!(preview.decision.unwrap().affiliate_id, "max");
    assert_eq!(preview.valid_from, Some(time(0)));
    assert_eq!(preview.valid_until, Some(time(2 * HOUR)));
    let bob = world.registered(registration("2", "", "")).await;
    let preview = previews(&world, std::slice::from_ref(&bob.id)).await.remove(&bob.id).unwrap();
    assert_eq!((preview.valid_from, preview.valid_until), (None, None));
}

#[tokio::test]
async fn the_previews_of_a_webinar_go_on_from_page_to_page() {
    let world = World::new().await;
    world.webinar(webinar("other")).await.unwrap();
    let mut expected = Vec::new();
    // A page and a bit.
    for n in 0..1150 {
        let affiliate = if n % 7 == 0 { "max" } else { "" };
        let address = if n == 3 { "jane@example.com" } else { "" };
        let mut request = registration(&n.to_string(), address, affiliate);
        if n % 10 == 0 {
            request.webinar_id = "other".to_owned();
            request.key.as_mut().unwrap().external_webinar_id = "z2".to_owned();
            world.register(request).await.unwrap();
            continue;
        }
        let attendee = world.registered(request).await;
        let key = if n == 3 { "newest".to_owned() } else { n.to_string() };
        expected.push((attendee.id, affiliate.to_owned(), key));
    }
    // The newest registration is the one that names the person in the tool.
    for (key, at) in [("newest", 30), ("older", 20)] {
        let mut again = registration(key, "jane@example.com", "");
        again.registered_at = Some(time(at));
        world.at(60).register(again).await.unwrap();
    }
    let erase = v1::EraseAttendeeRequest { attendee: Some(by_id(&expected.remove(5).0)) };
    world.attendees().erase_attendee(erase).await.unwrap();

    let request = v1::PreviewDecisionsRequest {
        webinar_id: "launch".to_owned(),
        product_id: "course".to_owned(),
        at: Some(time(60)),
    };
    let mut stream = world.sales().preview_decisions(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(one) = stream.message().await.unwrap() {
        all.push((one.attendee_id, one.affiliate_id, one.registration.unwrap().external_id));
    }
    assert!(all == expected, "{} of {}", all.len(), expected.len());
}

#[tokio::test]
async fn a_heart_beats_while_nothing_happens() {
    let world = World::new().await;
    let request = v1::WatchRequest { only_new: true, heartbeat: true, ..Default::default() };
    let mut feed = world.events().watch(request).await.unwrap().into_inner();
    let start = feed.message().await.unwrap().unwrap();
    let beat = feed.message().await.unwrap().unwrap();
    assert_eq!((beat.event, beat.cursor), (None, start.cursor));
}
