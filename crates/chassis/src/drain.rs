//! How a process stops, and how it says that it can work.
//!
//! Stopping has two steps. *Announced*: health and readiness say no, so that nobody sends new
//! work, while listeners still answer whoever has not heard. *Started*: listeners close, requests
//! in flight finish. Long streams must end by themselves once it has started.
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The wish to stop, shared by everything in a process. Cheap to clone; never taken back.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    announced: CancellationToken,
    started: CancellationToken,
}

impl Drain {
    /// Says that the process will stop: readiness turns off, listeners stay open.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Whether [`Drain::announce`] or [`Drain::start`] was called.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Waits until [`Drain::announce`] or [`Drain::start`] was called.
    pub async fn announced(&self) {
        self.announced.cancelled().await;
    }

    /// Stops: listeners close, background work ends. Announces as well.
    pub fn start(&self) {
        self.announced.cancel();
        self.started.cancel();
    }

    /// Runs what the process must not live on without, and [starts](Self::start) when it ends.
    pub async fn start_after<T>(&self, part: impl Future<Output = T>) -> T {
        let ended = part.await;
        self.start();
        ended
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.is_cancelled()
    }

    /// Waits until [`Drain::start`] was called. Cancel safe.
    pub async fn started(&self) {
        self.started.cancelled().await;
    }
}

/// What a process waits for before it takes work: named gates, all of which must be open.
/// Shared by the admin listener and gRPC health. Cheap to clone; without gates it is ready.
#[derive(Clone, Debug)]
pub struct Ready(watch::Sender<Vec<(&'static str, bool)>>);

impl Default for Ready {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Ready {
    /// Adds a closed gate. Add all gates before serving, or readiness flickers.
    #[must_use = "a gate that nobody opens keeps the process unready for ever"]
    pub fn gate(&self, name: &'static str) -> Gate {
        let mut index = 0;
        self.0.send_modify(|gates| {
            index = gates.len();
            gates.push((name, false));
        });
        Gate { ready: self.clone(), index }
    }

    /// The names of the gates that are closed, in the order they were added.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.borrow().iter().filter(|(_, open)| !open).map(|(name, _)| *name).collect()
    }

    /// Waits until every gate is open.
    pub async fn opened(&self) {
        let mut gates = self.0.subscribe();
        // Cannot fail: `self` holds the sender.
        let _ = gates.wait_for(|gates| gates.iter().all(|(_, open)| *open)).await;
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Vec<(&'static str, bool)>> {
        self.0.subscribe()
    }
}

/// One thing a process cannot work without. Dropping it leaves it as it is.
#[derive(Clone, Debug)]
pub struct Gate {
    ready: Ready,
    index: usize,
}

impl Gate {
    /// Says that this thing works.
    pub fn open(&self) {
        self.turn(true);
    }

    /// Says that this thing does not work.
    pub fn close(&self) {
        self.turn(false);
    }

    fn turn(&self, open: bool) {
        self.ready.0.send_if_modified(|gates| match gates.get_mut(self.index) {
            Some((_, now)) if *now != open => {
                *now = open;
                true
            }
            _ => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starting_announces_but_not_the_other_way_round() {
        let drain = Drain::default();
        drain.announce();
        drain.announced().await;
        assert!(!drain.is_started());

        let drain = Drain::default();
        drain.clone().start();
        drain.started().await;
        assert!(drain.is_announced());
    }

    #[tokio::test]
    async fn ready_names_what_is_missing() {
        let ready = Ready::default();
        assert!(ready.missing().is_empty());
        let (catalogue, click_log) = (ready.gate("catalogue"), ready.gate("click_log"));
        assert_eq!(ready.missing(), ["catalogue", "click_log"]);
        catalogue.open();
        assert_eq!(ready.missing(), ["click_log"]);
        click_log.open();
        ready.opened().await;
        catalogue.close();
        assert_eq!(ready.missing(), ["catalogue"]);
    }
}
