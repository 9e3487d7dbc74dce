//! Other people's tools, as data: what a checkout, a webinar tool or an e-mail tool is to us stands in a preset, a
//! TOML file; this crate holds the few things that no file can say.
//!
//! * [`preset`]: the presets, embedded and the operator's own
//! * [`delivery`]: a request to a hook, and what of it is kept
//! * [`signature`]: whether a delivery comes from whom it claims to come from
//! * [`reading`]: what a delivery says, in our words
//! * [`links`]: how a platform learns the affiliate
//!
//! A delivery is verified ([`preset::Preset::verify`]), kept, answered ([`preset::Preset::reply`]) and then read
//! ([`preset::Preset::read`]). There is no I/O here but reading a directory of presets, and no clock.

pub mod delivery;
pub mod email;
pub mod links;
mod mapping;
pub mod money;
pub mod preset;
pub mod reading;
pub mod signature;

pub use delivery::{Delivery, Payload, Refusal, Reply};
pub use email::Email;
pub use preset::{Preset, Presets};
pub use reading::{Reading, Unmapped};
