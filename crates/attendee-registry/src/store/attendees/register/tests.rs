//! A set of registrations does what each of them does by itself, one after the other.

use std::collections::HashMap;

use jiff::Timestamp;
use proptest::prelude::*;
use sea_orm::{EntityTrait as _, QueryOrder as _, TransactionTrait as _};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    drain::Drain,
    transport::{Transport, local},
};
use tagalong_proto::v1::{
    attendee_service_client::AttendeeServiceClient,
    catalogue_service_client::CatalogueServiceClient, click_service_client::ClickServiceClient,
    sale_service_client::SaleServiceClient,
};
use tempfile::TempDir;

use super::*;
use crate::{
    Service,
    store::{
        Store,
        entity::{click_claim, decision, decision_touch, event, item, sale_order},
    },
};

/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800;
const EMAILS: [&str; 4] = ["", "jane@example.com", "bob@example.com", "eve@example.com"];
const AFFILIATES: [&str; 3] = ["", "max", "eva"];
const PROGRAMMES: [&str; 3] = ["", "copecart", "nowhere"];
/// `both` sells products of two programmes.
const WEBINARS: [&str; 4] = ["launch", "launch", "both", "nowhere"];

fn keys() -> DataKeys {
    DataKeys::new([7; 32], [8; 32])
}

fn click_id(n: u64) -> String {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)).to_string()
}

fn registration_key(n: u8) -> v1::RegistrationKey {
    v1::RegistrationKey {
        source: "zoom".to_owned(),
        external_webinar_id: "z1".to_owned(),
        external_id: n.to_string(),
    }
}

/// A registry in which somebody registered, bought and was erased.
struct World {
    service: Service,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("registry.sqlite").display());
        let store = Store::connect(&url).await.unwrap();
        let clock = Clock::new(|| Timestamp::from_second(NOON).unwrap());
        let ring = KeyRing::new(1, [(1, [9; 32])]).unwrap();
        let hooks = crate::Config::default().hooks().unwrap();
        let service = Service::new(store, keys(), ring.clone(), hooks, clock, Drain::default());
        let transport = local(service.routes());
        campaign(transport.clone()).await;
        people(transport, &ring).await;
        Self { service, _dir: dir }
    }

    /// Takes some registrations as sets of these sizes; what became of them, and of everything.
    async fn outcome(
        &self,
        requests: &[v1::RegisterAttendeeRequest],
        sizes: &[usize],
    ) -> Vec<String> {
        let store = &self.service.registry.store;
        let mut sizes = sizes.iter().copied().chain(std::iter::repeat(1));
        let (mut rest, mut answers) = (requests, Vec::new());
        while !rest.is_empty() {
            let (set, others) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            rest = others;
            let reports: Vec<Report> =
                set.iter().map(|request| Report::read(request.clone(), &keys()).unwrap()).collect();
            let transaction = store.begin().await.unwrap();
            let now = NOON * 1_000_000;
            let results = register(&transaction, &keys(), &reports, now).await.unwrap();
            answers.extend(results.into_iter().map(|result| format!("{result:?}")));
            store.commit(transaction).await.unwrap();
        }
        let (rows, names) = rows(store).await;
        answers.extend(rows);
        // Every run makes IDs of its own.
        answers.into_iter().map(|line| renamed(line, &names)).collect()
    }
}

async fn campaign(transport: Transport) {
    let mut catalogue = CatalogueServiceClient::new(transport);
    for (programme, products) in [("copecart", ["ticket", "course"]), ("digistore", ["a", "b"])] {
        let row = v1::Programme { id: programme.to_owned(), ..Default::default() };
        let request = v1::CreateProgrammeRequest { programme: Some(row), ..Default::default() };
        catalogue.create_programme(request).await.unwrap();
        for product in products {
            let page = |kind: &str| {
                let with_affiliate = format!("https://{kind}.example/{product}?aff={{affiliate}}");
                Some(v1::Destination { with_affiliate, ..Default::default() })
            };
            let product = v1::Product {
                id: product.to_owned(),
                programme_id: programme.to_owned(),
                sales_page: page("sales"),
                checkout: page("pay"),
                ..Default::default()
            };
            let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
            catalogue.create_product(request).await.unwrap();
        }
    }
    for (webinar, offers) in [("launch", vec!["course"]), ("both", vec!["course", "a"])] {
        let webinar = v1::Webinar {
            id: webinar.to_owned(),
            promotes_product_ids: vec!["ticket".to_owned()],
            offers_product_ids: offers.into_iter().map(str::to_owned).collect(),
            ..Default::default()
        };
        let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
        catalogue.create_webinar(request).await.unwrap();
    }
}

