//! Decisions as messages.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use tagalong_attribution::{
    credit::Credit,
    decide::{Basis, Verdict},
    resolve::{CarriedBy, ConflictReason},
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{Parts, parts};
use crate::{
    error::Result,
    store::{
        CHUNK, attendees,
        entity::{affiliate, assignment, decision, touch},
    },
    time::to_proto,
};

/// Decisions as messages.
pub(super) async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<decision::Model>,
    with_touches: bool,
) -> Result<Vec<v1::Decision>> {
    let confirmed = confirmed(db, &rows).await?;
    let assignments = assignments(db, &rows).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut parts = if with_touches { parts(db, &ids).await? } else { HashMap::new() };
    let touches = touches(db, parts.values()).await?;
    let uuid = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|row| {
            let Parts { verdicts, conflicts } = parts.remove(&row.id).unwrap_or_default();
            let considered = verdicts.keys().filter_map(|id| touches.get(id).cloned()).collect();
            let is_confirmed = row.affiliate.as_ref().is_some_and(|affiliate| {
                confirmed.contains(&(row.programme.clone(), affiliate.clone()))
            });
            let assignment = row.assignment.and_then(|id| assignments.get(&id).cloned());
            let assignment = assignment.filter(|assignment| assignment.item == row.item);
            v1::Decision {
                id: row.id.to_string(),
                item_id: row.item.to_string(),
                version: row.version,
                programme_id: row.programme,
                affiliate_id: row.affiliate.unwrap_or_default(),
                affiliate_confirmed: is_confirmed,
                basis: row.basis,
                credit: row.credit,
                carried_by: row.carried_by,
                attendee_id: uuid(row.attendee),
                click_id: uuid(row.click),
                policy_version: row.policy_version,
                touches: sorted(considered, |id| verdicts.get(&id).copied().unwrap_or_default()),
                conflicts: conflicts
                    .into_iter()
                    .map(|conflict| v1::ReferenceConflict {
                        reference: conflict.reference,
                        attendee_id: uuid(conflict.attendee),
                        reason: conflict.reason,
                    })
                    .collect(),
                reason: row.reason,
                decided_at: Some(to_proto(row.decided_at)),
                settles_at: Some(to_proto(row.settles_at)),
                assignment: assignment.map(|row| v1::Assignment {
                    affiliate_id: row.affiliate.unwrap_or_default(),
                    author: row.author,
                    reason: row.reason,
                    assigned_at: Some(to_proto(row.assigned_at)),
                }),
                inherited_from_item_id: uuid(row.inherited_from),
            }
        })
        .collect())
}

/// Those of the credited affiliates that a partner list confirms, each with its programme.
async fn confirmed(
    db: &impl ConnectionTrait,
    rows: &[decision::Model],
) -> Result<HashSet<(String, String)>> {
    let mut confirmed = HashSet::new();
    for rows in rows.chunks(CHUNK) {
        let programmes: BTreeSet<&str> = rows.iter().map(|row| row.programme.as_str()).collect();
        let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row.affiliate.as_deref()).collect();
        let rows = affiliate::Entity::find()
            .filter(affiliate::Column::Programme.is_in(programmes))
            .filter(affiliate::Column::Id.is_in(ids))
            .filter(affiliate::Column::Confirmed.eq(true))
            .all(db)
            .await?;
        confirmed.extend(rows.into_iter().map(|row| (row.programme, row.id)));
    }
    Ok(confirmed)
}

async fn assignments(
    db: &impl ConnectionTrait,
    rows: &[decision::Model],
) -> Result<HashMap<Uuid, assignment::Model>> {
    let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.assignment).collect();
    let mut assignments = HashMap::new();
    for ids in ids.chunks(CHUNK) {
        let rows = assignment::Entity::find()
            .filter(assignment::Column::Id.is_in(ids.to_vec()))
            .all(db)
            .await?;
        assignments.extend(rows.into_iter().map(|row| (row.id, row)));
    }
    Ok(assignments)
}

