//! Who the buyer is.

use jiff::Timestamp;
use uuid::Uuid;

/// What connected a buyer to an affiliate, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CarriedBy {
    /// The attendee token, handed back by the checkout.
    Token,
    /// An order seen before: the one this order follows.
    Order,
    /// The registration's ID.
    Registration,
    /// The click's ID.
    Click,
    /// The e-mail address.
    Email,
}

/// Whom one reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// An attendee.
    Attendee {
        /// Who.
        id: Uuid,
        /// The attendee's webinar offers the product.
        offered: bool,
        /// The attendee's newest registration before the sale, if any.
        registered_at: Option<Timestamp>,
        /// Made of what was reported of the attendee and of nothing else, so that a tie breaks the same way in
        /// whatever order the reports arrived: less comes first.
        mark: u128,
    },
    /// A click that belongs to no attendee; it stands for itself.
    Click(Uuid),
    /// Nobody we know (yet).
    Unknown,
    /// A token we did not sign.
    Invalid,
}

/// One reference of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Which.
    pub by: CarriedBy,
    /// Whom it names.
    pub named: Named,
}

/// Who the buyer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buyer {
    /// An attendee.
    Attendee(Uuid),
    /// Somebody of whom we know one click.
    Click(Uuid),
    /// Nobody we know.
    Unknown,
}

/// Why a reference was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictReason {
    /// A stronger one names somebody else.
    Outranked,
    /// The attendee's webinar does not offer the product.
    OtherWebinar,
    /// It names nobody we know.
    Unknown,
    /// A token we did not sign.
    Invalid,
}

/// A reference that did not lead to the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Which reference.
    pub by: CarriedBy,
    /// The attendee it names.
    pub attendee: Option<Uuid>,
    /// Why it was set aside.
    pub reason: ConflictReason,
}

/// The buyer, how it was found out, and what spoke against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Who.
    pub buyer: Buyer,
    /// By which reference; none where the buyer is unknown.
    pub carried_by: Option<CarriedBy>,
    /// Strongest first.
    pub conflicts: Vec<Conflict>,
}

/// Finds the buyer: the strongest reference that names an attendee whose webinar offers the product; else a click
/// that is nobody's; else the strongest reference that names an attendee of any webinar, e-mail excepted, which
/// resolves among the webinars that offer the product. Among e-mail matches the newest registration before the
/// sale wins. The order of `references` does not matter.
///
/// A click that is nobody's yields to an attendee, because it is the order's evidence in any case: as a touch
/// it meets the attendee's registration, which outranks it, however new the cookie on the buyer's PC.
#[must_use]
pub fn resolve(references: &[Reference]) -> Resolution {
    let mut ordered = references.to_vec();
    ordered.sort_by_key(|reference| {
        let (registered_at, mark) = match reference.named {
            Named::Attendee { registered_at, mark, .. } => (registered_at, mark),
            _ => (None, 0),
        };
        (reference.by, std::cmp::Reverse(registered_at), mark, reference.named)
    });
    ordered.dedup();

    let offered =
        |reference: &&Reference| matches!(reference.named, Named::Attendee { offered: true, .. });
    let click = |reference: &&Reference| matches!(reference.named, Named::Click(_));
    let other = |reference: &&Reference| {
        reference.by != CarriedBy::Email && matches!(reference.named, Named::Attendee { .. })
    };
    let find =
        |fits: &dyn Fn(&&Reference) -> bool| ordered.iter().find(|reference| fits(reference));
    let found = find(&offered).or_else(|| find(&click)).or_else(|| find(&other));
    let buyer = found.map_or(Buyer::Unknown, |reference| match reference.named {
        Named::Attendee { id, .. } => Buyer::Attendee(id),
        Named::Click(id) => Buyer::Click(id),
        Named::Unknown | Named::Invalid => Buyer::Unknown,
    });

    let conflicts = ordered
        .iter()
        .filter_map(|reference| {
            let (attendee, reason) = match reference.named {
                Named::Attendee { id, .. } if buyer == Buyer::Attendee(id) => return None,
                Named::Attendee { id, offered: true, .. } => (Some(id), ConflictReason::Outranked),
                Named::Attendee { id, offered: false, .. } => {
                    (Some(id), ConflictReason::OtherWebinar)
                }
                Named::Click(id) if buyer == Buyer::Click(id) => return None,
                // Beside an attendee it does not conflict: it is one more touch.
                Named::Click(_) if matches!(buyer, Buyer::Attendee(_)) => return None,
                Named::Click(_) => (None, ConflictReason::Outranked),
                Named::Unknown => (None, ConflictReason::Unknown),
                Named::Invalid => (None, ConflictReason::Invalid),
            };
            Some(Conflict { by: reference.by, attendee, reason })
        })
        .collect();
    Resolution { buyer, carried_by: found.map(|reference| reference.by), conflicts }
}
