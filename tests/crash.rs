//! kill -9 at random moments under load: nothing that was acknowledged is lost, nothing counts twice.
//!
//! `TAGALONG_TEST_SEED` plays the same moments again, `TAGALONG_TEST_KILLS` says how many there are: 100 in the long form.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tagalong_proto::v1;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::Code;

use crate::support::{
    Browser, Clients, Composition, Options, PATIENCE, System, Unanswered, Visitors, campaign,
    clients::all,
    dice::{Dice, setting},
    until,
    visitors::{Answered, missing},
};

/// What somebody was told is done.
enum Done {
    /// A visit with this number was answered with this click.
    Click { visit: String, click: String },
    /// A registration was acknowledged.
    Attendee { registration: String, attendee: String },
    /// An order was acknowledged.
    Sale { order: String, item: String },
}

/// What somebody does, over and over.
enum Work {
    Visit(Browser),
    Register(Clients),
    Sell(Clients),
}

impl Work {
    /// Does it once. A visit may have no answer; the others are insisted on.
    async fn once(&self, id: &str) -> Option<Done> {
        match self {
            Self::Visit(browser) => {
                let link = format!("/ticket/p/max/?sub1={id}");
                let answer = browser.try_open(reqwest::Method::GET, &link, &[]).await.ok()?;
                assert_eq!(answer.status, 302, "{answer:?}");
                let click = answer.parameter("click").unwrap();
                Some(Done::Click { visit: id.to_owned(), click })
            }
            Self::Register(clients) => {
                let request = v1::RegisterAttendeeRequest {
                    request_id: id.to_owned(),
                    ..campaign::registration(id, "max")
                };
                let ask = || {
                    let (mut client, request) = (clients.attendees.clone(), request.clone());
                    async move { client.register_attendee(request).await }
                };
                let attendee = insist(id, ask).await.attendee.unwrap().id;
                Some(Done::Attendee { registration: id.to_owned(), attendee })
            }
            Self::Sell(clients) => {
                let request = v1::ReportOrderRequest {
                    request_id: id.to_owned(),
                    ..campaign::order(id, campaign::email(&format!("{id}@buyers.example")))
                };
                let ask = || {
                    let (mut client, request) = (clients.sales.clone(), request.clone());
                    async move { client.report_order(request).await }
                };
                let item = insist(id, ask).await.sales.remove(0).item.unwrap().id;
                Some(Done::Sale { order: id.to_owned(), item })
            }
        }
    }

    /// Does one after the other until told to stop; what was begun is finished first.
    async fn run(
        self,
        name: String,
        stop: Arc<AtomicBool>,
        progress: watch::Sender<u64>,
    ) -> Vec<Done> {
        let mut done = Vec::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let begin = Instant::now();
            if let Some(one) = self.once(&format!("{name}-{n}")).await {
                done.push(one);
                progress.send_modify(|done| *done += 1);
            }
            // The load shall not take the machine from those who have to bear it.
            sleep(begin.elapsed().clamp(Duration::from_millis(2), Duration::from_millis(20))).await;
        }
        done
    }
}

