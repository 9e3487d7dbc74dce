//! A message for one attendee.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Format, Message, Placeholder};
use crate::{
    deadline::Deadline,
    error::{Error, Result},
    links::{Attendee, Links},
    registry::is_unknown_product,
};

/// Fills a message. The registry is asked once for each product it names, or for the attendee where it names none.
pub(crate) async fn render(
    links: &Links,
    attendee: Attendee,
    body: &str,
    format: Format,
    at: Timestamp,
    deadline: Deadline,
) -> Result<String> {
    let message = Message::read(body, format)?;
    let mut rendered = BTreeMap::new();
    for product in message.products() {
        let link = links.link(attendee.clone(), product, at, None, deadline).await;
        let link = link.map_err(|error| {
            if is_unknown_product(&error) {
                Error::invalid("body", format!("names the product {product}, which does not exist"))
            } else {
                error
            }
        })?;
        rendered.insert(product, link);
    }
    let token = match rendered.values().next() {
        Some(link) => link.token.clone(),
        None => links.tokens.sign(links.registry.attendee(attendee.into(), deadline).await?),
    };
    message.fill(|placeholder| match placeholder {
        Placeholder::Token => Ok(&token),
        Placeholder::PurchaseLink(product) => Ok(&rendered[product].url),
        Placeholder::Affiliate(product) => match &rendered[product].affiliate {
            Some(affiliate) => Ok(affiliate.as_str()),
            None => Err(Error::NobodyCredited(product.clone())),
        },
    })
}
