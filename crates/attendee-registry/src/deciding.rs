//! Deciding items from what is stored, and deciding again when evidence arrives.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use sea_orm::ConnectionTrait;
use tagalong_attribution::{
    credit::{PlatformSays, credit},
    decide::{self, Decision, EmailHash, Inherited, Stretch, decide, stands},
    id::{AffiliateId, ProductId, ProgrammeId},
    reason::reason,
    resolve::{Buyer, CarriedBy, Named, Reference, Resolution, resolve},
};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    error::Result,
    store::{
        attendees, catalogue, clicks,
        decisions::{self, Outcome},
        entity::{attendee, decision, item, programme, sale_order, touch},
        evidence::{self, stored_id},
        previews::Person,
        sales,
    },
    time::from_micros,
};

/// Decides again what hangs on an attendee: items decided as theirs, and orders that name them.
pub(crate) async fn about_attendee(
    db: &impl ConnectionTrait,
    attendee: Uuid,
    now: i64,
) -> Result<()> {
    let items = sales::items_about_attendee(db, attendee).await?;
    items_again(db, items, now).await
}

/// Decides again what hangs on clicks that just arrived.
pub(crate) async fn about_clicks(
    db: &impl ConnectionTrait,
    clicks: &[Uuid],
    now: i64,
) -> Result<()> {
    let items = sales::items_naming_clicks(db, clicks).await?;
    items_again(db, items, now).await
}

/// Decides again what hangs on an affiliate's standing and coupons.
pub(crate) async fn about_affiliate(
    db: &impl ConnectionTrait,
    affiliate: &v1::Affiliate,
    now: i64,
) -> Result<()> {
    let (programme, id) = (&affiliate.programme_id, &affiliate.id);
    let mut items = decisions::items_considering(db, programme, id, now).await?;
    items.extend(sales::items_with_coupons(db, programme, &affiliate.coupon_codes).await?);
    items_again(db, items, now).await
}

/// Decides again what hangs on products: how webinars connect them, or which foreign IDs they have.
pub(crate) async fn about_products(
    db: &impl ConnectionTrait,
    products: &[String],
    now: i64,
) -> Result<()> {
    let items = sales::items_of_products(db, products, now).await?;
    items_again(db, items, now).await
}

/// Decides items, and after each one that changed those that inherit from it.
#[tracing::instrument(level = "debug", skip_all, fields(items = items.len()))]
pub(crate) async fn items_again(
    db: &impl ConnectionTrait,
    items: Vec<Uuid>,
    now: i64,
) -> Result<()> {
    // Ends, because no item inherits from itself by any way: see `sales::inherits_from`.
    let mut waiting: HashSet<Uuid> = items.iter().copied().collect();
    let mut queue: VecDeque<Uuid> = items.into();
    while let Some(id) = queue.pop_front() {
        if !waiting.remove(&id) {
            continue;
        }
        let item = sales::item(db, id).await?;
        let order = sales::order(db, item.sale_order).await?;
        let inherited_from = sales::inherits_from(db, &order, &item).await?;
        // An heir comes after what it inherits, or it would first be decided as what no longer holds.
        if inherited_from.as_ref().is_some_and(|ancestor| waiting.contains(&ancestor.id)) {
            waiting.insert(id);
            queue.push_back(id);
            continue;
        }
        if decide_item(db, &order, &item, inherited_from, now).await? {
            let heirs = sales::items_inheriting(db, &order, &item).await?;
            queue.extend(heirs.into_iter().filter(|heir| waiting.insert(*heir)));
        }
    }
    Ok(())
}

