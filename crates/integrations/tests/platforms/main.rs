//! The presets that come with Tagalong, and what platforms may do to them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod reading;
mod sample;
mod samples;
mod signatures;
