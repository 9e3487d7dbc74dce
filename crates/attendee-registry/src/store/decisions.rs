//! Decisions with their history, and assignments.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    Set,
};
use tagalong_attribution::{
    credit::{Credit, PlatformSays},
    decide::{Basis, Decision},
    id::AffiliateId,
    resolve::{Buyer, Resolution},
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK,
    counts::Counts,
    entity::{
        assignment, decision, decision_conflict, decision_touch, item, programme, sale_order, touch,
    },
    evidence::stored_id,
    feed,
};
use crate::{error::Result, sale::Assignment};

mod message;

pub(crate) use message::preview_message;
use message::{
    basis_message, carried, carried_by, carried_by_message, conflict_message, credit_message,
    messages, touches, verdict, verdict_message,
};

/// A decision about to be stored.
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    pub(crate) resolution: Resolution,
    pub(crate) credit: Credit,
    pub(crate) reason: String,
    pub(crate) policy_version: i64,
    /// The item's own, or that of the item it inherits from.
    pub(crate) assignment: Option<Uuid>,
}

/// The item's newest decision.
pub(crate) async fn newest(
    db: &impl ConnectionTrait,
    item: &item::Model,
) -> Result<Option<decision::Model>> {
    match item.decision {
        Some(id) => Ok(decision::Entity::find_by_id(id).one(db).await?),
        None => Ok(None),
    }
}

/// The item's newest assignment.
pub(crate) async fn newest_assignment(
    db: &impl ConnectionTrait,
    item: Uuid,
) -> Result<Option<assignment::Model>> {
    Ok(assignment::Entity::find()
        .filter(assignment::Column::Item.eq(item))
        .order_by_desc(assignment::Column::AssignedAt)
        .order_by_desc(assignment::Column::Id)
        .limit(1)
        .one(db)
        .await?)
}

