//! Who gets the credit.

use jiff::SignedDuration;
use proptest::prelude::*;
use tagalong_attribution::{
    decide::{
        Basis, Inherited, Reach, Session, Stretch, Suspension, Touch, TouchKind, TouchModel,
        Verdict, stands,
    },
    id::AffiliateId,
};
use uuid::Uuid;

use crate::world::{
    AFFILIATES, World, at, but_for, id, lone_touch, many, overruled, registered_together,
    suspensions, touches, worlds,
};

proptest! {
    #![proptest_config(many())]

    #[test]
    fn order_of_arrival_does_not_matter(
        (world, shuffled) in worlds().prop_flat_map(|world| {
            let touches = Just(world.touches.clone()).prop_shuffle();
            (Just(world), touches)
        }),
    ) {
        let nobody = Uuid::nil();
        let other = World { touches: shuffled, ..world.clone() };
        prop_assert_eq!(but_for(&world.decide(), nobody), but_for(&other.decide(), nobody));
    }

    #[test]
    fn a_decision_stands_as_long_as_it_is_said_to(
        world in worlds().prop_flat_map(overruled),
        moments in prop::collection::vec((-8..=24_i64, -1..=1_i64), 1..20),
    ) {
        let stretch = stands(&world.policy, &world.touches, &world.standings, &world.item);
        prop_assert!(stretch.covers(world.item.sold_at));
        let moments = moments
            .into_iter()
            .map(|(second, nanosecond)| at(second) + SignedDuration::from_nanos(nanosecond));
        let edges = [stretch.from, stretch.until.map(|until| until - SignedDuration::from_nanos(1))];
        for moment in moments.chain(edges.into_iter().flatten()).filter(|at| stretch.covers(*at)) {
            let mut other = world.clone();
            other.item.sold_at = moment;
            prop_assert_eq!(other.decide(), world.decide(), "at {} of {:?}", moment, stretch);
        }
    }

    #[test]
    fn every_touch_gets_one_verdict_in_the_order_given(world in worlds().prop_flat_map(overruled)) {
        let asked: Vec<Uuid> = world.touches.iter().map(|touch| touch.id).collect();
        let answered: Vec<Uuid> = world.decide().verdicts.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(asked, answered);
    }

    #[test]
    fn there_is_one_winner_where_a_touch_decides_and_none_elsewhere(
        world in worlds().prop_flat_map(overruled),
    ) {
        let decision = world.decide();
        let won: Vec<Uuid> = decision
            .verdicts
            .iter()
            .filter(|(_, verdict)| *verdict == Verdict::Won)
            .map(|(id, _)| *id)
            .collect();
        if let Basis::Touch(id) = decision.basis {
            prop_assert_eq!(won, [id]);
            prop_assert_eq!(decision.affiliate.as_ref(), Some(&world.touch(id).affiliate));
        } else {
            prop_assert!(won.is_empty());
        }
        prop_assert!(decision.basis != Basis::Nothing || decision.affiliate.is_none());
    }

    #[test]
    fn somebody_wins_wherever_a_touch_counts(world in worlds()) {
        let counts = world.touches.iter().any(|touch| world.counts(touch));
        let decision = world.decide();
        prop_assert_eq!(counts, matches!(decision.basis, Basis::Touch(_)));
        prop_assert_eq!(counts, decision.affiliate.is_some());
    }

    #[test]
    fn every_verdict_is_true(world in worlds()) {
        let decision = world.decide();
        let winner = world.winner(&decision);
        for (id, verdict) in &decision.verdicts {
            let touch = world.touch(*id);
            let exclusions = world.exclusions(touch);
            if !exclusions.is_empty() {
                prop_assert!(exclusions.contains(verdict), "{:?} of {:?}", verdict, exclusions);
                continue;
            }
            let winner = winner.unwrap();
            let (verified, partner, kind) = world.rank(touch);
            let (best_verified, best_partner, best_kind) = world.rank(winner);
            let same_rank = world.rank(touch) == world.rank(winner);
            let holds = match verdict {
                Verdict::Won => touch == winner && !world.locked(touch),
                Verdict::Unverified => !verified && best_verified,
                Verdict::House => verified == best_verified && !partner && best_partner,
                Verdict::WeakerKind => {
                    (verified, partner) == (best_verified, best_partner) && kind < best_kind
                }
                Verdict::SessionLocked => same_rank && world.locked(touch),
                Verdict::Older => {
                    same_rank && touch.at < winner.at && world.policy.model == TouchModel::Last
                }
                Verdict::Newer => {
                    same_rank && touch.at > winner.at && world.policy.model == TouchModel::First
                }
                Verdict::Tied => same_rank && touch.at == winner.at,
                _ => false,
            };
            prop_assert!(holds, "{:?} of {:?} beside {:?}", verdict, touch, winner);
        }
    }

    #[test]
    fn the_strongest_rank_wins(world in worlds()) {
        let decision = world.decide();
        if let Some(winner) = world.winner(&decision) {
            let strongest =
                world.touches.iter().filter(|touch| world.counts(touch)).map(|touch| world.rank(touch)).max();
            prop_assert_eq!(Some(world.rank(winner)), strongest);
        }
    }

    #[test]
    fn the_window_holds_to_the_second(
        window in 1..=7_776_000_i64,
        beyond in -2..=2_i64,
        bought in 0..1_000_000_000_i64,
        touched in 0..1_000_000_000_i64,
    ) {
        let sold_at = at(0) + SignedDuration::from_nanos(bought);
        let mut world = lone_touch();
        world.policy.window = SignedDuration::from_secs(window);
        world.item.sold_at = sold_at;
        // By whole seconds: the window itself still counts, one second more does not.
        world.touches[0].at = sold_at - SignedDuration::from_secs(window + beyond);
        prop_assert_eq!(world.decide().affiliate.is_some(), beyond <= 0);
        // In between, by the fraction.
        world.touches[0].at = at(-window) + SignedDuration::from_nanos(touched);
        prop_assert_eq!(world.decide().affiliate.is_some(), bought <= touched);
    }

    #[test]
    fn a_suspended_affiliate_earns_nothing(
        world in worlds(), suspension in suspensions(), who in prop::sample::select(AFFILIATES.as_slice()),
    ) {
        // A suspension told in time works as if the touches it hits had not been there.
        let who: AffiliateId = id(who);
        let mut suspended = world.clone();
        suspended.standing(&who).suspensions.push(suspension);
        let hit = |touch: &Touch| {
            touch.affiliate == who
                && (suspension.covers(touch.at) || suspension.covers(world.item.sold_at))
        };
        let late = world.item.settles_at.is_some_and(|settles_at| suspension.recorded_at > settles_at);
        let expected = if late { world.decide() } else { world.without(hit).decide() };
        let decision = suspended.decide();
        prop_assert_eq!(&decision.affiliate, &expected.affiliate);
        prop_assert_eq!(decision.basis, expected.basis);
    }

    #[test]
    fn a_suspension_recorded_after_settling_changes_nothing(
        mut world in worlds(), suspension in suspensions(), who in prop::sample::select(AFFILIATES.as_slice()),
    ) {
        world.item.settles_at = Some(at(9));
        let before = world.decide();
        let recorded_at = at(9) + SignedDuration::from_nanos(1);
        world.standing(&id(who)).suspensions.push(Suspension { recorded_at, ..suspension });
        prop_assert_eq!(world.decide(), before);
    }

    #[test]
    fn nobody_earns_by_buying_through_their_own_link(
        mut world in worlds(), who in prop::sample::select(AFFILIATES.as_slice()),
    ) {
        let who: AffiliateId = id(who);
        let expected = world.without(|touch| touch.affiliate == who).decide();
        world.item.emails.push([9; 32]);
        let standing = world.standing(&who);
        standing.emails.extend([[8; 32], [9; 32]]);
        let decision = world.decide();
        prop_assert_eq!(decision.affiliate, expected.affiliate);
        prop_assert_eq!(decision.basis, expected.basis);
    }

    #[test]
    fn an_affiliate_with_another_address_than_the_buyer_earns(
        world in worlds(), who in prop::sample::select(AFFILIATES.as_slice()),
    ) {
        let mut addressed = world.clone();
        addressed.standing(&id(who)).emails.push([8; 32]);
        prop_assert_eq!(addressed.decide(), world.decide());
    }

    #[test]
    fn our_own_advertising_never_displaces_a_partner(world in worlds(), ad in touches()) {
        // Whatever the ad is, once a verified partner counts; else against any partner as little verified.
        let ad = Touch { affiliate: id("ads"), ..ad };
        let before = world.decide();
        if let Some(winner) = world.winner(&before)
            && winner.affiliate != ad.affiliate
            && (winner.verified || !ad.verified)
        {
            let world = world.with(&ad);
            let after = world.decide();
            prop_assert_eq!(after.basis, before.basis);
        }
    }

    #[test]
    fn an_unverified_touch_never_beats_a_verified_one(world in worlds()) {
        let decision = world.decide();
        let verified = world.without(|touch| !touch.verified).decide();
        if verified.affiliate.is_some() {
            prop_assert_eq!(decision.affiliate, verified.affiliate);
            prop_assert_eq!(decision.basis, verified.basis);
        }
    }

    #[test]
    fn an_unverified_touch_received_after_the_buyer_was_known_counts_for_nothing(
        mut world in worlds(), touch in touches(), late in 1..4_i64,
    ) {
        let before = world.decide();
        let known_since = world.item.known_since.unwrap_or(at(5));
        world.item.known_since = Some(known_since);
        let received_at = known_since + SignedDuration::from_secs(late);
        let claim = Touch { verified: false, received_at, ..touch };
        let known = world.decide();
        let claimed = world.with(&claim).decide();
        prop_assert_eq!(but_for(&claimed, Uuid::from_u128(999)), but_for(&known, Uuid::nil()));
        // Being known takes nothing from what was verified.
        if world.winner(&before).is_some_and(|winner| winner.verified) {
            prop_assert_eq!(known.basis, before.basis);
        }
    }

    #[test]
    fn an_older_touch_of_equal_or_lower_rank_never_changes_a_last_touch_winner(
        mut world in worlds(), touch in touches(), earlier in 1..6_i64,
    ) {
        world.policy.model = TouchModel::Last;
        let before = world.decide();
        if let Some(winner) = world.winner(&before) {
            let older = Touch { at: winner.at - SignedDuration::from_secs(earlier), ..touch };
            if world.rank(&older) <= world.rank(winner) && !registered_together(&older, winner) {
                prop_assert_eq!(world.with(&older).decide().basis, before.basis);
            }
        }
    }

    #[test]
    fn inside_a_session_the_first_registration_locks(
        mut world in worlds(), earlier in 1..3_i64, later in 1..6_i64,
    ) {
        let before = world.decide();
        if let Some(winner) = world.winner(&before).cloned()
            && registered_together(&winner, &winner)
        {
            // A later one of no higher rank changes nothing.
            let again = Touch {
                affiliate: id("eva"), at: winner.at + SignedDuration::from_secs(later), ..winner.clone()
            };
            if world.rank(&again) <= world.rank(&winner) {
                prop_assert_eq!(world.with(&again).decide().basis, before.basis);
            }
            // An earlier one takes the session.
            let first = Touch {
                affiliate: id("eva"), at: winner.at - SignedDuration::from_secs(earlier), ..winner.clone()
            };
            world = world.with(&first);
            let first = &world.touches[world.touches.len() - 1];
            if world.counts(first) && world.rank(first) == world.rank(&winner) {
                let after = world.decide();
                prop_assert!(after.verdicts.contains(&(winner.id, Verdict::SessionLocked)));
            }
        }
    }

    #[test]
    fn a_registration_for_a_locked_session_could_as_well_be_missing(world in worlds()) {
        let decision = world.decide();
        let locked = |touch: &Touch| decision.verdicts.contains(&(touch.id, Verdict::SessionLocked));
        let expected = world.without(locked).decide();
        prop_assert_eq!(decision.basis, expected.basis);
    }

    #[test]
    fn a_touch_that_cannot_count_changes_nothing(world in worlds(), touch in touches()) {
        let before = world.decide();
        let with = world.with(&touch);
        if !world.counts(&touch) {
            let after = with.decide();
            prop_assert_eq!(but_for(&after, Uuid::from_u128(999)), but_for(&before, Uuid::nil()));
        }
    }

    #[test]
    fn touches_after_the_sale_change_nothing(world in worlds(), touch in touches(), later in 1..2_000_000_000_i64) {
        let at = world.item.sold_at + SignedDuration::from_nanos(later);
        let after = world.with(&Touch { at, ..touch }).decide();
        prop_assert_eq!(but_for(&after, Uuid::from_u128(999)), but_for(&world.decide(), Uuid::nil()));
    }

    #[test]
    fn touches_received_after_settling_change_nothing(
        mut world in worlds(), touch in touches(), later in 1..2_000_000_000_i64,
    ) {
        let settles_at = world.item.settles_at.unwrap_or(at(10));
        world.item.settles_at = Some(settles_at);
        let received_at = settles_at + SignedDuration::from_nanos(later);
        let after = world.with(&Touch { received_at, ..touch }).decide();
        prop_assert_eq!(but_for(&after, Uuid::from_u128(999)), but_for(&world.decide(), Uuid::nil()));
    }

    #[test]
    fn touches_of_another_programme_change_nothing(world in worlds(), touch in touches()) {
        let touch = Touch { programme: id("digistore"), ..touch };
        let after = world.with(&touch).decide();
        prop_assert_eq!(but_for(&after, Uuid::from_u128(999)), but_for(&world.decide(), Uuid::nil()));
        prop_assert!(after.verdicts.contains(&(Uuid::from_u128(999), Verdict::OtherProgramme)));
    }

    #[test]
    fn touches_on_unrelated_products_change_nothing(world in worlds(), touch in touches()) {
        let touch = Touch { reach: Reach::Unrelated, ..touch };
        let after = world.with(&touch).decide();
        prop_assert_eq!(but_for(&after, Uuid::from_u128(999)), but_for(&world.decide(), Uuid::nil()));
    }

    #[test]
    fn rebills_and_upsells_inherit_whatever_the_evidence_says(
        mut world in worlds(), affiliate in prop::option::of(prop::sample::select(AFFILIATES.as_slice())),
    ) {
        let affiliate = affiliate.map(id);
        let from = Uuid::from_u128(77);
        world.item.inherited = Some(Inherited { from, affiliate: affiliate.clone() });
        let decision = world.decide();
        prop_assert_eq!(decision.affiliate, affiliate);
        prop_assert_eq!(decision.basis, Basis::Inherited(from));
        prop_assert!(decision.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Overruled));
    }

    #[test]
    fn an_assignment_overrules_evidence_and_inheritance(
        world in worlds().prop_flat_map(overruled),
        affiliate in prop::option::of(prop::sample::select(AFFILIATES.as_slice())),
    ) {
        let mut world = world;
        let affiliate = affiliate.map(id);
        world.item.assigned = Some(affiliate.clone());
        let decision = world.decide();
        prop_assert_eq!(decision.affiliate, affiliate);
        prop_assert_eq!(decision.basis, Basis::Assigned);
        prop_assert!(decision.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Overruled));
    }
}

