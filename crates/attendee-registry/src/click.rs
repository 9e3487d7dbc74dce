//! Runs of clicks, as redirects ship them.

use tagalong_attribution::{
    id::{AffiliateId, ProductId},
    link::read_click_id,
};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    field,
    store::entity::click,
    time,
};

const MAX_CLICKS: usize = 5000;
const MAX_SUB_IDS: usize = 5;

/// A run of one redirect's log.
pub(crate) struct Run {
    pub(crate) log: Uuid,
    pub(crate) first_position: i64,
    pub(crate) oldest_position: i64,
    /// Without programme and time of receipt, which the store adds.
    pub(crate) clicks: Vec<click::Model>,
}

impl Run {
    pub(crate) fn read(message: &v1::RecordClicksRequest) -> Result<Self> {
        let position = |field: &str, position: i64| {
            let valid = (1..=i64::MAX / 2).contains(&position);
            if valid { Ok(position) } else { Err(Error::invalid(field, "must be at least 1")) }
        };
        if message.clicks.len() > MAX_CLICKS {
            return Err(Error::invalid("clicks", format!("must be at most {MAX_CLICKS}")));
        }
        let first_position = position("first_position", message.first_position)?;
        let oldest_position = position("oldest_position", message.oldest_position)?;
        if oldest_position > first_position {
            return Err(Error::invalid("oldest_position", "is after first_position"));
        }
        Ok(Self {
            log: field::uuid("log_id", &message.log_id)?,
            first_position,
            oldest_position,
            clicks: message
                .clicks
                .iter()
                .enumerate()
                .map(|(n, click)| {
                    read(click).map_err(|error| error.within(&format!("clicks[{n}]")))
                })
                .collect::<Result<_>>()?,
        })
    }
}

fn read(message: &v1::Click) -> Result<click::Model> {
    let click_id = |field: &str, text: &str| {
        read_click_id(text).ok_or_else(|| Error::invalid(field, "must be a UUIDv7"))
    };
    let id = click_id("id", &message.id)?;
    let occurred_at = time::read("occurred_at", message.occurred_at.as_ref())?;
    if message.sub_ids.len() > MAX_SUB_IDS {
        return Err(Error::invalid("sub_ids", format!("must be at most {MAX_SUB_IDS}")));
    }
    for (k, sub_id) in message.sub_ids.iter().enumerate() {
        field::text(&format!("sub_ids[{k}]"), sub_id, field::FOREIGN_ID)?;
    }
    Ok(click::Model {
        id,
        product: field::id::<ProductId>("product_id", &message.product_id)?.into(),
        programme: None,
        affiliate: field::optional_id::<AffiliateId>("affiliate_id", &message.affiliate_id)?
            .map(Into::into),
        no_affiliate: field::enumeration::<v1::NoAffiliate>("no_affiliate", message.no_affiliate)?
            .into(),
        occurred_at: field::required("occurred_at", occurred_at)?,
        received_at: 0,
        class: field::enumeration::<v1::ClickClass>("class", message.class)?.into(),
        link: field::enumeration::<v1::LinkKind>("link", message.link)?.into(),
        sub_ids: message.sub_ids.join("\n"),
        attendee: optional(&message.attendee_id, |text| field::uuid("attendee_id", text))?,
        cookie_click: optional(&message.cookie_click_id, |text| click_id("cookie_click_id", text))?,
        test: message.test,
    })
}

fn optional(text: &str, read: impl Fn(&str) -> Result<Uuid>) -> Result<Option<Uuid>> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}
