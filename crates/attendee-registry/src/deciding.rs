//! Deciding items from what is stored, and deciding again when evidence arrives.

use std::collections::{BTreeSet, HashMap, VecDeque};

use sea_orm::ConnectionTrait;
use tagalong_attribution::{
    credit::{PlatformSays, credit},
    decide::{self, Decision, EmailHash, Inherited, decide},
    id::{AffiliateId, ProductId},
    reason::reason,
    resolve::{Buyer, CarriedBy, Named, Reference, Resolution, resolve},
};
use uuid::Uuid;

use crate::{
    error::Result,
    store::{
        attendees, catalogue, clicks,
        decisions::{self, Outcome},
        entity::{attendee, item, sale_order, touch},
        evidence::{self, stored_id},
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
pub(crate) async fn about_clicks(db: &impl ConnectionTrait, clicks: &[Uuid], now: i64) -> Result<()> {
    let items = sales::items_naming_clicks(db, clicks).await?;
    items_again(db, items, now).await
}

/// Decides again what hangs on an affiliate's standing.
pub(crate) async fn about_affiliate(
    db: &impl ConnectionTrait,
    programme: &str,
    affiliate: &str,
    now: i64,
) -> Result<()> {
    let items = decisions::items_considering(db, programme, affiliate).await?;
    items_again(db, items, now).await
}

/// Decides again what hangs on products: how webinars connect them, or which foreign IDs they have.
pub(crate) async fn about_products(
    db: &impl ConnectionTrait,
    products: &[String],
    now: i64,
) -> Result<()> {
    let items = sales::items_of_products(db, products).await?;
    items_again(db, items, now).await
}

/// Decides items, and after each one that changed those that inherit from it.
pub(crate) async fn items_again(
    db: &impl ConnectionTrait,
    items: Vec<Uuid>,
    now: i64,
) -> Result<()> {
    // Orders that name each other as parents must not go on for ever.
    const MOST_OFTEN: u32 = 3;
    let mut times: HashMap<Uuid, u32> = HashMap::new();
    let mut queue: VecDeque<Uuid> = items.into();
    while let Some(id) = queue.pop_front() {
        let times = times.entry(id).or_default();
        *times += 1;
        if *times > MOST_OFTEN {
            continue;
        }
        let Some(item) = sales::lock_item(db, id).await? else { continue };
        let order = sales::order(db, item.sale_order).await?;
        if decide_item(db, &order, item.clone(), now).await? {
            queue.extend(sales::items_inheriting(db, &order, &item).await?);
        }
    }
    Ok(())
}

/// Decides one item; whether its result changed.
async fn decide_item(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: item::Model,
    now: i64,
) -> Result<bool> {
    let Some(product) = item.product.clone() else { return Ok(false) };
    let product: ProductId = stored_id(&product)?;
    let newest = decisions::newest(db, &item).await?;
    let assignment = decisions::newest_assignment(db, item.id).await?;
    let inherited_from = sales::inherits_from(db, order, &item).await?;
    let inherits_assignment = match &inherited_from {
        Some(parent) => decisions::newest_assignment(db, parent.id).await?.is_some(),
        None => false,
    };
    let settled = item.settles_at.is_some_and(|at| now > at);
    let never_names = catalogue::programme(db, &item.programme).await?.never_names_affiliates;

    let newest = match newest {
        // Only the platform's answer can still change what a settled decision means.
        Some(newest) if settled && assignment.is_none() && !inherits_assignment => {
            return decisions::compare_again(db, &item, newest, never_names, now).await;
        }
        newest => newest,
    };

    let webinars = evidence::webinars_offering(db, product.as_str()).await?;
    let references = references(db, order, &item, &webinars).await?;
    let resolution = resolve(&references);
    let (buyer, click) = match resolution.buyer {
        Buyer::Attendee(id) => (Some(attendees::lock(db, id).await?), None),
        Buyer::Click(id) => (None, Some(id)),
        Buyer::Unknown => (None, None),
    };
    if let Some(click) = click
        && let Some(click) = clicks::get(db, click).await?
    {
        clicks::add_touch(db, &click, None, now).await?;
    }
    sales::add_coupon_touch(db, order, now).await?;

    let attendee = buyer.as_ref().map(|buyer| buyer.id);
    let rows = evidence::touches_for(db, order.id, attendee, click).await?;
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
    let affiliate_of = |text: &Option<String>| {
        text.as_deref().map(stored_id::<AffiliateId>).transpose()
    };
    let facts = decide::Item {
        programme: stored_id(&item.programme)?,
        sold_at: from_micros(order.sold_at),
        settles_at: item.settles_at.map(from_micros),
        known_since: buyer.as_ref().and_then(|buyer| buyer.known_since).map(from_micros),
        emails,
        inherited: match &inherited_from {
            Some(parent) if parent.decision.is_some() => Some(Inherited {
                from: parent.id,
                affiliate: affiliate_of(&parent.affiliate)?,
            }),
            _ => None,
        },
        assigned: match &assignment {
            Some(assignment) => Some(affiliate_of(&assignment.affiliate)?),
            None => None,
        },
    };
    let decision = decide(&evidence::policy(policy), &touches, &standings, &facts);

    let says = decisions::platform_says(&item, never_names);
    let credit = credit(decision.affiliate.as_ref(), says);
    let reason = reason(
        &resolution,
        &decision,
        &touches,
        Some(credit),
        match says {
            PlatformSays::Affiliate(affiliate) => Some(affiliate),
            PlatformSays::Nobody | PlatformSays::NothingAboutIt => None,
        },
    );
    let outcome = Outcome {
        decision,
        resolution,
        credit,
        reason,
        policy_version,
        assignment: assignment.map(|assignment| assignment.id),
    };
    decisions::store(db, &item, order.test, newest, outcome, now).await
}

fn rules(
    rows: &[touch::Model],
    webinars: &[decide::Webinar],
    product: &ProductId,
) -> Result<Vec<decide::Touch>> {
    rows.iter().map(|row| evidence::touch(row, webinars, product)).collect()
}

/// Everything the order knows of its buyer, and whom that names at present.
async fn references(
    db: &impl ConnectionTrait,
    order: &sale_order::Model,
    item: &item::Model,
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
        let buyer = match sales::inherits_from(db, order, item).await? {
            Some(parent) => match (parent.attendee, decisions::newest(db, &parent).await?) {
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
        let claimants = clicks::claimants(db, click).await?;
        for attendee in &claimants {
            references.push(Reference { by: CarriedBy::Click, named: named(*attendee).await? });
        }
        if claimants.is_empty() {
            let known = clicks::get(db, click).await?.is_some();
            let buyer = if known { Named::Click(click) } else { Named::Unknown };
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

/// Whose the product would be for each of several attendees who buy it at one moment.
pub(crate) struct Preview {
    programme: String,
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
    pub(crate) reason: String,
    pub(crate) touches: Vec<touch::Model>,
    pub(crate) programme: String,
    pub(crate) policy_version: i64,
}

impl Preview {
    /// Reads what is the same for all attendees.
    pub(crate) async fn new(db: &impl ConnectionTrait, product: &ProductId, at: i64) -> Result<Self> {
        let row = catalogue::product(db, product.as_str()).await?;
        let policy = catalogue::stored_policy(db, product.as_str(), row.policy_version).await?;
        Ok(Self {
            programme: row.programme,
            product: product.clone(),
            policy_version: row.policy_version,
            policy: evidence::policy(policy),
            webinars: evidence::webinars_offering(db, product.as_str()).await?,
            at,
        })
    }

    /// Decides for some attendees.
    pub(crate) async fn decide(
        &self,
        db: &impl ConnectionTrait,
        attendees: &[attendee::Model],
    ) -> Result<Vec<Previewed>> {
        let ids: Vec<Uuid> = attendees.iter().map(|attendee| attendee.id).collect();
        let mut touches = evidence::touches_of(db, &ids).await?;
        let mut emails: HashMap<Uuid, Vec<EmailHash>> = evidence::emails_of(db, &ids).await?;
        let affiliates =
            touches.values().flatten().map(|touch| touch.affiliate.as_str()).collect();
        let standings = evidence::standings(db, &self.programme, affiliates).await?;
        attendees
            .iter()
            .map(|attendee| {
                let rows = touches.remove(&attendee.id).unwrap_or_default();
                let rules = rules(&rows, &self.webinars, &self.product)?;
                let item = decide::Item {
                    programme: stored_id(&self.programme)?,
                    sold_at: from_micros(self.at),
                    settles_at: None,
                    known_since: attendee.known_since.map(from_micros),
                    emails: emails.remove(&attendee.id).unwrap_or_default(),
                    inherited: None,
                    assigned: None,
                };
                let decision = decide(&self.policy, &rules, &standings, &item);
                let resolution = Resolution {
                    buyer: Buyer::Attendee(attendee.id),
                    carried_by: None,
                    conflicts: Vec::new(),
                };
                Ok(Previewed {
                    attendee: attendee.id,
                    reason: reason(&resolution, &decision, &rules, None, None),
                    decision,
                    touches: rows,
                    programme: self.programme.clone(),
                    policy_version: self.policy_version,
                })
            })
            .collect()
    }
}
