//! Who the buyer is, and what a touch counts for.

use std::cmp::Reverse;

use jiff::Timestamp;
use proptest::prelude::*;
use tagalong_attribution::{
    decide::{Reach, Subject, Webinar, reach},
    resolve::{Buyer, CarriedBy, Conflict, ConflictReason, Named, Reference, Resolution, resolve},
};
use uuid::Uuid;

use crate::world::{at, id, many};

const KINDS: [CarriedBy; 5] = [
    CarriedBy::Token,
    CarriedBy::Order,
    CarriedBy::Registration,
    CarriedBy::Click,
    CarriedBy::Email,
];

fn references() -> impl Strategy<Value = Vec<Reference>> {
    // Facts of an attendee do not depend on who names them.
    let attendee = |n: u128| {
        let registered_at = [None, Some(at(1)), Some(at(2)), Some(at(2)), None, Some(at(3))];
        let registered_at = registered_at[usize::try_from(n).unwrap()];
        // IDs say in which order attendees became known, marks do not.
        Named::Attendee { id: Uuid::from_u128(n), offered: n % 2 == 1, registered_at, mark: 6 - n }
    };
    let named = prop_oneof![
        6 => (0..6_u128).prop_map(attendee),
        1 => (10..12_u128).prop_map(|n| Named::Click(Uuid::from_u128(n))),
        1 => Just(Named::Unknown),
        1 => Just(Named::Invalid),
    ];
    let reference = (prop::sample::select(KINDS.as_slice()), named)
        .prop_map(|(by, named)| Reference { by, named });
    prop::collection::vec(reference, 0..6)
}

fn buyer_of(named: Named) -> Buyer {
    match named {
        Named::Attendee { id, .. } => Buyer::Attendee(id),
        Named::Click(id) => Buyer::Click(id),
        Named::Unknown | Named::Invalid => Buyer::Unknown,
    }
}

/// How well a reference fits: an attendee of a webinar that offers the product, a click that is nobody's, an
/// attendee of another webinar, which an e-mail address does not resolve to. Less is better.
fn fit(reference: &Reference) -> Option<u8> {
    match reference.named {
        Named::Attendee { offered: true, .. } => Some(0),
        Named::Click(_) => Some(1),
        Named::Attendee { .. } if reference.by != CarriedBy::Email => Some(2),
        Named::Attendee { .. } | Named::Unknown | Named::Invalid => None,
    }
}

fn rank(named: Named) -> (Reverse<Option<Timestamp>>, u128) {
    match named {
        Named::Attendee { registered_at, mark, .. } => (Reverse(registered_at), mark),
        _ => (Reverse(None), 0),
    }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn order_of_references_does_not_matter(
        (references, shuffled) in references().prop_flat_map(|references| {
            let shuffled = Just(references.clone()).prop_shuffle();
            (Just(references), shuffled)
        }),
    ) {
        prop_assert_eq!(resolve(&references), resolve(&shuffled));
    }

    #[test]
    fn a_reference_said_twice_says_it_once(references in references()) {
        let twice: Vec<Reference> = references.iter().chain(&references).copied().collect();
        prop_assert_eq!(resolve(&references), resolve(&twice));
    }

    #[test]
    fn the_strongest_of_the_best_fitting_references_names_the_buyer(references in references()) {
        let resolution = resolve(&references);
        let best = references.iter().filter_map(|r| Some((fit(r)?, r.by))).min();
        prop_assert_eq!(resolution.carried_by, best.map(|(_, by)| by));
        prop_assert_eq!(resolution.buyer == Buyer::Unknown, best.is_none());
        let Some((fitting, by)) = best else { return Ok(()) };
        let candidates: Vec<&Reference> =
            references.iter().filter(|r| fit(r) == Some(fitting) && r.by == by).collect();
        let chosen = candidates.iter().find(|r| buyer_of(r.named) == resolution.buyer);
        prop_assert!(chosen.is_some(), "{:?} is none of {:?}", resolution.buyer, candidates);
        // Of several, the newest registration before the sale, and then the mark.
        let first = candidates.iter().map(|reference| rank(reference.named)).min();
        prop_assert_eq!(chosen.map(|reference| rank(reference.named)), first);
    }

    #[test]
    fn every_reference_leads_to_the_buyer_or_is_a_conflict(references in references()) {
        let Resolution { buyer, conflicts, .. } = resolve(&references);
        prop_assert!(conflicts.is_sorted_by_key(|conflict| conflict.by), "strongest first");
        let mut set_aside = references;
        set_aside.retain(|reference| {
            let evidence = matches!(reference.named, Named::Click(_))
                && matches!(buyer, Buyer::Attendee(_));
            !evidence && (buyer == Buyer::Unknown || buyer_of(reference.named) != buyer)
        });
        set_aside.sort();
        set_aside.dedup();
        prop_assert_eq!(conflicts.len(), set_aside.len());
        for Reference { by, named } in set_aside {
            let (attendee, reason) = match named {
                Named::Attendee { id, offered: true, .. } => (Some(id), ConflictReason::Outranked),
                Named::Attendee { id, .. } => (Some(id), ConflictReason::OtherWebinar),
                Named::Click(_) => (None, ConflictReason::Outranked),
                Named::Unknown => (None, ConflictReason::Unknown),
                Named::Invalid => (None, ConflictReason::Invalid),
            };
            prop_assert!(conflicts.contains(&Conflict { by, attendee, reason }), "{:?} {:?}", by, named);
        }
    }
}