/// Stores an operator's word on an item.
pub(crate) async fn assign(
    db: &impl ConnectionTrait,
    item: Uuid,
    new: &Assignment,
    now: i64,
) -> Result<()> {
    let row = assignment::Model {
        id: Uuid::now_v7(),
        item,
        affiliate: new.affiliate.as_ref().map(ToString::to_string),
        author: new.author.clone(),
        reason: new.reason.clone(),
        assigned_at: now,
    };
    assignment::Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

/// Items that have not settled and whose decision looked at a touch of this affiliate.
pub(crate) async fn items_considering(
    db: &impl ConnectionTrait,
    programme: &str,
    affiliate: &str,
    now: i64,
) -> Result<Vec<Uuid>> {
    let touches = touch::Entity::find()
        .select_only()
        .column(touch::Column::Id)
        .filter(touch::Column::Programme.eq(programme))
        .filter(touch::Column::Affiliate.eq(affiliate))
        .into_query();
    let decisions = decision_touch::Entity::find()
        .select_only()
        .column(decision_touch::Column::Decision)
        .filter(decision_touch::Column::Touch.in_subquery(touches))
        .into_query();
    let rows = item::Entity::find()
        .filter(item::Column::Decision.in_subquery(decisions))
        .filter(item::Column::SettlesAt.gte(now))
        .order_by_asc(item::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Whom the platform says it credited for an item, beside whom we credit.
pub(crate) fn platform_says<'a>(
    item: &'a item::Model,
    programme: &programme::Model,
    ours: Option<&'a AffiliateId>,
) -> PlatformSays<'a> {
    let Some(theirs) = item.platform_affiliate.as_deref() else {
        return PlatformSays::NothingAboutIt;
    };
    let same = |ours: &&AffiliateId| {
        programme.ignore_affiliate_case && ours.as_str().eq_ignore_ascii_case(theirs)
    };
    match theirs {
        _ if programme.never_names_affiliates => PlatformSays::NothingAboutIt,
        "" => PlatformSays::Nobody,
        theirs => PlatformSays::Affiliate(ours.filter(same).map_or(theirs, AffiliateId::as_str)),
    }
}

/// A stored decision in the terms of the rules.
pub(crate) struct Stored {
    pub(crate) decision: Decision,
    /// Without the conflicts.
    pub(crate) resolution: Resolution,
    /// What it looked at, in the order of the verdicts.
    pub(crate) touches: Vec<touch::Model>,
}

/// Reads a decision back.
pub(crate) async fn read(db: &impl ConnectionTrait, row: &decision::Model) -> Result<Stored> {
    let parts = parts(db, &[row.id]).await?.remove(&row.id).unwrap_or_default();
    let mut rows = touches(db, std::iter::once(&parts)).await?;
    let won = i32::from(v1::Verdict::Won);
    let winner = parts.verdicts.iter().find(|(_, verdict)| **verdict == won).map(|(id, _)| *id);
    let basis = match (v1::DecisionBasis::try_from(row.basis), winner, row.inherited_from) {
        (Ok(v1::DecisionBasis::Touch), Some(winner), _) => Basis::Touch(winner),
        (Ok(v1::DecisionBasis::Inherited), _, Some(from)) => Basis::Inherited(from),
        (Ok(v1::DecisionBasis::Assigned), ..) => Basis::Assigned,
        _ => Basis::Nothing,
    };
    Ok(Stored {
        touches: parts.verdicts.keys().filter_map(|id| rows.remove(id)).collect(),
        decision: Decision {
            affiliate: row.affiliate.as_deref().map(stored_id).transpose()?,
            basis,
            verdicts: parts
                .verdicts
                .iter()
                .filter_map(|(id, stored)| Some((*id, verdict(*stored)?)))
                .collect(),
        },
        resolution: Resolution {
            buyer: match (row.attendee, row.click) {
                (Some(attendee), _) => Buyer::Attendee(attendee),
                (None, Some(click)) => Buyer::Click(click),
                (None, None) => Buyer::Unknown,
            },
            carried_by: carried(row.carried_by),
            conflicts: Vec::new(),
        },
    })
}

/// Stores the newest decision once more, with another comparison.
pub(crate) async fn store_comparison(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    newest: decision::Model,
    credit: Credit,
    reason: String,
    now: i64,
) -> Result<()> {
    let parts = parts(db, &[newest.id]).await?.remove(&newest.id).unwrap_or_default();
    let credited = newest.affiliate.is_some();
    let row = decision::Model {
        credit: credit_message(credit).into(),
        carried_by: carried_by(credited, carried(newest.carried_by), credit).into(),
        reason,
        ..newest.clone()
    };
    insert(db, order, item, Some(newest), row, parts, now).await
}

/// Whether a decision already has this comparison.
pub(crate) fn compared(row: &decision::Model, credit: Credit) -> bool {
    row.credit == i32::from(credit_message(credit))
}

/// Stores a decision where it differs from the newest one; whether the result changed.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    newest: Option<decision::Model>,
    outcome: Outcome,
    now: i64,
) -> Result<bool> {
    let Outcome { decision, resolution, credit, reason, policy_version, assignment } = outcome;
    let credited = decision.affiliate.is_some();
    let (basis, inherited_from) = basis_message(decision.basis);
    // What an operator assigned was carried by nothing.
    let carried = resolution.carried_by.filter(|_| decision.basis != Basis::Assigned);
    let row = decision::Model {
        id: Uuid::now_v7(),
        item: item.id,
        version: 1,
        programme: item.programme.clone(),
        affiliate: decision.affiliate.as_ref().map(ToString::to_string),
        basis: basis.into(),
        credit: credit_message(credit).into(),
        carried_by: carried_by(credited, carried, credit).into(),
        attendee: match resolution.buyer {
            Buyer::Attendee(id) => Some(id),
            Buyer::Click(_) | Buyer::Unknown => None,
        },
        click: match resolution.buyer {
            Buyer::Click(id) => Some(id),
            Buyer::Attendee(_) | Buyer::Unknown => None,
        },
        policy_version,
        reason,
        decided_at: now,
        settles_at: item.settles_at.unwrap_or(now),
        assignment,
        inherited_from,
    };
    let parts = Parts {
        verdicts: decision
            .verdicts
            .iter()
            .map(|(touch, verdict)| (*touch, verdict_message(*verdict).into()))
            .collect(),
        conflicts: resolution
            .conflicts
            .iter()
            .map(|conflict| Conflict {
                reference: carried_by_message(Some(conflict.by)).into(),
                attendee: conflict.attendee,
                reason: conflict_message(conflict.reason).into(),
            })
            .collect(),
    };

    let Some(newest) = newest else {
        insert(db, order, item, None, row, parts, now).await?;
        return Ok(true);
    };
    let same = decision::Model {
        id: newest.id,
        version: newest.version,
        decided_at: newest.decided_at,
        ..row.clone()
    } == newest;
    if same && self::parts(db, &[newest.id]).await?.remove(&newest.id).unwrap_or_default() == parts
    {
        return Ok(false);
    }
    let changed = differs(&newest, &row);
    insert(db, order, item, Some(newest), row, parts, now).await?;
    Ok(changed)
}

