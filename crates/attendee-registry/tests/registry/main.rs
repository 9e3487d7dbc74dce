//! The registry through its gRPC services, on a real database: a `SQLite` file, or, where the environment variable
//! `TAGALONG_TEST_POSTGRES` holds a server's URL, a fresh database there.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod attendees;
mod bad_input;
mod catalogue;
mod clicks;
mod concurrency;
mod counts;
mod database;
mod feed;
mod forms;
mod hooks;
mod inheritance;
mod messages;
mod order_independence;
mod previews;
mod removal;
mod sales;
mod settling;
mod sources;
mod world;