/// Asks again, the same, until there is an answer.
async fn insist<T, F>(what: &str, ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => assert!(
                matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
                    && begin.elapsed() < PATIENCE,
                "{what}: {status:?}"
            ),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn kill_under_load(composition: Composition, kills: u64) {
    let (kills, mut dice) = (setting("TAGALONG_TEST_KILLS").unwrap_or(kills), Dice::cast());
    let mut system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    campaign::saved(&system, "course").await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut people = JoinSet::new();
    // Of each kind: visits need the redirect, registrations and sales the registry.
    let progress = [(); 3].map(|()| watch::Sender::new(0));
    for n in 0..5 {
        let (work, kind) = match n {
            0 => (Work::Register(clients.clone()), 1),
            1 => (Work::Sell(clients.clone()), 2),
            _ => (Work::Visit(system.phone()), 0),
        };
        people.spawn(work.run(format!("person-{n}"), stop.clone(), progress[kind].clone()));
    }

    // Each as often as the other, in random order.
    let mut left = [kills.div_ceil(2), kills / 2];
    while left != [0, 0] {
        let victim = usize::from(dice.below(left[0] + left[1]) >= left[0]);
        left[victim] -= 1;
        let which = [System::redirect, System::registry][victim];
        // Everybody got something done since the last start, so that there is something to lose.
        for kind in &progress {
            let mut done = kind.subscribe();
            done.mark_unchanged();
            tokio::time::timeout(PATIENCE, done.changed()).await.unwrap().unwrap();
        }
        sleep(Duration::from_micros(dice.below(250_000))).await;
        which(&mut system).kill9();
        system.start_again(which).await;
    }
    stop.store(true, Ordering::Relaxed);
    let done: Vec<Done> = people.join_all().await.into_iter().flatten().collect();
    check(&system, &done).await;

    for service in system.services() {
        service.kill9();
    }
    intact(&system.data().join("registry.sqlite"));
    intact(&system.data().join("redirect/clicks.sqlite"));
}

async fn check(system: &System, done: &[Done]) {
    let clients = system.clients();
    let mut answered = HashMap::new();
    let mut registered = HashMap::new();
    let mut sold = HashMap::new();
    for done in done {
        let known = match done {
            Done::Click { visit, click } => answered.insert(visit.clone(), click.clone()),
            Done::Attendee { registration, attendee } => {
                registered.insert(registration.clone(), attendee.clone())
            }
            Done::Sale { order, item } => sold.insert(order.clone(), item.clone()),
        };
        assert_eq!(known, None);
    }
    println!("{} clicks, {} registrations, {} sales", answered.len(), registered.len(), sold.len());

    let clicks = until("every answered click is in the registry", async || {
        let clicks = system.clicks().await;
        let stored: HashSet<&String> = clicks.iter().map(|click| &click.id).collect();
        answered.values().all(|click| stored.contains(click)).then_some(clicks)
    })
    .await;
    let mut visits = HashMap::new();
    for click in &clicks {
        let twice = visits.insert(click.sub_ids[0].clone(), click.id.clone());
        assert_eq!(twice, None, "{click:?} counts twice");
    }
    for (visit, click) in &answered {
        assert_eq!(visits.get(visit), Some(click));
    }

    let request = v1::ListAttendeesRequest { page_size: 1000, ..Default::default() };
    let attendees = all!(clients.attendees, list_attendees, request, attendees);
    let stored: HashSet<&String> = attendees.iter().map(|attendee| &attendee.id).collect();
    assert_eq!(stored.len(), attendees.len());
    assert_eq!(stored, registered.values().collect(), "each registration is there once");

    let request = v1::ListSalesRequest { page_size: 1000, ..Default::default() };
    let sales = all!(clients.sales, list_sales, request, sales);
    assert_eq!(sales.len(), sold.len(), "each sale is there once");
    for sale in &sales {
        let order = &sale.order.as_ref().unwrap().external_id;
        assert_eq!(sold.get(order), Some(&sale.item.as_ref().unwrap().id));
        assert_eq!(sale.payments.len(), 1, "{sale:?}");
        assert_eq!(sale.decision.as_ref().unwrap().version, 1, "{sale:?}");
    }

    // Nor has the feed skipped or doubled anything.
    let mut feed =
        clients.events.clone().watch(v1::WatchRequest::default()).await.unwrap().into_inner();
    let (mut registrations, mut decisions, mut events) = (HashSet::new(), 0, HashSet::new());
    while registrations.len() < registered.len() || decisions < sold.len() {
        let step = tokio::time::timeout(PATIENCE, feed.message());
        let Some(event) = step.await.unwrap().unwrap().unwrap().event else { continue };
        assert!(events.insert(event.id.clone()), "{event:?} came twice");
        match event.kind.unwrap() {
            v1::event::Kind::RegistrationCreated(created) => {
                assert!(registrations.insert(created.attendee_id));
            }
            v1::event::Kind::SaleDecided(_) => decisions += 1,
            _ => {}
        }
    }
}

/// What `SQLite` itself finds in a database after a crash.
fn intact(path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    let result: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(result, "ok", "{}", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_redirect_and_registry_loses_and_doubles_nothing() {
    kill_under_load(Composition::Separate, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_all_in_one_loses_and_doubles_nothing() {
    kill_under_load(Composition::AllInOne, 10).await;
}

/// How often the redirect is killed in the short form.
const KILLS: u64 = 20;
/// People who visit at the same time.
const PEOPLE: usize = 16;

/// Kills the redirect at random moments under load, each time after `life` at the earliest. Returns what was answered before each kill, with the moment of the
/// kill, and all clicks in the registry.
async fn kill_the_redirect(
    options: &Options,
    life: Duration,
) -> (Vec<(HashMap<String, Answered>, Instant)>, Vec<v1::Click>) {
    let (kills, mut dice) = (setting("TAGALONG_TEST_KILLS").unwrap_or(KILLS), Dice::cast());
    let mut system = System::start_with(Composition::Separate, options).await;
    campaign::load(&system).await;
    campaign::saved(&system, "course").await;
    let mut lives = Vec::new();
    for _ in 0..kills {
        let visitors = Visitors::start([system.http()], PEOPLE, Unanswered::Expected);
        // So that there is something to lose.
        visitors.more(2 * PEOPLE).await;
        sleep(life + Duration::from_micros(dice.below(250_000))).await;
        let killed = Instant::now();
        system.redirect().kill9();
        lives.push((visitors.stop().await, killed));
        system.start_again(System::redirect).await;
    }
    // Clicks go in order: when the last has arrived, so has everything before it.
    let last = system.phone().open("/course/p/max/?sub1=last").await;
    let clicks = until("the last click reaches the registry", async || {
        let clicks = system.clicks().await;
        let last = last.parameter("click")?;
        clicks.iter().any(|click| click.id == last).then_some(clicks)
    })
    .await;
    system.redirect().kill9();
    intact(&system.data().join("redirect/clicks.sqlite"));
    (lives, clicks)
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_redirect_loses_and_doubles_no_answered_click() {
    let (lives, clicks) = kill_the_redirect(&Options::default(), Duration::ZERO).await;
    let answered: HashMap<_, _> = lives.into_iter().flat_map(|(answered, _)| answered).collect();
    println!("{} visits answered, {} clicks stored", answered.len(), clicks.len());
    assert_eq!(missing(&clicks, &answered).len(), 0);
}

/// What relaxed clicks risk is the last 50 ms; ten times that on a machine under load.
const AT_RISK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_relaxed_redirect_loses_only_what_was_answered_last() {
    let options =
        Options { redirect: &["redirect.click_durability=relaxed"], ..Options::default() };
    // Longer than what is at risk: most of what was answered must be there.
    let (lives, clicks) = kill_the_redirect(&options, AT_RISK).await;
    let (mut answers, mut lost, mut worst) = (0, 0, Duration::ZERO);
    for (answered, killed) in &lives {
        answers += answered.len();
        for missing in missing(&clicks, answered) {
            let before = killed.saturating_duration_since(missing.at);
            assert!(before < AT_RISK, "{missing:?} was answered {before:?} before the kill");
            (lost, worst) = (lost + 1, worst.max(before));
        }
    }
    println!("{answers} visits answered, {lost} lost, at most {worst:?} before the kill");
}
