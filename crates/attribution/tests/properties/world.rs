//! A world small enough that things collide: five affiliates, three sessions, a dozen seconds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tagalong_attribution::{
    decide::{
        Basis, CouponRank, Decision, Inherited, Item, Policy, Reach, Session, Standing, Suspension,
        Touch, TouchKind, TouchModel, Verdict, decide,
    },
    id::AffiliateId,
};
use uuid::Uuid;

pub(crate) const AFFILIATES: [&str; 5] = ["max", "eva", "ads", "gone", "self"];

pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Everything that a decision is made of.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) touches: Vec<Touch>,
    pub(crate) standings: BTreeMap<AffiliateId, Standing>,
    pub(crate) item: Item,
}

impl World {
    pub(crate) fn decide(&self) -> Decision {
        decide(&self.policy, &self.touches, &self.standings, &self.item)
    }

    pub(crate) fn with(&self, touch: &Touch) -> Self {
        let mut world = self.clone();
        world.touches.push(Touch { id: Uuid::from_u128(999), ..touch.clone() });
        world
    }

    pub(crate) fn without(&self, gone: impl Fn(&Touch) -> bool) -> Self {
        let mut world = self.clone();
        world.touches.retain(|touch| !gone(touch));
        world
    }

    pub(crate) fn standing(&mut self, affiliate: &AffiliateId) -> &mut Standing {
        self.standings.entry(affiliate.clone()).or_default()
    }

    pub(crate) fn touch(&self, id: Uuid) -> &Touch {
        self.touches.iter().find(|touch| touch.id == id).unwrap()
    }

    pub(crate) fn winner(&self, decision: &Decision) -> Option<&Touch> {
        match decision.basis {
            Basis::Touch(id) => Some(self.touch(id)),
            _ => None,
        }
    }

    /// Verified, then partner over house, then registration over click; larger is stronger.
    pub(crate) fn rank(&self, touch: &Touch) -> (bool, bool, u8) {
        let house = self.standings.get(&touch.affiliate).is_some_and(|standing| standing.house);
        let kind = match (touch.kind, self.policy.coupon_rank) {
            (TouchKind::Click | TouchKind::Landing, _) | (TouchKind::Coupon, CouponRank::Click) => {
                1
            }
            (TouchKind::Registration, _) | (TouchKind::Coupon, CouponRank::Registration) => 2,
            (TouchKind::Coupon, CouponRank::AboveAll) => 3,
            (TouchKind::Coupon, CouponRank::Ignored) => 0,
        };
        (touch.verified, !house, kind)
    }

    /// Every reason for which a touch cannot count, whatever the others are.
    pub(crate) fn exclusions(&self, touch: &Touch) -> Vec<Verdict> {
        let Item { sold_at, settles_at, known_since, .. } = self.item;
        let in_time =
            |received: Timestamp| settles_at.is_none_or(|settles_at| received <= settles_at);
        let nobody = Standing::default();
        let standing = self.standings.get(&touch.affiliate).unwrap_or(&nobody);
        let suspended = standing.suspensions.iter().any(|suspension| {
            let over = |moment| suspension.until.is_some_and(|until| until <= moment);
            let hits = |moment| suspension.from <= moment && !over(moment);
            in_time(suspension.recorded_at) && (hits(touch.at) || hits(sold_at))
        });
        let nanoseconds = sold_at.as_nanosecond() - touch.at.as_nanosecond();
        [
            (touch.programme != self.item.programme, Verdict::OtherProgramme),
            (touch.reach == Reach::Unrelated, Verdict::UnrelatedProduct),
            (matches!(touch.reach, Reach::Until(end) if end < sold_at), Verdict::CampaignEnded),
            (!in_time(touch.received_at), Verdict::ReceivedAfterSettling),
            (sold_at < touch.at, Verdict::AfterSale),
            (nanoseconds > self.policy.window.as_nanos(), Verdict::OutsideWindow),
            (
                !touch.verified && known_since.is_some_and(|since| since < touch.received_at),
                Verdict::UnverifiedTooLate,
            ),
            (
                touch.kind == TouchKind::Coupon && self.policy.coupon_rank == CouponRank::Ignored,
                Verdict::CouponIgnored,
            ),
            (suspended, Verdict::Suspended),
            (
                standing.emails.iter().any(|email| self.item.emails.contains(email)),
                Verdict::SelfReferral,
            ),
        ]
        .into_iter()
        .filter_map(|(holds, verdict)| holds.then_some(verdict))
        .collect()
    }

    pub(crate) fn counts(&self, touch: &Touch) -> bool {
        self.exclusions(touch).is_empty()
    }

    /// Whether a counting registration of the same rank for the same session came before.
    pub(crate) fn locked(&self, touch: &Touch) -> bool {
        self.touches.iter().any(|other| {
            registered_together(other, touch)
                && other.at < touch.at
                && self.counts(other)
                && self.rank(other) == self.rank(touch)
        })
    }
}

pub(crate) fn registered_together(one: &Touch, other: &Touch) -> bool {
    one.kind == TouchKind::Registration
        && other.kind == TouchKind::Registration
        && one.session.is_some()
        && one.session == other.session
}

