//! Whose each sale is: the evidence of two files put into the rules of `tagalong_attribution`, as the registry puts
//! its own.

use std::collections::BTreeMap;

use tagalong_attribution::{
    credit::{Credit, PlatformSays, credit},
    decide::{
        self, Decision, Inherited, Policy, Reach, Session, Subject, Touch, TouchKind, Webinar,
        decide, reach,
    },
    id::{ProductId, ProgrammeId, WebinarId},
    reason::reason,
    resolve::{Buyer, CarriedBy, Named, Reference, Resolution, resolve},
};
use uuid::Uuid;

use super::{
    orders::{Item, Order},
    people::{Attendee, People},
};
use crate::sheet::Kind;

/// What came out for one item.
pub(super) struct Judged {
    pub(super) decision: Decision,
    pub(super) resolution: Resolution,
    pub(super) credit: Credit,
    pub(super) reason: String,
}

/// What is assumed of a business that told us nothing: one programme, in which every webinar offers everything.
pub(super) struct Judge<'a> {
    policy: Policy,
    programme: ProgrammeId,
    product: ProductId,
    webinars: Vec<Webinar>,
    orders: &'a [Order],
    people: &'a People,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        policy: Policy,
        orders: &'a [Order],
        people: &'a People,
    ) -> anyhow::Result<Self> {
        let product: ProductId = "product".parse()?;
        let webinar = |n: usize| -> anyhow::Result<Webinar> {
            Ok(Webinar {
                id: format!("w{n}").parse()?,
                promotes: Vec::new(),
                offers: vec![product.clone()],
                ends_at: None,
            })
        };
        let webinars = (0..people.webinars).map(webinar).collect::<anyhow::Result<_>>()?;
        Ok(Self { policy, programme: "programme".parse()?, product, webinars, orders, people })
    }

    /// Judges every item, in the order of orders and items.
    pub(super) fn all(&self) -> Vec<Vec<Judged>> {
        let circles = circles(self.orders);
        let heir_of = |order: usize| self.orders[order].parent.filter(|_| !circles[order]);
        let mut judged: Vec<Option<Vec<Judged>>> = self.orders.iter().map(|_| None).collect();
        for order in 0..self.orders.len() {
            // What an order inherits is judged before it.
            let mut chain = Vec::new();
            let mut next = Some(order);
            while let Some(order) = next.filter(|order| judged[*order].is_none()) {
                chain.push(order);
                next = heir_of(order);
            }
            while let Some(order) = chain.pop() {
                let parent = heir_of(order).and_then(|parent| {
                    let position = heritable(&self.orders[parent])?;
                    Some((parent, position, judged[parent].as_ref()?.get(position)?))
                });
                judged[order] = Some(self.order(order, parent));
            }
        }
        judged.into_iter().map(Option::unwrap_or_default).collect()
    }

    fn order(&self, at: usize, parent: Option<(usize, usize, &Judged)>) -> Vec<Judged> {
        let order = &self.orders[at];
        let from_parent = parent.map(|(order, item, judged)| inherited(order, item, judged));
        let parent = parent.map(|(_, _, judged)| judged);
        let first_main = order.items.values().position(|item| item.kind == Kind::Main);
        let main = first_main
            .and_then(|n| order.items.values().nth(n))
            .map(|item| self.item(order, item, parent, from_parent.clone()));
        let from_main = match (first_main, &main) {
            (Some(n), Some(judged)) => Some(inherited(at, n, judged)),
            _ => None,
        };
        let judged = order.items.values().map(|item| {
            let from = match item.kind {
                Kind::Upsell | Kind::Bump => from_main.clone().or_else(|| from_parent.clone()),
                Kind::Main => from_parent.clone(),
            };
            self.item(order, item, parent, from)
        });
        judged.collect()
    }

    fn item(
        &self,
        order: &Order,
        item: &Item,
        parent: Option<&Judged>,
        inherited: Option<Inherited>,
    ) -> Judged {
        let resolution = resolve(&self.references(order, parent));
        let touches = match resolution.buyer {
            Buyer::Attendee(id) => self.attendee(id).map_or_else(Vec::new, |who| self.touches(who)),
            Buyer::Click(_) | Buyer::Unknown => Vec::new(),
        };
        let facts = decide::Item {
            programme: self.programme.clone(),
            sold_at: order.sold_at,
            settles_at: None,
            known_since: None,
            emails: Vec::new(),
            inherited,
            assigned: None,
        };
        let decision = decide(&self.policy, &touches, &BTreeMap::new(), &facts);
        let says = match item.platform.as_deref() {
            None => PlatformSays::NothingAboutIt,
            Some("") => PlatformSays::Nobody,
            Some(affiliate) => PlatformSays::Affiliate(affiliate),
        };
        let named = item.platform.as_deref().filter(|affiliate| !affiliate.is_empty());
        let credit = credit(decision.affiliate.as_ref(), says);
        let reason = reason(&resolution, &decision, &touches, Some(credit), named);
        Judged { decision, resolution, credit, reason }
    }

    /// Everything an order knows of its buyer.
    fn references(&self, order: &Order, parent: Option<&Judged>) -> Vec<Reference> {
        let mut references = Vec::new();
        let mut add = |by, attendees: Option<&Vec<usize>>| {
            let named = attendees.into_iter().flatten().map(|at| self.named(*at, order));
            let before = references.len();
            references.extend(named.map(|named| Reference { by, named }));
            if references.len() == before {
                references.push(Reference { by, named: Named::Unknown });
            }
        };
        if order.follows {
            let attendee = parent.and_then(|parent| match parent.resolution.buyer {
                Buyer::Attendee(id) => Some(vec![number(id)?]),
                Buyer::Click(_) | Buyer::Unknown => None,
            });
            add(CarriedBy::Order, attendee.as_ref());
        }
        if !order.registration.is_empty() {
            add(CarriedBy::Registration, self.people.by_id.get(&order.registration));
        }
        let known: Vec<usize> = order
            .emails
            .iter()
            .filter_map(|e| self.people.by_email.get(e))
            .flatten()
            .copied()
            .collect();
        if !order.emails.is_empty() {
            add(CarriedBy::Email, Some(&known));
        }
        references
    }

    fn named(&self, at: usize, order: &Order) -> Named {
        let newest = self.people.attendees.get(at).and_then(|who| who.newest(order.sold_at));
        let id = attendee_id(at);
        Named::Attendee { id, offered: true, registered_at: newest, mark: id.as_u128() }
    }

    fn attendee(&self, id: Uuid) -> Option<&Attendee> {
        self.people.attendees.get(number(id)?)
    }

    fn touches(&self, attendee: &Attendee) -> Vec<Touch> {
        let Some(webinar) = self.webinars.get(attendee.webinar) else { return Vec::new() };
        let reach: Reach = reach(&self.webinars, Subject::Webinar(&webinar.id), &self.product);
        let session = |id: &String, webinar: &WebinarId| {
            (!id.is_empty()).then(|| Session { webinar: webinar.clone(), id: id.clone() })
        };
        let touch = |registered: &super::people::Registered| {
            Some(Touch {
                id: Uuid::from_u128(registered.line.into()),
                kind: TouchKind::Registration,
                programme: self.programme.clone(),
                affiliate: registered.affiliate.clone()?,
                at: registered.at,
                received_at: registered.at,
                verified: true,
                session: session(&registered.session, &webinar.id),
                reach,
            })
        };
        attendee.registrations.iter().filter_map(touch).collect()
    }
}

