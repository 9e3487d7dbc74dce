//! What platforms do to their payloads: other orders, numbers as texts, fields that are missing and fields nobody knows.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tagalong_integrations::{
    Delivery, Payload, Preset, Presets, Reading, Unmapped,
    reading::{EventKind, Notice, PlatformAffiliate},
};

use crate::sample::Sample;

static PRESETS: LazyLock<Presets> = LazyLock::new(|| Presets::load(None).unwrap());

fn preset(name: &str) -> &'static Preset {
    PRESETS.get(name).unwrap()
}

fn read(preset: &Preset, document: &Value) -> Result<Reading, Unmapped> {
    preset.read(&Payload::new(Some("application/json"), document.to_string()))
}

/// The JSON of a sample whose body is JSON.
fn document(preset: &str, event: &str) -> Value {
    serde_json::from_slice(&Sample::of(preset, event).body).unwrap()
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

fn without(mut document: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    document
}

/// Every number and boolean as a text.
fn texts(document: Value) -> Value {
    match document {
        Value::Number(number) => json!(number.to_string()),
        Value::Bool(on) => json!(on.to_string()),
        Value::Array(elements) => elements.into_iter().map(texts).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, texts(value))).collect())
        }
        other => other,
    }
}

/// Every object with its members in another order, and with one more that nobody knows.
fn disturbed(document: Value) -> Value {
    match document {
        Value::Array(elements) => elements.into_iter().map(disturbed).collect(),
        Value::Object(members) => {
            let mut disturbed_members = Map::new();
            disturbed_members.insert("zz_new".to_owned(), json!({"deep": [1, null, {"er": "x"}]}));
            for (name, value) in members.into_iter().rev() {
                disturbed_members.insert(name, disturbed(value));
            }
            Value::Object(disturbed_members)
        }
        other => other,
    }
}

const JSON_SAMPLES: [(&str, &str); 14] = [
    ("copecart", "payment.made"),
    ("copecart", "payment.refunded"),
    ("cope", "payment.sale.succeeded"),
    ("stripe", "checkout.session.completed"),
    ("stripe", "charge.refunded"),
    ("paddle", "transaction.completed"),
    ("lemonsqueezy", "order_created"),
    ("kajabi", "purchase"),
    ("generic-checkout", "payment"),
    ("zoom", "webinar.registration_created"),
    ("gotowebinar", "registrant.joined"),
    ("livestorm", "people.registered"),
    ("webinargeek", "webinar_subscribed"),
    ("ewebinar", "registered"),
];

