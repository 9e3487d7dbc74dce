//! The secret itself, in the body. It proves who sent the body, not that nobody changed it.

use serde::Deserialize;

use super::{Authentic, fitting, same};
use crate::{
    delivery::{Delivery, Payload, Refusal},
    mapping::{
        document,
        field::{Field, Scope},
    },
};

/// The scheme.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheme {
    path: Field,
}

impl Scheme {
    pub(crate) fn verify<'a>(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'a>,
    ) -> Result<Authentic<'a>, Refusal> {
        let payload = Payload::of(delivery, &[]);
        let root = &document::fold(&payload).map_err(|_| Refusal::Unsigned)?;
        let scope = Scope { payload: &payload, root, item: root };
        let given = self.path.raw(scope).ok_or(Refusal::Unsigned)?;
        let secret = fitting(secrets, |secret| same(given, secret))?;
        Ok(Authentic::whole(delivery, secret))
    }
}
