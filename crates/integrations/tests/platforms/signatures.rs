//! Only what a platform signed is taken, and of that only what it signed.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, sample::Index};
use tagalong_integrations::{Delivery, Payload, Preset, Presets, Refusal};

use crate::sample::Sample;

fn preset(name: &str) -> Preset {
    Presets::load(None).unwrap().get(name).unwrap().clone()
}

/// A platform that signs as this table says.
fn signing(signature: &str) -> Preset {
    let toml = format!(
        "title = 'A platform'\nkind = 'webinar'\nverified = true\n[signature]\n{signature}\n[events]\nunnamed = 'ignored'"
    );
    Preset::parse("test", &toml).unwrap()
}

fn verify(
    preset: &Preset,
    secret: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    at: i64,
) -> Result<Payload, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let delivery = Delivery { headers: &map, query: "", path_secret: None, body };
    preset.verify(&[secret], &delivery, Timestamp::from_second(at).unwrap())
}

/// What Stripe's own libraries are tested with.
const STRIPE_BODY: &str = include_str!("vectors/stripe.json");
const STRIPE_HEADER: &str = "t=1533204620,v1=f0bdba6d4eacbd8ad8a3bbadd7248e633ec1477f7899c124c51b39405fa36613,v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef";

#[test]
fn published_vectors() {
    let stripe = preset("stripe");
    let headers = [("Stripe-Signature", STRIPE_HEADER)];
    let body = STRIPE_BODY.as_bytes();
    let payload = verify(&stripe, "webhook_secret", &headers, body, 1_533_204_620).unwrap();
    assert_eq!(payload.body(), body);
    let other = verify(&stripe, "webhook_secret2", &headers, body, 1_533_204_620);
    assert_eq!(other, Err(Refusal::Forged));

    let standard = signing("scheme = 'standard_webhooks'");
    for prefix in ["webhook", "svix"] {
        let (id, time, signature) =
            (format!("{prefix}-id"), format!("{prefix}-timestamp"), format!("{prefix}-signature"));
        let headers = [
            (id.as_str(), "msg_loFOjxBNrRLzqYUf"),
            (time.as_str(), "1731705121"),
            (signature.as_str(), "v1,AAAA v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0= v1a,x"),
        ];
        let body = br#"{"event_type":"ping","data":{"success":true}}"#;
        let secret = "whsec_plJ3nmyCDGBKInavdOK15jsl";
        assert!(verify(&standard, secret, &headers, body, 1_731_705_121).is_ok());
        assert_eq!(verify(&standard, secret, &headers, body, 1_731_706_121), Err(Refusal::Stale));
    }

    let livestorm = preset("livestorm");
    let signature = "bcee8607a976dee318a3aa34fa780a4a9ce777b4feb4a6ab218c24c45ca7953e";
    for value in [format!("{signature},1752652800000"), format!("1752652800000,{signature}")] {
        let headers = [("X-Livestorm-Signature", value.as_str())];
        let body = br#"{"uneClef":"valeur"}"#;
        assert!(verify(&livestorm, "signature", &headers, body, 1_752_652_800).is_ok());
    }
}

#[test]
fn signatures_age_where_they_have_a_time() {
    for (name, event, seconds) in [
        ("stripe", "checkout.session.completed", 300),
        ("cope", "payment.sale.succeeded", 300),
        ("zoom", "webinar.registration_created", 300),
        ("paddle", "transaction.completed", 5),
        ("livestorm", "people.registered", 3600),
    ] {
        let preset = preset(name);
        let sample = Sample::of(name, event);
        let verify = |seconds| {
            let at = sample.at + SignedDuration::from_secs(seconds);
            preset.verify(&[&sample.secret], &sample.delivery(), at).map(|_| ())
        };
        // Samples were signed up to five seconds before they came in.
        assert_eq!(verify(0), Ok(()), "{name}");
        assert_eq!(verify(seconds + 1), Err(Refusal::Stale), "{name}");
        assert_eq!(verify(-seconds - 6), Err(Refusal::Stale), "{name}");
    }
    let untimed = Sample::of("copecart", "payment.made");
    let years = untimed.at + SignedDuration::from_hours(50_000);
    assert!(preset("copecart").verify(&[&untimed.secret], &untimed.delivery(), years).is_ok());
}

