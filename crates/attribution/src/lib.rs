//! The rules of attribution, as pure code: no clock, no I/O, no randomness.
//!
//! * [`id`]: what an ID may look like, and what a link's affiliate segment means
//! * [`template`]: where links lead, and how values enter a URL
//! * [`link`]: the paths of our own links
//! * [`token`]: the attendee token in purchase links
//! * [`resolve`]: who the buyer is
//! * [`decide`]: who gets the credit, and why nobody else does
//! * [`credit`]: our decision beside the platform's
//! * [`reason`]: the same in a sentence

pub mod credit;
pub mod decide;
pub mod id;
pub mod link;
pub mod reason;
pub mod resolve;
pub mod template;
pub mod token;
