use std::{collections::HashSet, fs, path::Path, sync::mpsc};

use super::*;
use crate::testing::{click, clock, now, soon};

fn open(path: &Path) -> ClickLog {
    ClickLog::open(path.to_owned(), clock(), Limits::default()).unwrap()
}

async fn read(log: &ClickLog) -> Run {
    log.with(|log| log.read(1, 10_000)).await.unwrap()
}

fn queue(log: &ClickLog, work: impl FnOnce() + Send + 'static) {
    log.jobs.try_send(Job::Work(Box::new(move |_| work()))).unwrap();
}

/// Holds up the thread until told otherwise.
fn block(log: &ClickLog) -> mpsc::Sender<()> {
    let (release, wait) = mpsc::channel();
    queue(log, move || wait.recv().unwrap());
    release
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    let clicks: Vec<_> = (0..3).map(|_| click()).collect();
    let first = open(&path);
    for click in &clicks {
        assert_eq!(first.record(click).await, Recorded::Durably);
    }
    let id = read(&first).await.log.id;
    drop(first);

    let again = open(&path);
    let run = read(&again).await;
    assert_eq!(run.clicks, clicks);
    assert_eq!((run.log.id, run.log.oldest, run.log.next), (id, 1, 4));
    assert_eq!(again.backlog(), 3);
    assert_eq!(again.record(&click()).await, Recorded::Durably);
    assert_eq!(read(&again).await.log.next, 5);
}

#[tokio::test]
async fn the_disk_is_told_to_be_careful() {
    let data = tempfile::tempdir().unwrap();
    let log = open(&data.path().join("clicks.sqlite"));
    let pragma = async |name: &'static str| {
        log.with(move |log| {
            log.connection()
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        })
        .await
        .unwrap()
    };
    assert_eq!(pragma("journal_mode").await, "wal".to_owned().into());
    assert_eq!(pragma("synchronous").await, 2_i64.into());
}

#[tokio::test]
async fn many_at_once_are_committed_together_and_without_gaps() {
    let data = tempfile::tempdir().unwrap();
    let log = open(&data.path().join("clicks.sqlite"));
    let release = block(&log);
    let visitors: Vec<_> = (0..200)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.record(&click()).await })
        })
        .collect();
    // On this runtime's only thread they have all queued when this one runs again.
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    for visitor in visitors {
        assert_eq!(visitor.await.unwrap(), Recorded::Durably);
    }
    let run = read(&log).await;
    let ids: HashSet<_> = run.clicks.iter().map(|click| &click.id).collect();
    assert_eq!((ids.len(), run.log.next), (200, 201));
    let positions: (i64, i64) = log
        .with(|log| {
            let sql = "SELECT min(position), count(*) FROM click";
            log.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
        .unwrap();
    assert_eq!(positions, (1, 200));
}

#[tokio::test]
async fn one_that_cannot_be_opened_counts_what_it_drops_and_gets_well() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    fs::create_dir(&path).unwrap();
    let log = open(&path);
    for dropped in 1..=5 {
        assert_eq!(log.record(&click()).await, Recorded::Dropped);
        assert_eq!(log.dropped(), dropped);
    }
    assert_eq!(log.with(|log| Ok(log.status())).await, Err(Sick));

    fs::remove_dir(&path).unwrap();
    soon(async {
        while log.record(&click()).await != Recorded::Durably {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(read(&log).await.clicks.len(), 1);
}

#[tokio::test]
async fn a_full_disk_drops_whole_batches_and_what_was_there_stays() {
    let data = tempfile::tempdir().unwrap();
    let log = open(&data.path().join("clicks.sqlite"));
    let kept = click();
    assert_eq!(log.record(&kept).await, Recorded::Durably);
    log.with(|log| log.connection().pragma_update(None, "max_page_count", 1)).await.unwrap();
    let large = Click { sub_ids: vec!["x".repeat(100_000)], ..click() };
    assert_eq!(log.record(&large).await, Recorded::Dropped);
    assert_eq!(log.dropped(), 1);

    let after = click();
    soon(async {
        while log.record(&after).await != Recorded::Durably {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let run = read(&log).await;
    assert_eq!(run.clicks, [kept, after]);
    assert_eq!(run.log.next, 3);
}

#[tokio::test]
async fn a_slow_disk_makes_nobody_wait_for_long() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { patience: Duration::from_millis(10), ..Limits::default() };
    let log = ClickLog::open(data.path().join("clicks.sqlite"), clock(), limits).unwrap();
    let release = block(&log);
    let first = click();
    assert_eq!(log.record(&first).await, Recorded::NotYet);
    assert_eq!(log.dropped(), 0);
    // The others do not even try.
    assert_eq!(log.record(&click()).await, Recorded::Dropped);
    assert_eq!(log.dropped(), 1);

    release.send(()).unwrap();
    assert_eq!(read(&log).await.clicks, [first]);
    let patient = ClickLog { patience: Duration::from_secs(30), ..log };
    assert_eq!(patient.record(&click()).await, Recorded::Durably);
    assert_eq!(patient.dropped(), 1);
}

#[tokio::test]
async fn a_full_queue_drops_what_does_not_fit() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { queue: 2, ..Limits::default() };
    let log = ClickLog::open(data.path().join("clicks.sqlite"), clock(), limits).unwrap();
    let (begun, begins) = mpsc::channel();
    let (release, wait) = mpsc::channel();
    queue(&log, move || {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    });
    begins.recv().unwrap();
    queue(&log, || {});
    queue(&log, || {});
    assert_eq!(log.record(&click()).await, Recorded::Dropped);
    assert_eq!(log.dropped(), 1);
    release.send(()).unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_moved_aside() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    let broken = "certainly no database ".repeat(500);
    fs::write(&path, &broken).unwrap();

    let log = open(&path);
    assert_eq!(log.record(&click()).await, Recorded::Durably);
    let run = read(&log).await;
    assert_eq!(run.log.next, 2);
    let aside = data.path().join(format!("clicks.sqlite.corrupt-{}", now().as_second()));
    assert_eq!(fs::read_to_string(aside).unwrap(), broken);
}

#[tokio::test]
async fn only_what_is_old_and_shipped_is_deleted() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    let log = open(&path);
    for age in [50, 40, 30, 45, 10] {
        let occurred_at = prost_types::Timestamp { seconds: 1000 - age, nanos: 0 };
        log.record(&Click { occurred_at: Some(occurred_at), ..click() }).await;
    }
    let prune = async |shipped, before| {
        let more = log.with(move |log| log.prune(shipped, before)).await.unwrap();
        assert!(!more);
        let status = log.with(|log| Ok(log.status())).await.unwrap();
        (status.oldest, status.next)
    };
    assert_eq!(prune(1, 2000).await, (1, 6));
    assert_eq!(prune(3, 2000).await, (3, 6));
    // The fourth is old enough, but not the third before it: no gaps.
    assert_eq!(prune(6, 965).await, (3, 6));
    assert_eq!(prune(6, 2000).await, (6, 6));
    drop(log);
    let log = open(&path);
    assert_eq!(log.record(&click()).await, Recorded::Durably);
    let status = log.with(|log| Ok(log.status())).await.unwrap();
    assert_eq!((status.oldest, status.next), (6, 7), "positions are never used again");
}
