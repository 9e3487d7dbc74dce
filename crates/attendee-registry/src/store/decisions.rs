//! Decisions with their history, and assignments.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use tagalong_attribution::{
    credit::{Credit, PlatformSays, credit},
    decide::{Basis, Decision, Verdict},
    id::AffiliateId,
    resolve::{Buyer, CarriedBy, ConflictReason, Resolution},
};
use tagalong_proto::v1;
use uuid::Uuid;

use super::{
    CHUNK, attendees,
    entity::{affiliate, assignment, decision, decision_conflict, decision_touch, item, touch},
    evidence::stored_id,
    feed,
};
use crate::{error::Result, sale::Assignment, time::to_proto};

/// A decision about to be stored.
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    pub(crate) resolution: Resolution,
    pub(crate) credit: Credit,
    pub(crate) reason: String,
    pub(crate) policy_version: i64,
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

/// Items whose decision looked at a touch of this affiliate.
pub(crate) async fn items_considering(
    db: &impl ConnectionTrait,
    programme: &str,
    affiliate: &str,
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
        .order_by_asc(item::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

use sea_orm::QueryTrait as _;

/// Whom the platform says it credited for an item.
pub(crate) fn platform_says(item: &item::Model, never_names: bool) -> PlatformSays<'_> {
    match item.platform_affiliate.as_deref() {
        _ if never_names => PlatformSays::NothingAboutIt,
        None => PlatformSays::NothingAboutIt,
        Some("") => PlatformSays::Nobody,
        Some(affiliate) => PlatformSays::Affiliate(affiliate),
    }
}

/// Compares a settled decision with the platform's answer; whether the credit changed.
pub(crate) async fn compare_again(
    db: &impl ConnectionTrait,
    item: &item::Model,
    newest: decision::Model,
    never_names: bool,
    now: i64,
) -> Result<bool> {
    let ours = newest.affiliate.as_deref().map(stored_id::<AffiliateId>).transpose()?;
    let credit = credit(ours.as_ref(), platform_says(item, never_names));
    if newest.credit == i32::from(credit_message(credit)) {
        return Ok(false);
    }
    let (touches, conflicts) = parts(db, newest.id).await?;
    let row = decision::Model {
        credit: credit_message(credit).into(),
        carried_by: carried_by(ours.is_some(), carried(newest.carried_by), credit).into(),
        reason: format!("{} (settled before; only the platform's answer is new)", newest.reason),
        ..newest.clone()
    };
    insert(db, item, item.test, Some(newest), row, touches, conflicts, now).await?;
    Ok(true)
}

/// Stores a decision where it differs from the newest one; whether the result changed.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    item: &item::Model,
    test: bool,
    newest: Option<decision::Model>,
    outcome: Outcome,
    now: i64,
) -> Result<bool> {
    let Outcome { decision, resolution, credit, reason, policy_version, assignment } = outcome;
    let credited = decision.affiliate.is_some();
    let (basis, inherited_from) = match decision.basis {
        Basis::Touch(_) => (v1::DecisionBasis::Touch, None),
        Basis::Inherited(from) => (v1::DecisionBasis::Inherited, Some(from)),
        Basis::Assigned => (v1::DecisionBasis::Assigned, None),
        Basis::Nothing => (v1::DecisionBasis::Nothing, None),
    };
    let row = decision::Model {
        id: Uuid::now_v7(),
        item: item.id,
        version: 1,
        programme: item.programme.clone(),
        affiliate: decision.affiliate.as_ref().map(ToString::to_string),
        basis: basis.into(),
        credit: credit_message(credit).into(),
        carried_by: carried_by(credited, resolution.carried_by, credit).into(),
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
    let touches: BTreeMap<Uuid, i32> = decision
        .verdicts
        .iter()
        .map(|(touch, verdict)| (*touch, verdict_message(*verdict).into()))
        .collect();
    let conflicts: Vec<Conflict> = resolution
        .conflicts
        .iter()
        .map(|conflict| Conflict {
            reference: carried_by_message(Some(conflict.by)).into(),
            attendee: conflict.attendee,
            reason: conflict_message(conflict.reason).into(),
        })
        .collect();

    let Some(newest) = newest else {
        insert(db, item, test, None, row, touches, conflicts, now).await?;
        return Ok(true);
    };
    let same = decision::Model {
        id: newest.id,
        version: newest.version,
        decided_at: newest.decided_at,
        ..row.clone()
    } == newest;
    if same && parts(db, newest.id).await? == (touches.clone(), conflicts.clone()) {
        return Ok(false);
    }
    let changed = differs(&newest, &row);
    insert(db, item, test, Some(newest), row, touches, conflicts, now).await?;
    Ok(changed)
}

/// Whether two decisions say something else to those who only hear the result.
fn differs(old: &decision::Model, new: &decision::Model) -> bool {
    (&old.affiliate, old.credit, old.carried_by, old.attendee)
        != (&new.affiliate, new.credit, new.carried_by, new.attendee)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Conflict {
    reference: i32,
    attendee: Option<Uuid>,
    reason: i32,
}

#[expect(clippy::too_many_arguments, reason = "a decision's rows, stored in one place")]
async fn insert(
    db: &impl ConnectionTrait,
    item: &item::Model,
    test: bool,
    previous: Option<decision::Model>,
    mut row: decision::Model,
    touches: BTreeMap<Uuid, i32>,
    conflicts: Vec<Conflict>,
    now: i64,
) -> Result<()> {
    row.id = Uuid::now_v7();
    row.version = previous.as_ref().map_or(1, |previous| previous.version + 1);
    row.decided_at = now;
    decision::Entity::insert(row.clone().into_active_model()).exec_without_returning(db).await?;
    let touch_rows: Vec<_> = touches
        .into_iter()
        .map(|(touch, verdict)| {
            decision_touch::Model { decision: row.id, touch, verdict }.into_active_model()
        })
        .collect();
    for rows in touch_rows.chunks(CHUNK) {
        decision_touch::Entity::insert_many(rows.to_vec()).exec_without_returning(db).await?;
    }
    for (ordinal, conflict) in (0..).zip(conflicts) {
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

    let mut item = item.clone().into_active_model();
    item.decision = Set(Some(row.id));
    item.attendee = Set(row.attendee);
    item.affiliate = Set(row.affiliate.clone());
    item.credit = Set(row.credit);
    item.carried_by = Set(row.carried_by);
    item.update(db).await?;

    if previous.as_ref().is_none_or(|previous| differs(previous, &row)) {
        let mut decision = messages(db, vec![row], false).await?.remove(0);
        decision.touches.clear();
        let decided = v1::SaleDecided {
            decision: Some(decision),
            previous_affiliate_id: previous
                .and_then(|previous| previous.affiliate)
                .unwrap_or_default(),
        };
        feed::record(db, now, test, v1::event::Kind::SaleDecided(decided)).await?;
    }
    Ok(())
}

/// A decision's touches and conflicts.
async fn parts(
    db: &impl ConnectionTrait,
    decision: Uuid,
) -> Result<(BTreeMap<Uuid, i32>, Vec<Conflict>)> {
    let touches = decision_touch::Entity::find()
        .filter(decision_touch::Column::Decision.eq(decision))
        .all(db)
        .await?;
    let conflicts = decision_conflict::Entity::find()
        .filter(decision_conflict::Column::Decision.eq(decision))
        .order_by_asc(decision_conflict::Column::Ordinal)
        .all(db)
        .await?;
    Ok((
        touches.into_iter().map(|row| (row.touch, row.verdict)).collect(),
        conflicts
            .into_iter()
            .map(|row| Conflict {
                reference: row.reference,
                attendee: row.attendee,
                reason: row.reason,
            })
            .collect(),
    ))
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

async fn messages(
    db: &impl ConnectionTrait,
    rows: Vec<decision::Model>,
    with_touches: bool,
) -> Result<Vec<v1::Decision>> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let confirmed = match &row.affiliate {
            Some(id) => is_confirmed(db, &row.programme, id).await?,
            None => false,
        };
        let (touches, conflicts) =
            if with_touches { parts(db, row.id).await? } else { Default::default() };
        let assignment = match row.assignment {
            Some(id) => assignment::Entity::find_by_id(id).one(db).await?,
            None => None,
        };
        let uuid = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        messages.push(v1::Decision {
            id: row.id.to_string(),
            item_id: row.item.to_string(),
            version: row.version,
            programme_id: row.programme,
            affiliate_id: row.affiliate.unwrap_or_default(),
            affiliate_confirmed: confirmed,
            basis: row.basis,
            credit: row.credit,
            carried_by: row.carried_by,
            attendee_id: uuid(row.attendee),
            click_id: uuid(row.click),
            policy_version: row.policy_version,
            touches: considered(db, touches).await?,
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
        });
    }
    Ok(messages)
}

pub(crate) async fn is_confirmed(
    db: &impl ConnectionTrait,
    programme: &str,
    id: &str,
) -> Result<bool> {
    let key = (programme.to_owned(), id.to_owned());
    let row = affiliate::Entity::find_by_id(key).one(db).await?;
    Ok(row.is_some_and(|row| row.confirmed))
}

/// The touches of a decision, the winner first, then oldest first.
async fn considered(
    db: &impl ConnectionTrait,
    verdicts: BTreeMap<Uuid, i32>,
) -> Result<Vec<v1::ConsideredTouch>> {
    let ids: Vec<Uuid> = verdicts.keys().copied().collect();
    let mut rows = Vec::new();
    for ids in ids.chunks(CHUNK) {
        rows.extend(
            touch::Entity::find().filter(touch::Column::Id.is_in(ids.to_vec())).all(db).await?,
        );
    }
    Ok(sorted(rows, |id| verdicts.get(&id).copied().unwrap_or_default()))
}

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
        Some(id) => is_confirmed(db, &preview.programme, id).await?,
        None => false,
    };
    let basis = match preview.decision.basis {
        Basis::Touch(_) => v1::DecisionBasis::Touch,
        Basis::Inherited(_) => v1::DecisionBasis::Inherited,
        Basis::Assigned => v1::DecisionBasis::Assigned,
        Basis::Nothing => v1::DecisionBasis::Nothing,
    };
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

fn carried_by(ours: bool, carried: Option<CarriedBy>, credit: Credit) -> v1::CarriedBy {
    match (ours, credit) {
        (true, _) => carried_by_message(carried),
        (false, Credit::PlatformOnly) => v1::CarriedBy::Platform,
        (false, _) => v1::CarriedBy::Unspecified,
    }
}

fn carried_by_message(carried: Option<CarriedBy>) -> v1::CarriedBy {
    match carried {
        None => v1::CarriedBy::Unspecified,
        Some(CarriedBy::Token) => v1::CarriedBy::Token,
        Some(CarriedBy::Order) => v1::CarriedBy::Order,
        Some(CarriedBy::Registration) => v1::CarriedBy::Registration,
        Some(CarriedBy::Click) => v1::CarriedBy::Click,
        Some(CarriedBy::Email) => v1::CarriedBy::Email,
    }
}

fn carried(stored: i32) -> Option<CarriedBy> {
    match v1::CarriedBy::try_from(stored) {
        Ok(v1::CarriedBy::Token) => Some(CarriedBy::Token),
        Ok(v1::CarriedBy::Order) => Some(CarriedBy::Order),
        Ok(v1::CarriedBy::Registration) => Some(CarriedBy::Registration),
        Ok(v1::CarriedBy::Click) => Some(CarriedBy::Click),
        Ok(v1::CarriedBy::Email) => Some(CarriedBy::Email),
        Ok(v1::CarriedBy::Platform | v1::CarriedBy::Unspecified) | Err(_) => None,
    }
}

fn credit_message(credit: Credit) -> v1::Credit {
    match credit {
        Credit::Agreed => v1::Credit::Agreed,
        Credit::Owed => v1::Credit::Owed,
        Credit::Mismatch => v1::Credit::Mismatch,
        Credit::PlatformOnly => v1::Credit::PlatformOnly,
        Credit::Unreported => v1::Credit::Unreported,
        Credit::None => v1::Credit::None,
    }
}

fn conflict_message(reason: ConflictReason) -> v1::ConflictReason {
    match reason {
        ConflictReason::Outranked => v1::ConflictReason::Outranked,
        ConflictReason::OtherWebinar => v1::ConflictReason::OtherWebinar,
        ConflictReason::Unknown => v1::ConflictReason::Unknown,
        ConflictReason::Invalid => v1::ConflictReason::Invalid,
    }
}

fn verdict_message(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Won => v1::Verdict::Won,
        Verdict::OtherProgramme => v1::Verdict::OtherProgramme,
        Verdict::UnrelatedProduct => v1::Verdict::UnrelatedProduct,
        Verdict::AfterSale => v1::Verdict::AfterSale,
        Verdict::OutsideWindow => v1::Verdict::OutsideWindow,
        Verdict::CampaignEnded => v1::Verdict::CampaignEnded,
        Verdict::ReceivedAfterSettling => v1::Verdict::ReceivedAfterSettling,
        Verdict::UnverifiedTooLate => v1::Verdict::UnverifiedTooLate,
        Verdict::Suspended => v1::Verdict::Suspended,
        Verdict::SelfReferral => v1::Verdict::SelfReferral,
        Verdict::CouponIgnored => v1::Verdict::CouponIgnored,
        Verdict::Unverified => v1::Verdict::Unverified,
        Verdict::House => v1::Verdict::House,
        Verdict::WeakerKind => v1::Verdict::WeakerKind,
        Verdict::SessionLocked => v1::Verdict::SessionLocked,
        Verdict::Older => v1::Verdict::Older,
        Verdict::Newer => v1::Verdict::Newer,
        Verdict::Tied => v1::Verdict::Tied,
        Verdict::Overruled => v1::Verdict::Overruled,
    }
}