#[test]
fn what_is_not_signed_and_what_nobody_can_sign() {
    for (name, sample) in every_scheme() {
        let preset = preset_of(name);
        let bare = Sample { headers: HeaderMap::new(), query: String::new(), ..sample.clone() };
        let in_body = ["digistore24", "clickbank", "thrivecart"].contains(&name);
        let refusal = preset.verify(&[&sample.secret], &bare.delivery(), sample.at).err();
        assert_eq!(refusal, (!in_body).then_some(Refusal::Unsigned), "{name}");
        if in_body {
            for body in [&b""[..], b"{}", b"a=1", b"\xff\xfe", b"{\"notification\":1}"] {
                let other = Sample { body: body.to_vec(), ..sample.clone() };
                let refusal = preset.verify(&[&sample.secret], &other.delivery(), sample.at);
                assert_eq!(refusal, Err(Refusal::Unsigned), "{name}");
            }
        }
        for secrets in [&[][..], &[""], &["", "another"]] {
            let refusal = preset.verify(secrets, &sample.delivery(), sample.at);
            assert_eq!(refusal, Err(Refusal::Forged), "{name}");
        }
        let rotated = ["new", sample.secret.as_str()];
        assert!(preset.verify(&rotated, &sample.delivery(), sample.at).is_ok(), "{name}");
    }
    let drafts = ["mailchimp"];
    for name in drafts {
        let sample = Sample::of("zoom", "webinar.participant_joined");
        let refusal = preset(name).verify(&[&sample.secret], &sample.delivery(), sample.at);
        assert_eq!(refusal, Err(Refusal::Unsigned));
    }
}

#[test]
fn a_header_that_stands_twice_means_nothing() {
    let sample = Sample::of("copecart", "payment.made");
    let mut doubled = sample.clone();
    let value = sample.headers["x-copecart-signature"].clone();
    doubled.headers.append("x-copecart-signature", value);
    let refusal = preset("copecart").verify(&[&sample.secret], &doubled.delivery(), sample.at);
    assert_eq!(refusal, Err(Refusal::Forged));
}

#[test]
fn parameters_that_are_not_signed_are_not_read() {
    let digistore = preset("digistore24");
    let sample = Sample::of("digistore24", "on_payment");
    let verify = |body: Vec<u8>| {
        let sample = Sample { body, ..sample.clone() };
        digistore.verify(&[&sample.secret], &sample.delivery(), sample.at)
    };
    let original = verify(sample.body.clone()).unwrap();
    let more = [&sample.body[..], b"&another=&affiliate_name_2="].concat();
    assert_eq!(verify(more).unwrap(), original);
    let valued = [&sample.body[..], b"&another=1"].concat();
    assert_eq!(verify(valued), Err(Refusal::Forged));
    // The last of two counts, here and where it is signed.
    let twice = [&sample.body[..], b"&order_id=X"].concat();
    assert_eq!(verify(twice), Err(Refusal::Forged));
    let signature = String::from_utf8(sample.body.clone()).unwrap();
    let (before, after) = signature.split_once("sha_sign=").unwrap();
    let small = format!("{before}sha_sign={}", after.to_lowercase());
    assert_eq!(verify(small.into_bytes()).unwrap(), original);
}

#[test]
fn digistore_may_sign_what_entities_stand_for() {
    // Signed over `name=A&B`, sent as `A&amp;B`; passphrase `p`.
    let sign = "7FE7E3D2E4F2AA12F4";
    let body = format!("name=A%26amp%3BB&sha_sign={sign}");
    let digistore = preset("digistore24");
    assert_eq!(verify(&digistore, "p", &[], body.as_bytes(), 0), Err(Refusal::Forged));
    let sign = include_str!("vectors/digistore24-entities.txt").trim();
    let body = format!("name=A%26amp%3BB&sha_sign={sign}");
    let payload = verify(&digistore, "p", &[], body.as_bytes(), 0).unwrap();
    assert_eq!(payload.body(), b"name=A%26B");
}