/// Decides one item; whether its result changed.
async fn decide_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    inherited_from: Option<item::Model>,
    now: i64,
) -> Result<bool> {
    let Some(product) = item.product.clone() else { return Ok(false) };
    let product: ProductId = stored_id(&product)?;
    let newest = decisions::newest(db, item).await?;
    let assignment = decisions::newest_assignment(db, item.id).await?;
    // Handed on from heir to heir, so that nobody has to look for it along a chain of renewals.
    let inherited_assignment = match &inherited_from {
        Some(parent) => decisions::newest(db, parent).await?.and_then(|row| row.assignment),
        None => None,
    };
    let programme = catalogue::programme(db, &item.programme).await?;

    if let Some(newest) = &newest
        && assignment.is_none()
        && is_final(db, item, newest, now).await?
        && inherited_assignment.is_none()
    {
        return compare_again(db, order, item, newest, &programme, now).await;
    }

    let webinars = evidence::webinars_offering(db, product.as_str()).await?;
    let references = references(db, order, inherited_from.as_ref(), &webinars).await?;
    let resolution = resolve(&references);
    let buyer = match resolution.buyer {
        Buyer::Attendee(id) => Some(attendees::stored(db, id).await?),
        Buyer::Click(_) | Buyer::Unknown => None,
    };
    // Clicks that are nobody's are the order's evidence, whoever the buyer is.
    let mut clicks: Vec<Uuid> = Vec::new();
    for reference in &references {
        if let Named::Click(id) = reference.named
            && let Some(click) = clicks::get(db, id).await?
        {
            clicks::add_touch(db, &click, None, true, now).await?;
            clicks.push(id);
        }
    }
    sales::add_coupon_touch(db, order, now).await?;

    let attendee = buyer.as_ref().map(|buyer| buyer.id);
    let rows = evidence::touches_for(db, order, attendee, &clicks).await?;
    let mut emails = sales::emails(db, order.id).await?;
    if let Some(attendee) = attendee {
        let known = evidence::emails_of(db, &[attendee]).await?.remove(&attendee);
        emails.extend(known.unwrap_or_default());
    }
    let affiliates: BTreeSet<&str> = rows.iter().map(|row| row.affiliate.as_str()).collect();
    let standings = evidence::standings(db, &item.programme, affiliates).await?;
    let touches = rules(&rows, &webinars, &product)?;

    let policy_version = item.policy_version.unwrap_or(1);
    let policy = catalogue::stored_policy(db, product.as_str(), policy_version).await?;
    let affiliate_of =
        |text: &Option<String>| text.as_deref().map(stored_id::<AffiliateId>).transpose();
    let facts = decide::Item {
        programme: stored_id(&item.programme)?,
        sold_at: from_micros(order.sold_at),
        settles_at: item.settles_at.map(from_micros),
        known_since: buyer.as_ref().and_then(|buyer| buyer.known_since).map(from_micros),
        emails,
        inherited: match &inherited_from {
            Some(parent) if parent.decision.is_some() => {
                Some(Inherited { from: parent.id, affiliate: affiliate_of(&parent.affiliate)? })
            }
            _ => None,
        },
        assigned: match &assignment {
            Some(assignment) => Some(affiliate_of(&assignment.affiliate)?),
            None => None,
        },
    };
    let decision = decide(&evidence::policy(policy), &touches, &standings, &facts);

    let says = decisions::platform_says(item, &programme, decision.affiliate.as_ref());
    let credit = credit(decision.affiliate.as_ref(), says);
    let reason = reason(&resolution, &decision, &touches, Some(credit), named_by(says));
    let outcome = Outcome {
        decision,
        resolution,
        credit,
        reason,
        policy_version,
        assignment: assignment.map(|assignment| assignment.id).or(inherited_assignment),
    };
    decisions::store(db, order, item, newest, outcome, now).await
}

/// Whether new evidence no longer changes a decision: it has settled, or who it is about was erased, and with them what
/// connected them to their orders.
async fn is_final(
    db: &impl ConnectionTrait,
    item: &item::Model,
    newest: &decision::Model,
    now: i64,
) -> Result<bool> {
    if item.settles_at.is_some_and(|at| now > at) {
        return Ok(true);
    }
    let attendee = match newest.attendee {
        Some(attendee) => attendees::find(db, attendee).await?,
        None => None,
    };
    Ok(attendee.is_some_and(|attendee| attendee.erased_at.is_some()))
}

