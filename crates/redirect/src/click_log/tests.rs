use std::{collections::HashSet, fs, path::Path, sync::mpsc};

use super::*;
use crate::testing::{click, clock, now, read, soon};

fn open(path: &Path) -> ClickLog {
    ClickLog::open(path.to_owned(), clock(), Limits::default()).unwrap()
}

fn queue(log: &ClickLog, work: impl FnOnce() + Send + 'static) {
    log.enqueue(Box::new(move |_| work()));
}

/// Holds up the thread until told otherwise.
fn block(log: &ClickLog) -> mpsc::Sender<()> {
    let (begun, begins) = mpsc::channel();
    let (release, wait) = mpsc::channel();
    queue(log, move || {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    });
    begins.recv().unwrap();
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
    let id = read(&first).await.1.id;
    drop(first);

    let again = open(&path);
    let (read_back, status) = read(&again).await;
    assert_eq!(read_back, clicks);
    assert_eq!((status.id, status.oldest, status.next), (id, 1, 4));
    assert_eq!(again.backlog(), 3);
    assert_eq!(again.record(&click()).await, Recorded::Durably);
    assert_eq!(read(&again).await.1.next, 5);
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
    let recordings: Vec<_> = (0..200).map(|_| log.record(&click())).collect();
    release.send(()).unwrap();
    for recording in recordings {
        assert_eq!(recording.await, Recorded::Durably);
    }
    let (clicks, status) = read(&log).await;
    let ids: HashSet<_> = clicks.iter().map(|click| &click.id).collect();
    assert_eq!((ids.len(), status.next), (200, 201));
    let rows: (i64, i64) = log
        .with(|log| {
            let sql = "SELECT count(*), sum(clicks) FROM batch";
            log.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
        .unwrap();
    assert_eq!(rows, (1, 200));
}

#[tokio::test]
async fn a_run_begins_and_ends_within_batches() {
    let data = tempfile::tempdir().unwrap();
    let log = open(&data.path().join("clicks.sqlite"));
    let clicks: Vec<_> = (0..10).map(|_| click()).collect();
    for batch in clicks.chunks(4) {
        let release = block(&log);
        let recordings: Vec<_> = batch.iter().map(|click| log.record(click)).collect();
        release.send(()).unwrap();
        for recording in recordings {
            assert_eq!(recording.await, Recorded::Durably);
        }
    }
    for from in 1..=10 {
        for limit in 1..=10 {
            let run = log.with(move |log| log.read(from, limit, usize::MAX)).await.unwrap();
            let (from, limit) = (usize::try_from(from).unwrap(), usize::try_from(limit).unwrap());
            let expected = &clicks[from - 1..clicks.len().min(from - 1 + limit)];
            assert_eq!(run.clicks(limit, usize::MAX).unwrap(), expected, "{from} {limit}");
            assert_eq!(run.clicks(limit, 1).unwrap(), expected[..1], "at least one");
        }
    }
    let small = log.with(|log| log.read(2, 10, 1)).await.unwrap();
    assert_eq!(small.clicks(10, usize::MAX).unwrap(), clicks[1..4], "one batch at least");
}

#[tokio::test]
async fn relaxed_clicks_are_answered_at_once_and_written_soon() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { durability: ClickDurability::Relaxed, ..Limits::default() };
    let log = ClickLog::open(data.path().join("clicks.sqlite"), clock(), limits).unwrap();
    for _ in 0..3 {
        assert_eq!(log.record(&click()).await, Recorded::Soon);
    }
    soon(async {
        while log.backlog() < 3 {
            log.recorded().await;
        }
    })
    .await;
    // While the disk is busy for longer than may be at risk, visitors wait after all.
    let release = block(&log);
    assert_eq!(log.record(&click()).await, Recorded::Soon);
    std::thread::sleep(AT_RISK);
    let mut late = log.record(&click());
    assert!(futures_now(&mut late).is_none());
    release.send(()).unwrap();
    assert_eq!(late.await, Recorded::Durably);
    assert_eq!(read(&log).await.0.len(), 5);
}

/// What a future says if asked once.
fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_full_log_keeps_the_oldest_and_goes_on_when_they_are_shipped() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { size: 64 << 10, ..Limits::default() };
    let log = ClickLog::open(data.path().join("clicks.sqlite"), clock(), limits).unwrap();
    let large = || Click { sub_ids: vec!["x".repeat(1000)], ..click() };
    let mut kept = Vec::new();
    loop {
        let click = large();
        match log.record(&click).await {
            Recorded::Durably => kept.push(click),
            other => break assert_eq!(other, Recorded::Dropped),
        }
        assert!(kept.len() < 1000, "there is no limit");
    }
    assert_eq!(log.dropped(), 1);
    assert_eq!(read(&log).await.0, kept);

    // What was shipped is only kept for a restored registry.
    let half = i64::try_from(kept.len() / 2).unwrap();
    log.shipped_up_to(half);
    assert_eq!(log.record(&large()).await, Recorded::Durably);
    let oldest = log.with(|log| Ok(log.status())).await.unwrap().oldest;
    assert_eq!(oldest, half, "what was not shipped is still there");
    assert_eq!(log.dropped(), 1);
}

