//! Many callers at once.

use std::{collections::HashSet, sync::Arc};

use tagalong_proto::v1;
use tonic::Code;

use crate::{
    messages::{click, item, order, registration, report, with_email},
    world::{World, field, refusal},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_callers_report_at_once_is_all_there_and_once() {
    const CALLERS: u64 = 32;
    const EACH: u64 = 4;
    let world = Arc::new(World::new().await);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..EACH {
                    // Two callers each report the same person, order and request.
                    let id = format!("{}-{n}", caller / 2);
                    let email = format!("{id}@example.com");
                    let mut request = registration(&id, &email, "max");
                    request.request_id = format!("r{id}");
                    world.register(request).await.unwrap();
                    world.order(order(&id, with_email(&email))).await.unwrap();
                    let run = v1::RecordClicksRequest {
                        log_id: uuid::Uuid::from_u128(u128::from(caller) + 1).to_string(),
                        first_position: i64::try_from(n).unwrap() + 1,
                        oldest_position: 1,
                        clicks: vec![click(caller * EACH + n, "ticket", "eva", 0)],
                    };
                    world.clicks().record_clicks(run).await.unwrap();
                    let list = v1::ListSalesRequest::default();
                    world.sales().list_sales(list).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let people = usize::try_from(CALLERS * EACH / 2).unwrap();
    let dump = world.dump().await;
    for table in ["attendee", "registration", "sale_order", "item", "decision"] {
        assert_eq!(dump[table].len(), people, "{table}");
    }
    assert_eq!(dump["click"].len(), 2 * people);
    let (events, _) = world.feed("", false).await;
    let ids: HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!((ids.len(), events.len()), (dump["event"].len(), dump["event"].len()));
    for n in 0..EACH {
        assert_eq!(world.credited(&format!("0-{n}")).await, "max");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_callers_gets_the_answer_to_its_own_call() {
    let world = Arc::new(World::new().await);
    let callers: Vec<_> = (0..96)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let person = n / 6;
                let email = format!("{person}@example.com");
                match n % 6 {
                    // The same person and the same registration.
                    0 | 1 => {
                        let id = format!("a{person}");
                        let answer = world.register(registration(&id, &email, "max")).await;
                        let jane = answer.unwrap().attendee.unwrap();
                        let keys = jane.registrations.iter().flat_map(|row| &row.key);
                        assert!(keys.map(|key| &key.external_id).any(|key| *key == id));
                        Some((person, jane.id))
                    }
                    // The same person by another tool.
                    2 => {
                        let request = registration(&format!("b{person}"), &email, "eva");
                        Some((person, world.registered(request).await.id))
                    }
                    3 => {
                        let mut request = registration(&format!("c{person}"), &email, "max");
                        request.webinar_id = "nowhere".to_owned();
                        let refused = world.register(request).await.unwrap_err();
                        assert_eq!(refusal(&refused).0, Code::NotFound);
                        None
                    }
                    4 => {
                        let sale = world.sold(order(&format!("o{person}"), with_email(&email)));
                        assert_eq!(sale.await.order.unwrap().external_id, format!("o{person}"));
                        None
                    }
                    // Its second item is refused, after the first was stored.
                    _ => {
                        let mut request = order(&format!("bad{person}"), with_email(&email));
                        let mut unknown = item("2", "course");
                        unknown.product_id = "nowhere".to_owned();
                        request.items.push(report(unknown));
                        let refused = world.order(request).await.unwrap_err();
                        assert_eq!(field(&refused), "items[1].item.product_id");
                        None
                    }
                }
            })
        })
        .collect();
    let mut people = HashSet::new();
    for caller in callers {
        people.extend(caller.await.unwrap());
    }
    assert_eq!(people.len(), 16);
    let dump = world.dump().await;
    for (table, rows) in [
        ("attendee", 16),
        ("attendee_email", 16),
        ("registration", 32),
        ("touch", 32),
        ("sale_order", 16),
        ("item", 16),
    ] {
        assert_eq!(dump[table].len(), rows, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_id_is_one_request_however_many_send_it() {
    let world = Arc::new(World::new().await);
    let callers: Vec<_> = (0..48)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                // A third of the callers means somebody else by it.
                let id = if n % 3 == 0 { "bob" } else { "jane" };
                let email = format!("{id}@example.com");
                let mut request = registration(id, &email, "max");
                request.request_id = "r1".to_owned();
                (id, world.register(request).await)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    let (_, won) = answers.iter().find(|(_, answer)| answer.is_ok()).unwrap();
    let won = won.as_ref().unwrap();
    let winner = &won.attendee.as_ref().unwrap().registrations[0].key.as_ref().unwrap().external_id;
    for (id, answer) in &answers {
        match answer {
            Ok(answer) => assert_eq!((id, answer), (&winner.as_str(), won)),
            Err(refused) => {
                let expected = (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned());
                assert_eq!((id != winner, refusal(refused)), (true, expected));
            }
        }
    }
    assert_eq!(world.rows("attendee").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_again_after_hanging_up_counts_once() {
    let world = Arc::new(World::new().await);
    let request = |n: u32| {
        let mut request = registration(&n.to_string(), &format!("{n}@example.com"), "max");
        request.request_id = format!("r{n}");
        request
    };
    let callers: Vec<_> = (0..64)
        .map(|n| {
            let (world, request) = (Arc::clone(&world), request(n));
            tokio::spawn(async move { world.register(request).await })
        })
        .collect();
    for (n, caller) in callers.iter().enumerate() {
        if n % 2 == 0 {
            caller.abort();
        }
    }
    for (n, caller) in callers.into_iter().enumerate() {
        match caller.await {
            Ok(answer) => drop(answer.unwrap()),
            Err(error) => assert!(error.is_cancelled() && n % 2 == 0),
        }
    }
    for n in 0..64 {
        world.register(request(n)).await.unwrap();
    }
    let dump = world.dump().await;
    for table in ["attendee", "registration", "touch", "request"] {
        assert_eq!(dump[table].len(), 64, "{table}");
    }
}
