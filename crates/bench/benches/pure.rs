//! What one call costs of the functions that have no clock, no disk and no network.
#![allow(clippy::unwrap_used, missing_docs, reason = "fixed inputs, and criterion's macros")]

use std::{collections::BTreeMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use tagalong_attribution::{
    decide::{Item, Policy, Reach, Touch, TouchKind, decide},
    id::AffiliateId,
    resolve::{CarriedBy, Named, Reference, resolve},
    template::{Destination, Values},
    token::KeyRing,
};
use uuid::Uuid;

const CLICK: &str = "01935a2b-7c8d-7e9f-8a1b-2c3d4e5f6071";

fn monday() -> Timestamp {
    Timestamp::from_second(1_800_230_400).unwrap()
}

fn templates(c: &mut Criterion) {
    let page = Destination::parse(
        "https://webinar.example.com/invitation?aff={affiliate}&click={click}",
        "",
    )
    .unwrap();
    let values =
        Values { product: "webinar", affiliate: Some("max"), token: None, click: CLICK, subs: &[] };
    c.bench_function("template: an invitation page", |b| {
        b.iter(|| page.url(black_box(&values), &[]));
    });
    let passed = [("utm_source", "newsletter"), ("utm_campaign", "spring launch")];
    c.bench_function("template: with two of a visitor's parameters", |b| {
        b.iter(|| page.url(black_box(&values), black_box(&passed)));
    });
}

fn tokens(c: &mut Criterion) {
    let ring = KeyRing::new(1, [(1, [7; 32])]).unwrap();
    let attendee = Uuid::from_u128(0x0193_5a2b_7c8d_7e9f_8a1b_2c3d_4e5f_6071);
    let token = ring.sign(attendee);
    c.bench_function("token: sign", |b| b.iter(|| ring.sign(black_box(attendee))));
    c.bench_function("token: verify", |b| b.iter(|| ring.verify(black_box(&token))));
}

fn affiliates(c: &mut Criterion) {
    c.bench_function("affiliate: an ID", |b| b.iter(|| AffiliateId::read(black_box("max"))));
    c.bench_function("affiliate: a merge tag nobody filled in", |b| {
        b.iter(|| AffiliateId::read(black_box("*|AFF|*")));
    });
}

fn buyers(c: &mut Criterion) {
    let attendee = |id| Named::Attendee {
        id: Uuid::from_u128(id),
        offered: true,
        registered_at: Some(monday()),
        mark: id,
    };
    let references = [
        Reference { by: CarriedBy::Email, named: attendee(2) },
        Reference { by: CarriedBy::Click, named: Named::Click(Uuid::from_u128(3)) },
        Reference { by: CarriedBy::Token, named: attendee(1) },
    ];
    c.bench_function("resolve: token, click and e-mail", |b| {
        b.iter(|| resolve(black_box(&references)));
    });
}

fn decisions(c: &mut Criterion) {
    let item = Item {
        programme: "copecart".parse().unwrap(),
        sold_at: monday(),
        settles_at: None,
        known_since: Some(monday() - SignedDuration::from_hours(24)),
        emails: Vec::new(),
        inherited: None,
        assigned: None,
    };
    let policy = Policy::default();
    let standings = BTreeMap::new();
    let mut group = c.benchmark_group("decide: touches");
    for count in [1_u8, 10, 100] {
        let touches: Vec<Touch> = (0..count).map(touch).collect();
        group.bench_with_input(BenchmarkId::from_parameter(count), &touches, |b, touches| {
            b.iter(|| decide(&policy, black_box(touches), &standings, &item));
        });
    }
    group.finish();
}

/// A click of one of nine affiliates, or, each tenth, a registration.
fn touch(number: u8) -> Touch {
    let at = monday() - SignedDuration::from_hours(i64::from(number) + 1);
    Touch {
        id: Uuid::from_u128(number.into()),
        kind: if number.is_multiple_of(10) { TouchKind::Registration } else { TouchKind::Click },
        programme: "copecart".parse().unwrap(),
        affiliate: format!("affiliate{}", number % 9).parse().unwrap(),
        at,
        received_at: at,
        verified: true,
        session: None,
        reach: Reach::Unbounded,
    }
}

criterion_group!(benches, templates, tokens, affiliates, buyers, decisions);
criterion_main!(benches);
