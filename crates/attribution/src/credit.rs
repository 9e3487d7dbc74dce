//! Our decision beside the platform's.

use crate::id::AffiliateId;

/// Whom the platform says it credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformSays<'a> {
    /// It does not say; Stripe for one never does.
    NothingAboutIt,
    /// Nobody.
    Nobody,
    /// This affiliate, as the platform spells it.
    Affiliate(&'a str),
}

/// How our decision and the platform's relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// Both name the same affiliate.
    Agreed,
    /// We name an affiliate, the platform credited nobody: to be repaired.
    Owed,
    /// We name an affiliate, the platform credited somebody else.
    Mismatch,
    /// Only the platform names one.
    PlatformOnly,
    /// We name one, the platform does not say.
    Unreported,
    /// Neither names one.
    None,
}

/// Compares our decision with what the platform says.
#[must_use]
pub fn credit(ours: Option<&AffiliateId>, platform: PlatformSays<'_>) -> Credit {
    match (ours, platform) {
        (Some(ours), PlatformSays::Affiliate(theirs)) if ours.as_str() == theirs => Credit::Agreed,
        (Some(_), PlatformSays::Affiliate(_)) => Credit::Mismatch,
        (Some(_), PlatformSays::Nobody) => Credit::Owed,
        (Some(_), PlatformSays::NothingAboutIt) => Credit::Unreported,
        (None, PlatformSays::Affiliate(_)) => Credit::PlatformOnly,
        (None, PlatformSays::Nobody | PlatformSays::NothingAboutIt) => Credit::None,
    }
}
