//! Taking registrations, any number at once: what they are about is read by a few queries, they are applied to it one after
//! the other, and what changed is written by a few statements. The result is as if each had been written by itself.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message as _;
use sea_orm::DatabaseTransaction;
use tagalong_attribution::decide::EmailHash;
use tagalong_proto::v1;
use uuid::Uuid;

use super::{changed, completed_touch, erased_key, message, touch_added};
use crate::{
    attendee::Registration,
    deciding,
    error::{Error, Result, What},
    field,
    keys::DataKeys,
    store::{
        clicks,
        entity::{attendee, attendee_email, attendee_request, registration, request, touch},
        evidence, feed,
    },
    time::to_proto,
};

mod changes;
mod known;
#[cfg(test)]
mod tests;

use changes::Changes;
use known::{Key, Known, Person};

/// A reported registration with what can be worked out before its turn comes.
pub(crate) struct Report {
    new: Registration,
    request_id: String,
    fingerprint: Vec<u8>,
    email_hashes: Vec<EmailHash>,
    /// The key as it is stored where the person was erased.
    erased_key: v1::RegistrationKey,
    /// Of somebody who is known already, nothing is taken.
    strangers_only: bool,
}

impl Report {
    pub(crate) fn read(message: v1::RegisterAttendeeRequest, keys: &DataKeys) -> Result<Self> {
        let fingerprint = keys.fingerprint(METHOD, &message.encode_to_vec());
        let request_id = message.request_id.clone();
        let mut new = Registration::read(message)?;
        if new.key.external_id.is_empty() {
            new.key.external_id = content_id(&new, keys);
        }
        let request_id = field::text("request_id", &request_id, field::FOREIGN_ID)?;
        Ok(Self {
            email_hashes: new.email.as_ref().map(|e| keys.email_hashes(e)).unwrap_or_default(),
            erased_key: erased_key(keys, &new.key),
            new,
            request_id,
            fingerprint,
            strangers_only: false,
        })
    }

    /// What a form anybody can post reports. Of somebody who is known already nothing is taken: a later post could claim
    /// that person, even against an earlier one that is no better proven.
    pub(crate) fn read_form(message: v1::RegisterAttendeeRequest, keys: &DataKeys) -> Result<Self> {
        Ok(Self { strangers_only: true, ..Self::read(message, keys)? })
    }
}

const METHOD: &str = "RegisterAttendee";

/// Names a registration that its tool does not name by what it says of the person. Keyed, because that holds an address.
fn content_id(new: &Registration, keys: &DataKeys) -> String {
    let content = v1::RegisterAttendeeRequest {
        webinar_id: new.webinar.to_string(),
        email: new.email.as_ref().map(|email| email.expose().to_owned()).unwrap_or_default(),
        key: Some(new.key.clone()),
        session_id: new.session.clone(),
        registered_at: new.registered_at.map(to_proto),
        ..Default::default()
    };
    let fingerprint = keys.fingerprint("registration without an ID", &content.encode_to_vec());
    format!("content-{}", URL_SAFE_NO_PAD.encode(fingerprint))
}

/// Takes registrations, no more than a statement can name, and decides again what they bear on; what became of each. An
/// error that is not one registration's says that none was taken.
pub(crate) async fn register(
    db: &DatabaseTransaction,
    keys: &DataKeys,
    reports: &[Report],
    now: i64,
) -> Result<Vec<Result<v1::RegisterAttendeeResponse>>> {
    let known = Known::read(db, reports).await?;
    let mut set = Set { db, keys, now, known, changes: Changes::default() };
    let mut answers = Vec::with_capacity(reports.len());
    for report in reports {
        answers.push(match set.known.admit(report) {
            Ok(admitted) => Ok(set.apply(report, admitted).await?),
            Err(refused) => Err(refused),
        });
    }
    set.changes.write(db).await?;
    Ok(answers)
}