#[test]
fn edges_are_inclusive() {
    let nanosecond = SignedDuration::from_nanos(1);
    let verdict = |change: &dyn Fn(&mut World)| {
        let mut world = lone_touch();
        change(&mut world);
        world.decide().verdicts[0].1
    };
    let ninety_days = SignedDuration::from_hours(90 * 24);
    assert_eq!(verdict(&|world| world.item.sold_at = at(0) + ninety_days), Verdict::Won);
    assert_eq!(
        verdict(&|world| world.item.sold_at = at(0) + ninety_days + nanosecond),
        Verdict::OutsideWindow
    );
    assert_eq!(verdict(&|world| world.item.sold_at = at(0)), Verdict::Won);
    assert_eq!(verdict(&|world| world.item.sold_at = at(0) - nanosecond), Verdict::AfterSale);
    assert_eq!(verdict(&|world| world.item.settles_at = Some(at(0))), Verdict::Won);
    assert_eq!(
        verdict(&|world| world.item.settles_at = Some(at(0) - nanosecond)),
        Verdict::ReceivedAfterSettling
    );
    assert_eq!(verdict(&|world| world.touches[0].reach = Reach::Until(at(1))), Verdict::Won);
    assert_eq!(
        verdict(&|world| world.touches[0].reach = Reach::Until(at(1) - nanosecond)),
        Verdict::CampaignEnded
    );
    let unverified = |world: &mut World, known_since| {
        world.touches[0].verified = false;
        world.item.known_since = Some(known_since);
    };
    assert_eq!(verdict(&|world| unverified(world, at(0))), Verdict::Won);
    assert_eq!(verdict(&|world| unverified(world, at(0) - nanosecond)), Verdict::UnverifiedTooLate);
    let suspend = |world: &mut World, from, until| {
        let suspension = Suspension { from, until, recorded_at: at(0) };
        world.standing(&id("max")).suspensions.push(suspension);
    };
    // From its first moment on, until the first moment after it; at the touch or at the sale.
    assert_eq!(verdict(&|world| suspend(world, at(0), Some(at(1)))), Verdict::Suspended);
    assert_eq!(verdict(&|world| suspend(world, at(-9), Some(at(0)))), Verdict::Won);
    assert_eq!(verdict(&|world| suspend(world, at(1), None)), Verdict::Suspended);
    assert_eq!(verdict(&|world| suspend(world, at(1) + nanosecond, None)), Verdict::Won);
    assert_eq!(
        verdict(&|world| suspend(world, at(0) + nanosecond, Some(at(1)))),
        Verdict::Won,
        "neither at the touch nor at the sale"
    );
}

