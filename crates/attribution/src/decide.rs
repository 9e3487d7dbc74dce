//! Who gets the credit, and why nobody else does.
//!
//! There is no clock in here: everything is measured against the sale's own time, and evidence is told early from
//! late by when it was received. The same evidence gives the same decision in any order.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::id::{AffiliateId, ProductId, ProgrammeId, WebinarId};

/// A keyed hash of a normalised e-mail address.
pub type EmailHash = [u8; 32];

/// Which touch of the highest rank wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TouchModel {
    /// The newest.
    #[default]
    Last,
    /// The oldest.
    First,
}

/// What a coupon counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CouponRank {
    /// Nothing.
    #[default]
    Ignored,
    /// As much as a click.
    Click,
    /// As much as a registration.
    Registration,
    /// More than every other kind.
    AboveAll,
}

/// Who is credited for a sale of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Which touch of the highest rank wins.
    pub model: TouchModel,
    /// From touch to sale, both ends included.
    pub window: SignedDuration,
    /// What a coupon counts for.
    pub coupon_rank: CouponRank,
}

impl Policy {
    /// Default window: 90 days.
    pub const WINDOW: SignedDuration = SignedDuration::from_hours(90 * 24);
    /// Default time from a sale's first report to its settling: 14 days.
    pub const SETTLE_AFTER: SignedDuration = SignedDuration::from_hours(14 * 24);
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            model: TouchModel::default(),
            window: Self::WINDOW,
            coupon_rank: CouponRank::default(),
        }
    }
}

/// What kind of evidence a touch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TouchKind {
    /// A visit through a link of ours.
    Click,
    /// A page saw the affiliate in its address.
    Landing,
    /// A registration named the affiliate.
    Registration,
    /// The buyer entered the affiliate's code.
    Coupon,
}

/// One session of a webinar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// The webinar.
    pub webinar: WebinarId,
    /// The tool's ID of the session.
    pub id: String,
}

/// Whether a touch can count for the item's product at all, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No webinar connects the two.
    Unrelated,
    /// For ever.
    Unbounded,
    /// For sales up to this moment: the end of the campaign.
    Until(Timestamp),
}

/// Dated evidence that an affiliate brought the buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Names it in verdicts; no two touches of a decision share one.
    pub id: Uuid,
    /// What was seen.
    pub kind: TouchKind,
    /// Who issued `affiliate`.
    pub programme: ProgrammeId,
    /// Who brought the buyer.
    pub affiliate: AffiliateId,
    /// When it happened.
    pub at: Timestamp,
    /// When we learnt of it.
    pub received_at: Timestamp,
    /// Reported by somebody who proved who they are.
    pub verified: bool,
    /// The session registered for; none for other kinds and for tools without sessions.
    pub session: Option<Session>,
    /// Whether it can count for the item.
    pub reach: Reach,
}

/// A time in which an affiliate earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    /// First moment.
    pub from: Timestamp,
    /// First moment after it; none while it lasts.
    pub until: Option<Timestamp>,
    /// When we were told.
    pub recorded_at: Timestamp,
}

impl Suspension {
    /// Whether it holds at a moment.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What is known of an affiliate. One who is not listed has none of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// One of our own IDs.
    pub house: bool,
    /// When they earn nothing.
    pub suspensions: Vec<Suspension>,
    /// Their own e-mail addresses.
    pub emails: Vec<EmailHash>,
}

/// The decision that an item inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    /// The item it comes from.
    pub from: Uuid,
    /// Who was credited there.
    pub affiliate: Option<AffiliateId>,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The product's programme.
    pub programme: ProgrammeId,
    /// When it was bought.
    pub sold_at: Timestamp,
    /// Evidence received after this changes nothing; none for a preview.
    pub settles_at: Option<Timestamp>,
    /// When the buyer's first verified registration was received: an unverified touch received after it counts
    /// for nothing, or anybody could claim an attendee by posting a form with a known address.
    pub known_since: Option<Timestamp>,
    /// The buyer's e-mail addresses.
    pub emails: Vec<EmailHash>,
    /// What it inherits, for upsells, bumps and renewals.
    pub inherited: Option<Inherited>,
    /// Whom an operator assigned it to, last.
    pub assigned: Option<Option<AffiliateId>>,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The winning touch.
    Touch(Uuid),
    /// The decision of another item.
    Inherited(Uuid),
    /// An operator's assignment.
    Assigned,
    /// Nothing counts.
    Nothing,
}

