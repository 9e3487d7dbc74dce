//! Requests that leave this system. Whoever names a URL (an operator, a page that redirects, a tool's answer) must not be
//! able to make a process of ours talk to what only it can reach: a database, a metadata service, its own admin port.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

mod address;
#[cfg(test)]
mod tests;

pub use address::{Permit, PermitError};

/// The one way out: HTTP to public addresses, and to private ones that are permitted by name.
///
/// A name is resolved once for a connection, and the addresses that were checked are the ones connected to. Redirects
/// are not followed, because each hop is to be checked by whoever follows it. No proxy is used, because a proxy would
/// resolve the name once more.
#[derive(Debug, Clone)]
pub struct Egress {
    permits: Arc<[Permit]>,
    client: Result<Client, Arc<str>>,
}

/// How long and how large an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the look-up of the name to the end of the answer's body.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// Why there is no answer. None of them names more of the URL than its host: paths and queries may hold what is private.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Not a URL to call: another scheme, no host, a user's name or password in it.
    #[error("{0}")]
    Url(&'static str),
    /// What the host's name leads to may not be called.
    #[error("{0} has no public address, and is not permitted by name")]
    NotPublic(String),
    /// The name leads nowhere, nobody listens there, or its certificate is not accepted.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The answer took too long.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The answer's body is too large; the number of bytes that were allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or the answer is no HTTP.
    #[error("the answer broke off: {0}")]
    Broken(String),
}

impl Egress {
    /// A way out to public addresses and to what `permits` name. Where the system's certificates cannot be read, each
    /// request says so.
    #[must_use]
    pub fn new(permits: impl IntoIterator<Item = Permit>) -> Self {
        // Does nothing where the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let permits: Arc<[Permit]> = permits.into_iter().collect();
        let client = Client::builder()
            .dns_resolver(Arc::new(Guard { permits: permits.clone() }))
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!("tagalong/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| causes(&error).into());
        Self { permits, client }
    }

    /// Whether a host may be called at a private address, and over plain HTTP: it is permitted by name.
    #[must_use]
    pub fn is_permitted(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.permits.iter().any(|permit| permit.names(name)),
            Some(Host::Ipv4(ip)) => self.permits.iter().any(|permit| permit.holds(ip.into())),
            Some(Host::Ipv6(ip)) => self.permits.iter().any(|permit| permit.holds(ip.into())),
            None => false,
        }
    }

    /// Sends one request and reads its whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// When the URL may not be called, or no whole answer came within the limits.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, EgressError> {
        let client = self.client.as_ref().map_err(|why| EgressError::Connect(why.to_string()))?;
        let (head, body) = request.into_parts();
        // Parsed once, so that what is checked is what is called, however oddly an address is written.
        let url = Url::parse(&head.uri.to_string()).map_err(|_| EgressError::Url("no URL"))?;
        self.check(&url)?;
        let request = client.request(head.method, url).headers(head.headers).body(body);
        let answer = tokio::time::timeout(limits.time, read(request, limits.body)).await;
        answer.map_err(|_| EgressError::TimedOut(limits.time))?
    }

    /// What can be said before a name is resolved.
    fn check(&self, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Url("only http and https can be called"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Url("a user's name or password in a URL is not sent"));
        }
        let ip: IpAddr = match url.host() {
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            None => return Err(EgressError::Url("a URL without a host")),
        };
        if may_connect(&self.permits, ip) {
            Ok(())
        } else {
            Err(EgressError::NotPublic(ip.to_string()))
        }
    }
}

fn may_connect(permits: &[Permit], ip: IpAddr) -> bool {
    address::is_public(ip) || permits.iter().any(|permit| permit.holds(ip))
}

async fn read(
    request: reqwest::RequestBuilder,
    most: usize,
) -> Result<Response<Bytes>, EgressError> {
    let mut answer = request.send().await.map_err(classify)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(classify)? {
        if body.len() + chunk.len() > most {
            return Err(EgressError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

fn classify(error: reqwest::Error) -> EgressError {
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(NotPublic(host)) = at.downcast_ref::<NotPublic>() {
            return EgressError::NotPublic(host.clone());
        }
        cause = at.source();
    }
    if error.is_connect() {
        EgressError::Connect(causes(&error))
    } else if error.is_builder() {
        EgressError::Url("no request can be made of it")
    } else {
        EgressError::Broken(causes(&error))
    }
}

/// The innermost cause, which is the one that says something.
fn causes(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[derive(Debug, thiserror::Error)]
#[error("{0} has no address that may be called")]
struct NotPublic(String);

/// Resolves names to addresses that may be connected to, and to no others.
struct Guard {
    permits: Arc<[Permit]>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let permits = self.permits.clone();
        Box::pin(async move {
            let name = name.as_str();
            let by_name = permits.iter().any(|permit| permit.names(name));
            let found = tokio::net::lookup_host((name, 0)).await?;
            let fit: Vec<SocketAddr> =
                found.filter(|found| by_name || may_connect(&permits, found.ip())).collect();
            if fit.is_empty() {
                return Err(NotPublic(name.to_owned()).into());
            }
            Ok(Box::new(fit.into_iter()) as Addrs)
        })
    }
}
