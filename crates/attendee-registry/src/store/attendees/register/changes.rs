//! What registrations change, until it is written.

use std::collections::BTreeMap;

use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, IntoActiveModel as _};

use crate::{
    error::Result,
    store::{
        catalogue::heard_of,
        counts::Counts,
        entity::{
            affiliate, attendee, attendee_email, attendee_request, event, registration, request,
            touch,
        },
        insert::{insert, insert_new},
    },
};

/// New rows, and rows as they became.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) attendees: Vec<attendee::Model>,
    pub(super) emails: Vec<attendee_email::Model>,
    pub(super) registrations: Vec<registration::Model>,
    pub(super) touches: Vec<touch::Model>,
    pub(super) events: Vec<event::Model>,
    pub(super) requests: Vec<request::Model>,
    pub(super) attendee_requests: Vec<attendee_request::Model>,
    pub(super) changed_attendees: Vec<attendee::Model>,
    pub(super) changed_registrations: Vec<registration::Model>,
    pub(super) changed_touches: Vec<touch::Model>,
    counted: Vec<(attendee::Model, registration::Model, i64)>,
    heard_of: BTreeMap<(String, String), affiliate::Model>,
}

impl Changes {
    /// Notes an affiliate that a touch names.
    pub(super) fn hear_of(&mut self, programme: &str, affiliate: &str, now: i64) {
        let key = (programme.to_owned(), affiliate.to_owned());
        self.heard_of.entry(key).or_insert_with(|| heard_of(programme, affiliate, now));
    }

    /// Counts a registration: 1 for the one there is now, -1 for what it was before.
    pub(super) fn count(&mut self, whose: &attendee::Model, row: &registration::Model, times: i64) {
        self.counted.push((whose.clone(), row.clone(), times));
    }

    /// Writes everything, and begins anew. What is new comes before what changed, because a new row may have changed.
    pub(super) async fn write(&mut self, db: &DatabaseTransaction) -> Result<()> {
        let changes = std::mem::take(self);
        insert::<attendee::Entity>(db, &changes.attendees).await?;
        insert::<attendee_email::Entity>(db, &changes.emails).await?;
        insert::<registration::Entity>(db, &changes.registrations).await?;
        insert_new::<affiliate::Entity>(db, &changes.heard_of.into_values().collect::<Vec<_>>())
            .await?;
        insert::<touch::Entity>(db, &changes.touches).await?;
        insert::<event::Entity>(db, &changes.events).await?;
        insert::<request::Entity>(db, &changes.requests).await?;
        insert::<attendee_request::Entity>(db, &changes.attendee_requests).await?;
        let counts =
            changes.counted.iter().fold(Counts::default(), |counts, (whose, row, times)| {
                counts.registration(whose, row, *times)
            });
        counts.store(db).await?;
        for row in changes.changed_attendees {
            row.into_active_model().reset_all().update(db).await?;
        }
        for row in changes.changed_registrations {
            row.into_active_model().reset_all().update(db).await?;
        }
        for row in changes.changed_touches {
            row.into_active_model().reset_all().update(db).await?;
        }
        Ok(())
    }
}