/// What became of a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It decided the item.
    Won,
    /// Issued by another programme.
    OtherProgramme,
    /// No webinar connects it to the product.
    UnrelatedProduct,
    /// It happened after the sale.
    AfterSale,
    /// The window had passed.
    OutsideWindow,
    /// The campaign had ended.
    CampaignEnded,
    /// Received after settling.
    ReceivedAfterSettling,
    /// Unverified, and received after the first verified registration.
    UnverifiedTooLate,
    /// The affiliate was suspended, then or at the sale.
    Suspended,
    /// The affiliate is the buyer.
    SelfReferral,
    /// The policy ignores coupons.
    CouponIgnored,
    /// Displaced by a verified touch.
    Unverified,
    /// Displaced by a partner's.
    House,
    /// Displaced by a stronger kind.
    WeakerKind,
    /// Displaced by an earlier registration for the same session.
    SessionLocked,
    /// A newer one won.
    Older,
    /// An older one won.
    Newer,
    /// Another of the same moment won, by content.
    Tied,
    /// Assigned or inherited, so touches did not decide.
    Overruled,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who is credited.
    pub affiliate: Option<AffiliateId>,
    /// What it rests on.
    pub basis: Basis,
    /// What became of each touch, in the order given.
    pub verdicts: Vec<(Uuid, Verdict)>,
}

