//! Somebody's browser: keeps Tagalong's cookie, does not follow redirects.

use std::sync::{Arc, LazyLock, Mutex, Once};

use reqwest::{
    Method, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE, USER_AGENT},
    redirect::Policy,
};
use url::Url;

pub(crate) const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";
pub(crate) const PC: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// Cloning it opens another window of the same browser.
#[derive(Clone)]
pub(crate) struct Browser {
    base: String,
    agent: String,
    cookie: Arc<Mutex<Option<String>>>,
    client: reqwest::Client,
}

/// What a link answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) set_cookie: Option<String>,
}

/// A TLS implementation has to be chosen, though nothing here speaks TLS.
pub(crate) fn choose_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

static CLIENT: LazyLock<()> = LazyLock::new(choose_tls);

impl Browser {
    pub(crate) fn new(base: String, agent: &str) -> Self {
        LazyLock::force(&CLIENT);
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy();
        Self {
            base,
            agent: agent.to_owned(),
            cookie: Arc::default(),
            client: client.build().unwrap(),
        }
    }

    /// Follows a link, given whole or by path and query.
    pub(crate) async fn open(&self, link: &str) -> Answer {
        self.try_open(Method::GET, link, &[]).await.unwrap()
    }

    pub(crate) async fn open_with(&self, link: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_open(Method::GET, link, headers).await.unwrap()
    }

    /// The same where there may be no answer.
    pub(crate) async fn try_open(
        &self,
        method: Method,
        link: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let url =
            if link.starts_with('/') { format!("{}{link}", self.base) } else { link.to_owned() };
        let mut request = self.client.request(method, url).header(USER_AGENT, &self.agent);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &*self.cookie.lock().unwrap() {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await?;
        let header =
            |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (location, set_cookie) = (header(LOCATION).unwrap_or_default(), header(SET_COOKIE));
        if let Some(set) = &set_cookie {
            let pair = set.split(';').next().unwrap();
            *self.cookie.lock().unwrap() = Some(pair.to_owned());
        }
        Ok(Answer { status: answer.status(), location, set_cookie })
    }
}

impl Answer {
    pub(crate) fn url(&self) -> Url {
        Url::parse(&self.location)
            .unwrap_or_else(|error| panic!("{:?} is no URL: {error}", self.location))
    }

    /// The value of a parameter of the page it leads to; panics where it stands there twice.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = self.url();
        let mut values =
            url.query_pairs().filter(|(other, _)| other == name).map(|(_, value)| value);
        let value = values.next().map(std::borrow::Cow::into_owned);
        assert_eq!(values.next(), None, "{name} stands twice in {}", self.location);
        value
    }

    /// The host of the page it leads to.
    pub(crate) fn host(&self) -> String {
        self.url().host_str().unwrap().to_owned()
    }
}