async fn people(transport: Transport, ring: &KeyRing) {
    let mut attendees = AttendeeServiceClient::new(transport.clone());
    let mut ids = Vec::new();
    for (key, email) in [(3, EMAILS[3]), (4, "gone@example.com")] {
        let request = v1::RegisterAttendeeRequest {
            webinar_id: "launch".to_owned(),
            email: email.to_owned(),
            affiliate_id: "max".to_owned(),
            key: Some(registration_key(key)),
            ..Default::default()
        };
        let answer = attendees.register_attendee(request).await.unwrap().into_inner();
        ids.push(answer.attendee.unwrap().id);
    }
    let gone = v1::attendee_reference::Reference::AttendeeId(ids[1].clone());
    let gone = v1::AttendeeReference { reference: Some(gone) };
    let request = v1::EraseAttendeeRequest { attendee: Some(gone) };
    attendees.erase_attendee(request).await.unwrap();

    let click = |n, affiliate: &str| v1::Click {
        id: click_id(n),
        product_id: "ticket".to_owned(),
        affiliate_id: affiliate.to_owned(),
        occurred_at: Some(prost_types::Timestamp { seconds: NOON - 60, nanos: 0 }),
        class: v1::ClickClass::Human.into(),
        link: v1::LinkKind::Affiliate.into(),
        ..Default::default()
    };
    let run = v1::RecordClicksRequest {
        log_id: Uuid::from_u128(1).to_string(),
        first_position: 1,
        oldest_position: 1,
        clicks: vec![click(1, "eva"), click(2, "max")],
    };
    ClickServiceClient::new(transport.clone()).record_clicks(run).await.unwrap();

    let token = ring.sign(Uuid::try_parse(&ids[0]).unwrap());
    let by_email = v1::BuyerReferences { email: EMAILS[1].to_owned(), ..Default::default() };
    let by_key =
        v1::BuyerReferences { registration: Some(registration_key(2)), ..Default::default() };
    let by_click = v1::BuyerReferences { reference: click_id(1), ..Default::default() };
    let by_token = v1::BuyerReferences { token, ..Default::default() };
    let mut sales = SaleServiceClient::new(transport);
    for (n, buyer) in [by_email, by_key, by_click, by_token].into_iter().enumerate() {
        let order = v1::Order {
            source: "cope".to_owned(),
            external_id: n.to_string(),
            programme_id: "copecart".to_owned(),
            ..Default::default()
        };
        let item = v1::Item {
            external_id: "1".to_owned(),
            product_id: "course".to_owned(),
            ..Default::default()
        };
        let request = v1::ReportOrderRequest {
            order: Some(order),
            buyer: Some(buyer),
            items: vec![v1::ItemReport { item: Some(item), payments: Vec::new() }],
            ..Default::default()
        };
        sales.report_order(request).await.unwrap();
    }
}

