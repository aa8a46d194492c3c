//! Telemetry as the host and a component make it, and a host that says what it serves.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "a part of a test, of which each program uses some"
)]

mod host;
mod samples;
mod trace;

use std::convert::Infallible;
use std::sync::Arc;

use fanlight_viewer::{Body, Viewer};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

pub use host::Host;
pub use samples::{Growing, failure, hostile, samples, success, thousand, traffic, traffic_after};
pub use trace::{HOSTILE, MS, Trace, US, logs_request, now, spans_request, text};

/// Serves a viewer as the host's admin port does.
pub async fn serve(listener: TcpListener, viewer: Viewer) {
    while let Ok((stream, _)) = listener.accept().await {
        let viewer = viewer.clone();
        let service = service_fn(move |request| {
            let viewer = viewer.clone();
            async move { Ok::<_, Infallible>(answer(request, &viewer).await) }
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A connection that fails is the client's affair.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, viewer: &Viewer) -> Response<Body> {
    let (head, _) = request.into_parts();
    viewer.respond(Request::from_parts(head, ())).await
}

/// A viewer of a store and a host.
pub fn viewer(store: Arc<fanlight_viewer::Store>, host: Host) -> Viewer {
    let config = fanlight_viewer::ViewerConfig {
        jaeger_url: Some("http://localhost:16686".to_owned()),
    };
    Viewer::new(config, store, Arc::new(host))
}