#[tokio::test]
async fn a_log_of_the_first_version_is_read_on() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    let clicks: Vec<_> = (0..UPGRADED).map(|_| click()).collect();
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE log (one INTEGER PRIMARY KEY, id TEXT NOT NULL, oldest INTEGER NOT NULL) STRICT;
         CREATE TABLE click (position INTEGER PRIMARY KEY, at INTEGER NOT NULL, click BLOB NOT NULL) STRICT;
         INSERT INTO log VALUES (1, '5f3a3c1e-8f1d-4c8e-9b1a-0d2f6c1e7a11', 7);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    for (position, click) in (7..).zip(&clicks) {
        old.execute("INSERT INTO click VALUES (?1, 5, ?2)", (position, click.encode_to_vec()))
            .unwrap();
    }
    drop(old);
    let log = open(&path);
    let run = log.with(|log| log.read(7, i64::MAX, usize::MAX)).await.unwrap();
    assert_eq!(run.clicks(usize::MAX, usize::MAX).unwrap(), clicks);
    let next = 7 + i64::try_from(UPGRADED).unwrap();
    assert_eq!((run.log.oldest, run.log.next), (7, next));
    assert_eq!(run.log.id.to_string(), "5f3a3c1e-8f1d-4c8e-9b1a-0d2f6c1e7a11");
    assert_eq!(log.record(&click()).await, Recorded::Durably);
}

/// More than fit into one batch.
const UPGRADED: usize = 1234;

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
    assert_eq!(read(&log).await.0.len(), 1);
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
    let (clicks, status) = read(&log).await;
    assert_eq!(clicks, [kept, after]);
    assert_eq!(status.next, 3);
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
    assert_eq!(read(&log).await.0, [first]);
    soon(async {
        // On a slow machine the next one may be late as well.
        while log.record(&click()).await != Recorded::Durably {}
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_drops_what_does_not_fit() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { queue: 2, ..Limits::default() };
    let log = ClickLog::open(data.path().join("clicks.sqlite"), clock(), limits).unwrap();
    let release = block(&log);
    let waiting = [log.record(&click()), log.record(&click())];
    assert_eq!(log.record(&click()).await, Recorded::Dropped);
    assert_eq!(log.dropped(), 1);
    release.send(()).unwrap();
    for recording in waiting {
        assert_eq!(recording.await, Recorded::Durably);
    }
}

#[tokio::test]
async fn what_is_no_database_is_moved_aside() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("clicks.sqlite");
    let broken = "certainly no database ".repeat(500);
    fs::write(&path, &broken).unwrap();

    let log = open(&path);
    assert_eq!(log.record(&click()).await, Recorded::Durably);
    assert_eq!(read(&log).await.1.next, 2);
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
