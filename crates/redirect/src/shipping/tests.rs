use std::{fs, path::Path};

use super::*;
use crate::{
    click_log::{Limits, Recorded},
    testing::{Fault, Ingest, click, clock, soon},
};

const WEEK: Duration = Duration::from_hours(7 * 24);

fn open(data: &Path) -> ClickLog {
    ClickLog::open(data.join("clicks.sqlite"), clock(), Limits::default()).unwrap()
}

async fn record(log: &ClickLog, clicks: usize) {
    for _ in 0..clicks {
        log.record(&click()).await;
    }
}

/// Ships while something else happens.
async fn shipping<T>(log: &ClickLog, ingest: &Ingest, meanwhile: impl Future<Output = T>) -> T {
    let clock = clock();
    tokio::select! {
        () = ship(log, ingest.transport(), &clock, WEEK) => unreachable!(),
        done = meanwhile => done,
    }
}

#[tokio::test]
async fn each_click_arrives_once_whatever_fails() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let ingest = Ingest::default();
    ingest.change(|stored| {
        use Fault::{After, Before};
        stored.faults = [Before, Before, After, Before, After].into();
    });
    record(&log, 3).await;
    shipping(&log, &ingest, async {
        ingest.until(|stored| stored.clicks.len() == 3 && stored.faults.is_empty()).await;
        // It waits for clicks now, and new ones wake it.
        record(&log, 2).await;
        let stored = ingest.until(|stored| stored.clicks.len() == 5).await;
        assert!(stored.clicks.values().all(|times| *times == 1), "{stored:?}");
    })
    .await;
}

#[tokio::test]
async fn many_go_in_runs_in_their_order() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let visitors = (0..4100).map(|_| {
        let log = log.clone();
        tokio::spawn(async move { log.record(&click()).await })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        visitor.await.unwrap();
    }
    assert_eq!(log.backlog(), 4100);
    let ingest = Ingest::default();
    shipping(&log, &ingest, async {
        let stored = ingest.until(|stored| stored.clicks.len() == 4100).await;
        assert_eq!(stored.runs, [(1, 4000), (4001, 100)]);
        soon(async {
            while log.backlog() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_registry_from_a_backup_gets_again_what_it_lost() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    record(&log, 6).await;
    let ingest = Ingest::default();
    shipping(&log, &ingest, ingest.until(|stored| stored.clicks.len() == 6)).await;
    ingest.change(|stored| {
        stored.next.values_mut().for_each(|next| *next = 3);
        while stored.clicks.len() > 2 {
            stored.clicks.pop_last();
        }
    });
    shipping(&log, &ingest, ingest.until(|stored| stored.clicks.len() == 6)).await;
    assert_eq!(ingest.change(|stored| stored.runs.last().copied()), Some((3, 4)));
}

#[tokio::test]
async fn what_the_log_no_longer_holds_does_not_stop_the_rest() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    record(&log, 6).await;
    log.with(|log| log.prune(5, i64::MAX)).await.unwrap();
    let ingest = Ingest::default();
    shipping(&log, &ingest, async {
        ingest.until(|stored| stored.clicks.len() == 2).await;
        record(&log, 1).await;
        let stored = ingest.until(|stored| stored.clicks.len() == 3).await;
        assert_eq!(stored.runs, [(5, 2), (7, 1)]);
    })
    .await;
}

#[tokio::test]
async fn an_older_copy_of_the_log_becomes_another_log() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    record(&log, 2).await;
    let ingest = Ingest::default();
    let id = log.with(|log| Ok(log.status())).await.unwrap().id;
    // The registry had more of it than is left.
    ingest.change(|stored| stored.next.insert(id.to_string(), 9));
    shipping(&log, &ingest, async {
        ingest.until(|stored| stored.clicks.len() == 2).await;
        record(&log, 1).await;
        let stored = ingest.until(|stored| stored.clicks.len() == 3).await;
        let renewed = log.with(|log| Ok(log.status())).await.unwrap().id;
        assert_ne!(renewed, id);
        assert_eq!(stored.next[&renewed.to_string()], 4);
        assert_eq!(stored.next[&id.to_string()], 9);
    })
    .await;
    drop(log);
    let again = open(data.path()).with(|log| Ok(log.status())).await.unwrap().id;
    assert_ne!(again, id, "the new name is on disk");
}

#[tokio::test]
async fn a_log_that_replaced_a_broken_one_is_shipped_from_its_start() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let ingest = Ingest::default();
    record(&log, 4).await;
    shipping(&log, &ingest, async {
        ingest.until(|stored| stored.clicks.len() == 4).await;
        // It breaks while it is in use.
        let unreadable = "UPDATE log SET id = 'x'";
        log.with(|log| log.connection().execute(unreadable, [])).await.unwrap();
        let full = log.with(|log| log.connection().execute("no SQL", [])).await;
        assert!(full.is_err());
        soon(async {
            while log.record(&click()).await != Recorded::Durably {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let stored = ingest.until(|stored| stored.clicks.len() == 5).await;
        assert_eq!(stored.next.len(), 2);
        assert_eq!(stored.runs.last(), Some(&(1, 1)));
    })
    .await;
    let aside = fs::read_dir(data.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().contains(".corrupt-")
    });
    assert!(aside.count() >= 1);
}

#[tokio::test]
async fn a_registry_that_makes_no_progress_is_not_hammered() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    record(&log, 1).await;
    let ingest = Ingest::default();
    let clock = clock();
    let mut shipping = Shipping {
        log: &log,
        registry: ClickServiceClient::new(ingest.transport()),
        clock: &clock,
        retention: WEEK,
        failures: 0,
        pruned_at: None,
    };
    let status = log.with(|log| Ok(log.status())).await.unwrap();
    let stuck = shipping.send(1, status, Vec::new()).await.unwrap_err();
    assert!(matches!(stuck, Error::NoProgress { from: 1, wanted: 1 }));
}
