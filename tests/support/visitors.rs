//! Many visitors at once, and what they were told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use tagalong_proto::v1;
use tokio::{task::JoinSet, time::sleep};

use super::{Browser, browser, random, until};

/// A visit that was answered: with which click, and when.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) click: String,
    pub(crate) at: Instant,
}

/// People who follow affiliate links on connections they keep, until told to stop. Each visit has a name of its own,
/// its first sub-ID.
pub(crate) struct Visitors {
    answered: Arc<Mutex<HashMap<String, Answered>>>,
    stop: Arc<AtomicBool>,
    people: JoinSet<()>,
}

/// Whether visitors may be left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Who they visit is killed now and then.
    Expected,
    /// Who they visit lives.
    Never,
}

impl Visitors {
    /// So many people at each of these addresses.
    pub(crate) fn start(
        addresses: impl IntoIterator<Item = String>,
        people: usize,
        unanswered: Unanswered,
    ) -> Self {
        let (answered, stop) = (Arc::default(), Arc::default());
        let mut visitors = Self { answered, stop, people: JoinSet::new() };
        for address in addresses {
            for _ in 0..people {
                let browser = Browser::new(address.clone(), browser::PHONE);
                let name = format!("{:016x}", random());
                let (answered, stop) = (visitors.answered.clone(), visitors.stop.clone());
                visitors.people.spawn(visit(name, browser, answered, stop, unanswered));
            }
        }
        visitors
    }

    /// Waits until so many more were answered.
    pub(crate) async fn more(&self, visits: usize) {
        let enough = self.answered.lock().unwrap().len() + visits;
        until(&format!("{visits} more visits are answered"), async || {
            (self.answered.lock().unwrap().len() >= enough).then_some(())
        })
        .await;
    }

    /// Waits until everybody has their last answer, and returns all of them.
    pub(crate) async fn stop(self) -> HashMap<String, Answered> {
        self.stop.store(true, Ordering::Relaxed);
        self.people.join_all().await;
        Arc::into_inner(self.answered).unwrap().into_inner().unwrap()
    }
}

async fn visit(
    name: String,
    browser: Browser,
    answered: Arc<Mutex<HashMap<String, Answered>>>,
    stop: Arc<AtomicBool>,
    unanswered: Unanswered,
) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let visit = format!("{name}-{n}");
        let begin = Instant::now();
        match browser.try_open(Method::GET, &format!("/ticket/p/max/?sub1={visit}"), &[]).await {
            Ok(answer) => {
                let at = Instant::now();
                assert_eq!(answer.status, 302, "{answer:?}");
                assert_eq!(answer.parameter("aff").as_deref(), Some("max"), "{answer:?}");
                let click = answer.parameter("click").unwrap();
                answered.lock().unwrap().insert(visit, Answered { click, at });
            }
            Err(error) => assert_eq!(unanswered, Unanswered::Expected, "{error:?}"),
        }
        // The load shall not take the machine from those who have to bear it.
        sleep(begin.elapsed().clamp(Duration::from_millis(1), Duration::from_millis(20))).await;
    }
}

/// The answered visits that are missing. Panics where one counts twice or with another click. Visits that were never
/// answered may be there.
pub(crate) fn missing<'a>(
    clicks: &[v1::Click],
    answered: &'a HashMap<String, Answered>,
) -> Vec<&'a Answered> {
    let mut visits = HashMap::new();
    for click in clicks {
        let twice = visits.insert(&click.sub_ids[0], &click.id);
        assert_eq!(twice, None, "{click:?} counts twice");
    }
    let missing = answered.iter().filter(|(visit, answered)| match visits.get(visit) {
        Some(click) => {
            assert_eq!(**click, answered.click, "{visit} counts as another click");
            false
        }
        None => true,
    });
    missing.map(|(_, answered)| answered).collect()
}
