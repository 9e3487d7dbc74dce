//! Webhooks, as tools and checkouts send them: what was answered is kept and counts once, whatever dies meanwhile.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tagalong_proto::v1::{self, DeliveryState};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::support::{
    Clients, Composition, PATIENCE, System,
    browser::choose_tls,
    campaign,
    clients::all,
    dice::{Dice, setting},
    until,
};

pub(crate) const SECRET: &str = "the-secret-in-the-url";

/// Adds a source whose secret stands in its URL.
pub(crate) async fn add_source(clients: &Clients, id: &str, preset: &str) {
    let everything =
        v1::SourceWebinar { external_id: String::new(), webinar_id: "launch".to_owned() };
    let source = v1::Source {
        id: id.to_owned(),
        preset: preset.to_owned(),
        programme_id: "copecart".to_owned(),
        webinars: vec![everything],
        ..Default::default()
    };
    let request = v1::CreateSourceRequest {
        source: Some(source),
        secret: SECRET.to_owned(),
        ..Default::default()
    };
    clients.sources.clone().create_source(request).await.unwrap();
}

/// A registration for the webinar, as its tool tells of it.
pub(crate) fn registration(id: &str, email: &str, affiliate: &str) -> Value {
    json!({ "registration_id": id, "webinar_id": "w-1", "email": email, "aff": affiliate })
}

/// A course that was paid for, as its checkout tells of it.
pub(crate) fn payment(order: &str, email: &str) -> Value {
    json!({
        "event": "payment",
        "order_id": order,
        "payment_id": format!("{order}-paid"),
        "product_id": "ext-course",
        "amount": "497.00",
        "currency": "EUR",
        "email": email,
        "affiliate": "max"
    })
}

/// Posts to a source; the status, unless there is no answer.
pub(crate) async fn post(
    client: &reqwest::Client,
    base: &str,
    path: &str,
    body: &Value,
) -> reqwest::Result<u16> {
    let request = client.post(format!("{base}/-/hooks/{path}"));
    let request = request.header("content-type", "application/json").body(body.to_string());
    Ok(request.send().await?.status().as_u16())
}

pub(crate) fn client() -> reqwest::Client {
    choose_tls();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A platform that sends again what was not answered well, and now and then what was.
struct Sender {
    name: String,
    base: String,
    source: &'static str,
    body: fn(&str) -> Value,
}

impl Sender {
    /// Sends one after the other until told to stop. Returns what was answered.
    async fn run(self, stop: Arc<AtomicBool>, progress: watch::Sender<u64>) -> BTreeSet<String> {
        let client = client();
        let path = format!("{}/{SECRET}", self.source);
        let mut answered = BTreeSet::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let id = format!("{}-{n}", self.name);
            let body = (self.body)(&id);
            for _ in 0..=u8::from(n % 5 == 0) {
                let begin = Instant::now();
                while post(&client, &self.base, &path, &body).await.ok() != Some(200) {
                    assert!(begin.elapsed() < PATIENCE, "{id} is not taken");
                    sleep(Duration::from_millis(10)).await;
                }
            }
            answered.insert(id);
            progress.send_modify(|done| *done += 1);
            // The load shall not take the machine from those who have to bear it.
            sleep(Duration::from_millis(5)).await;
        }
        answered
    }
}