/// A masterclass promotes a free ticket and sells two courses.
fn masterclass(ends_at: Option<Timestamp>) -> Webinar {
    Webinar {
        id: id("masterclass"),
        promotes: vec![id("ticket")],
        offers: vec![id("course"), id("coaching")],
        ends_at,
    }
}

#[test]
fn what_a_touch_counts_for() {
    let open = [masterclass(None)];
    let ending = [masterclass(Some(at(5)))];
    let both = [masterclass(Some(at(5))), Webinar { id: id("rerun"), ..masterclass(Some(at(9))) }];
    let never_ending = [masterclass(Some(at(5))), masterclass(None)];
    let ticket = id("ticket");
    let coaching = id("coaching");
    let book = id("book");
    let here = id("masterclass");
    let rerun = id("rerun");
    let elsewhere = id("elsewhere");
    for (webinars, subject, product, expected) in [
        (&open[..], Subject::Product(&ticket), "course", Reach::Unbounded),
        (&open, Subject::Product(&coaching), "course", Reach::Unbounded),
        (&open, Subject::Product(&book), "course", Reach::Unrelated),
        (&open, Subject::Product(&ticket), "book", Reach::Unrelated),
        // Promoted only: a touch on what is sold does not count for it.
        (&open, Subject::Product(&coaching), "ticket", Reach::Unrelated),
        (&open, Subject::Webinar(&here), "course", Reach::Unbounded),
        (&open, Subject::Webinar(&here), "ticket", Reach::Unrelated),
        (&open, Subject::Webinar(&elsewhere), "course", Reach::Unrelated),
        (&ending, Subject::Product(&ticket), "course", Reach::Until(at(5))),
        (&ending, Subject::Webinar(&here), "course", Reach::Until(at(5))),
        // The last campaign that connects the two.
        (&both, Subject::Product(&ticket), "course", Reach::Until(at(9))),
        (&both, Subject::Webinar(&here), "course", Reach::Until(at(5))),
        (&both, Subject::Webinar(&rerun), "course", Reach::Until(at(9))),
        (&never_ending, Subject::Product(&ticket), "course", Reach::Unbounded),
        // A product's own link, and the item itself, need no webinar and know no end.
        (&ending, Subject::Product(&coaching), "coaching", Reach::Unbounded),
        (&[], Subject::Product(&book), "book", Reach::Unbounded),
        (&[], Subject::Item, "book", Reach::Unbounded),
        (&[], Subject::Webinar(&here), "book", Reach::Unrelated),
    ] {
        assert_eq!(reach(webinars, subject, &id(product)), expected, "{subject:?} → {product}");
        let mut reversed = webinars.to_vec();
        reversed.reverse();
        assert_eq!(reach(&reversed, subject, &id(product)), expected, "reversed {subject:?}");
    }
}
