//! The admin listener: probes, what is served, and its replacement.
//!
//! Every route but the probes passes `access` first. What takes long here, an
//! upload or a compile, holds up its own connection alone.

pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod component;
pub(crate) mod host_status;
pub(crate) mod listener;
pub(crate) mod negotiation;
pub(crate) mod observer;
pub(crate) mod responses;
pub(crate) mod route;
pub(crate) mod scrape;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use crate::admin::address::AdminAddress;
pub use crate::admin::auth::{Access, AdminToken};
use crate::admin::host_status::ServerStatus;
pub use crate::admin::observer::StoreObserver;
use crate::admin::route::Route;
pub use crate::admin::scrape::PrometheusListener;
use crate::component::reload::Reloader;
use crate::http::body::drain::DrainOnDrop;
use crate::http::server::Readiness;
use fanlight_telemetry::PrometheusText;
use fanlight_viewer::{Store, Viewer, ViewerConfig};

/// The admin listener's tasks. They end with their owner, and its connections with them.
pub struct Admin {
    /// The listener, and what tells the viewer of swaps.
    _tasks: JoinSet<()>,
}

/// What the routes answer from.
pub struct AdminState {
    /// Whether the server takes requests.
    pub readiness: Readiness,
    /// What is served, and its replacement.
    pub reloader: Arc<Reloader>,
    /// The metrics, unless telemetry is off.
    pub metrics: Option<PrometheusText>,
    /// Who may ask for what.
    pub access: Access,
    /// The viewer's store and settings, unless it is off.
    pub viewer: Option<ViewerState>,
}

/// What the viewer shows.
pub struct ViewerState {
    /// Recent traces and log records.
    pub store: Arc<Store>,
    /// What else pages need.
    pub config: ViewerConfig,
    /// Where the component is served, such as `http://127.0.0.1:8000`.
    pub serving_url: String,
}

impl Admin {
    /// Answers on `listener` until it is dropped.
    pub fn serve(listener: TcpListener, mut state: AdminState) -> Self {
        let mut tasks = JoinSet::new();
        let viewer = state.viewer.take().map(|viewer| {
            let status = ServerStatus {
                reloader: Arc::clone(&state.reloader),
                metrics: state.metrics.clone(),
                serving_url: viewer.serving_url,
            };
            let recorded = state.reloader.recorded();
            tasks.spawn(pass_on_swaps(recorded, Arc::clone(&viewer.store)));
            Viewer::new(viewer.config, viewer.store, Arc::new(status))
        });
        let state = Arc::new(state);
        let uploads = Arc::new(crate::admin::component::uploads());
        let unwanted = crate::admin::listener::UNWANTED_BYTES.max(state.reloader.max_bytes());
        let answers = move |request: Request<_>| {
            let (state, uploads) = (Arc::clone(&state), Arc::clone(&uploads));
            let viewer = viewer.clone();
            async move {
                match (Route::of(request.uri().path()), viewer) {
                    (Some(Route::Viewer), None) | (None, _) => not_found().map(Either::Left),
                    (Some(Route::Viewer), Some(viewer)) => {
                        match state.access.check(Route::Viewer, &request) {
                            Ok(()) => viewer.respond(request.map(drop)).await.map(Either::Right),
                            Err(refused) => refused.answer_to_browser().map(Either::Left),
                        }
                    }
                    (Some(route), _) => {
                        let answered = answer(route, request, &state, &uploads).await;
                        answered.map(Either::Left)
                    }
                }
            }
        };
        tasks.spawn(crate::admin::listener::accept(listener, unwanted, answers));
        Self { _tasks: tasks }
    }
}

/// Tells the pages of each swap, rollback and refusal.
async fn pass_on_swaps(mut recorded: watch::Receiver<u64>, store: Arc<Store>) {
    while recorded.changed().await.is_ok() {
        store.component_changed();
    }
}

fn not_found() -> Response<Full<Bytes>> {
    crate::admin::responses::problem(StatusCode::NOT_FOUND, "not_found", "There is nothing here")
}

async fn answer(
    route: Route,
    request: Request<DrainOnDrop<Incoming>>,
    state: &AdminState,
    uploads: &Semaphore,
) -> Response<Full<Bytes>> {
    if !route.takes(request.method()) {
        return crate::admin::responses::method_not_allowed(route.allow());
    }
    if let Err(refused) = state.access.check(route, &request) {
        return refused.answer();
    }
    match route {
        Route::Livez => crate::admin::responses::probe(StatusCode::OK, "alive\n"),
        Route::Readyz if state.readiness.is_ready() => {
            crate::admin::responses::probe(StatusCode::OK, "ready\n")
        }
        Route::Readyz => {
            crate::admin::responses::probe(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
        Route::Metrics => {
            crate::admin::responses::metrics(state.metrics.as_ref(), request.headers()).await
        }
        Route::Component if request.method() == Method::PUT => {
            crate::admin::component::put(request, &state.reloader, uploads).await
        }
        Route::Component => crate::admin::component::get(&state.reloader),
        Route::Rollback => crate::admin::component::roll_back(request.headers(), &state.reloader),
        Route::Viewer => not_found(),
    }
}