/// Compares a decision that stands with the platform's answer; whether the credit changed.
async fn compare_again(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
    newest: &decision::Model,
    programme: &programme::Model,
    now: i64,
) -> Result<bool> {
    let stored = decisions::read(db, newest).await?;
    let says = decisions::platform_says(item, programme, stored.decision.affiliate.as_ref());
    let credit = credit(stored.decision.affiliate.as_ref(), says);
    if decisions::compared(newest, credit) {
        return Ok(false);
    }
    // Whether a touch reaches the product is in its verdict already.
    let touches = stored.touches.iter().map(|row| evidence::touch(row, &[], None));
    let touches = touches.collect::<Result<Vec<_>>>()?;
    let says = named_by(says);
    let reason = reason(&stored.resolution, &stored.decision, &touches, Some(credit), says);
    decisions::store_comparison(db, order, item, newest.clone(), credit, reason, now).await?;
    Ok(true)
}

fn named_by(says: PlatformSays<'_>) -> Option<&str> {
    match says {
        PlatformSays::Affiliate(affiliate) => Some(affiliate),
        PlatformSays::Nobody | PlatformSays::NothingAboutIt => None,
    }
}

fn rules(
    rows: &[touch::Model],
    webinars: &[decide::Webinar],
    product: &ProductId,
) -> Result<Vec<decide::Touch>> {
    rows.iter().map(|row| evidence::touch(row, webinars, Some(product))).collect()
}

/// Everything the order knows of its buyer, and whom that names at present.
async fn references(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    inherited_from: Option<&item::Model>,
    webinars: &[decide::Webinar],
) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    let named = async |attendee| evidence::named(db, attendee, webinars, order.sold_at).await;

    if let Some(attendee) = order.token_attendee {
        references.push(Reference { by: CarriedBy::Token, named: named(attendee).await? });
    } else if order.token_invalid {
        references.push(Reference { by: CarriedBy::Token, named: Named::Invalid });
    }
    if order.parent_external_id.is_some() {
        let buyer = match inherited_from {
            Some(parent) => match (parent.attendee, decisions::newest(db, parent).await?) {
                (Some(attendee), _) => named(attendee).await?,
                (None, Some(decision)) => decision.click.map_or(Named::Unknown, Named::Click),
                (None, None) => Named::Unknown,
            },
            None => Named::Unknown,
        };
        references.push(Reference { by: CarriedBy::Order, named: buyer });
    }
    if let Some(key) = sales::registration_key(order) {
        let buyer = match attendees::by_key(db, &key).await? {
            Some(registration) => named(registration.attendee).await?,
            None => Named::Unknown,
        };
        references.push(Reference { by: CarriedBy::Registration, named: buyer });
    }
    if let Some(click) = order.click {
        let row = clicks::get(db, click).await?;
        let mut claimants = clicks::claimants(db, click).await?;
        // A purchase link's own click says whose token it was opened with.
        claimants.extend(row.as_ref().and_then(|row| row.attendee));
        for attendee in &claimants {
            references.push(Reference { by: CarriedBy::Click, named: named(*attendee).await? });
        }
        if claimants.is_empty() {
            let buyer = if row.is_some() { Named::Click(click) } else { Named::Unknown };
            references.push(Reference { by: CarriedBy::Click, named: buyer });
        }
    }
    let hashes = sales::email_hashes(db, order.id).await?;
    if !hashes.is_empty() {
        let attendees = evidence::attendees_with(db, hashes).await?;
        for attendee in &attendees {
            references.push(Reference { by: CarriedBy::Email, named: named(*attendee).await? });
        }
        if attendees.is_empty() {
            references.push(Reference { by: CarriedBy::Email, named: Named::Unknown });
        }
    }
    Ok(references)
}

