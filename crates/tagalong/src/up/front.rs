//! One public listener for visitors, whom the redirect answers, and for tools and checkouts, which the registry does.

use std::{convert::Infallible, future::Future, pin::Pin};

use bytes::Bytes;
use futures::future::Either;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::Service};
use tokio::runtime::Handle;

/// The public HTTP service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Front {
    redirect: tagalong_redirect::Http,
    hooks: tagalong_attendee_registry::Http,
    /// Where the registry lives: visitors are served on threads of their own, which end earlier.
    runtime: Handle,
}

impl Front {
    pub(super) fn new(
        redirect: tagalong_redirect::Http,
        hooks: tagalong_attendee_registry::Http,
        runtime: Handle,
    ) -> Self {
        Self { redirect, hooks, runtime }
    }
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

impl Service<Request<Incoming>> for Front {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Either<
        <tagalong_redirect::Http as Service<Request<Incoming>>>::Future,
        Pin<Box<dyn Future<Output = Answer> + Send>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if !tagalong_attendee_registry::answers(request.uri().path()) {
            return Either::Left(self.redirect.call(request));
        }
        let answer = self.runtime.spawn(self.hooks.call(request));
        Either::Right(Box::pin(async {
            // A panic, which was logged, or the end of the process.
            answer.await.unwrap_or_else(|_| {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok(response)
            })
        }))
    }
}