#[test]
fn own_secrets_come_in_the_path_the_query_or_as_bearer_tokens() {
    let preset = preset("generic-webinar");
    let bearer = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(value).unwrap());
        headers
    };
    let none = HeaderMap::new();
    for (path, query, headers, expected) in [
        (Some("s3cret"), "", &none, Ok(())),
        (None, "a=b&token=s3cret", &none, Ok(())),
        (None, "", &bearer("Bearer s3cret"), Ok(())),
        (None, "", &bearer("bearer s3cret"), Ok(())),
        (Some("other"), "token=s3cret", &none, Ok(())),
        (None, "", &none, Err(Refusal::Unsigned)),
        (None, "token", &none, Err(Refusal::Forged)),
        (None, "", &bearer("Basic s3cret"), Err(Refusal::Unsigned)),
        (Some("s3cret "), "", &none, Err(Refusal::Forged)),
        (Some("S3cret"), "token=s3cre", &bearer("Bearer s3cret2"), Err(Refusal::Forged)),
    ] {
        let delivery = Delivery { headers, query, path_secret: path, body: b"{}" };
        let verified = preset.verify(&["s3cret"], &delivery, Timestamp::UNIX_EPOCH).map(|_| ());
        assert_eq!(verified, expected, "{path:?} {query}");
    }
}

#[test]
fn zoom_is_shown_that_we_know_the_secret_that_it_used() {
    let zoom = preset("zoom");
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platforms/vectors");
    let challenge = Sample::read(&vectors.join("zoom-challenge.http"));
    let secrets = ["another", challenge.secret.as_str()];
    let payload = zoom.verify(&secrets, &challenge.delivery(), challenge.at).unwrap();
    let reply = zoom.challenge(&secrets, &payload).unwrap();
    assert_eq!((reply.status.as_u16(), reply.content_type), (200, Some("application/json")));
    let expected = include_str!("vectors/zoom-challenge-reply.json").trim();
    assert_eq!(std::str::from_utf8(&reply.body).unwrap(), expected);

    let ordinary = Sample::of("zoom", "webinar.registration_created");
    let payload = zoom.verify(&[&ordinary.secret], &ordinary.delivery(), ordinary.at).unwrap();
    assert_eq!(zoom.challenge(&[&ordinary.secret], &payload), None);
}

/// A sample of each way to sign, by its preset.
fn every_scheme() -> Vec<(&'static str, Sample)> {
    [
        ("copecart", "payment.made"),
        ("cope", "payment.sale.succeeded"),
        ("digistore24", "on_payment"),
        ("clickbank", "SALE"),
        ("stripe", "checkout.session.completed"),
        ("paddle", "transaction.completed"),
        ("lemonsqueezy", "order_created"),
        ("thrivecart", "order.success"),
        ("shopify", "orders-paid"),
        ("zoom", "webinar.registration_created"),
        ("livestorm", "people.registered"),
        ("webinargeek", "webinar_subscribed"),
        ("generic-checkout", "payment"),
    ]
    .map(|(name, event)| (name, Sample::of(name, event)))
    .into_iter()
    .chain([("standard-webhooks", standard_webhooks())])
    .collect()
}

fn preset_of(name: &str) -> Preset {
    if name == "standard-webhooks" {
        return signing("scheme = 'standard_webhooks'");
    }
    preset(name)
}

fn standard_webhooks() -> Sample {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", "msg_loFOjxBNrRLzqYUf"),
        ("webhook-timestamp", "1731705121"),
        ("webhook-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Sample {
        headers,
        body: br#"{"event_type":"ping","data":{"success":true}}"#.to_vec(),
        secret: "whsec_plJ3nmyCDGBKInavdOK15jsl".to_owned(),
        at: Timestamp::from_second(1_731_705_121).unwrap(),
        query: String::new(),
    }
}

/// Something done to bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    Swap(Index, Index),
    Repeat(Index, Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Insert(at, byte) => bytes.insert(at.index(len + 1), *byte),
            _ if len == 0 => {}
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << (bit % 8),
            Self::Replace(at, byte) => bytes[at.index(len)] = *byte,
            Self::Remove(at) => drop(bytes.remove(at.index(len))),
            Self::Truncate(at) => bytes.truncate(at.index(len)),
            Self::Swap(one, other) => bytes.swap(one.index(len), other.index(len)),
            Self::Repeat(one, other) => {
                let (one, other) = (one.index(len), other.index(len));
                let piece = bytes[one.min(other)..=one.max(other)].to_vec();
                bytes.splice(one..one, piece);
            }
        }
    }
}