/// The decision, but for the verdict on one touch.
pub(crate) fn but_for(
    decision: &Decision,
    touch: Uuid,
) -> (Option<AffiliateId>, Basis, BTreeMap<Uuid, Verdict>) {
    let others = decision.verdicts.iter().copied().filter(|(id, _)| *id != touch);
    (decision.affiliate.clone(), decision.basis, others.collect())
}

pub(crate) fn instants(range: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Timestamp> {
    range.prop_map(at)
}

pub(crate) fn emails() -> impl Strategy<Value = Vec<[u8; 32]>> {
    prop::collection::vec((0..4_u8).prop_map(|n| [n; 32]), 0..2)
}

pub(crate) fn touches() -> impl Strategy<Value = Touch> {
    let who = (
        prop::sample::select(vec!["copecart", "copecart", "copecart", "digistore"]),
        prop::sample::select(AFFILIATES.as_slice()),
        prop::sample::select(vec![None, Some("mon"), Some("tue")]),
    );
    let kind = prop::sample::select(vec![
        TouchKind::Click,
        TouchKind::Landing,
        TouchKind::Registration,
        TouchKind::Registration,
        TouchKind::Coupon,
    ]);
    let reach = prop_oneof![
        8 => Just(Reach::Unbounded),
        1 => Just(Reach::Unrelated),
        2 => instants(4..=12).prop_map(Reach::Until),
    ];
    let when = (instants(0..=10), instants(0..=14));
    (who, kind, reach, when, prop::bool::weighted(0.7)).prop_map(
        |((programme, affiliate, session), kind, reach, (at, received_at), verified)| Touch {
            id: Uuid::nil(),
            kind,
            programme: id(programme),
            affiliate: id(affiliate),
            at,
            received_at,
            verified,
            // A session on anything but a registration says nothing.
            session: session
                .map(|session| Session { webinar: id("webinar"), id: session.to_owned() }),
            reach,
        },
    )
}

pub(crate) fn suspensions() -> impl Strategy<Value = Suspension> {
    (instants(0..=12), prop::option::of(1..4_i64), instants(0..=14)).prop_map(
        |(from, length, recorded_at)| Suspension {
            from,
            until: length.map(|seconds| from + SignedDuration::from_secs(seconds)),
            recorded_at,
        },
    )
}

pub(crate) fn standings() -> impl Strategy<Value = BTreeMap<AffiliateId, Standing>> {
    let suspended = prop::collection::vec(suspensions(), 1..3);
    (suspended, any::<bool>(), emails()).prop_map(|(suspensions, house_suspended, emails)| {
        let house = Standing {
            house: true,
            suspensions: if house_suspended { suspensions.clone() } else { Vec::new() },
            ..Standing::default()
        };
        BTreeMap::from([
            (id("ads"), house),
            (id("gone"), Standing { suspensions, ..Standing::default() }),
            (id("self"), Standing { emails, ..Standing::default() }),
        ])
    })
}

prop_compose! {
    pub(crate) fn worlds()(
        model in prop::sample::select(vec![TouchModel::Last, TouchModel::First]),
        coupon_rank in prop::sample::select(vec![
            CouponRank::Ignored, CouponRank::Click, CouponRank::Registration, CouponRank::AboveAll,
        ]),
        window in 4..=12_i64,
        touches in prop::collection::vec(touches(), 0..8),
        standings in standings(),
        sold_at in instants(6..=10),
        settles_at in prop::option::of(instants(8..=14)),
        known_since in prop::option::of(instants(4..=14)),
        emails in emails(),
    ) -> World {
        let numbered = |(n, touch)| Touch { id: Uuid::from_u128(n), ..touch };
        World {
            policy: Policy { model, window: SignedDuration::from_secs(window), coupon_rank },
            touches: (1..).zip(touches).map(numbered).collect(),
            standings,
            item: Item {
                programme: id("copecart"),
                sold_at,
                settles_at,
                known_since,
                emails,
                inherited: None,
                assigned: None,
            },
        }
    }
}

pub(crate) fn overruled(world: World) -> impl Strategy<Value = World> {
    let affiliate = prop::option::of(prop::sample::select(AFFILIATES.as_slice()));
    (prop::option::of(affiliate.clone()), prop::option::of(affiliate)).prop_map(
        move |(inherited, assigned)| {
            let mut world = world.clone();
            world.item.inherited = inherited.map(|affiliate| Inherited {
                from: Uuid::from_u128(77),
                affiliate: affiliate.map(id),
            });
            world.item.assigned = assigned.map(|affiliate| affiliate.map(id));
            world
        },
    )
}

/// Max brought the buyer by a verified click.
pub(crate) fn lone_touch() -> World {
    World {
        policy: Policy::default(),
        touches: vec![Touch {
            id: Uuid::from_u128(1),
            kind: TouchKind::Click,
            programme: id("copecart"),
            affiliate: id("max"),
            at: at(0),
            received_at: at(0),
            verified: true,
            session: None,
            reach: Reach::Unbounded,
        }],
        standings: BTreeMap::new(),
        item: Item {
            programme: id("copecart"),
            sold_at: at(1),
            settles_at: None,
            known_since: None,
            emails: Vec::new(),
            inherited: None,
            assigned: None,
        },
    }
}

pub(crate) fn many() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}
