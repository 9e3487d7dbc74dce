//! Who registered, and through whom: only those of them who bought.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use tagalong_attendee_registry::email::Email;
use tagalong_attribution::id::{AffiliateId, NoAffiliate};

use super::{Unreadable, orders::Order};
use crate::sheet::{Field, Problem, Registration, Sheet};

/// A buyer in a webinar.
pub(super) struct Attendee {
    /// Which of the webinars.
    pub(super) webinar: usize,
    pub(super) registrations: Vec<Registered>,
}

/// One registration of a buyer.
pub(super) struct Registered {
    pub(super) affiliate: Option<AffiliateId>,
    pub(super) at: Timestamp,
    pub(super) session: String,
    /// The line of the file, which names it.
    pub(super) line: u64,
    id: String,
}

/// What the registrations' file holds.
#[derive(Default)]
pub(super) struct People {
    pub(super) attendees: Vec<Attendee>,
    pub(super) by_email: HashMap<Email, Vec<usize>>,
    pub(super) by_id: HashMap<String, Vec<usize>>,
    /// How many webinars the file tells apart; at least one.
    pub(super) webinars: usize,
    pub(super) registrations: u64,
    /// Without an address, or with something that is none.
    pub(super) without_email: u64,
    pub(super) with_affiliate: u64,
    /// What stood in the affiliate's field was a merge tag nobody filled in.
    pub(super) unfilled: u64,
    /// What stood there is no ID.
    pub(super) malformed: u64,
    pub(super) affiliates: BTreeSet<AffiliateId>,
    pub(super) unreadable: Unreadable,
}

/// Reads all registrations and keeps those that an order can be about.
pub(super) fn read(
    sheet: &Sheet,
    orders: &[Order],
    registered_at: Option<Timestamp>,
) -> anyhow::Result<People> {
    let emails: HashSet<&Email> = orders.iter().flat_map(|order| &order.emails).collect();
    let ids: HashSet<&str> = orders.iter().map(|order| order.registration.as_str()).collect();
    let mut people = People::default();
    let mut webinars: HashMap<String, usize> = HashMap::new();
    let mut rows = sheet.rows()?;
    while let Some(row) = rows.next()? {
        let registration = match Registration::read(row) {
            Ok(registration) => registration,
            Err(problem) => {
                people.unreadable.add(row.line, problem);
                continue;
            }
        };
        let Some(at) = registration.registered_at.or(registered_at) else {
            let problem = Problem { field: Field::RegisteredAt, problem: "is empty" };
            people.unreadable.add(row.line, problem);
            continue;
        };
        people.registrations += 1;
        let affiliate = people.count_affiliate(&registration.affiliate);
        let email = Email::parse(&registration.email).ok();
        people.without_email += u64::from(email.is_none());
        let count = webinars.len();
        let webinar = match webinars.get(&registration.webinar) {
            Some(known) => *known,
            None => *webinars.entry(registration.webinar).or_insert(count),
        };
        let email = email.filter(|email| emails.contains(email));
        let id = Some(registration.id).filter(|id| ids.contains(id.as_str()) && !id.is_empty());
        if email.is_none() && id.is_none() {
            continue;
        }
        let attendee = people.attendee(webinar, email, id.as_deref());
        let registered = Registered {
            affiliate,
            at,
            session: registration.session,
            line: row.line,
            id: id.unwrap_or_default(),
        };
        people.attendees[attendee].add(registered);
    }
    people.webinars = webinars.len().max(1);
    Ok(people)
}

impl People {
    fn count_affiliate(&mut self, text: &str) -> Option<AffiliateId> {
        match AffiliateId::read(text) {
            Ok(affiliate) => {
                self.with_affiliate += 1;
                if !self.affiliates.contains(&affiliate) {
                    self.affiliates.insert(affiliate.clone());
                }
                return Some(affiliate);
            }
            Err(NoAffiliate::Unresolved) => self.unfilled += 1,
            Err(NoAffiliate::Malformed) => self.malformed += 1,
            Err(NoAffiliate::Missing) => {}
        }
        None
    }

    /// The attendee of an address in a webinar, or where there is none of an ID.
    fn attendee(&mut self, webinar: usize, email: Option<Email>, id: Option<&str>) -> usize {
        let of_webinar = |known: Option<&Vec<usize>>| {
            let known = known.into_iter().flatten();
            known.copied().find(|attendee| self.attendees[*attendee].webinar == webinar)
        };
        let known = of_webinar(id.and_then(|id| self.by_id.get(id)))
            .or_else(|| of_webinar(email.as_ref().and_then(|email| self.by_email.get(email))));
        let attendee = known.unwrap_or_else(|| {
            self.attendees.push(Attendee { webinar, registrations: Vec::new() });
            self.attendees.len() - 1
        });
        let note = |attendees: &mut Vec<usize>| {
            if !attendees.contains(&attendee) {
                attendees.push(attendee);
            }
        };
        if let Some(email) = email {
            note(self.by_email.entry(email).or_default());
        }
        if let Some(id) = id {
            note(self.by_id.entry(id.to_owned()).or_default());
        }
        attendee
    }
}

impl Attendee {
    /// Adds a registration. The same one, reported again, is the earlier of the two.
    fn add(&mut self, new: Registered) {
        let same = |known: &&mut Registered| {
            !new.id.is_empty()
                && (&known.id, &known.affiliate, &known.session)
                    == (&new.id, &new.affiliate, &new.session)
        };
        match self.registrations.iter_mut().find(same) {
            Some(known) => known.at = known.at.min(new.at),
            None => self.registrations.push(new),
        }
    }

    /// The newest registration up to a moment.
    pub(super) fn newest(&self, until: Timestamp) -> Option<Timestamp> {
        self.registrations.iter().map(|registered| registered.at).filter(|at| *at <= until).max()
    }
}