/// Whether two decisions say something else to those who only hear the result.
fn differs(old: &decision::Model, new: &decision::Model) -> bool {
    (&old.affiliate, old.credit, old.carried_by, old.attendee, old.click)
        != (&new.affiliate, new.credit, new.carried_by, new.attendee, new.click)
}

/// What a decision's other tables hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    verdicts: BTreeMap<Uuid, i32>,
    conflicts: Vec<Conflict>,
}

#[derive(Debug, PartialEq, Eq)]
struct Conflict {
    reference: i32,
    attendee: Option<Uuid>,
    reason: i32,
}

async fn insert(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    previous: Option<decision::Model>,
    mut row: decision::Model,
    parts: Parts,
    now: i64,
) -> Result<()> {
    let test = item.test;
    row.id = Uuid::now_v7();
    row.version = previous.as_ref().map_or(1, |previous| previous.version + 1);
    row.decided_at = now;
    decision::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    let touch_rows: Vec<_> = parts
        .verdicts
        .into_iter()
        .map(|(touch, verdict)| {
            decision_touch::Model { decision: row.id, touch, verdict }.into_active_model()
        })
        .collect();
    for rows in touch_rows.chunks(CHUNK) {
        decision_touch::Entity::insert_many(rows.to_vec()).exec_without_returning(db).await?;
    }
    for (ordinal, conflict) in (0..).zip(parts.conflicts) {
        let conflict = decision_conflict::Model {
            decision: row.id,
            ordinal,
            reference: conflict.reference,
            attendee: conflict.attendee,
            reason: conflict.reason,
        };
        decision_conflict::Entity::insert(conflict.into_active_model())
            .exec_without_returning(db)
            .await?;
    }

    let before = item;
    let mut item = item.clone().into_active_model();
    item.decision = Set(Some(row.id));
    item.attendee = Set(row.attendee);
    item.affiliate = Set(row.affiliate.clone());
    item.credit = Set(row.credit);
    item.carried_by = Set(row.carried_by);
    let item = item.update(db).await?;
    let counts = Counts::default().sale(order.sold_at, before, -1);
    counts.sale(order.sold_at, &item, 1).store(db).await?;

    if previous.as_ref().is_none_or(|previous| differs(previous, &row)) {
        let decided = v1::SaleDecided {
            decision: messages(db, vec![row], false).await?.pop(),
            previous_affiliate_id: previous
                .and_then(|previous| previous.affiliate)
                .unwrap_or_default(),
        };
        feed::record(db, now, test, v1::event::Kind::SaleDecided(decided)).await?;
    }
    Ok(())
}

/// The other tables' rows of several decisions.
async fn parts(db: &impl ConnectionTrait, decisions: &[Uuid]) -> Result<HashMap<Uuid, Parts>> {
    let mut parts: HashMap<Uuid, Parts> = HashMap::new();
    for decisions in decisions.chunks(CHUNK) {
        let rows = decision_touch::Entity::find()
            .filter(decision_touch::Column::Decision.is_in(decisions.to_vec()))
            .all(db)
            .await?;
        for row in rows {
            parts.entry(row.decision).or_default().verdicts.insert(row.touch, row.verdict);
        }
        let rows = decision_conflict::Entity::find()
            .filter(decision_conflict::Column::Decision.is_in(decisions.to_vec()))
            .order_by_asc(decision_conflict::Column::Ordinal)
            .all(db)
            .await?;
        for row in rows {
            let decision_conflict::Model { reference, attendee, reason, .. } = row;
            let conflicts = &mut parts.entry(row.decision).or_default().conflicts;
            conflicts.push(Conflict { reference, attendee, reason });
        }
    }
    Ok(parts)
}

/// Every decision an item had, newest first.
pub(crate) async fn history(db: &impl ConnectionTrait, item: Uuid) -> Result<Vec<v1::Decision>> {
    let rows = decision::Entity::find()
        .filter(decision::Column::Item.eq(item))
        .order_by_desc(decision::Column::Version)
        .all(db)
        .await?;
    messages(db, rows, true).await
}

/// Decisions by their IDs.
pub(crate) async fn by_id(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    with_touches: bool,
) -> Result<HashMap<String, v1::Decision>> {
    let mut decisions = HashMap::new();
    for ids in ids.chunks(CHUNK) {
        let rows = decision::Entity::find()
            .filter(decision::Column::Id.is_in(ids.to_vec()))
            .all(db)
            .await?;
        for message in messages(db, rows, with_touches).await? {
            decisions.insert(message.id.clone(), message);
        }
    }
    Ok(decisions)
}
