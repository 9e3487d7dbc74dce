//! Keeps the catalogue fresh: follows the registry's stream, and saves what it brings, so that a restart needs nobody.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tagalong_chassis::{drain::Gate, transport::Transport};
use tagalong_proto::v1::{WatchCatalogueRequest, catalogue_service_client::CatalogueServiceClient};
use tokio::sync::Notify;
use tonic::Status;

use crate::{backoff, catalogue::Catalogue};

/// Changes come in bursts; the disk gets their sum.
const SETTLE: Duration = Duration::from_millis(500);
/// A step of the stream may be a whole catalogue.
const MAX_STEP: usize = 64 << 20;

/// The catalogue that visitors see; none before the first one is known. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    shown: Arc<ArcSwapOption<Catalogue>>,
    changed: Arc<Notify>,
    path: Arc<Path>,
    gate: Gate,
}

impl Live {
    /// Begins with what was saved.
    pub(crate) fn open(path: PathBuf, gate: Gate) -> Self {
        let saved = Catalogue::load(&path);
        if let Some(saved) = &saved {
            tracing::info!(revision = saved.revision, "starting with the saved catalogue");
            gate.open();
        }
        Self {
            shown: Arc::new(ArcSwapOption::from_pointee(saved)),
            changed: Arc::default(),
            path: path.into(),
            gate,
        }
    }

    pub(crate) fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.shown.load_full()
    }

    fn show(&self, catalogue: Arc<Catalogue>) {
        self.shown.store(Some(catalogue));
        self.changed.notify_one();
    }

    /// Follows the registry for ever.
    pub(crate) async fn follow(&self, registry: Transport) {
        let mut failures = 0;
        loop {
            let ended = self.stream(&registry, &mut failures).await;
            failures += 1;
            let delay = backoff::delay(failures);
            match ended {
                Ok(()) => tracing::debug!(?delay, "the catalogue's stream ended"),
                Err(status) if failures == 1 => {
                    tracing::warn!(code = ?status.code(), error = status.message(), "lost the catalogue's stream");
                }
                Err(status) => tracing::debug!(code = ?status.code(), failures, "no catalogue yet"),
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn stream(&self, registry: &Transport, failures: &mut u32) -> Result<(), Status> {
        let mut client =
            CatalogueServiceClient::new(registry.clone()).max_decoding_message_size(MAX_STEP);
        let before = self.shown.load_full().unwrap_or_default();
        let request = WatchCatalogueRequest { after_revision: before.revision };
        let mut steps = client.watch_catalogue(request).await?.into_inner();
        let mut shown = before;
        let mut next = Catalogue::clone(&shown);
        while let Some(step) = steps.message().await? {
            if *failures > 0 {
                tracing::info!("following the catalogue again");
                *failures = 0;
            }
            let more = step.more;
            next.apply(step, &shown);
            if !more {
                shown = Arc::new(next.clone());
                self.show(shown.clone());
            }
        }
        Ok(())
    }

    /// Saves every change, for ever. Ready is who would find a catalogue after a kill as well, or cannot save one.
    pub(crate) async fn save(&self) {
        let mut saved = self.catalogue().is_some();
        loop {
            self.changed.notified().await;
            if saved {
                tokio::time::sleep(SETTLE).await;
            }
            self.save_now().await;
            self.gate.open();
            saved = true;
        }
    }

    /// Saves what is shown.
    pub(crate) async fn save_now(&self) {
        let Some(catalogue) = self.catalogue() else { return };
        let path = self.path.clone();
        let saved = tokio::task::spawn_blocking(move || catalogue.save(&path)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(path = %self.path.display(), %error, "cannot save the catalogue");
        }
    }
}

#[cfg(test)]
mod tests {
    use tagalong_attribution::id::ProductId;
    use tagalong_chassis::drain::Ready;
    use tagalong_proto::v1::{CatalogueRemoval, WatchCatalogueResponse, catalogue_change::Change};

    use super::*;
    use crate::{
        catalogue::tests::{product, step},
        testing::{down, soon, watched},
    };

    const GOOD: &str = "https://c.test/?aff={affiliate}";

    fn add(id: &str, revision: i64) -> WatchCatalogueResponse {
        step(vec![Change::Product(product(id, GOOD))], revision)
    }

    fn shows(live: &Live, id: &str) -> bool {
        let id: ProductId = id.parse().unwrap();
        live.catalogue().is_some_and(|catalogue| catalogue.product(&id).is_some())
    }

    async fn until(holds: impl Fn() -> bool) {
        soon(async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn follows_resumes_resets_and_remembers() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("catalogue.bin");
        let ready = Ready::default();
        let live = Live::open(path.clone(), ready.gate("catalogue"));
        let (registry, mut calls) = watched();
        let play = async {
            // Half a catalogue is not shown, and is asked for again.
            let (after, steps) = soon(calls.recv()).await.unwrap();
            assert_eq!(after, 0);
            let half = WatchCatalogueResponse { more: true, ..add("a", 1) };
            steps.send(Ok(half)).await.unwrap();
            steps.send(Err(Status::unavailable("on purpose"))).await.unwrap();

            let (after, steps) = soon(calls.recv()).await.unwrap();
            assert_eq!(after, 0);
            assert!(live.catalogue().is_none());
            assert_eq!(ready.missing(), ["catalogue"]);
            steps.send(Ok(WatchCatalogueResponse { more: true, ..add("a", 1) })).await.unwrap();
            steps.send(Ok(add("b", 2))).await.unwrap();
            soon(ready.opened()).await;
            assert!(shows(&live, "a") && shows(&live, "b"));
            drop(steps);

            // It goes on where it was.
            let (after, steps) = soon(calls.recv()).await.unwrap();
            assert_eq!(after, 2);
            let removal = CatalogueRemoval { product_id: "a".into(), ..Default::default() };
            steps.send(Ok(step(vec![Change::Removed(removal)], 3))).await.unwrap();
            until(|| !shows(&live, "a")).await;
            assert!(shows(&live, "b"));

            // The registry was restored: while the new catalogue comes in, the old one is shown.
            let reset = WatchCatalogueResponse { reset: true, more: true, ..add("c", 1) };
            steps.send(Ok(reset)).await.unwrap();
            steps.send(Ok(add("d", 2))).await.unwrap();
            until(|| shows(&live, "d")).await;
            assert!(shows(&live, "c") && !shows(&live, "b"));
            // An earlier one had this revision too.
            let d: ProductId = "d".parse().unwrap();
            let saved = || Catalogue::load(&path).is_some_and(|saved| saved.product(&d).is_some());
            until(saved).await;
        };
        tokio::select! {
            () = live.follow(registry) => unreachable!(),
            () = live.save() => unreachable!(),
            () = play => {}
        }

        let ready = Ready::default();
        let live = Live::open(path, ready.gate("catalogue"));
        assert!(ready.missing().is_empty());
        assert!(shows(&live, "c") && shows(&live, "d"));
        let outage = tokio::time::timeout(Duration::from_millis(1), live.follow(down())).await;
        assert!(outage.is_err());
        assert!(shows(&live, "d"));
    }
}