async fn kill_while_webhooks_arrive(composition: Composition, kills: u64) {
    let (kills, mut dice) = (setting("TAGALONG_TEST_KILLS").unwrap_or(kills), Dice::cast());
    let mut system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    add_source(&clients, "tool", "generic-webinar").await;
    add_source(&clients, "shop", "generic-checkout").await;

    let stop = Arc::new(AtomicBool::new(false));
    let progress = watch::Sender::new(0);
    let (mut tools, mut shops) = (JoinSet::new(), JoinSet::new());
    for n in 0..2 {
        let tool = Sender {
            name: format!("person-{n}"),
            base: system.hooks(),
            source: "tool",
            body: |id| registration(id, &format!("{id}@people.example"), "max"),
        };
        tools.spawn(tool.run(stop.clone(), progress.clone()));
        let checkout = Sender {
            name: format!("order-{n}"),
            base: system.hooks(),
            source: "shop",
            body: |id| payment(id, &format!("{id}@buyers.example")),
        };
        shops.spawn(checkout.run(stop.clone(), progress.clone()));
    }
    for _ in 0..kills {
        // So that there is something to lose.
        let mut done = progress.subscribe();
        let enough = *done.borrow_and_update() + 8;
        let reached = done.wait_for(|done| *done >= enough);
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
        sleep(Duration::from_micros(dice.below(100_000))).await;
        system.registry().kill9();
        system.start_again(System::registry).await;
    }
    stop.store(true, Ordering::Relaxed);
    let registered: BTreeSet<String> = tools.join_all().await.into_iter().flatten().collect();
    let sold: BTreeSet<String> = shops.join_all().await.into_iter().flatten().collect();
    println!("{} registrations, {} sales", registered.len(), sold.len());

    let clients = system.clients();
    let deliveries = until("everything is taken", async || {
        let request = v1::ListDeliveriesRequest { page_size: 1000, ..Default::default() };
        let deliveries = all!(clients.deliveries, list_deliveries, request, deliveries);
        let waits = |delivery: &v1::Delivery| delivery.state() == DeliveryState::Received;
        (!deliveries.iter().any(waits)).then_some(deliveries)
    })
    .await;
    for delivery in &deliveries {
        assert_eq!(delivery.state(), DeliveryState::Mapped, "{delivery:?}");
    }
    assert_eq!(deliveries.len(), registered.len() + sold.len(), "each delivery is there once");

    let request = v1::ListAttendeesRequest { page_size: 1000, ..Default::default() };
    let attendees = all!(clients.attendees, list_attendees, request, attendees);
    assert_eq!(attendees.len(), registered.len(), "each registration is there once");
    let request = v1::ListSalesRequest { page_size: 1000, ..Default::default() };
    let sales = all!(clients.sales, list_sales, request, sales);
    let stored: BTreeSet<String> =
        sales.iter().map(|sale| sale.order.as_ref().unwrap().external_id.clone()).collect();
    assert_eq!((sales.len(), stored), (sold.len(), sold), "each sale is there once");
    for sale in &sales {
        assert_eq!(sale.payments.len(), 1, "{sale:?}");
        assert_eq!(sale.decision.as_ref().unwrap().version, 1, "{sale:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_registry_while_webhooks_arrive_loses_and_doubles_nothing() {
    kill_while_webhooks_arrive(Composition::Separate, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_all_in_one_while_webhooks_arrive_loses_and_doubles_nothing() {
    kill_while_webhooks_arrive(Composition::AllInOne, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_counted_by_its_reason() {
    for composition in [Composition::AllInOne, Composition::Separate] {
        let system = System::start(composition).await;
        let clients = campaign::load(&system).await;
        add_source(&clients, "shop", "generic-checkout").await;
        let (client, body) = (client(), payment("o1", "jane@buyers.example"));
        for (path, status) in [
            ("shop", 401),
            ("shop/wrong", 401),
            ("shop/wrong-too", 401),
            ("none", 404),
            (&format!("shop/{SECRET}"), 200),
            (&format!("shop/{SECRET}"), 200),
        ] {
            assert_eq!(
                post(&client, &system.hooks(), path, &body).await.unwrap(),
                status,
                "{path}"
            );
        }
        // A visitor's path is still a visitor's.
        let visit = client.get(format!("{}/-/hooks-not", system.http())).send().await.unwrap();
        assert_eq!(visit.status(), 404);
        let metrics = until("the delivery is taken", async || {
            let metrics = system.metrics().await;
            let measured = ["state=\"mapped\"", "tagalong_deliveries_parked"];
            measured.iter().all(|part| metrics.contains(part)).then_some(metrics)
        })
        .await;
        for (source, outcome, count) in [
            ("shop", "unsigned", 1),
            ("shop", "forged", 2),
            ("", "unknown", 1),
            ("shop", "accepted", 1),
            ("shop", "repeated", 1),
        ] {
            let line = metrics.lines().find(|line| {
                line.starts_with("tagalong_hooks_total")
                    && line.contains(&format!("outcome=\"{outcome}\""))
                    && line.contains(&format!("source=\"{source}\""))
            });
            let counted = line.and_then(|line| line.rsplit(' ').next());
            assert_eq!(counted, Some(count.to_string().as_str()), "{outcome}:\n{metrics}");
        }
    }
}
