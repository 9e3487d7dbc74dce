//! A whole Tagalong, as one process or as three.

use std::{path::PathBuf, process::Command};

use tagalong_proto::v1;
use tempfile::TempDir;

use super::{
    Browser, Clients, Network, binary,
    browser::{self, choose_tls},
    clients::all,
    proxy::Proxy,
    random,
    service::Service,
    tagalong, until,
};

/// How the services are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Composition {
    AllInOne,
    Separate,
}

/// Whom a redirect asks, where networks are between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Registry,
    Rendering,
}

/// What differs from test to test.
pub(crate) struct Options {
    /// How long a purchase link waits for a decision: long where a test wants the decision, whatever the load.
    pub(crate) decision_deadline_ms: u32,
    /// `RUST_LOG`.
    pub(crate) log: &'static str,
    /// The redirect's click log cannot be used.
    pub(crate) sick_click_log: bool,
    /// With the demo campaign; all-in-one only.
    pub(crate) demo: bool,
    /// Between services is a network that [`System::network`] changes; separate services only.
    pub(crate) networks: bool,
    /// More settings of a redirect of its own.
    pub(crate) redirect: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            decision_deadline_ms: 5000,
            log: "info",
            sick_click_log: false,
            demo: false,
            networks: false,
            redirect: &[],
        }
    }
}

/// A running Tagalong in a directory of its own. Everything in it dies with it.
pub(crate) struct System {
    services: Vec<Service>,
    pub(crate) composition: Composition,
    host: String,
    /// In front of the registry and of link rendering, for other services.
    networks: Vec<Proxy>,
    directory: TempDir,
}

impl System {
    /// Starts all services and waits until they are ready.
    pub(crate) async fn start(composition: Composition) -> Self {
        Self::start_with(composition, &Options::default()).await
    }

