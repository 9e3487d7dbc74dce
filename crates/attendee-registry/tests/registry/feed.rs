//! The change feed.

use tagalong_proto::v1::{self, event::Kind};

use crate::{
    messages::{order, payment, product, programme, refund, registration, with_email},
    world::{World, field},
};

fn kind(event: &v1::Event) -> &'static str {
    match event.kind.as_ref().unwrap() {
        Kind::RegistrationCreated(_) => "registered",
        Kind::TouchAdded(_) => "touched",
        Kind::AttendeeChanged(_) => "changed",
        Kind::AttendeeErased(_) => "erased",
        Kind::SaleDecided(_) => "decided",
        Kind::SalePaid(_) => "paid",
        Kind::SaleReversed(_) => "reversed",
        Kind::AffiliateChanged(_) => "affiliate",
        Kind::CatalogueChanged(_) => "catalogue",
    }
}

#[tokio::test]
async fn the_feed_goes_on_from_any_cursor_without_loss_or_repetition() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.order(order("o1", with_email("jane@example.com"))).await.unwrap();
    world.sales().report_payment(payment("o1", "p", 100)).await.unwrap();
    world.sales().report_reversal(refund("o1", "r", 900)).await.unwrap();
    let erase = v1::EraseAttendeeRequest { attendee: Some(crate::messages::by_id(&jane.id)) };
    world.attendees().erase_attendee(erase).await.unwrap();

    let mut stream = world.events().watch(v1::WatchRequest::default()).await.unwrap().into_inner();
    let start = stream.message().await.unwrap().unwrap();
    assert!(start.event.is_none());
    let (mut cursors, mut events) = (vec![start.cursor], Vec::new());
    for _ in 0..10 {
        let step = stream.message().await.unwrap().unwrap();
        cursors.push(step.cursor);
        events.push(step.event.unwrap());
    }
    let kinds: Vec<_> = events.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "catalogue",
            "catalogue",
            "catalogue",
            "catalogue",
            "registered",
            "touched",
            "decided",
            "paid",
            "reversed",
            "erased"
        ]
    );
    let Some(Kind::SaleReversed(reversed)) = &events[8].kind else { panic!() };
    assert!(reversed.reversal.as_ref().unwrap().exceeds_payments);
    for (n, cursor) in cursors.iter().enumerate() {
        let (rest, _) = world.feed(cursor, false).await;
        assert_eq!(rest, events[n..], "{n}");
    }
    let text = format!("{events:?}");
    assert!(!text.contains("jane") && !text.contains("example.com"), "{text}");

    // What happens while somebody follows arrives at once.
    world.register(registration("2", "", "")).await.unwrap();
    assert_eq!(kind(&stream.message().await.unwrap().unwrap().event.unwrap()), "registered");
}

#[tokio::test]
async fn only_new_starts_after_everything() {
    let world = World::new().await;
    let request = v1::WatchRequest { only_new: true, ..Default::default() };
    let mut stream = world.events().watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    world.register(registration("1", "", "")).await.unwrap();
    assert_eq!(kind(&stream.message().await.unwrap().unwrap().event.unwrap()), "registered");
}

#[tokio::test]
async fn tests_are_heard_of_only_when_asked_for() {
    let world = World::empty().await;
    let mut test = programme("test");
    test.test = true;
    world.programme(test).await.unwrap();
    world.product(product("test", "t")).await.unwrap();
    world.programme(programme("copecart")).await.unwrap();
    world.product(product("copecart", "real")).await.unwrap();
    let (all, _) = world.feed("", true).await;
    let (real, _) = world.feed("", false).await;
    assert_eq!((all.len(), real.len()), (2, 1));
    assert!(all[0].test && !all[1].test && real[0] == all[1]);
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let world = World::new().await;
    // The last one is `event:999999`, which has not happened.
    for cursor in ["x", "!", "ZXZlbnQ6LTE", "ZXZlbnQ6OTk5OTk5", "cHJvZHVjdHMKYQ"] {
        let request = v1::WatchRequest { cursor: cursor.to_owned(), ..Default::default() };
        let refused = world.events().watch(request).await.unwrap_err();
        assert_eq!(field(&refused), "cursor", "{cursor}");
    }
    let request =
        v1::WatchRequest { cursor: "ZXZlbnQ6MQ".to_owned(), only_new: true, ..Default::default() };
    assert_eq!(field(&world.events().watch(request).await.unwrap_err()), "cursor");
}
