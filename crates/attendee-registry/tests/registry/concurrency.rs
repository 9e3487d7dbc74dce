//! Many callers at once.

use std::{collections::HashSet, sync::Arc};

use tagalong_proto::v1;

use crate::{
    messages::{click, order, registration, with_email},
    world::World,
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
