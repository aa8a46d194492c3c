//! Answers requests for pages, parts of them and the query API.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::Semaphore;

use crate::assets;
use crate::body::Body;
use crate::config::ViewerConfig;
use crate::jaeger;
use crate::model::TraceModel;
use crate::otlp_json;
use crate::pages;
use crate::pages::layout::{Context, Page};
use crate::params::Params;
use crate::samples::Samples;
use crate::status::HostStatus;
use crate::store::Store;

/// Readers of events at a time.
const MAX_READERS: usize = 64;
/// Pages that are rendered at a time; others wait.
const MAX_RENDERED: usize = 2;
/// KiB of answers that clients have not read yet.
const MAX_UNREAD: u32 = 64 * 1024;
/// Bytes of a query. It stands in each link of a page that keeps it.
const MAX_QUERY: usize = 4096;

/// Answers requests for the viewer's pages and API.
#[derive(Clone)]
pub struct Viewer {
    inner: Arc<Inner>,
}

struct Inner {
    config: ViewerConfig,
    store: Arc<Store>,
    host: Arc<dyn HostStatus>,
    samples: Samples,
    readers: Arc<Semaphore>,
    rendered: Arc<Semaphore>,
    /// KiB that answers may take until their clients have read them.
    unread: Arc<Semaphore>,
}

impl Viewer {
    /// Makes a viewer of what the store holds and the host says.
    pub fn new(config: ViewerConfig, store: Arc<Store>, host: Arc<dyn HostStatus>) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                store,
                host,
                samples: Samples::new(SystemTime::now()),
                readers: Arc::new(Semaphore::new(MAX_READERS)),
                rendered: Arc::new(Semaphore::new(MAX_RENDERED)),
                unread: Arc::new(Semaphore::new(MAX_UNREAD as usize)),
            }),
        }
    }

    /// Whether a path is the viewer's.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path == "/"
            || path == EVENTS
            || path == SEARCH
            || path.starts_with(jaeger::PREFIX)
            || path.starts_with(TRACE)
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
        let permit = Arc::clone(&self.inner.rendered).acquire_owned().await;
        let inner = Arc::clone(&self.inner);
        let rendered = tokio::task::spawn_blocking(move || {
            // Rendering goes on where its client has gone: the permit stays with it.
            let _permit = permit;
            inner.answer(&request)
        });
        match rendered.await {
            Ok(response) => self.inner.held(response),
            Err(_) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page cannot be rendered\n",
            ),
        }
    }
}

const EVENTS: &str = "/events";
const CLEAR: &str = "/ui/clear";
const LOGS: &str = "/ui/logs.json";
/// The pages of Jaeger that others link to: they lead to the viewer's own.
const SEARCH: &str = "/search";
const TRACE: &str = "/trace/";

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
        let query = request.uri().query();
        if query.is_some_and(|it| it.len() > MAX_QUERY) {
            return plain(StatusCode::URI_TOO_LONG, "The query is too long\n");
        }
        let params = Params::parse(query);
        if let Some(path) = path.strip_prefix(jaeger::PREFIX) {
            let answer = jaeger::answer(path, &params, &self.store);
            return json_text(answer.status, answer.json);
        }
        if path == CLEAR {
            self.store.clear();
            return see_other("/");
        }
        if path == SEARCH {
            let query = request.uri().query().unwrap_or_default();
            return see_other(&format!("/?{query}"));
        }
        if let Some(id) = path.strip_prefix(TRACE).and_then(jaeger::trace_id) {
            return see_other(&format!("/ui/trace/{id:032x}"));
        }
        if let Some(name) = path.strip_prefix(assets::PREFIX) {
            return asset(name, request.headers());
        }
        if path == LOGS {
            return json(StatusCode::OK, &pages::logs::json(&params, &self.store));
        }
        let id = path
            .strip_prefix("/ui/trace/")
            .and_then(|it| it.strip_suffix(".json"));
        if let Some(id) = id {
            return self.download(id);
        }
        // A page that shows the trace as it is does not need it again.
        let trace = path.strip_prefix("/ui/trace/");
        let version = trace.and_then(|id| pages::trace::version(id, &self.store));
        let tag = version.map(|it| format!("\"{it}\""));
        if let Some(tag) = &tag
            && is_known(tag, request.headers())
        {
            return not_modified();
        }
        let context = Context {
            store: &self.store,
            host: &*self.host,
            config: &self.config,
            samples: &self.samples,
            params: &params,
        };
        match pages::render(path, &context) {
            Some(page) => {
                let mut response = html(page);
                // It is numbers in quotes.
                if let Some(tag) = tag.and_then(|it| HeaderValue::try_from(it).ok()) {
                    response.headers_mut().insert(header::ETAG, tag);
                }
                response
            }
            None => plain(StatusCode::NOT_FOUND, "There is nothing here\n"),
        }
    }

    /// A trace as `ExportTraceServiceRequest` of OTLP's JSON.
    fn download(&self, id: &str) -> Response<Body> {
        let Some(trace) = jaeger::trace_id(id).and_then(|id| self.store.trace(id)) else {
            return plain(StatusCode::NOT_FOUND, "This trace is not in memory\n");
        };
        let mut text = String::from("{\"resourceSpans\":[");
        otlp_json::write_resource_spans(&TraceModel::new(&trace, &[]), &mut text);
        text.push_str("]}");
        json_text(StatusCode::OK, text)
    }

    /// The response with room for its bytes, which it has until the client has read them.
    fn held(&self, response: Response<Body>) -> Response<Body> {
        let length = response.body().len().div_ceil(1024);
        let kib = u32::try_from(length).unwrap_or(u32::MAX).min(MAX_UNREAD);
        match Arc::clone(&self.unread).try_acquire_many_owned(kib) {
            Ok(room) => response.map(|body| body.held(room)),
            Err(_) => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Other clients have not read their answers yet\n",
            ),
        }
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

/// What a page may load and do. Nothing is inline, and nothing comes from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn html(page: Page) -> Response<Body> {
    let mut response = Response::new(Body::full(page.html.into_string()));
    if !page.is_found {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let html = "text/html; charset=utf-8";
    set(&mut response, header::CONTENT_TYPE, html);
    set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    response
}

fn asset(name: &str, headers: &HeaderMap) -> Response<Body> {
    let Some(asset) = assets::find(name) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here\n");
    };
    let etag = asset.etag();
    let is_known = is_known(&etag, headers);
    let mut response = Response::new(Body::full(match is_known {
        true => "",
        false => asset.text,
    }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    set(&mut response, header::CONTENT_TYPE, asset.content_type);
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // It is hexadecimal digits in quotes.
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Whether the client has what this tag names.
fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let known = headers.get(header::IF_NONE_MATCH);
    known.is_some_and(|it| it.as_bytes() == tag.as_bytes())
}

fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::full(""));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    json_text(status, value.to_string())
}

fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
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

fn see_other(to: &str) -> Response<Body> {
    let Ok(to) = HeaderValue::from_str(to) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here\n");
    };
    let mut response = plain(StatusCode::SEE_OTHER, "");
    response.headers_mut().insert(header::LOCATION, to);
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}
