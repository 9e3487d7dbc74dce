//! Black-box tests: the real binaries, seen only from outside.
//!
//! * `support`: builds, starts, kills and asks them
//! * `rules`: the rules that always hold, each on one process and on three
//! * `restart`, `crash`: what is left after a kill
//! * `hooks`: webhooks
//! * `shipping`: redirects and registries that come and go
//! * `partition`: purchase links without what is behind them
//! * `cli`: the command line
//! * `bad_input`: whatever visitors send
//! * `real_browser`: pages of an operator's own, in Chromium
//! * `other_languages`: clients that are not ours
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests are not seen as tests"
)]

mod bad_input;
mod cli;
mod crash;
mod hooks;
mod other_languages;
mod partition;
mod real_browser;
mod restart;
mod rules;
mod shipping;
mod support;
