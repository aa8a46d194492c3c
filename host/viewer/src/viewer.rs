//! Answers requests for pages, parts of them and the query API.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::Semaphore;

use crate::body::Body;
use crate::jaeger;
use crate::params::Params;
use crate::status::HostStatus;
use crate::store::Store;

/// Readers of events at a time.
const MAX_READERS: usize = 64;
/// Pages that are rendered at a time; others wait.
const MAX_RENDERED: usize = 2;

/// What a [`Viewer`] shows beside the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerConfig {
    /// The address of a Jaeger's page that traces are linked to, such as
    /// `http://localhost:16686`.
    pub jaeger_url: Option<String>,
}

/// Answers requests for the viewer's pages and API.
#[derive(Clone)]
pub struct Viewer {
    inner: Arc<Inner>,
}

struct Inner {
    config: ViewerConfig,
    store: Arc<Store>,
    host: Arc<dyn HostStatus>,
    readers: Arc<Semaphore>,
    rendered: Semaphore,
}

impl Viewer {
    /// Makes a viewer of what the store holds and the host says.
    pub fn new(config: ViewerConfig, store: Arc<Store>, host: Arc<dyn HostStatus>) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                store,
                host,
                readers: Arc::new(Semaphore::new(MAX_READERS)),
                rendered: Semaphore::new(MAX_RENDERED),
            }),
        }
    }

    /// Whether a path is the viewer's.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path == "/"
            || path == EVENTS
            || path.starts_with(jaeger::PREFIX)
            || path.starts_with("/ui/")
    }

    /// The methods that a path of the viewer's takes, as `Allow` lists them.
    #[must_use]
    pub fn allow(path: &str) -> &'static str {
        match path {
            CLEAR => "POST",
            _ => "GET, HEAD",
        }
    }

    /// Answers a request. Rendering runs on the runtime's threads for blocking work, two
    /// pages at a time. The caller has checked who asks, and from which origin.
    pub async fn respond(&self, request: Request<()>) -> Response<Body> {
        if request.uri().path() == EVENTS && request.method() == Method::GET {
            return self.inner.events(request.headers());
        }
        // The semaphore is never closed.
        let _permit = self.inner.rendered.acquire().await;
        let inner = Arc::clone(&self.inner);
        let rendered = tokio::task::spawn_blocking(move || inner.answer(&request));
        rendered.await.unwrap_or_else(|_| {
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page cannot be rendered\n",
            )
        })
    }
}

const EVENTS: &str = "/events";
const CLEAR: &str = "/ui/clear";

impl Inner {
    fn answer(&self, request: &Request<()>) -> Response<Body> {
        let path = request.uri().path();
        let allowed = Viewer::allow(path);
        if !allowed.split(", ").any(|it| it == request.method()) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Another method is needed\n");
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
            return response;
        }
        let params = Params::parse(request.uri().query());
        if let Some(path) = path.strip_prefix(jaeger::PREFIX) {
            let answer = jaeger::answer(path, &params, &self.store);
            return json(answer.status, &answer.json);
        }
        if path == CLEAR {
            self.store.clear();
            return see_other("/");
        }
        let _ = (&self.config, &self.host);
        plain(StatusCode::NOT_FOUND, "There is nothing here\n")
    }

    fn events(&self, headers: &HeaderMap) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.readers).try_acquire_owned() else {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Other pages read the events already\n",
            );
        };
        let last_seen = headers
            .get("last-event-id")
            .and_then(|it| it.to_str().ok()?.parse().ok());
        let subscription = self.store.events.subscribe(last_seen);
        let mut response = Response::new(Body::events(subscription, place));
        set(&mut response, header::CONTENT_TYPE, "text/event-stream");
        set(&mut response, header::CACHE_CONTROL, "no-store");
        response
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let text = "text/plain; charset=utf-8";
    set(&mut response, header::CONTENT_TYPE, text);
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn see_other(to: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::SEE_OTHER, "");
    set(&mut response, header::LOCATION, to);
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}
