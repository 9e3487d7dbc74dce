//! Purchase links while the services behind the redirect are stopped, dead, slow or out of reach: always a checkout,
//! with the affiliate in the path, or the fresh decision's where there is one.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Behind, Browser, Clients, Composition, Network, Options, PATIENCE, System, campaign, until,
};

/// Longer than anything that is waited for here.
const SLOW: Duration = Duration::from_mins(5);

/// Jane registered with anna; the links name max, as an old e-mail does.
struct Scene {
    system: System,
    clients: Clients,
    pc: Browser,
    token: String,
}

impl Scene {
    async fn start() -> Self {
        let options = Options { networks: true, decision_deadline_ms: 150, ..Options::default() };
        let system = System::start_with(Composition::Separate, &options).await;
        let clients = campaign::load(&system).await;
        campaign::register(&clients, campaign::registration("jane", "anna")).await.unwrap();
        let token = campaign::purchase_link(&clients, "jane").await.token;
        let pc = system.pc();
        let scene = Self { system, clients, pc, token };
        scene.decides("anna").await;
        scene
    }

    /// Opens the purchase link, and says whom the checkout is told.
    async fn buy(&self) -> String {
        let begin = Instant::now();
        let answer = self.pc.open(&format!("/course/p/max/buy/{}", self.token)).await;
        // Long for a busy machine, and much less than a peer that is waited for takes.
        assert!(begin.elapsed() < PATIENCE, "the visitor waited {:?}", begin.elapsed());
        assert_eq!(answer.status, 302);
        assert!(answer.location.starts_with(campaign::CHECKOUT), "{answer:?}");
        assert_eq!(answer.parameter("reference").as_ref(), Some(&self.token), "{answer:?}");
        answer.parameter("affiliate").unwrap()
    }

    /// Waits until the links follow the decision.
    async fn decides(&self, affiliate: &str) {
        until(&format!("the decision for {affiliate} is followed"), async || {
            (self.buy().await == affiliate).then_some(())
        })
        .await;
    }

    /// Nothing is known of jane in link rendering: she has to be asked for.
    async fn forget(&mut self) {
        self.system.rendering().kill9();
        self.system.start_again(System::rendering).await;
    }

    /// Several at once, again and again: all lead to the checkout, with the path's affiliate.
    async fn falls_back(&self) {
        for _ in 0..3 {
            let (a, b, c, d) = tokio::join!(self.buy(), self.buy(), self.buy(), self.buy());
            assert_eq!([a, b, c, d], ["max", "max", "max", "max"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_registry_costs_no_sale() {
    let mut scene = Scene::start().await;
    scene.forget().await;
    scene.system.registry().signal(Signal::STOP);
    scene.falls_back().await;
    scene.system.registry().signal(Signal::CONT);
    scene.decides("anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_registry_costs_no_sale() {
    let mut scene = Scene::start().await;
    scene.forget().await;
    scene.system.registry().kill9();
    scene.falls_back().await;
    scene.system.start_again(System::registry).await;
    scene.decides("anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_registry_costs_no_sale() {
    let mut scene = Scene::start().await;
    scene.forget().await;
    scene.system.network(Behind::Registry, Network::Slow(SLOW));
    scene.falls_back().await;
    scene.system.network(Behind::Registry, Network::Well);
    scene.decides("anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_out_of_reach_costs_no_sale() {
    let mut scene = Scene::start().await;
    scene.forget().await;
    scene.system.network(Behind::Registry, Network::Cut);
    scene.falls_back().await;
    scene.system.network(Behind::Registry, Network::Well);
    scene.decides("anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn link_rendering_slow_or_out_of_reach_or_stopped_or_dead_costs_no_sale() {
    let mut scene = Scene::start().await;
    for network in [Network::Slow(SLOW), Network::Cut] {
        scene.system.network(Behind::Rendering, network);
        scene.falls_back().await;
        scene.system.network(Behind::Rendering, Network::Well);
        scene.decides("anna").await;
    }
    scene.system.rendering().signal(Signal::STOP);
    scene.falls_back().await;
    scene.system.rendering().signal(Signal::CONT);
    scene.decides("anna").await;
    scene.system.rendering().kill9();
    scene.falls_back().await;
    scene.system.start_again(System::rendering).await;
    scene.decides("anna").await;
}

/// What link rendering remembers is not followed for long when it cannot hear of changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_may_be_outdated_is_not_followed_for_long() {
    let scene = Scene::start().await;
    scene.system.network(Behind::Registry, Network::Cut);
    // Everybody else reaches the registry: it decides anew.
    let again = campaign::registration("jane-again", "zoe");
    let same_person = campaign::registration("jane", "anna").email;
    let again = tagalong_proto::v1::RegisterAttendeeRequest { email: same_person, ..again };
    campaign::register(&scene.clients, again).await.unwrap();
    scene.decides("max").await;
    scene.falls_back().await;
    scene.system.network(Behind::Registry, Network::Well);
    scene.decides("zoe").await;
}