/// What a report turns out to be, once nothing stands against it any more.
enum Admitted {
    /// A request that was answered before.
    Answered(v1::RegisterAttendeeResponse),
    /// A tool's retry, which does not bring back whom we forgot.
    Erased(Uuid),
    /// A registration of somebody known, or of somebody new.
    Registration { attendee: Option<Uuid>, programme: Option<String>, test: bool },
}

impl Known {
    /// Whether a report can be taken. Changes nothing.
    fn admit(&self, report: &Report) -> Result<Admitted> {
        let new = &report.new;
        if let Some(request) = self.requests.get(&report.request_id) {
            if request.fingerprint != report.fingerprint {
                return Err(Error::RequestIdReused(report.request_id.clone()));
            }
            let answer = v1::RegisterAttendeeResponse::decode(request.answer.as_slice());
            return answer.map(Admitted::Answered).map_err(Error::internal);
        }
        let webinar = self.webinars.get(new.webinar.as_str());
        let webinar =
            webinar.ok_or_else(|| Error::not_found(What::Webinar, new.webinar.as_str()))?;
        let programme = match &new.affiliate {
            Some(_) => Some(self.programme_of(new)?),
            None => None,
        };
        let known = self.keys.get(&Key::from(&new.key)).copied();
        if known.is_none()
            && let Some(erased) = self.keys.get(&Key::from(&report.erased_key))
        {
            return Ok(Admitted::Erased(*erased));
        }
        let attendee = known.or_else(|| self.owner(new.webinar.as_str(), &report.email_hashes));
        if let Some(id) = attendee
            && let webinar = &self.person(id)?.attendee.webinar
            && webinar != new.webinar.as_str()
        {
            let problem = format!("names a registration for webinar {webinar}");
            return Err(Error::invalid("key", problem));
        }
        Ok(Admitted::Registration { attendee, programme, test: webinar.test || new.test })
    }

    /// The programme that issued the affiliate of a registration.
    fn programme_of(&self, new: &Registration) -> Result<String> {
        let candidates =
            self.webinars.get(new.webinar.as_str()).map(|row| row.programmes.as_slice());
        match (&new.programme, candidates.unwrap_or_default()) {
            (Some(named), _) if self.programmes.contains(named.as_str()) => Ok(named.to_string()),
            (Some(named), _) => Err(Error::not_found(What::Programme, named.as_str())),
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(Error::invalid(
                "programme_id",
                "is required: the webinar has no products that would tell the programme",
            )),
            (None, _) => Err(Error::invalid(
                "programme_id",
                "is required: the webinar's products belong to several programmes",
            )),
        }
    }
}

/// Registrations that are being taken.
struct Set<'a> {
    db: &'a DatabaseTransaction,
    keys: &'a DataKeys,
    now: i64,
    known: Known,
    /// What is not in the database yet.
    changes: Changes,
}

