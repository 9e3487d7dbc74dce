//! Clicks on their way to the registry: whatever becomes of redirects and registries, each arrives once.
//!
//! `TAGALONG_TEST_REPLICAS` says how many redirects there are: ten in the long form.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    Browser, Composition, System, Unanswered, Visitors, browser, campaign,
    dice::{Dice, setting},
    until,
    visitors::{Answered, missing},
};

/// How many redirects there are in the short form.
const REPLICAS: u64 = 3;

async fn start() -> System {
    let system = System::start(Composition::Separate).await;
    campaign::load(&system).await;
    campaign::saved(&system, "course").await;
    system
}

/// Waits until every answered visit is in the registry; each is there once.
async fn all_arrive(system: &System, answered: &HashMap<String, Answered>) {
    until("every answered visit is in the registry", async || {
        missing(&system.clicks().await, answered).is_empty().then_some(())
    })
    .await;
}

/// How many clicks of a redirect wait to be shipped, as it says itself.
async fn backlog(admin: &str) -> u64 {
    let text = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("tagalong_clicks_backlog"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

async fn shipped_everything(admin: &str) {
    until("nothing waits to be shipped", async || (backlog(admin).await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_lose_and_double_nothing() {
    let replicas = setting("TAGALONG_TEST_REPLICAS").unwrap_or(REPLICAS);
    let mut dice = Dice::cast();
    let mut system = start().await;
    for replica in 1..replicas {
        system.replicate(&format!("redirect-{replica}")).await;
    }
    let addresses: Vec<_> =
        system.redirects().iter().map(|redirect| redirect.url("http")).collect();
    let visitors = Visitors::start(addresses, 3, Unanswered::Expected);
    for _ in 0..replicas {
        visitors.more(50).await;
        // One of them, and whoever it ships to.
        let victim = usize::try_from(dice.below(replicas)).unwrap();
        system.redirects()[victim].kill9();
        system.start_again(|system| &mut system.redirects()[victim]).await;
        visitors.more(50).await;
        system.registry().kill9();
        visitors.more(50).await;
        system.start_again(System::registry).await;
    }
    let answered = visitors.stop().await;
    all_arrive(&system, &answered).await;
    for redirect in 0..system.redirects().len() {
        shipped_everything(&system.redirects()[redirect].url("admin")).await;
    }
    assert_eq!(missing(&system.clicks().await, &answered).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_on_a_new_disk_loses_and_doubles_nothing() {
    let mut system = start().await;
    let mut answered = HashMap::new();
    for _ in 0..3 {
        let visitors = Visitors::start([system.http()], 4, Unanswered::Never);
        visitors.more(100).await;
        // Whoever replaces a redirect sends visitors elsewhere and lets it ship what it has.
        answered.extend(visitors.stop().await);
        shipped_everything(&system.admin()).await;
        assert!(system.redirect().interrupt().await, "it ends well");
        fs::remove_dir_all(system.data().join("redirect")).unwrap();
        system.start_again(System::redirect).await;
    }
    // Positions begin anew in a new log: what comes now is not taken for what came then.
    let visitors = Visitors::start([system.http()], 4, Unanswered::Never);
    visitors.more(20).await;
    answered.extend(visitors.stop().await);
    all_arrive(&system, &answered).await;
    let clicks = system.clicks().await;
    assert_eq!(clicks.len(), answered.len());
}

/// The registry's database with everything that belongs to it.
fn registry_files(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("registry.sqlite"))
        .collect();
    assert!(!files.is_empty());
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_restored_from_a_backup_gets_the_clicks_since_again() {
    let mut system = start().await;
    let (data, backup) = (system.data(), system.data().join("backup"));
    fs::create_dir(&backup).unwrap();
    let visitors = Visitors::start([system.http()], 4, Unanswered::Never);
    visitors.more(100).await;

    system.registry().kill9();
    for file in registry_files(&data) {
        fs::copy(&file, backup.join(file.file_name().unwrap())).unwrap();
    }
    system.start_again(System::registry).await;
    let before = system.clicks().await.len();
    visitors.more(100).await;
    system.shipped(before + 50).await;

    system.registry().kill9();
    for file in registry_files(&data) {
        fs::remove_file(file).unwrap();
    }
    for file in registry_files(&backup) {
        fs::copy(&file, data.join(file.file_name().unwrap())).unwrap();
    }
    system.start_again(System::registry).await;
    visitors.more(50).await;
    let answered = visitors.stop().await;
    all_arrive(&system, &answered).await;
    assert_eq!(system.clicks().await.len(), answered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_caught_up_with_while_visitors_keep_coming() {
    let mut system = start().await;
    let visitors = Visitors::start([system.http()], 4, Unanswered::Never);
    visitors.more(20).await;
    system.registry().kill9();
    visitors.more(1000).await;
    let admin = system.admin();
    let waiting = backlog(&admin).await;
    assert!(waiting >= 1000, "{waiting} clicks wait for a registry that is away");

    system.start_again(System::registry).await;
    // The backlog goes though visitors come.
    until("the redirect has caught up", async || {
        visitors.more(1).await;
        (backlog(&admin).await < waiting / 10).then_some(())
    })
    .await;
    visitors.more(50).await;
    let answered = visitors.stop().await;
    all_arrive(&system, &answered).await;
    assert_eq!(system.clicks().await.len(), answered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_ends_well_without_a_registry_and_ships_after_its_next_start() {
    let mut system = start().await;
    system.registry().kill9();
    let phone = Browser::new(system.http(), browser::PHONE);
    let mut clicks = Vec::new();
    for _ in 0..20 {
        clicks.push(phone.open("/ticket/p/max/").await.parameter("click").unwrap());
    }
    assert!(system.redirect().interrupt().await, "it ends well");
    system.start_again(System::registry).await;
    system.start_again(System::redirect).await;
    let stored: Vec<_> =
        system.shipped(clicks.len()).await.into_iter().map(|click| click.id).collect();
    assert_eq!(stored, clicks);
}