/// Whose a product would be for attendees who buy it at one moment.
pub(crate) struct Preview {
    programme: ProgrammeId,
    product: ProductId,
    policy_version: i64,
    policy: decide::Policy,
    webinars: Vec<decide::Webinar>,
    at: i64,
}

/// One attendee's answer.
pub(crate) struct Previewed {
    pub(crate) attendee: Uuid,
    pub(crate) decision: Decision,
    /// When it would be the same.
    pub(crate) stands: Stretch,
    pub(crate) reason: String,
    pub(crate) touches: Vec<touch::Model>,
    pub(crate) programme: String,
    pub(crate) policy_version: i64,
}

impl Preview {
    /// Reads what is the same for all attendees.
    pub(crate) async fn new(
        db: &impl ConnectionTrait,
        product: &ProductId,
        at: i64,
    ) -> Result<Self> {
        let row = catalogue::product(db, product.as_str()).await?;
        let policy = catalogue::stored_policy(db, product.as_str(), row.policy_version).await?;
        Ok(Self {
            programme: stored_id(&row.programme)?,
            product: product.clone(),
            policy_version: row.policy_version,
            policy: evidence::policy(policy),
            webinars: evidence::webinars_offering(db, product.as_str()).await?,
            at,
        })
    }

    fn item(&self, known_since: Option<i64>, emails: Vec<EmailHash>) -> decide::Item {
        decide::Item {
            programme: self.programme.clone(),
            sold_at: from_micros(self.at),
            settles_at: None,
            known_since: known_since.map(from_micros),
            emails,
            inherited: None,
            assigned: None,
        }
    }

    /// Decides for one attendee.
    pub(crate) async fn decide(
        &self,
        db: &impl ConnectionTrait,
        attendee: &attendee::Model,
    ) -> Result<Previewed> {
        let id = attendee.id;
        let rows = evidence::touches_of(db, [id]).await?;
        let emails = evidence::emails_of(db, &[id]).await?.remove(&id).unwrap_or_default();
        let affiliates = rows.iter().map(|touch| touch.affiliate.as_str()).collect();
        let standings = evidence::standings(db, self.programme.as_str(), affiliates).await?;
        let rules = rules(&rows, &self.webinars, &self.product)?;
        let item = self.item(attendee.known_since, emails);
        let decision = decide(&self.policy, &rules, &standings, &item);
        let resolution =
            Resolution { buyer: Buyer::Attendee(id), carried_by: None, conflicts: Vec::new() };
        Ok(Previewed {
            attendee: id,
            reason: reason(&resolution, &decision, &rules, None, None),
            stands: stands(&self.policy, &rules, &standings, &item),
            decision,
            touches: rows,
            programme: self.programme.to_string(),
            policy_version: self.policy_version,
        })
    }

    /// Whom a page of attendees would be credited to, in their order.
    pub(crate) async fn affiliates(
        &self,
        db: &impl ConnectionTrait,
        people: &[Person],
    ) -> Result<Vec<Option<AffiliateId>>> {
        let affiliates = people.iter().flat_map(|person| &person.touches);
        let affiliates = affiliates.map(|touch| touch.affiliate.as_str()).collect();
        let standings = evidence::standings(db, self.programme.as_str(), affiliates).await?;
        // Addresses only tell who recommended themselves.
        let mut emails = HashMap::new();
        if standings.values().any(|standing| !standing.emails.is_empty()) {
            let ids: Vec<Uuid> = people.iter().map(|person| person.id).collect();
            emails = evidence::emails_of(db, &ids).await?;
        }
        let affiliate = |person: &Person| {
            let rules = rules(&person.touches, &self.webinars, &self.product)?;
            let emails = emails.remove(&person.id).unwrap_or_default();
            let item = self.item(person.known_since, emails);
            Ok(decide(&self.policy, &rules, &standings, &item).affiliate)
        };
        people.iter().map(affiliate).collect()
    }
}