impl Set<'_> {
    async fn apply(
        &mut self,
        report: &Report,
        admitted: Admitted,
    ) -> Result<v1::RegisterAttendeeResponse> {
        let (attendee, repeated) = match admitted {
            Admitted::Answered(answer) => return Ok(answer),
            Admitted::Erased(attendee) => (attendee, true),
            Admitted::Registration { attendee: Some(known), .. } if report.strangers_only => {
                (known, true)
            }
            Admitted::Registration { attendee, programme, test } => {
                let fresh = attendee.is_none();
                // Put back below. An error in between ends the whole set.
                let mut person = match attendee {
                    Some(id) => self.known.take(id)?,
                    None => self.new_person(&report.new, test),
                };
                let id = person.attendee.id;
                let (mut news, repeated) = self.complete(&mut person, fresh, report, programme)?;
                if let Some(click) = report.new.click {
                    self.changes.write(self.db).await?;
                    let verified = report.new.verified;
                    if clicks::claim(self.db, click, id, verified, self.now).await? {
                        news = true;
                        person.touches = evidence::touches_of(self.db, [id]).await?;
                    }
                    person.has_orders = true;
                }
                if news && repeated {
                    self.tell_changed(&person);
                }
                let decide = news && person.has_orders;
                self.known.people.insert(id, person);
                if decide {
                    self.changes.write(self.db).await?;
                    deciding::about_attendee(self.db, id, self.now).await?;
                }
                (id, repeated)
            }
        };
        let attendee = Some(self.known.person(attendee)?.message());
        let answer = v1::RegisterAttendeeResponse { attendee, repeated };
        self.remember(report, &answer);
        Ok(answer)
    }

    fn new_person(&self, new: &Registration, test: bool) -> Person {
        Person::from(attendee::Model {
            id: Uuid::now_v7(),
            webinar: new.webinar.to_string(),
            email_sealed: None,
            known_since: None,
            test,
            created_at: self.now,
            erased_at: None,
        })
    }

    /// Adds what a report says to what is known of a person; whether it was news, and whether the registration was known.
    fn complete(
        &mut self,
        person: &mut Person,
        fresh: bool,
        report: &Report,
        programme: Option<String>,
    ) -> Result<(bool, bool)> {
        let new = &report.new;
        let before = person.attendee.clone();
        let mut news = self.add_email(person, fresh, report)?;
        if new.verified && person.attendee.known_since.is_none() {
            person.attendee.known_since = Some(self.now);
        }
        if fresh {
            self.changes.attendees.push(person.attendee.clone());
        } else if person.attendee != before {
            self.changes.changed_attendees.push(person.attendee.clone());
        }

        let registered_at = new.registered_at.unwrap_or(self.now).min(self.now);
        let known = person.registrations.iter_mut().find(|row| is_named(row, &new.key));
        let repeated = known.is_some();
        let registration = if let Some(row) = known {
            if let Some(completed) = completed(row, new, programme.as_deref(), registered_at) {
                self.changes.count(&person.attendee, row, -1);
                self.changes.count(&person.attendee, &completed, 1);
                *row = completed;
                self.changes.changed_registrations.push(row.clone());
                news = true;
            }
            row.id
        } else {
            news = true;
            self.add_registration(person, new, programme.as_deref(), registered_at)
        };
        person.has_orders |= self.known.has_orders(report);

        if let (Some(affiliate), Some(programme)) = (&new.affiliate, programme) {
            self.changes.hear_of(&programme, affiliate.as_str(), self.now);
            let touch = touch::Model {
                id: Uuid::now_v7(),
                origin: format!(
                    "registration:{registration}:{programme}:{affiliate}:{}",
                    new.session
                ),
                attendee: Some(person.attendee.id),
                sale_order: None,
                click: None,
                kind: v1::TouchKind::Registration.into(),
                programme,
                affiliate: affiliate.to_string(),
                product: None,
                webinar: Some(person.attendee.webinar.clone()),
                session: new.session.clone(),
                occurred_at: registered_at,
                received_at: self.now,
                verified: new.verified,
            };
            news |= self.add_touch(person, touch);
        }
        Ok((news, repeated))
    }

    /// Stores an address; whether it was new.
    fn add_email(&mut self, person: &mut Person, fresh: bool, report: &Report) -> Result<bool> {
        // Anybody could give somebody else's address to an attendee of their own.
        let Some(email) = report.new.email.as_ref().filter(|_| report.new.verified || fresh) else {
            return Ok(false);
        };
        let attendee = &mut person.attendee;
        let owner = self.known.owner(&attendee.webinar, &report.email_hashes);
        // An address belongs to one attendee of a webinar. Where it is another's, this report's key still names its own
        // attendee.
        if owner.is_none_or(|owner| owner == attendee.id) {
            for hash in &report.email_hashes {
                if self.known.owner(&attendee.webinar, &[*hash]).is_none() {
                    self.known.emails.insert((attendee.webinar.clone(), *hash), attendee.id);
                    self.changes.emails.push(attendee_email::Model {
                        webinar: attendee.webinar.clone(),
                        hash: hash.to_vec(),
                        attendee: attendee.id,
                    });
                }
            }
            person.has_email = true;
            if report.new.keep_email && attendee.email_sealed.is_none() {
                attendee.email_sealed = Some(self.keys.seal(attendee.id, email)?);
            }
        }
        Ok(owner.is_none())
    }

    fn add_registration(
        &mut self,
        person: &mut Person,
        new: &Registration,
        programme: Option<&str>,
        registered_at: i64,
    ) -> Uuid {
        let attendee = &person.attendee;
        let row = registration::Model {
            id: Uuid::now_v7(),
            attendee: attendee.id,
            source: new.key.source.clone(),
            external_webinar: new.key.external_webinar_id.clone(),
            external_id: new.key.external_id.clone(),
            session: new.session.clone(),
            affiliate: new.affiliate.as_ref().map(ToString::to_string),
            programme: programme.map(ToOwned::to_owned),
            registered_at,
            received_at: self.now,
            verified: new.verified,
        };
        let created = v1::event::Kind::RegistrationCreated(v1::RegistrationCreated {
            attendee_id: attendee.id.to_string(),
            webinar_id: attendee.webinar.clone(),
            registration_id: row.id.to_string(),
            affiliate_id: row.affiliate.clone().unwrap_or_default(),
        });
        self.changes.events.push(feed::event(self.now, attendee.test, created));
        self.changes.count(attendee, &row, 1);
        self.changes.registrations.push(row.clone());
        self.known.keys.insert(Key::from(&new.key), attendee.id);
        let id = row.id;
        person.registrations.push(row);
        id
    }

    /// As [`add_touch`](super::add_touch) does it in the database.
    fn add_touch(&mut self, person: &mut Person, new: touch::Model) -> bool {
        if let Some(known) = person.touches.iter_mut().find(|row| row.origin == new.origin) {
            let Some(completed) = completed_touch(known, &new) else { return false };
            *known = completed;
            self.changes.changed_touches.push(known.clone());
            return true;
        }
        person.touches.push(new.clone());
        self.changes.touches.push(new.clone());
        if let Some(added) = touch_added(new) {
            self.changes.events.push(feed::event(self.now, person.attendee.test, added));
        }
        true
    }

    fn tell_changed(&mut self, person: &Person) {
        let changed = changed(person.attendee.id);
        self.changes.events.push(feed::event(self.now, person.attendee.test, changed));
    }

    /// Keeps the answer for whoever asks again.
    fn remember(&mut self, report: &Report, answer: &v1::RegisterAttendeeResponse) {
        let id = &report.request_id;
        if id.is_empty() {
            return;
        }
        let request = request::Model {
            id: id.clone(),
            method: METHOD.to_owned(),
            fingerprint: report.fingerprint.clone(),
            answer: answer.encode_to_vec(),
            answered_at: self.now,
        };
        self.known.requests.insert(id.clone(), request.clone());
        self.changes.requests.push(request);
        let attendee = answer.attendee.as_ref().and_then(|row| Uuid::try_parse(&row.id).ok());
        if let Some(attendee) = attendee {
            let request = attendee_request::Model { attendee, request: id.clone() };
            self.changes.attendee_requests.push(request);
        }
    }
}

fn is_named(row: &registration::Model, key: &v1::RegistrationKey) -> bool {
    (&row.source, &row.external_webinar, &row.external_id)
        == (&key.source, &key.external_webinar_id, &key.external_id)
}

/// What a registration becomes by another report of it, where that changes anything: a verified report replaces what anybody
/// could have posted, and of two times the earlier one counts, whichever came first.
fn completed(
    known: &registration::Model,
    new: &Registration,
    programme: Option<&str>,
    registered_at: i64,
) -> Option<registration::Model> {
    if known.verified == new.verified && registered_at < known.registered_at {
        return Some(registration::Model { registered_at, ..known.clone() });
    }
    (new.verified && !known.verified).then(|| registration::Model {
        verified: true,
        registered_at,
        session: new.session.clone(),
        affiliate: new.affiliate.as_ref().map(ToString::to_string),
        programme: programme.map(ToOwned::to_owned),
        ..known.clone()
    })
}