fn attendee_id(at: usize) -> Uuid {
    Uuid::from_u128(at as u128)
}

fn number(id: Uuid) -> Option<usize> {
    usize::try_from(id.as_u128()).ok()
}

fn inherited(order: usize, item: usize, judged: &Judged) -> Inherited {
    let from = Uuid::from_u64_pair(order as u64, item as u64);
    Inherited { from, affiliate: judged.decision.affiliate.clone() }
}

/// The item that others inherit from: the first that the buyer came for, else the first.
fn heritable(order: &Order) -> Option<usize> {
    let main = order.items.values().position(|item| item.kind == Kind::Main);
    main.or((!order.items.is_empty()).then_some(0))
}

/// Which orders follow themselves by way of others: they inherit nothing.
fn circles(orders: &[Order]) -> Vec<bool> {
    let mut circles = vec![false; orders.len()];
    // The walk that first came by.
    let mut walks = vec![usize::MAX; orders.len()];
    for start in 0..orders.len() {
        let mut next = Some(start);
        while let Some(order) = next.filter(|order| walks[*order] == usize::MAX) {
            walks[order] = start;
            next = orders[order].parent;
        }
        // Back where this very walk was before: the rest of it is a circle.
        let mut around = next.filter(|order| walks[*order] == start);
        while let Some(order) = around.filter(|order| !circles[*order]) {
            circles[order] = true;
            around = orders[order].parent;
        }
    }
    circles
}