fn apply(mutations: &[Mutation], bytes: &mut Vec<u8>) {
    for mutation in mutations {
        mutation.apply(bytes);
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    // Digits, letters and what stands between them make more of the mutations that could pass.
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(&b"0123456789abcdefABCDEF=,:. &\"{}"[..])
    ];
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        3 => (at(), byte.clone()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        1 => (at(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => at().prop_map(Mutation::Remove),
        1 => at().prop_map(Mutation::Truncate),
        1 => (at(), at()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => (at(), at()).prop_map(|(one, other)| Mutation::Repeat(one, other)),
    ]
}

/// The sample with its body or one of its headers changed; none where that is impossible or changes nothing.
fn mutated(sample: &Sample, name: &str, which: Index, mutations: &[Mutation]) -> Option<Sample> {
    let mut changed = sample.clone();
    let signed: Vec<_> = sample
        .headers
        .keys()
        .filter(|name| {
            ![
                "content-type",
                "x-shopify-topic",
                "x-shopify-event-id",
                "x-cope-event-id",
                "x-cope-timestamp",
                "x-event-name",
            ]
            .contains(&name.as_str())
        })
        .cloned()
        .collect();
    // Where the secret itself is sent nothing else is guarded.
    let secret = ["thrivecart", "generic-checkout"].contains(&name);
    let chosen = which.index(signed.len() + 1);
    if chosen == signed.len() && name != "generic-checkout" {
        if secret {
            let mut given = sample.secret.clone().into_bytes();
            apply(mutations, &mut given);
            let body = String::from_utf8(sample.body.clone()).unwrap();
            let given: String = form_urlencoded::byte_serialize(&given).collect();
            changed.body = body.replace(&sample.secret, &given).into_bytes();
        } else {
            apply(mutations, &mut changed.body);
        }
        return (changed.body != sample.body).then_some(changed);
    }
    let header = signed.get(chosen.min(signed.len().checked_sub(1)?))?;
    let mut value = sample.headers[header].as_bytes().to_vec();
    apply(mutations, &mut value);
    // What cannot stand in a header never arrives; around it spaces have no meaning.
    let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
    if value == sample.headers[header] {
        return None;
    }
    changed.headers.insert(header.clone(), value);
    Some(changed)
}

/// 10,000 deliveries with something changed: none is taken for more or other than what was signed.
fn nothing_changed_is_taken(name: &'static str) {
    let preset = preset_of(name);
    let (_, sample) = every_scheme().into_iter().find(|(known, _)| *known == name).unwrap();
    let original = preset.verify(&[&sample.secret], &sample.delivery(), sample.at).unwrap();
    let config = ProptestConfig {
        cases: 10_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let cases = (any::<Index>(), proptest::collection::vec(mutation(), 1..3));
    proptest!(config, |((which, mutations) in cases)| {
        let Some(changed) = mutated(&sample, name, which, &mutations) else {
            return Err(TestCaseError::reject("changes nothing"));
        };
        if let Ok(payload) = preset.verify(&[&sample.secret], &changed.delivery(), sample.at) {
            let as_signed = match name {
                // What is not signed may change, because nothing is read from it.
                "digistore24" | "clickbank" => true,
                "generic-checkout" => changed.headers["authorization"]
                    .as_bytes()
                    .eq_ignore_ascii_case(sample.headers["authorization"].as_bytes()),
                _ => changed.body == sample.body && holds_the_same(&changed, &sample),
            };
            prop_assert!(as_signed && payload.body() == original.body(), "{:?}", changed.headers);
        }
    });
}

/// Whether the headers still hold every signature and time that they held, with something more perhaps.
fn holds_the_same(changed: &Sample, sample: &Sample) -> bool {
    let parts = |sample: &Sample| -> Vec<String> {
        let headers = sample.headers.values().filter_map(|value| value.to_str().ok());
        let parts = headers.flat_map(|value| value.split([',', ';', ' ']));
        // Stripe's old scheme, which counts for nothing.
        parts.map(str::to_owned).filter(|part| !part.is_empty() && part != "v0=00").collect()
    };
    let changed = parts(changed);
    parts(sample).iter().all(|part| changed.contains(part))
}

macro_rules! mutations {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            nothing_changed_is_taken($name);
        })*
    };
}

mod ten_thousand_mutations_of {
    use super::nothing_changed_is_taken;

    mutations! {
        copecart: "copecart",
        cope: "cope",
        digistore24: "digistore24",
        clickbank: "clickbank",
        stripe: "stripe",
        paddle: "paddle",
        lemonsqueezy: "lemonsqueezy",
        thrivecart: "thrivecart",
        shopify: "shopify",
        zoom: "zoom",
        livestorm: "livestorm",
        webinargeek: "webinargeek",
        own_secrets: "generic-checkout",
        standard_webhooks: "standard-webhooks",
    }
}
