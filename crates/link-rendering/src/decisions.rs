//! What the registry decided, kept while it stands.

use std::{convert::Infallible, sync::Arc};

use jiff::Timestamp;
use quick_cache::sync::Cache;
use tagalong_attribution::{
    decide::Stretch,
    id::{AffiliateId, ProductId, ProgrammeId},
};
use uuid::Uuid;

use crate::{
    changes::{Changes, Stamp},
    deadline::Deadline,
    error::Result,
    links::Attendee,
    registry::{Preview, Registry},
};

/// How many decisions are kept: about 40 MB of them.
const DECISIONS: usize = 100_000;

/// Of how many affiliates it is kept when they are suspended.
const AFFILIATES: usize = 10_000;

/// Answers of the registry. Those that it gave before are used again as long as its change feed is followed, they have
/// not been overtaken by it, and their own time has not passed; everything else is asked for.
pub(crate) struct Decisions {
    registry: Registry,
    changes: Changes,
    previews: Cache<(Uuid, ProductId), Kept<Preview>>,
    suspensions: Cache<(ProgrammeId, AffiliateId), Kept<[Stretch]>>,
}

/// An answer, and the counters as they stood before it was asked for.
struct Kept<T: ?Sized> {
    stamp: Stamp,
    answer: Arc<T>,
}

impl<T: ?Sized> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { stamp: self.stamp, answer: self.answer.clone() }
    }
}

impl Decisions {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            changes: Changes::default(),
            previews: Cache::new(DECISIONS),
            suspensions: Cache::new(AFFILIATES),
        }
    }

    /// Follows the registry's changes for ever.
    pub(crate) async fn follow(&self) -> Infallible {
        self.changes.follow(&self.registry).await
    }

    #[cfg(test)]
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Whose the sale would be if the attendee bought the product at a moment.
    pub(crate) async fn preview(
        &self,
        attendee: Attendee,
        product: &ProductId,
        at: Timestamp,
        deadline: Deadline,
    ) -> Result<Arc<Preview>> {
        // Whom an address or a registration names is the registry's to say.
        let Attendee::Id(id) = attendee else {
            let preview = self.registry.preview(attendee.into(), product, at, deadline).await?;
            return Ok(Arc::new(preview));
        };
        let stamp = self.changes.stamp(id);
        let key = (id, product.clone());
        if let Some(stamp) = stamp
            && let Some(kept) = self.previews.get(&key)
            && kept.stamp == stamp
            && kept.answer.stands.covers(at)
        {
            return Ok(kept.answer);
        }
        let answer = self.registry.preview(attendee.into(), product, at, deadline).await?;
        let answer = Arc::new(answer);
        if let Some(stamp) = stamp {
            self.previews.insert(key, Kept { stamp, answer: answer.clone() });
        }
        Ok(answer)
    }

    /// Whether an affiliate is suspended at a moment.
    pub(crate) async fn is_suspended(
        &self,
        programme: &ProgrammeId,
        affiliate: &AffiliateId,
        at: Timestamp,
        deadline: Deadline,
    ) -> Result<bool> {
        let covers = |suspensions: &[Stretch]| suspensions.iter().any(|one| one.covers(at));
        let stamp = self.changes.stamp_of_all();
        let key = (programme.clone(), affiliate.clone());
        if let Some(stamp) = stamp
            && let Some(kept) = self.suspensions.get(&key)
            && kept.stamp == stamp
        {
            return Ok(covers(&kept.answer));
        }
        let answer: Arc<[Stretch]> =
            self.registry.suspensions(programme, affiliate, deadline).await?.into();
        if let Some(stamp) = stamp {
            self.suspensions.insert(key, Kept { stamp, answer: answer.clone() });
        }
        Ok(covers(&answer))
    }
}