/// The touches that decisions looked at.
pub(super) async fn touches(
    db: &impl ConnectionTrait,
    parts: impl Iterator<Item = &Parts>,
) -> Result<HashMap<Uuid, touch::Model>> {
    let ids: BTreeSet<Uuid> = parts.flat_map(|parts| parts.verdicts.keys().copied()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut touches = HashMap::new();
    for ids in ids.chunks(CHUNK) {
        let rows =
            touch::Entity::find().filter(touch::Column::Id.is_in(ids.to_vec())).all(db).await?;
        touches.extend(rows.into_iter().map(|row| (row.id, row)));
    }
    Ok(touches)
}

/// Touches with their verdicts, the winner first, then oldest first.
fn sorted(mut rows: Vec<touch::Model>, verdict: impl Fn(Uuid) -> i32) -> Vec<v1::ConsideredTouch> {
    let won = i32::from(v1::Verdict::Won);
    rows.sort_by_key(|row| (verdict(row.id) != won, row.occurred_at, row.id));
    rows.into_iter()
        .map(|row| v1::ConsideredTouch {
            verdict: verdict(row.id),
            touch: Some(attendees::touch_message(row)),
        })
        .collect()
}

/// A preview as a message.
pub(crate) async fn preview_message(
    db: &impl ConnectionTrait,
    preview: crate::deciding::Previewed,
) -> Result<v1::Decision> {
    let verdicts: HashMap<Uuid, i32> = preview
        .decision
        .verdicts
        .iter()
        .map(|(id, verdict)| (*id, verdict_message(*verdict).into()))
        .collect();
    let affiliate = preview.decision.affiliate.as_ref().map(ToString::to_string);
    let confirmed = match &affiliate {
        Some(id) => {
            let key = (preview.programme.clone(), id.clone());
            affiliate::Entity::find_by_id(key).one(db).await?.is_some_and(|row| row.confirmed)
        }
        None => false,
    };
    let (basis, _) = basis_message(preview.decision.basis);
    Ok(v1::Decision {
        programme_id: preview.programme,
        affiliate_id: affiliate.unwrap_or_default(),
        affiliate_confirmed: confirmed,
        basis: basis.into(),
        attendee_id: preview.attendee.to_string(),
        policy_version: preview.policy_version,
        touches: sorted(preview.touches, |id| verdicts.get(&id).copied().unwrap_or_default()),
        reason: preview.reason,
        ..v1::Decision::default()
    })
}

/// A basis, and the item it is inherited from.
pub(super) fn basis_message(basis: Basis) -> (v1::DecisionBasis, Option<Uuid>) {
    match basis {
        Basis::Touch(_) => (v1::DecisionBasis::Touch, None),
        Basis::Inherited(from) => (v1::DecisionBasis::Inherited, Some(from)),
        Basis::Assigned => (v1::DecisionBasis::Assigned, None),
        Basis::Nothing => (v1::DecisionBasis::Nothing, None),
    }
}

pub(super) fn carried_by(ours: bool, carried: Option<CarriedBy>, credit: Credit) -> v1::CarriedBy {
    match (ours, credit) {
        (true, _) => carried_by_message(carried),
        (false, Credit::PlatformOnly) => v1::CarriedBy::Platform,
        (false, _) => v1::CarriedBy::Unspecified,
    }
}

pub(super) fn carried_by_message(carried: Option<CarriedBy>) -> v1::CarriedBy {
    match carried {
        None => v1::CarriedBy::Unspecified,
        Some(CarriedBy::Token) => v1::CarriedBy::Token,
        Some(CarriedBy::Order) => v1::CarriedBy::Order,
        Some(CarriedBy::Registration) => v1::CarriedBy::Registration,
        Some(CarriedBy::Click) => v1::CarriedBy::Click,
        Some(CarriedBy::Email) => v1::CarriedBy::Email,
    }
}

pub(super) fn carried(stored: i32) -> Option<CarriedBy> {
    match v1::CarriedBy::try_from(stored) {
        Ok(v1::CarriedBy::Token) => Some(CarriedBy::Token),
        Ok(v1::CarriedBy::Order) => Some(CarriedBy::Order),
        Ok(v1::CarriedBy::Registration) => Some(CarriedBy::Registration),
        Ok(v1::CarriedBy::Click) => Some(CarriedBy::Click),
        Ok(v1::CarriedBy::Email) => Some(CarriedBy::Email),
        Ok(v1::CarriedBy::Platform | v1::CarriedBy::Unspecified) | Err(_) => None,
    }
}

pub(super) fn credit_message(credit: Credit) -> v1::Credit {
    match credit {
        Credit::Agreed => v1::Credit::Agreed,
        Credit::Owed => v1::Credit::Owed,
        Credit::Mismatch => v1::Credit::Mismatch,
        Credit::PlatformOnly => v1::Credit::PlatformOnly,
        Credit::Unreported => v1::Credit::Unreported,
        Credit::None => v1::Credit::None,
    }
}

pub(super) fn conflict_message(reason: ConflictReason) -> v1::ConflictReason {
    match reason {
        ConflictReason::Outranked => v1::ConflictReason::Outranked,
        ConflictReason::OtherWebinar => v1::ConflictReason::OtherWebinar,
        ConflictReason::Unknown => v1::ConflictReason::Unknown,
        ConflictReason::Invalid => v1::ConflictReason::Invalid,
    }
}

/// The two names of each verdict.
const VERDICTS: [(Verdict, v1::Verdict); 19] = [
    (Verdict::Won, v1::Verdict::Won),
    (Verdict::OtherProgramme, v1::Verdict::OtherProgramme),
    (Verdict::UnrelatedProduct, v1::Verdict::UnrelatedProduct),
    (Verdict::AfterSale, v1::Verdict::AfterSale),
    (Verdict::OutsideWindow, v1::Verdict::OutsideWindow),
    (Verdict::CampaignEnded, v1::Verdict::CampaignEnded),
    (Verdict::ReceivedAfterSettling, v1::Verdict::ReceivedAfterSettling),
    (Verdict::UnverifiedTooLate, v1::Verdict::UnverifiedTooLate),
    (Verdict::Suspended, v1::Verdict::Suspended),
    (Verdict::SelfReferral, v1::Verdict::SelfReferral),
    (Verdict::CouponIgnored, v1::Verdict::CouponIgnored),
    (Verdict::Unverified, v1::Verdict::Unverified),
    (Verdict::House, v1::Verdict::House),
    (Verdict::WeakerKind, v1::Verdict::WeakerKind),
    (Verdict::SessionLocked, v1::Verdict::SessionLocked),
    (Verdict::Older, v1::Verdict::Older),
    (Verdict::Newer, v1::Verdict::Newer),
    (Verdict::Tied, v1::Verdict::Tied),
    (Verdict::Overruled, v1::Verdict::Overruled),
];

pub(super) fn verdict_message(verdict: Verdict) -> v1::Verdict {
    VERDICTS.iter().find(|(rule, _)| *rule == verdict).map_or(v1::Verdict::Unspecified, |(_, m)| *m)
}

pub(super) fn verdict(stored: i32) -> Option<Verdict> {
    VERDICTS.iter().find(|(_, message)| i32::from(*message) == stored).map(|(rule, _)| *rule)
}
