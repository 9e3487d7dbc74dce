//! The rules of attribution, one test each.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod deciding;
mod resolving;
mod world;