/// Decides an item. `standings` are those of the item's programme.
#[must_use]
pub fn decide(
    policy: &Policy,
    touches: &[Touch],
    standings: &BTreeMap<AffiliateId, Standing>,
    item: &Item,
) -> Decision {
    let overruled = |affiliate: &Option<AffiliateId>, basis| Decision {
        affiliate: affiliate.clone(),
        basis,
        verdicts: touches.iter().map(|touch| (touch.id, Verdict::Overruled)).collect(),
    };
    if let Some(affiliate) = &item.assigned {
        return overruled(affiliate, Basis::Assigned);
    }
    if let Some(inherited) = &item.inherited {
        return overruled(&inherited.affiliate, Basis::Inherited(inherited.from));
    }

    let standing_of = |touch: &Touch| standings.get(&touch.affiliate);
    let rank = |touch: &Touch| Rank {
        verified: touch.verified,
        partner: !standing_of(touch).is_some_and(|standing| standing.house),
        kind: kind_rank(policy, touch.kind),
    };
    let excluded = |touch: &Touch| excluded(policy, touch, standing_of(touch), item);
    let counting: Vec<&Touch> = touches.iter().filter(|touch| excluded(touch).is_none()).collect();
    let top = counting.iter().map(|touch| rank(touch)).max();
    let best: Vec<&Touch> = counting.into_iter().filter(|touch| Some(rank(touch)) == top).collect();
    let locks = locks(&best);
    let (Some(top), Some(winner)) = (top, winner(policy.model, &best, &locks)) else {
        // Nothing counts, so every touch has its own reason.
        let verdicts = touches.iter().filter_map(|touch| Some((touch.id, excluded(touch)?)));
        return Decision { affiliate: None, basis: Basis::Nothing, verdicts: verdicts.collect() };
    };

    let verdict = |touch: &Touch| {
        if touch.id == winner.id {
            return Verdict::Won;
        }
        if let Some(verdict) = excluded(touch) {
            return verdict;
        }
        let lower = rank(touch);
        if lower.verified != top.verified {
            Verdict::Unverified
        } else if lower.partner != top.partner {
            Verdict::House
        } else if lower.kind != top.kind {
            Verdict::WeakerKind
        } else if locks.holder(touch).is_some_and(|holder| holder.at < touch.at) {
            Verdict::SessionLocked
        } else {
            match touch.at.cmp(&winner.at) {
                std::cmp::Ordering::Less => Verdict::Older,
                std::cmp::Ordering::Greater => Verdict::Newer,
                std::cmp::Ordering::Equal => Verdict::Tied,
            }
        }
    };
    Decision {
        affiliate: Some(winner.affiliate.clone()),
        basis: Basis::Touch(winner.id),
        verdicts: touches.iter().map(|touch| (touch.id, verdict(touch))).collect(),
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// First moment; none where it has always been.
    pub from: Option<Timestamp>,
    /// First moment after it; none where it never ends.
    pub until: Option<Timestamp>,
}

impl Stretch {
    /// Whether a moment lies in it.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// The time around an item's sale in which it would be [decided](decide) the same, touch by touch, if nothing but the
/// moment of the sale were another.
#[must_use]
pub fn stands(
    policy: &Policy,
    touches: &[Touch],
    standings: &BTreeMap<AffiliateId, Standing>,
    item: &Item,
) -> Stretch {
    // What compares the moment of the sale in `excluded`: some hold up to and with a moment, some before it.
    let after = |moment: Timestamp| moment.checked_add(SignedDuration::from_nanos(1)).ok();
    let changes = touches.iter().flat_map(|touch| {
        let window = touch.at.checked_add(policy.window).ok().and_then(after);
        let campaign = match touch.reach {
            Reach::Until(end) => after(end),
            Reach::Unrelated | Reach::Unbounded => None,
        };
        let suspensions = standings.get(&touch.affiliate).map(|standing| &standing.suspensions);
        let suspended = suspensions.into_iter().flatten();
        let suspended = suspended.flat_map(|suspension| [Some(suspension.from), suspension.until]);
        [Some(touch.at), window, campaign].into_iter().chain(suspended).flatten()
    });
    let mut stretch = Stretch { from: None, until: None };
    for change in changes {
        if change <= item.sold_at {
            stretch.from = stretch.from.max(Some(change));
        } else if stretch.until.is_none_or(|until| change < until) {
            stretch.until = Some(change);
        }
    }
    stretch
}

/// Compared field by field, the first that differs decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    verified: bool,
    partner: bool,
    kind: u8,
}

fn kind_rank(policy: &Policy, kind: TouchKind) -> u8 {
    match kind {
        TouchKind::Click | TouchKind::Landing => 1,
        TouchKind::Registration => 2,
        TouchKind::Coupon => match policy.coupon_rank {
            CouponRank::Ignored => 0,
            CouponRank::Click => 1,
            CouponRank::Registration => 2,
            CouponRank::AboveAll => 3,
        },
    }
}

/// Why a touch does not count, whatever the others are.
fn excluded(
    policy: &Policy,
    touch: &Touch,
    standing: Option<&Standing>,
    item: &Item,
) -> Option<Verdict> {
    if touch.programme != item.programme {
        return Some(Verdict::OtherProgramme);
    }
    let campaign_end = match touch.reach {
        Reach::Unrelated => return Some(Verdict::UnrelatedProduct),
        Reach::Unbounded => None,
        Reach::Until(end) => Some(end),
    };
    let settled = |received_at| item.settles_at.is_some_and(|settles_at| received_at > settles_at);
    if settled(touch.received_at) {
        return Some(Verdict::ReceivedAfterSettling);
    }
    if touch.at > item.sold_at {
        return Some(Verdict::AfterSale);
    }
    if campaign_end.is_some_and(|end| item.sold_at > end) {
        return Some(Verdict::CampaignEnded);
    }
    if item.sold_at.duration_since(touch.at) > policy.window {
        return Some(Verdict::OutsideWindow);
    }
    if !touch.verified && item.known_since.is_some_and(|since| touch.received_at > since) {
        return Some(Verdict::UnverifiedTooLate);
    }
    if touch.kind == TouchKind::Coupon && policy.coupon_rank == CouponRank::Ignored {
        return Some(Verdict::CouponIgnored);
    }
    let standing = standing?;
    let suspended = standing.suspensions.iter().any(|suspension| {
        !settled(suspension.recorded_at)
            && (suspension.covers(touch.at) || suspension.covers(item.sold_at))
    });
    if suspended {
        return Some(Verdict::Suspended);
    }
    let own = standing.emails.iter().any(|email| item.emails.contains(email));
    own.then_some(Verdict::SelfReferral)
}

/// The first registration of each session, among touches of one rank.
struct Locks<'a>(BTreeMap<&'a Session, &'a Touch>);

impl<'a> Locks<'a> {
    /// The registration that holds the session that `touch` registered for.
    fn holder(&self, touch: &Touch) -> Option<&'a Touch> {
        self.0.get(session(touch)?).copied()
    }
}