#[test]
fn orders_spellings_and_strangers_change_nothing() {
    for (name, event) in JSON_SAMPLES {
        let (preset, document) = (preset(name), document(name, event));
        let expected = read(preset, &document).unwrap();
        assert_eq!(read(preset, &texts(document.clone())).as_ref(), Ok(&expected), "{name}");
        assert_eq!(read(preset, &disturbed(document)).as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn what_is_missing_is_named_by_its_path() {
    for (name, event, pointer, path) in [
        ("copecart", "payment.made", "/order_id", "$.order_id"),
        ("copecart", "payment.made", "/event_type", "$.event_type"),
        ("copecart", "payment.made", "/transaction_currency", "$.transaction_currency"),
        ("copecart", "payment.made", "/transaction_id", "$.transaction_id"),
        ("copecart", "payment.refunded", "/transaction_id", "$.transaction_id"),
        ("stripe", "checkout.session.completed", "/data/object/currency", "$.data.object.currency"),
        ("lemonsqueezy", "order_created", "/data/id", "$.data.id"),
        (
            "zoom",
            "webinar.registration_created",
            "/payload/object/registrant",
            "$.payload.object.registrant.email",
        ),
        ("gotowebinar", "registrant.added", "/eventName", "$.eventName"),
        ("cope", "payment.sale.succeeded", "/data/order", "$.data.order.uuid"),
    ] {
        let document = without(document(name, event), pointer);
        let unmapped = match read(preset(name), &document) {
            Err(unmapped) => unmapped.to_string(),
            Ok(reading) => {
                // What tells of nothing known is ignored where the preset says so.
                assert_eq!(reading.kind, EventKind::Ignored, "{name}");
                continue;
            }
        };
        assert!(unmapped.contains(path), "{name}: {unmapped}");
    }
}

#[test]
fn what_can_be_missing_may_be() {
    for (name, event, pointers) in [
        (
            "copecart",
            "payment.made",
            &[
                "/buyer_email",
                "/metadata",
                "/affiliate",
                "/order_date",
                "/rate_number",
                "/test_payment",
                "/tags",
                "/transaction_amount_per_product",
            ][..],
        ),
        (
            "stripe",
            "checkout.session.completed",
            &[
                "/data/object/metadata",
                "/data/object/customer_details",
                "/data/object/client_reference_id",
                "/livemode",
                "/created",
            ],
        ),
        (
            "zoom",
            "webinar.registration_created",
            &[
                "/payload/object/registrant/custom_questions",
                "/payload/object/registrant/id",
                "/event_ts",
            ],
        ),
        (
            "webinargeek",
            "webinar_subscribed",
            &["/entity/extra_fields", "/entity/email", "/entity/broadcast", "/timestamp"],
        ),
        (
            "lemonsqueezy",
            "order_created",
            &[
                "/meta/custom_data",
                "/data/attributes/first_order_item",
                "/data/attributes/user_email",
            ],
        ),
        (
            "paddle",
            "transaction.completed",
            &["/data/custom_data", "/data/billed_at", "/data/origin"],
        ),
    ] {
        let document = document(name, event);
        let kind = read(preset(name), &document).unwrap().kind;
        for pointer in pointers {
            let reading = read(preset(name), &without(document.clone(), pointer));
            assert_eq!(reading.map(|reading| reading.kind), Ok(kind), "{name} {pointer}");
        }
        let all = pointers.iter().fold(document, |document, pointer| without(document, pointer));
        if !["webinargeek", "zoom"].contains(&name) {
            assert!(read(preset(name), &all).is_ok(), "{name}");
        }
    }
}

#[test]
fn what_stands_there_must_be_of_use() {
    let document = document("copecart", "payment.made");
    for (pointer, value, expected) in [
        ("/transaction_amount_per_product/0/amount", json!("a lot"), "is not an amount"),
        ("/transaction_amount_per_product/0/amount", json!(-5), "is not an amount of 0 or more"),
        ("/transaction_currency", json!("Taler"), "is not an ISO 4217 currency"),
        ("/order_id", json!("x".repeat(129)), "at most 128 characters"),
        ("/affiliate", json!("x".repeat(257)), "at most 256 characters"),
        ("/event_type", json!("payment.dreamt"), "no kind is known for this event"),
    ] {
        let unmapped =
            read(preset("copecart"), &with(document.clone(), pointer, value)).unwrap_err();
        assert!(unmapped.to_string().contains(expected), "{unmapped}");
    }
}

#[test]
fn whom_a_platform_credits() {
    let affiliate = |document: &Value| match read(preset("copecart"), document).unwrap().notice {
        Some(Notice::Order(order)) => order.items[0].affiliate.clone(),
        other => panic!("{other:?}"),
    };
    let document = document("copecart", "payment.made");
    let named = PlatformAffiliate::Named("tonerkurs".to_owned());
    assert_eq!(affiliate(&document), named);
    for nobody in [json!(null), json!(""), json!(" "), json!("{{ affiliate }}"), json!("null")] {
        let document = with(document.clone(), "/affiliate", nobody);
        assert_eq!(affiliate(&document), PlatformAffiliate::Nobody);
    }
    assert_eq!(affiliate(&without(document, "/affiliate")), PlatformAffiliate::Unsaid);
}

#[test]
fn one_product_twice_is_two_items() {
    let document = document("copecart", "payment.made");
    let line = document["transaction_amount_per_product"][0].clone();
    let document = with(
        document,
        "/transaction_amount_per_product",
        json!([line.clone(), line.clone(), line]),
    );
    let Some(Notice::Order(order)) = read(preset("copecart"), &document).unwrap().notice else {
        panic!("no order");
    };
    let ids: Vec<_> = order.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["c0ffee42", "c0ffee42#2", "c0ffee42#3"]);
    let many = json!(vec![document["transaction_amount_per_product"][0].clone(); 101]);
    let document = with(document, "/transaction_amount_per_product", many);
    let unmapped = read(preset("copecart"), &document).unwrap_err().to_string();
    assert!(unmapped.contains("$.transaction_amount_per_product[*]"), "{unmapped}");
}

#[test]
fn events_that_tell_nothing_are_ignored_or_parked() {
    for (name, document, expected) in [
        ("stripe", json!({"type": "customer.created"}), Ok(EventKind::Ignored)),
        ("copecart", json!({"event_type": "payment.recurring.upcoming"}), Ok(EventKind::Ignored)),
        ("copecart", json!({"event_type": "PAYMENT.RECURRING.UPCOMING"}), Ok(EventKind::Ignored)),
        ("digistore24", json!({"event": "connection_test"}), Ok(EventKind::Test)),
        ("digistore24", json!({"event": "on_something"}), Err("$.event")),
        ("digistore24", json!({}), Err("$.event")),
        ("generic-webinar", json!({"event": "dreamt"}), Err("$.event or $.kind")),
    ] {
        let read = read(preset(name), &document);
        match expected {
            Ok(kind) => assert_eq!(read.map(|reading| reading.kind), Ok(kind), "{name}"),
            Err(path) => {
                assert_eq!(read, Err(Unmapped::Event { path: path.to_owned() }), "{name}");
            }
        }
    }
}

#[test]
fn orders_that_wait_for_money_need_none() {
    let order = json!({
        "event_type": "payment.trial", "order_id": "T1", "product_id": "c0ffee42", "line_item_amount": "238.0",
        "affiliate": "tonerkurs", "payment_status": "trial",
    });
    for (event, kind) in
        [("payment.trial", EventKind::Trial), ("payment.pending", EventKind::Pending)]
    {
        let reading =
            read(preset("copecart"), &with(order.clone(), "/event_type", json!(event))).unwrap();
        assert_eq!(reading.kind, kind);
        let Some(Notice::Order(order)) = reading.notice else { panic!("no order") };
        assert_eq!((order.items.len(), order.items[0].payment.clone()), (1, None));
    }
}

#[test]
fn headers_that_any_path_names_are_kept() {
    let toml = "title = 'Mine'\nkind = 'webinar'\nverified = true\n[signature]\nscheme = 'own_secret'\n[events]\nunnamed = 'registration'\n[registration]\nemail = '$.mail'\nwebinar = 'header:X-Webinar'";
    let preset = Preset::parse("mine", toml).unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("x-webinar", http::HeaderValue::from_static("pots"));
    headers.insert("cookie", http::HeaderValue::from_static("private"));
    let body = br#"{"mail": "ada@example.org"}"#;
    let delivery = Delivery { headers: &headers, query: "", path_secret: Some("s"), body };
    let payload = preset.verify(&["s"], &delivery, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let bytes = payload.to_bytes();
    assert!(!String::from_utf8_lossy(&bytes).contains("private"));
    let reading = preset.read(&Payload::from_bytes(&bytes).unwrap()).unwrap();
    let Some(Notice::Registration(registration)) = reading.notice else {
        panic!("no registration")
    };
    assert_eq!(registration.webinar.as_deref(), Some("pots"));
}

#[test]
fn drafts_read_nothing_until_they_are_finished() {
    let draft = preset("ablefy");
    assert_eq!(read(draft, &json!({"event": "x"})), Err(Unmapped::Draft));
    let toml = "title = 'Mine'\nkind = 'webinar'\nverified = false\ndraft = 'all'\n[events]\nunnamed = 'registration'\n[registration]\nemail = '$.mail'";
    let mine = Preset::parse("mine", toml).unwrap();
    let document = json!({"mail": "ada@example.org"});
    assert_eq!(read(&mine, &document), Err(Unmapped::Draft));
    assert_eq!(read(&mine.finished(), &document).unwrap().kind, EventKind::Registration);
}

#[test]
fn presets_that_contradict_themselves_name_the_key() {
    let valid = "title = 'Mine'\nkind = 'webinar'\nverified = true\n[signature]\nscheme = 'own_secret'\n[events]\nunnamed = 'registration'\n[registration]\nemail = '$.mail'\n";
    assert!(Preset::parse("mine", valid).is_ok());
    for (from, to, expected) in [
        ("title = 'Mine'", "", "missing field `title`"),
        ("title = 'Mine'", "title = 3", "title: "),
        ("title = 'Mine'", "title = 'Mine'\nfoo = 1", "foo: unknown field"),
        ("kind = 'webinar'", "kind = 'shop'", "kind: unknown variant"),
        ("verified = true", "verified = true\ndraft = 'x'", "verified: "),
        ("verified = true", "verified = true\nunverified = ['x']", "verified: "),
        ("verified = true", "verified = false", "verified: "),
        ("[signature]\nscheme = 'own_secret'", "", "signature: is required"),
        ("scheme = 'own_secret'", "scheme = 'md5'", "signature"),
        (
            "scheme = 'own_secret'",
            "scheme = 'hmac_sha256'\nheader = 'x y'\nencoding = 'hex'",
            "signature",
        ),
        (
            "scheme = 'own_secret'",
            "scheme = 'hmac_sha256'\nheader = 'x'\nencoding = 'hex'\nsigns = '{timestamp}.{body}'",
            "signature.timestamp_header: is required",
        ),
        (
            "scheme = 'own_secret'",
            "scheme = 'hmac_sha256'\nheader = 'x'\nencoding = 'hex'\nsigns = '{body}{id}'",
            "must end with {body}",
        ),
        ("unnamed = 'registration'", "unnamed = 'arrival'", "events.unnamed: "),
        ("unnamed = 'registration'", "", "events.name: is required"),
        (
            "unnamed = 'registration'",
            "name = 'event'",
            "events.name: \"event\" starts with none of",
        ),
        ("unnamed = 'registration'", "unnamed = 'registration'\ntest = '@.x =='", "events.test: "),
        ("unnamed = 'registration'", "unnamed = 'payment'", "order: is required"),
        ("[registration]\nemail = '$.mail'", "", "registration: is required"),
        ("email = '$.mail'", "webinar = '$.w'", "registration.id: is required"),
        (
            "email = '$.mail'",
            "email = ['$.mail', '$.[']",
            "registration.email: \"$.[\" is not a JSONPath",
        ),
        (
            "[events]",
            "[links.invitation]\nwith_affiliate = 'https://x.example/<a>'\n[events]",
            "links.invitation: <a> is not given",
        ),
        (
            "[events]",
            "[links.invitation]\nwith_affiliate = 'https://x.example/'\n[events]",
            "links.invitation: with_affiliate: must hold {affiliate}",
        ),
        (
            "[events]",
            "[merge_tags]\nfield = '<field>'\ncreate = ''\nsample = 'b'\n[events]",
            "merge_tags.sample: ",
        ),
        ("title", "title = [", "TOML"),
    ] {
        assert!(valid.contains(from), "{from}");
        let error = Preset::parse("mine", &valid.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.starts_with("preset mine: ") && error.contains(expected), "{to}: {error}");
    }
    assert!(Preset::parse("-mine", valid).is_err());
}

#[test]
fn an_operators_presets_stand_over_the_built_in_ones() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ablefy.toml");
    let finished = "title = 'Mine'\nkind = 'webinar'\nverified = true\n[signature]\nscheme = 'own_secret'\n[events]\nunnamed = 'ignored'";
    std::fs::write(&file, finished).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a preset").unwrap();
    let presets = Presets::load(Some(directory.path())).unwrap();
    assert_eq!(presets.get("ablefy").unwrap().draft(), None);
    assert!(presets.get("zoom").is_some());
    std::fs::write(&file, "title = 3").unwrap();
    let error = Presets::load(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("ablefy: title"), "{error}");
    let missing = directory.path().join("missing");
    assert!(Presets::load(Some(&missing)).is_err());
}

#[test]
fn what_platforms_hear() {
    let presets = Presets::load(None).unwrap();
    for preset in presets.iter() {
        let reply = preset.reply();
        let expected = if ["copecart", "digistore24"].contains(&preset.name()) { "OK" } else { "" };
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, expected.as_bytes()));
    }
}

proptest! {
    #[test]
    fn any_payload_is_read_or_parked(document in arbitrary_json(), which in any::<prop::sample::Index>()) {
        let all: Vec<_> = PRESETS.iter().collect();
        let _ = read(all[which.index(all.len())], &document);
    }
}

/// JSON of any shape, with the names that presets look for among others.
fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(
            &["payment.made", "on_payment", "SALE", "registration", "EUR", "1.5"][..]
        )
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-z_]{1,8}",
        prop::sample::select(
            &[
                "event",
                "event_type",
                "type",
                "data",
                "object",
                "order_id",
                "items",
                "payload",
                "email",
                "amount",
                "currency",
                "order"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
