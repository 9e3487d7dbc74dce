//! How stories are told: a small world of webinars, people and evidence, decided as a registry would.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tagalong_attribution::{
    credit::{Credit, PlatformSays, credit},
    decide::{
        Inherited, Item, Policy, Session, Standing, Subject, Suspension, Touch, TouchKind, Verdict,
        Webinar, decide, reach,
    },
    id::AffiliateId,
    reason::reason,
    resolve::{Buyer, CarriedBy, ConflictReason, Named, Reference, resolve},
};
use uuid::Uuid;

/// Day 1 is a Monday, midnight UTC.
pub(crate) fn day(number: i64) -> Timestamp {
    hour(24 * (number - 1))
}

/// On day 1.
pub(crate) fn hour(number: i64) -> Timestamp {
    let monday = Timestamp::from_second(1_800_230_400).unwrap();
    monday + SignedDuration::from_hours(number)
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Attendee(u128, &'static str),
    Click(u128),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    kind: TouchKind,
    affiliate: &'static str,
    programme: &'static str,
    product: &'static str,
    session: Option<&'static str>,
    verified: bool,
    at: Timestamp,
    received: Timestamp,
}

pub(crate) fn evidence(kind: TouchKind, affiliate: &'static str) -> Evidence {
    Evidence {
        kind,
        affiliate,
        programme: "copecart",
        product: "ticket",
        session: None,
        verified: true,
        at: day(1),
        received: day(1),
    }
}

pub(crate) fn click(affiliate: &'static str) -> Evidence {
    evidence(TouchKind::Click, affiliate)
}

pub(crate) fn registration(affiliate: &'static str) -> Evidence {
    evidence(TouchKind::Registration, affiliate)
}

pub(crate) fn coupon(affiliate: &'static str) -> Evidence {
    evidence(TouchKind::Coupon, affiliate)
}

impl Evidence {
    pub(crate) fn at(self, at: Timestamp) -> Self {
        Self { at, received: at, ..self }
    }

    pub(crate) fn received(self, received: Timestamp) -> Self {
        Self { received, ..self }
    }

    pub(crate) fn on(self, product: &'static str) -> Self {
        Self { product, ..self }
    }

    pub(crate) fn session(self, session: &'static str) -> Self {
        Self { session: Some(session), ..self }
    }

    pub(crate) fn issued_by(self, programme: &'static str) -> Self {
        Self { programme, ..self }
    }

    pub(crate) fn unverified(self) -> Self {
        Self { verified: false, ..self }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    Nobody,
    Never,
    Affiliate(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Sale {
    product: &'static str,
    at: Timestamp,
    reported: Option<Timestamp>,
    /// None: somebody we do not know; for a token, one we did not sign.
    references: Vec<(CarriedBy, Option<Who>)>,
    emails: Vec<[u8; 32]>,
    inherits: Option<Inherited>,
    assigned: Option<&'static str>,
    platform: Said,
}

pub(crate) fn sale(product: &'static str) -> Sale {
    Sale {
        product,
        at: day(1),
        reported: None,
        references: Vec::new(),
        emails: Vec::new(),
        inherits: None,
        assigned: None,
        platform: Said::Nobody,
    }
}

impl Sale {
    pub(crate) fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    pub(crate) fn first_reported(self, at: Timestamp) -> Self {
        Self { reported: Some(at), ..self }
    }

    pub(crate) fn reference(mut self, by: CarriedBy, who: Option<Who>) -> Self {
        self.references.push((by, who));
        self
    }

    pub(crate) fn token(self, who: Who) -> Self {
        self.reference(CarriedBy::Token, Some(who))
    }

    pub(crate) fn forged_token(self) -> Self {
        self.reference(CarriedBy::Token, None)
    }

    pub(crate) fn order(self, who: Who) -> Self {
        self.reference(CarriedBy::Order, Some(who))
    }

    pub(crate) fn click(self, who: Who) -> Self {
        self.reference(CarriedBy::Click, Some(who))
    }

    pub(crate) fn email(self, who: &[Who]) -> Self {
        who.iter().fold(self, |sale, who| sale.reference(CarriedBy::Email, Some(*who)))
    }

    pub(crate) fn unknown_email(self) -> Self {
        self.reference(CarriedBy::Email, None)
    }

    pub(crate) fn paid_by(mut self, email: [u8; 32]) -> Self {
        self.emails.push(email);
        self
    }

    pub(crate) fn inherits(self, affiliate: Option<&'static str>) -> Self {
        let affiliate = affiliate.map(id);
        Self { inherits: Some(Inherited { from: Uuid::from_u128(50), affiliate }), ..self }
    }

    pub(crate) fn assigned(self, affiliate: &'static str) -> Self {
        Self { assigned: Some(affiliate), ..self }
    }

    pub(crate) fn platform(self, affiliate: &'static str) -> Self {
        Self { platform: Said::Affiliate(affiliate), ..self }
    }

    pub(crate) fn platform_nobody(self) -> Self {
        Self { platform: Said::Nobody, ..self }
    }

    pub(crate) fn platform_never_says(self) -> Self {
        Self { platform: Said::Never, ..self }
    }
}

/// How a story ends, in the words of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    affiliate: Option<String>,
    carried_by: Option<CarriedBy>,
    credit: Option<Credit>,
    losers: Vec<String>,
    conflicts: Vec<String>,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |items: &[String]| {
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        };
        write!(
            f,
            "{} | carried by {} | {} | losers: {} | conflicts: {}",
            self.affiliate.as_deref().unwrap_or("nobody"),
            self.carried_by.map_or_else(|| "nothing".to_owned(), |by| format!("{by:?}")),
            self.credit.map_or_else(String::new, |credit| format!("{credit:?}")),
            list(&self.losers),
            list(&self.conflicts),
        )
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    policy: Policy,
    known: Vec<(Who, Vec<Evidence>)>,
    standings: BTreeMap<AffiliateId, Standing>,
    campaign_ends: Option<Timestamp>,
    sale: Sale,
    pub(crate) expected: Ending,
}

pub(crate) fn story(name: &'static str) -> Story {
    Story {
        name,
        text: "",
        policy: Policy::default(),
        known: Vec::new(),
        standings: BTreeMap::new(),
        campaign_ends: None,
        sale: sale("course"),
        expected: Ending::default(),
    }
}

impl Story {
    pub(crate) fn told(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    pub(crate) fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    pub(crate) fn knows(mut self, who: Who, evidence: &[Evidence]) -> Self {
        self.known.push((who, evidence.to_vec()));
        self
    }

    pub(crate) fn house(mut self, affiliate: &str) -> Self {
        self.standings.entry(id(affiliate)).or_default().house = true;
        self
    }

    pub(crate) fn suspended(
        mut self,
        affiliate: &str,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Self {
        let suspension = Suspension { from, until, recorded_at: from };
        self.standings.entry(id(affiliate)).or_default().suspensions.push(suspension);
        self
    }

    pub(crate) fn address(mut self, affiliate: &str, email: [u8; 32]) -> Self {
        self.standings.entry(id(affiliate)).or_default().emails.push(email);
        self
    }

    pub(crate) fn campaign_ends(self, at: Timestamp) -> Self {
        Self { campaign_ends: Some(at), ..self }
    }

    pub(crate) fn buys(self, sale: Sale) -> Self {
        Self { sale, ..self }
    }

    pub(crate) fn credits(mut self, affiliate: &str, by: CarriedBy, credit: Credit) -> Self {
        self.expected.affiliate = Some(affiliate.to_owned());
        self.expected.carried_by = Some(by);
        self.expected.credit = Some(credit);
        self
    }

    pub(crate) fn max_by_token(self, credit: Credit) -> Self {
        self.credits("max", CarriedBy::Token, credit)
    }

    pub(crate) fn nobody(mut self, by: Option<CarriedBy>, credit: Credit) -> Self {
        self.expected.carried_by = by;
        self.expected.credit = Some(credit);
        self
    }

    pub(crate) fn loses(mut self, affiliate: &str, why: Verdict) -> Self {
        self.expected.losers.push(format!("{affiliate} ({why:?})"));
        self
    }

    pub(crate) fn conflict(mut self, by: CarriedBy, why: ConflictReason) -> Self {
        self.expected.conflicts.push(format!("{by:?} ({why:?})"));
        self
    }

    pub(crate) fn ends_as_told(&self) -> bool {
        let mut expected = self.expected.clone();
        expected.losers.sort();
        self.ending(false).0 == expected && self.ending(true).0 == expected
    }

    fn webinars(&self) -> [Webinar; 2] {
        [
            Webinar {
                id: id("masterclass"),
                promotes: vec![id("ticket")],
                offers: vec![id("course"), id("coaching")],
                ends_at: self.campaign_ends,
            },
            Webinar {
                id: id("book-club"),
                promotes: Vec::new(),
                offers: vec![id("book")],
                ends_at: None,
            },
        ]
    }

    fn evidence_of(&self, who: Who) -> &[Evidence] {
        self.known.iter().find(|(known, _)| *known == who).map_or(&[], |(_, evidence)| evidence)
    }

    fn named(&self, by: CarriedBy, who: Option<Who>) -> Named {
        match who {
            Some(who @ Who::Attendee(number, webinar)) => {
                let webinars = self.webinars();
                let webinar = webinars.iter().find(|known| known.id.as_str() == webinar).unwrap();
                let registrations = self.evidence_of(who).iter();
                Named::Attendee {
                    id: Uuid::from_u128(number),
                    offered: webinar.offers.contains(&id(self.sale.product)),
                    registered_at: registrations
                        .filter(|evidence| evidence.kind == TouchKind::Registration)
                        .map(|evidence| evidence.at)
                        .filter(|at| *at <= self.sale.at)
                        .max(),
                    mark: number,
                }
            }
            Some(Who::Click(number)) => Named::Click(Uuid::from_u128(number)),
            None if by == CarriedBy::Token => Named::Invalid,
            None => Named::Unknown,
        }
    }

    /// What a registry would store; a text that is no affiliate's ID leaves no touch.
    fn touch(&self, number: u128, who: Who, evidence: &Evidence) -> Option<Touch> {
        let webinar = match who {
            Who::Attendee(_, webinar) => id(webinar),
            Who::Click(_) => id("none"),
        };
        let product = id(evidence.product);
        let subject = match evidence.kind {
            TouchKind::Click | TouchKind::Landing => Subject::Product(&product),
            TouchKind::Registration => Subject::Webinar(&webinar),
            TouchKind::Coupon => Subject::Item,
        };
        Some(Touch {
            id: Uuid::from_u128(number),
            kind: evidence.kind,
            programme: id(evidence.programme),
            affiliate: AffiliateId::read(evidence.affiliate).ok()?,
            at: evidence.at,
            received_at: evidence.received,
            verified: evidence.verified,
            session: evidence
                .session
                .map(|session| Session { webinar: webinar.clone(), id: session.to_owned() }),
            reach: reach(&self.webinars(), subject, &id(self.sale.product)),
        })
    }

    /// The ending, and why in a sentence.
    pub(crate) fn ending(&self, reversed: bool) -> (Ending, String) {
        let sale = &self.sale;
        let named = |(by, who): &(CarriedBy, Option<Who>)| Reference {
            by: *by,
            named: self.named(*by, *who),
        };
        let mut references: Vec<Reference> = sale.references.iter().map(named).collect();
        if reversed {
            references.reverse();
        }
        let resolution = resolve(&references);

        let buyer = self.known.iter().find(|(who, _)| match (who, resolution.buyer) {
            (Who::Attendee(number, _), Buyer::Attendee(id))
            | (Who::Click(number), Buyer::Click(id)) => id == Uuid::from_u128(*number),
            _ => false,
        });
        let evidence = buyer.map_or(&[][..], |(_, evidence)| evidence);
        let mut touches: Vec<Touch> = buyer.map_or_else(Vec::new, |(who, evidence)| {
            (1..).zip(evidence).filter_map(|(n, evidence)| self.touch(n, *who, evidence)).collect()
        });
        if reversed {
            touches.reverse();
        }
        let item = Item {
            programme: id("copecart"),
            sold_at: sale.at,
            settles_at: Some(sale.reported.unwrap_or(sale.at) + Policy::SETTLE_AFTER),
            known_since: evidence
                .iter()
                .filter(|evidence| evidence.kind == TouchKind::Registration && evidence.verified)
                .map(|evidence| evidence.received)
                .min(),
            emails: sale.emails.clone(),
            inherited: sale.inherits.clone(),
            assigned: sale.assigned.map(|affiliate| Some(id(affiliate))),
        };
        let decision = decide(&self.policy, &touches, &self.standings, &item);

        let (says, platform) = match sale.platform {
            Said::Nobody => (PlatformSays::Nobody, None),
            Said::Never => (PlatformSays::NothingAboutIt, None),
            Said::Affiliate(affiliate) => (PlatformSays::Affiliate(affiliate), Some(affiliate)),
        };
        let credit = credit(decision.affiliate.as_ref(), says);
        let why = reason(&resolution, &decision, &touches, Some(credit), platform);
        let loser = |(touch, verdict): (&Touch, &(Uuid, Verdict))| {
            assert_eq!(touch.id, verdict.0, "verdicts come in the order of the touches");
            (verdict.1 != Verdict::Won).then(|| format!("{} ({:?})", touch.affiliate, verdict.1))
        };
        let mut losers: Vec<String> =
            touches.iter().zip(&decision.verdicts).filter_map(loser).collect();
        losers.sort();
        let ending = Ending {
            affiliate: decision.affiliate.map(String::from),
            carried_by: resolution.carried_by,
            credit: Some(credit),
            losers,
            conflicts: resolution
                .conflicts
                .iter()
                .map(|conflict| format!("{:?} ({:?})", conflict.by, conflict.reason))
                .collect(),
        };
        (ending, why)
    }
}