#[test]
fn the_newest_session_wins_and_in_it_the_first_registration() {
    let registration = |n, affiliate, at, session: &str| Touch {
        id: Uuid::from_u128(n),
        kind: TouchKind::Registration,
        affiliate: id(affiliate),
        at,
        session: Some(Session { webinar: id("webinar"), id: session.to_owned() }),
        ..lone_touch().touches[0].clone()
    };
    let mut world = lone_touch();
    world.touches = vec![
        registration(1, "max", at(-9), "mon"),
        registration(2, "eva", at(-8), "tue"),
        registration(3, "ads", at(-7), "mon"),
    ];
    let decision = world.decide();
    assert_eq!(decision.basis, Basis::Touch(Uuid::from_u128(2)));
    let verdicts: Vec<Verdict> = decision.verdicts.iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Older, Verdict::Won, Verdict::SessionLocked]);
    // Two webinars may call a session the same.
    world.touches[2].session.as_mut().unwrap().webinar = id("another");
    assert_eq!(world.decide().basis, Basis::Touch(Uuid::from_u128(3)));
}

#[test]
fn a_lone_touch_stands_from_its_moment_to_the_end_of_its_window() {
    let mut world = lone_touch();
    let nanosecond = SignedDuration::from_nanos(1);
    let stretch =
        |world: &World| stands(&world.policy, &world.touches, &world.standings, &world.item);
    let end = at(0) + world.policy.window + nanosecond;
    let expected = Stretch { from: Some(at(0)), until: Some(end) };
    assert_eq!(stretch(&world), expected);

    // A suspension to come, the campaign's end before it.
    let suspension = Suspension { from: at(20), until: None, recorded_at: at(1) };
    world.standing(&id("max")).suspensions.push(suspension);
    assert_eq!(stretch(&world).until, Some(at(20)));
    world.touches[0].reach = Reach::Until(at(10));
    assert_eq!(stretch(&world).until, Some(at(10) + nanosecond));

    world.touches.clear();
    assert_eq!(stretch(&world), Stretch { from: None, until: None });
}
