//! The paths of our own links.

use uuid::Uuid;

use crate::id::{AffiliateId, ProductId};

/// `/{product}/p/{affiliate}/`: leads to the sales page.
#[must_use]
pub fn affiliate_path(product: &ProductId, affiliate: &AffiliateId) -> String {
    format!("/{product}/p/{affiliate}/")
}

/// `/{product}/p/{affiliate}/buy/{token}`: leads to the checkout. Without an affiliate `/{product}/buy/{token}`; without
/// a token either of them ends at `buy`.
#[must_use]
pub fn purchase_path(
    product: &ProductId,
    affiliate: Option<&AffiliateId>,
    token: Option<&str>,
) -> String {
    let mut path = match affiliate {
        Some(affiliate) => format!("/{product}/p/{affiliate}/buy"),
        None => format!("/{product}/buy"),
    };
    if let Some(token) = token {
        path.push('/');
        path.push_str(token);
    }
    path
}

/// Reads a click's ID, as a checkout or a form hands it back.
#[must_use]
pub fn read_click_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.trim()).ok().filter(|id| id.get_version_num() == 7)
}
