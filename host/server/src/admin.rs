//! The admin listener: probes, what is served, and its replacement.
//!
//! Every route but the probes passes `access` first. What takes long here, an
//! upload or a compile, holds up its own connection alone.

pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod component;
pub(crate) mod listener;
pub(crate) mod negotiation;
pub(crate) mod responses;
pub(crate) mod route;
pub(crate) mod scrape;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use crate::admin::address::AdminAddress;
pub use crate::admin::auth::{Access, AdminToken};
use crate::admin::route::Route;
pub use crate::admin::scrape::PrometheusListener;
use crate::component::reload::Reloader;
use crate::http::body::drain::DrainOnDrop;
use crate::http::server::Readiness;
use fanlight_telemetry::PrometheusText;

/// The admin listener's task. It ends with its owner, and its connections with it.
pub struct Admin {
    task: JoinHandle<()>,
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
}

impl Admin {
    /// Answers on `listener` until it is dropped.
    pub fn serve(listener: TcpListener, state: AdminState) -> Self {
        let state = Arc::new(state);
        let uploads = Arc::new(crate::admin::component::uploads());
        let unwanted = crate::admin::listener::UNWANTED_BYTES.max(state.reloader.max_bytes());
        let answers = move |request| {
            let (state, uploads) = (Arc::clone(&state), Arc::clone(&uploads));
            async move { answer(request, &state, &uploads).await }
        };
        Self {
            task: tokio::spawn(crate::admin::listener::accept(listener, unwanted, answers)),
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<DrainOnDrop<Incoming>>,
    state: &AdminState,
    uploads: &Semaphore,
) -> Response<Full<Bytes>> {
    let Some(route) = Route::of(request.uri().path()) else {
        return crate::admin::responses::problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing here",
        );
    };
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
    }
}