/// Every row that registrations bear on, and the names of their IDs, which grow as rows are made.
async fn rows(store: &Store) -> (Vec<String>, HashMap<String, String>) {
    let db = store.read().begin().await.unwrap();
    let (mut lines, mut names) = (Vec::new(), HashMap::new());
    let mut name = |kind: &str, id: Uuid| {
        let name = format!("{kind} {}", names.len());
        names.insert(id.to_string(), name);
    };
    for mut row in
        attendee::Entity::find().order_by_asc(attendee::Column::Id).all(&db).await.unwrap()
    {
        name("attendee", row.id);
        // Sealed with chance in it.
        row.email_sealed = row.email_sealed.map(|_| Vec::new());
        lines.push(format!("{row:?}"));
    }
    macro_rules! add {
        ($table:ident) => {
            let rows = $table::Entity::find().order_by_asc($table::Column::Id);
            for row in rows.all(&db).await.unwrap() {
                name(stringify!($table), row.id);
                lines.push(format!("{row:?}"));
            }
        };
    }
    add!(registration);
    add!(touch);
    for row in
        sale_order::Entity::find().order_by_asc(sale_order::Column::Id).all(&db).await.unwrap()
    {
        name("order", row.id);
    }
    add!(item);
    add!(decision);
    for row in request::Entity::find().order_by_asc(request::Column::Id).all(&db).await.unwrap() {
        let answer = v1::RegisterAttendeeResponse::decode(row.answer.as_slice()).unwrap();
        lines.push(format!("{} {} {:?} {answer:?}", row.id, row.method, row.fingerprint));
    }
    let events =
        event::Entity::find().order_by_asc(event::Column::Sequence).all(&db).await.unwrap();
    for row in events {
        let event = v1::Event::decode(row.body.as_slice()).unwrap();
        lines.push(format!("{} {:?} {:?}", row.sequence, event.recorded_at, event.kind));
    }
    let mut others = Vec::new();
    macro_rules! add_unordered {
        ($table:ident) => {
            for row in $table::Entity::find().all(&db).await.unwrap() {
                others.push(renamed(format!("{row:?}"), &names));
            }
        };
    }
    add_unordered!(attendee_email);
    add_unordered!(attendee_request);
    add_unordered!(click_claim);
    add_unordered!(decision_touch);
    others.sort();
    lines.extend(others);
    (lines, names)
}

fn renamed(mut line: String, names: &HashMap<String, String>) -> String {
    for (id, name) in names {
        if line.contains(id) {
            line = line.replace(id, name);
        }
    }
    line
}

fn any_request() -> impl Strategy<Value = v1::RegisterAttendeeRequest> {
    let who = (0..WEBINARS.len(), 1..5u8, 0..EMAILS.len(), any::<bool>(), any::<bool>());
    let what = (0..AFFILIATES.len(), 0..PROGRAMMES.len(), 0..2u8, 0..3i64, 0..6u64, 0..4u8);
    (who, what).prop_map(
        |(
            (webinar, key, email, keep, unverified),
            (affiliate, programme, session, ago, click, id),
        )| {
            v1::RegisterAttendeeRequest {
                request_id: if id < 2 { String::new() } else { format!("r{id}") },
                webinar_id: WEBINARS[webinar].to_owned(),
                email: EMAILS[email].to_owned(),
                keep_email: keep && email > 0,
                affiliate_id: AFFILIATES[affiliate].to_owned(),
                programme_id: PROGRAMMES[programme].to_owned(),
                key: Some(registration_key(key)),
                session_id: if session == 0 { String::new() } else { "monday".to_owned() },
                registered_at: (ago > 0)
                    .then(|| prost_types::Timestamp { seconds: NOON - 600 * ago, nanos: 0 }),
                // The third has not arrived.
                click_id: if (1..4).contains(&click) { click_id(click) } else { String::new() },
                unverified,
                test: id == 3,
            }
        },
    )
}

/// Requests, of which some come again.
fn any_requests() -> impl Strategy<Value = Vec<v1::RegisterAttendeeRequest>> {
    let picks = prop::collection::vec(any::<prop::sample::Index>(), 2..14);
    (prop::collection::vec(any_request(), 1..10), picks)
        .prop_map(|(all, picks)| picks.iter().map(|pick| pick.get(&all).clone()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_does_what_one_after_the_other_does(
        requests in any_requests(),
        sizes in prop::collection::vec(1..12usize, 1..4),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (set, single) = runtime.block_on(async {
            let set = World::new().await.outcome(&requests, &sizes).await;
            (set, World::new().await.outcome(&requests, &[]).await)
        });
        prop_assert_eq!(set, single, "\n{:#?} in {:?}", requests, sizes);
    }
}
