//! What the tests need: running systems, browsers, clients, a campaign.

mod binaries;
pub(crate) mod browser;
pub(crate) mod campaign;
mod chromium;
pub(crate) mod clients;
pub(crate) mod dice;
pub(crate) mod leaks;
mod proxy;
mod service;
mod system;
pub(crate) mod visitors;

use std::time::{Duration, Instant};

pub(crate) use binaries::{binary, tagalong};
pub(crate) use browser::Browser;
pub(crate) use chromium::Chromium;
pub(crate) use clients::Clients;
pub(crate) use proxy::Network;
pub(crate) use system::{Behind, Composition, Options, System};
pub(crate) use visitors::{Unanswered, Visitors};

/// How long anything may take that is waited for. A bound for a machine under load, not an expectation.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `done` gives something; panics with `what` where it never does.
pub(crate) async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A random number, for names that nobody else uses.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap()
}