    pub(crate) async fn start_with(composition: Composition, options: &Options) -> Self {
        choose_tls();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("data")).unwrap();
        std::fs::create_dir_all(directory.path().join("output")).unwrap();
        let (services, networks) = (Vec::new(), Vec::new());
        let mut system = Self { services, composition, host: host(), networks, directory };
        if options.sick_click_log {
            std::fs::create_dir_all(system.data().join("redirect/clicks.sqlite")).unwrap();
        }
        match composition {
            Composition::AllInOne => system.add_all_in_one(options).await,
            Composition::Separate => system.add_separate(options).await,
        }
        system
    }

    async fn add_all_in_one(&mut self, options: &Options) {
        let mut service = self.service("tagalong", options);
        service
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .set(format!("redirect.decision_deadline_ms={}", options.decision_deadline_ms))
            .set("redirect.cookie_secure=false")
            .bind("http", &["--http", "{}"])
            .bind("grpc", &["--grpc", "{}"])
            .bind("admin", &["--admin", "{}"]);
        if options.demo {
            service.arg("--demo");
        }
        self.add(service).await;
    }

    /// Each is configured in another way: a file, the environment, flags.
    async fn add_separate(&mut self, options: &Options) {
        let data = self.data();
        let tokens = data.join("token-keys.toml");
        let made = Command::new(tagalong())
            .args(["key", "generate", "--file"])
            .arg(&tokens)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let tokens = tokens.to_str().unwrap();

        let file = data.join("registry.toml");
        let settings = format!(
            "[attendee_registry]\ndatabase = \"sqlite://{data}/registry.sqlite\"\n\
             data_keys = \"{data}/data-keys.toml\"\ntoken_keys = \"{tokens}\"\n",
            data = data.display()
        );
        std::fs::write(&file, settings).unwrap();
        let mut registry = self.service("tagalong-attendee-registry", options);
        registry
            .arg("--config")
            .arg(file)
            .bind("http", &["--set", "attendee_registry.http={}"])
            .bind("grpc", &["--set", "attendee_registry.grpc={}"])
            .bind("admin", &["--set", "attendee_registry.admin={}"]);
        self.add(registry).await;
        let registry = self.peer(0, options).await;

        let mut rendering = self.service("tagalong-link-rendering", options);
        rendering
            .env("TAGALONG__LINK_RENDERING__REGISTRY", &registry)
            .env("TAGALONG__LINK_RENDERING__TOKEN_KEYS", tokens)
            .env("TAGALONG__LINK_RENDERING__PUBLIC_URL", "https://go.example")
            .bind("grpc", &["--set", "link_rendering.grpc={}"])
            .bind("admin", &["--set", "link_rendering.admin={}"]);
        self.add(rendering).await;
        let rendering = self.peer(1, options).await;

        let mut redirect = self.service("tagalong-redirect", options);
        redirect
            .set(format!("redirect.registry={registry}"))
            .set(format!("redirect.link_rendering={rendering}"))
            .set(format!("redirect.token_keys={tokens}"))
            .set(format!("redirect.decision_deadline_ms={}", options.decision_deadline_ms))
            .set("redirect.cookie_secure=false");
        for setting in options.redirect {
            redirect.set(setting);
        }
        redirect
            .bind("http", &["--set", "redirect.http={}"])
            .bind("grpc", &["--set", "redirect.grpc={}"])
            .bind("admin", &["--set", "redirect.admin={}"]);
        self.add_redirect(redirect, "redirect").await;
    }

    async fn add_redirect(&mut self, mut redirect: Service, directory: &str) {
        redirect.set(format!("redirect.data={}", self.data().join(directory).display()));
        self.add(redirect).await;
    }

    /// Where other services find one.
    async fn peer(&mut self, service: usize, options: &Options) -> String {
        if options.networks {
            let proxy = Proxy::start(&self.host, self.services[service].address("grpc")).await;
            let url = format!("http://{}", proxy.address);
            self.networks.push(proxy);
            return url;
        }
        self.services[service].url("grpc")
    }

    fn service(&self, name: &'static str, options: &Options) -> Service {
        let output = self.directory.path().join("output").join(name);
        let mut service = Service::new(name, binary(name), output);
        service.env("RUST_LOG", options.log);
        service
    }

    async fn add(&mut self, mut service: Service) {
        service.start(&self.host);
        service.ready().await;
        self.services.push(service);
    }

    /// Where all data and keys are.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Everything the services printed.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("output")
    }

    pub(crate) fn registry(&mut self) -> &mut Service {
        &mut self.services[0]
    }

    /// The separate link rendering.
    pub(crate) fn rendering(&mut self) -> &mut Service {
        assert_eq!(self.composition, Composition::Separate);
        &mut self.services[1]
    }

    pub(crate) fn redirect(&mut self) -> &mut Service {
        self.services.last_mut().unwrap()
    }

    pub(crate) fn services(&mut self) -> &mut [Service] {
        &mut self.services
    }

    /// All redirects there are beside a separate registry and link rendering.
    pub(crate) fn redirects(&mut self) -> &mut [Service] {
        assert_eq!(self.composition, Composition::Separate);
        &mut self.services[2..]
    }

    /// Adds a redirect that is like the first, with a data directory of its own in [`data`](Self::data).
    pub(crate) async fn replicate(&mut self, directory: &str) {
        let output = self.output().join(directory);
        let replica = self.redirects()[0].another(output);
        self.add_redirect(replica, directory).await;
    }

    /// Changes the network that other services reach the registry or link rendering through.
    pub(crate) fn network(&self, to: Behind, network: Network) {
        self.networks[to as usize].set(network);
    }

    /// Starts a service that was killed again, on the same ports, and waits until it is ready.
    pub(crate) async fn start_again(&mut self, which: impl Fn(&mut Self) -> &mut Service) {
        let host = self.host.clone();
        let service = which(self);
        service.start(&host);
        service.ready().await;
    }

    pub(crate) fn http(&self) -> String {
        self.services.last().unwrap().url("http")
    }

    /// Where tools and checkouts post.
    pub(crate) fn hooks(&self) -> String {
        self.services[0].url("http")
    }

    pub(crate) fn admin(&self) -> String {
        self.services.last().unwrap().url("admin")
    }

    /// gRPC of the redirect, and in the all-in-one of everything.
    pub(crate) fn grpc(&self) -> String {
        self.services.last().unwrap().url("grpc")
    }

    pub(crate) fn clients(&self) -> Clients {
        let url = |n: usize| self.services.get(n).map_or_else(|| self.grpc(), |s| s.url("grpc"));
        Clients::new(&url(0), &url(1), &self.grpc())
    }

    pub(crate) fn phone(&self) -> Browser {
        Browser::new(self.http(), browser::PHONE)
    }

    pub(crate) fn pc(&self) -> Browser {
        Browser::new(self.http(), browser::PC)
    }

    /// What all services measure.
    pub(crate) async fn metrics(&self) -> String {
        let mut text = String::new();
        for service in &self.services {
            let url = format!("{}/metrics", service.url("admin"));
            text += &reqwest::get(url).await.unwrap().text().await.unwrap();
        }
        text
    }

    /// Every click the registry has, test clicks too.
    pub(crate) async fn clicks(&self) -> Vec<v1::Click> {
        let request =
            v1::ListClicksRequest { page_size: 1000, include_test: true, ..Default::default() };
        all!(self.clients().clicks, list_clicks, request, clicks)
    }

    /// Waits until the registry has at least this many clicks, and returns them.
    pub(crate) async fn shipped(&self, clicks: usize) -> Vec<v1::Click> {
        until(&format!("{clicks} clicks reach the registry"), async || {
            let shipped = self.clicks().await;
            (shipped.len() >= clicks).then_some(shipped)
        })
        .await
    }
}

/// A loopback address for one system alone. Elsewhere, while a service is down, its port could be given to
/// somebody else, the source of an outgoing connection for example.
fn host() -> String {
    if cfg!(target_os = "linux") {
        let [a, b, c, ..] = random().to_le_bytes();
        format!("127.{}.{b}.{}", a.max(1), c.clamp(2, 254))
    } else {
        "127.0.0.1".to_owned()
    }
}