fn locks<'a>(best: &[&'a Touch]) -> Locks<'a> {
    let mut locks: BTreeMap<&Session, &Touch> = BTreeMap::new();
    for &touch in best {
        if let Some(session) = session(touch) {
            let holder = locks.entry(session).or_insert(touch);
            if (touch.at, content(touch)) < (holder.at, content(holder)) {
                *holder = touch;
            }
        }
    }
    Locks(locks)
}

fn session(touch: &Touch) -> Option<&Session> {
    touch.session.as_ref().filter(|_| touch.kind == TouchKind::Registration)
}

/// What breaks a tie: never arrival.
fn content(touch: &Touch) -> (&AffiliateId, TouchKind, Option<&Session>, Uuid) {
    (&touch.affiliate, touch.kind, touch.session.as_ref(), touch.id)
}

/// The winner among touches of one rank. Inside a session the first registration locks: the later ones
/// count for nothing, not even as a newer sign of the first one's affiliate.
fn winner<'a>(model: TouchModel, best: &[&'a Touch], locks: &Locks<'_>) -> Option<&'a Touch> {
    let free = best
        .iter()
        .copied()
        .filter(|touch| locks.holder(touch).is_none_or(|holder| holder.id == touch.id));
    match model {
        TouchModel::First => free.min_by(|a, b| (a.at, content(a)).cmp(&(b.at, content(b)))),
        TouchModel::Last => {
            free.min_by(|a, b| (Reverse(a.at), content(a)).cmp(&(Reverse(b.at), content(b))))
        }
    }
}

/// A webinar, as far as it connects products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webinar {
    /// The webinar.
    pub id: WebinarId,
    /// Products whose sales page is its invitation page.
    pub promotes: Vec<ProductId>,
    /// Products it sells.
    pub offers: Vec<ProductId>,
    /// End of the campaign.
    pub ends_at: Option<Timestamp>,
}

/// What a touch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A product: clicks and landings.
    Product(&'a ProductId),
    /// A webinar: registrations.
    Webinar(&'a WebinarId),
    /// The item itself: coupons.
    Item,
}

/// Whether a touch about `subject` can count for a sale of `product`: the product's own links always; otherwise
/// through a webinar that promotes or offers the one and offers the other, until the last such campaign ends.
#[must_use]
pub fn reach(webinars: &[Webinar], subject: Subject<'_>, product: &ProductId) -> Reach {
    let connects = |webinar: &&Webinar| {
        webinar.offers.contains(product)
            && match subject {
                Subject::Product(touched) => {
                    webinar.promotes.contains(touched) || webinar.offers.contains(touched)
                }
                Subject::Webinar(id) => webinar.id == *id,
                Subject::Item => true,
            }
    };
    match subject {
        Subject::Item => return Reach::Unbounded,
        Subject::Product(touched) if touched == product => return Reach::Unbounded,
        Subject::Product(_) | Subject::Webinar(_) => {}
    }
    let mut reach = Reach::Unrelated;
    for webinar in webinars.iter().filter(connects) {
        reach = match (reach, webinar.ends_at) {
            (Reach::Unbounded, _) | (_, None) => Reach::Unbounded,
            (Reach::Unrelated, Some(end)) => Reach::Until(end),
            (Reach::Until(other), Some(end)) => Reach::Until(other.max(end)),
        };
    }
    reach
}
