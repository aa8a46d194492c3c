//! Accepts the few and small connections of operators and scrapers, with
//! bounds on their number and on how long each lives.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::http::body::drain::DrainOnDrop;
use crate::http::date;
use crate::http::io::WatchedIo;
use crate::http::watchdog::ConnectionMonitor;

/// How long a request's head may take, and a connection idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections open at once: probes, scrapers, uploads.
const MAX_CONNECTIONS: usize = 256;
/// The longest that one of them lives, uploads and compiling included: one whose
/// client does not read its answers would stay.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// How much of an unused body is read, where uploads may not be larger.
pub(crate) const UNWANTED_BYTES: usize = 64 * 1024 * 1024;
/// The wait after the system refused a connection.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Answers each request by `answer`, until it is dropped; its connections end with it.
/// It reads not much more than `unwanted_bytes` of a body that it does not use.
pub(crate) async fn accept<A, F, B>(listener: TcpListener, unwanted_bytes: usize, answer: A)
where
    A: Fn(Request<DrainOnDrop<Incoming>>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Those that have ended leave nothing behind.
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let permit = Arc::clone(&permits).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection on the admin port");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let answer = answer.clone();
        connections.spawn(async move {
            let _permit = permit;
            let activity = Arc::new(ConnectionMonitor::new());
            // Uploads are refused before they have come.
            activity.expects_more();
            let stream = WatchedIo::new(stream, activity);
            let service = service_fn(move |request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                let body = DrainOnDrop::new(body, &head.headers, unwanted_bytes);
                let answered = answer(Request::from_parts(head, body));
                async move {
                    let mut answer = answered.await;
                    date::set(answer.headers_mut());
                    Ok::<_, Infallible>(answer)
                }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let served = tokio::time::timeout(CONNECTION_LIFETIME, served).await;
            if let Ok(Err(error)) = served {
                tracing::debug!(%error, "an admin connection ended with an error");
            }
        });
    }
}
