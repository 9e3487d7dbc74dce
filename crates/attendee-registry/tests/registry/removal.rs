//! Tests leave nothing behind.

use tagalong_proto::v1;
use tonic::Code;

use crate::{
    messages::{
        click, click_id, order, product, programme, refund, registration, webinar, with_token,
    },
    world::{World, refusal},
};

async fn remove(world: &World, programme: &str, webinar: &str) -> Result<i64, tonic::Status> {
    let request = v1::RemoveTestRecordsRequest {
        programme_id: programme.to_owned(),
        webinar_id: webinar.to_owned(),
    };
    Ok(world.catalogue().remove_test_records(request).await?.into_inner().removed)
}

#[tokio::test]
async fn a_removed_test_leaves_nothing_behind() {
    let world = World::new().await;
    // A real payment whose source and order each also occur in the test, but not together.
    let mut real = refund("t1", "real", 5);
    real.item.as_mut().unwrap().source = "other".to_owned();
    world.sales().report_reversal(real).await.unwrap();
    world.sales().report_reversal(refund("real", "real", 5)).await.unwrap();
    let before = world.dump().await;

    let mut test = programme("test");
    test.test = true;
    world.programme(test).await.unwrap();
    let mut sold = product("test", "t");
    sold.external_ids = vec!["X-t".to_owned()];
    world.product(sold).await.unwrap();
    let mut hall = webinar("hall");
    hall.test = true;
    hall.promotes_product_ids.clear();
    hall.offers_product_ids = vec!["t".to_owned()];
    world.webinar(hall).await.unwrap();
    let mut visit = click(1, "t", "max", -60);
    visit.test = true;
    world.record(1, vec![visit]).await.unwrap();
    let mut request = registration("1", "jane@example.com", "max");
    request.request_id = "test-request".to_owned();
    request.webinar_id = "hall".to_owned();
    request.click_id = click_id(1);
    let jane = world.registered(request).await;
    assert!(jane.test);
    let mut affiliate = crate::messages::affiliate("eva");
    affiliate.programme_id = "test".to_owned();
    affiliate.coupon_codes = vec!["EVA".to_owned()];
    let create = v1::CreateAffiliateRequest {
        affiliate: Some(affiliate),
        emails: vec!["eva@example.com".to_owned()],
        ..Default::default()
    };
    world.catalogue().create_affiliate(create).await.unwrap();
    let suspend = v1::SuspendAffiliateRequest {
        programme_id: "test".to_owned(),
        id: "eva".to_owned(),
        ..Default::default()
    };
    world.catalogue().suspend_affiliate(suspend).await.unwrap();
    for (n, source) in ["cope", "other"].iter().enumerate() {
        let mut sale = order(&format!("t{}", 1 + n), with_token(world.token(&jane)));
        let head = sale.order.as_mut().unwrap();
        head.source = (*source).to_owned();
        head.programme_id = "test".to_owned();
        let buyer = sale.buyer.as_mut().unwrap();
        buyer.email = "jane@example.com".to_owned();
        buyer.coupon_code = "eva".to_owned();
        sale.items[0].item.as_mut().unwrap().external_product_id = "X-t".to_owned();
        sale.items[0].payments = vec![crate::messages::payment("", "p", 5).payment.unwrap()];
        let sale = world.sold(sale).await;
        assert!(sale.order.as_ref().unwrap().test);
        world.assign(&sale.item.unwrap().id, "eva").await.unwrap();
    }
    world.sales().report_reversal(refund("t1", "back", 5)).await.unwrap();
    let listed = world.sales().list_sales(v1::ListSalesRequest::default()).await.unwrap();
    assert!(listed.into_inner().sales.is_empty());

    let during = world.dump().await;
    let removed = remove(&world, "test", "hall").await.unwrap();
    let after = world.dump().await;
    for (table, rows) in &after {
        let expected = match table.as_str() {
            // Followers must still hear of the removals; a click log goes on.
            "catalogue_clock" | "click_log" => continue,
            "catalogue_removal" | "event" => before[table].len() + 3,
            _ => before[table].len(),
        };
        assert_eq!(rows.len(), expected, "{table}: {rows:?}");
    }
    let count = |dump: &std::collections::BTreeMap<String, Vec<String>>| -> usize {
        dump.iter()
            .filter(|(table, _)| !["catalogue_removal"].contains(&table.as_str()))
            .map(|(_, rows)| rows.len())
            .sum()
    };
    assert_eq!(usize::try_from(removed).unwrap(), count(&during) + 3 - count(&after));
    for row in ["payment", "reversal"] {
        assert_eq!(after[row], before[row]);
    }
    // A follower goes on where it was.
    let (events, cursor) = world.feed("", true).await;
    assert_eq!(events.len(), after["event"].len());
    assert_eq!(world.feed(&cursor, true).await.0.len(), 0);
}

#[tokio::test]
async fn what_is_not_a_test_stays() {
    let world = World::new().await;
    let dump = world.dump().await;
    for (programme, webinar) in [("copecart", ""), ("", "launch"), ("copecart", "launch")] {
        let refused = remove(&world, programme, webinar).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::FailedPrecondition, "NOT_A_TEST_RECORD".to_owned()));
    }
    let refused = remove(&world, "none", "").await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::NotFound, "PROGRAMME_NOT_FOUND".to_owned()));
    assert_eq!(world.dump().await, dump);
}

#[tokio::test]
async fn a_webinar_that_stays_loses_the_removed_product() {
    let world = World::empty().await;
    for id in ["test", "more"] {
        let mut test = programme(id);
        test.test = true;
        world.programme(test).await.unwrap();
        world.product(product(id, &format!("p-{id}"))).await.unwrap();
    }
    let mut hall = webinar("hall");
    hall.test = true;
    hall.promotes_product_ids.clear();
    hall.offers_product_ids = vec!["p-test".to_owned(), "p-more".to_owned()];
    let revision = world.webinar(hall).await.unwrap().revision;
    remove(&world, "test", "").await.unwrap();
    let request = v1::GetWebinarRequest { id: "hall".to_owned() };
    let hall = world.catalogue().get_webinar(request).await.unwrap().into_inner().webinar.unwrap();
    assert_eq!(hall.offers_product_ids, ["p-more"]);
    assert!(hall.revision > revision);
}
