//! An OTLP collector in the test's own process: takes gRPC and HTTP, protobuf
//! and JSON, plain or in gzip, with or without TLS, and keeps what it was sent.

mod grpc;
mod http;
mod kept;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::collected::{CollectedLog, CollectedPoint, CollectedSpan};
use crate::eventually;
use crate::tls::{Authority, Issued};
use kept::{Kept, lock};

/// A collector on two ports of its own.
pub struct Collector {
    kept: Arc<Kept>,
    grpc: String,
    http: String,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// How a collector answers.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mood {
    /// It takes what comes.
    #[default]
    Well,
    /// It takes it after a while.
    Slow(Duration),
    /// It answers that it cannot.
    Failing,
    /// It answers that it will never take this, and why: [`Collector::REFUSAL`].
    Refusing,
    /// It answers that it has no such service.
    Missing,
    /// It takes the request and never answers.
    Hanging,
    /// It takes it, and says that it left out so many items.
    LeavingOut(i64),
}

/// A request that came in, whatever was answered.
#[derive(Clone, Debug)]
pub struct Received {
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// `grpc`, `http/protobuf` or `http/json`.
    pub protocol: &'static str,
    /// What came with it.
    pub headers: ::http::HeaderMap,
    /// Spans, points or log records in it.
    pub items: usize,
    /// The body in JSON; nothing where it was not JSON.
    pub json: serde_json::Value,
}

impl Received {
    /// A header's value; nothing where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("it is text"))
    }
}

/// What a collector is started with.
#[derive(Clone, Copy)]
struct Setup<'a> {
    addresses: [SocketAddr; 2],
    /// Whether it takes more than traces.
    everything: bool,
    tls: Option<ServerSide<'a>>,
}

/// What a collector shows, and whose clients it takes.
#[derive(Clone, Copy)]
struct ServerSide<'a> {
    shown: &'a Issued,
    clients: Option<&'a Authority>,
}

impl Setup<'_> {
    const PLAIN: Self = Self {
        addresses: [FREE; 2],
        everything: true,
        tls: None,
    };
}

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Collector {
    /// Why it refuses, in two lines and with an escape that clears a terminal.
    pub const REFUSAL: &str = "span 7 is\ntoo old\u{1b}[2J";

    /// Why it leaves something out.
    pub const REASON: &str = grpc::REASON;

    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::start_as(Setup::PLAIN).await
    }

    /// Starts one where another has stopped.
    pub async fn start_at(grpc: SocketAddr, http: SocketAddr) -> Self {
        let addresses = [grpc, http];
        Self::start_as(Setup {
            addresses,
            ..Setup::PLAIN
        })
        .await
    }

    /// Starts one that takes traces and has no service for the rest, as Jaeger.
    pub async fn for_traces_alone() -> Self {
        Self::start_as(Setup {
            everything: false,
            ..Setup::PLAIN
        })
        .await
    }

    /// Starts one that takes everything over TLS, showing a certificate, and
    /// where `clients` is given from those alone that it has issued one for.
    pub async fn with_tls(shown: &Issued, clients: Option<&Authority>) -> Self {
        let tls = Some(ServerSide { shown, clients });
        Self::start_as(Setup {
            tls,
            ..Setup::PLAIN
        })
        .await
    }

    async fn start_as(setup: Setup<'_>) -> Self {
        let kept = Arc::new(Kept::default());
        let stop = CancellationToken::new();
        let (grpc, grpc_task) = grpc::serve(&setup, Arc::clone(&kept), stop.clone()).await;
        let (http, http_task) = http::serve(&setup, Arc::clone(&kept), stop.clone()).await;
        let url = |address: SocketAddr| match setup.tls {
            // The name that certificates are for.
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        Self {
            kept,
            grpc: url(grpc),
            http: url(http),
            tasks: vec![grpc_task, http_task],
            stop,
        }
    }

    /// Changes how it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        *lock(&self.kept.mood) = mood;
    }

    /// Has it say to the next requests that it is busy: UNAVAILABLE, or 503.
    pub fn be_busy_for(&self, requests: u64) {
        self.kept.busy.store(requests, Ordering::Relaxed);
    }

    /// Stops it and closes its connections; gives back where it was, by gRPC
    /// and by HTTP.
    pub async fn stop(mut self) -> (SocketAddr, SocketAddr) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // A connection in the midst of a request is not waited for.
            let _ = tokio::time::timeout(Duration::from_millis(500), task).await;
        }
        let address = |url: &str| {
            let text = url.strip_prefix("http://").expect("an http URL");
            text.parse().expect("an address")
        };
        (address(&self.grpc), address(&self.http))
    }

    /// Where it takes gRPC.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where it takes HTTP.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Where it takes a protocol, by its name in the environment.
    pub fn endpoint(&self, protocol: &str) -> &str {
        match protocol {
            "grpc" => &self.grpc,
            _ => &self.http,
        }
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.kept.received).clone()
    }

    /// The first request of a signal with something in it.
    pub async fn request(&self, signal: &str) -> Received {
        eventually(&format!("a request of {signal}"), || {
            lock(&self.kept.received)
                .iter()
                .find(|request| request.signal == signal && request.items > 0)
                .cloned()
        })
        .await
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        lock(&self.kept.spans).clone()
    }

    /// How many spans it has.
    pub fn span_count(&self) -> usize {
        lock(&self.kept.spans).len()
    }

    /// The spans of a trace, once there are `count` of them and no more came.
    pub async fn trace(&self, trace_id: &str, count: usize) -> Vec<CollectedSpan> {
        let of_trace = || {
            let all = lock(&self.kept.spans);
            let spans = all.iter().filter(|span| span.trace_id == trace_id);
            spans.cloned().collect::<Vec<_>>()
        };
        let found = eventually(&format!("trace {trace_id} of {count} spans"), || {
            Some(of_trace()).filter(|spans| spans.len() >= count)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// The first span that `is_it` says yes to.
    pub async fn span(&self, is_it: impl Fn(&CollectedSpan) -> bool) -> CollectedSpan {
        eventually("a span", || {
            lock(&self.kept.spans)
                .iter()
                .find(|span| is_it(span))
                .cloned()
        })
        .await
    }

    /// The log records of a trace, once there are `count` of them.
    pub async fn logs(&self, trace_id: &str, count: usize) -> Vec<CollectedLog> {
        let of_trace = || {
            let all = lock(&self.kept.logs);
            let logs = all.iter().filter(|log| log.trace_id == trace_id);
            logs.cloned().collect::<Vec<_>>()
        };
        let found = eventually(&format!("{count} log records of {trace_id}"), || {
            Some(of_trace()).filter(|logs| logs.len() >= count)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// How many log records with this text for a body it has.
    pub fn log_count_of(&self, body: &str) -> usize {
        let logs = lock(&self.kept.logs);
        logs.iter().filter(|log| log.body == body).count()
    }

    /// All log records so far.
    pub fn all_logs(&self) -> Vec<CollectedLog> {
        lock(&self.kept.logs).clone()
    }

    /// The first log record that `is_it` says yes to.
    pub async fn log(&self, is_it: impl Fn(&CollectedLog) -> bool) -> CollectedLog {
        eventually("a log record", || {
            let logs = lock(&self.kept.logs);
            logs.iter().find(|log| is_it(log)).cloned()
        })
        .await
    }

    /// The latest points of a metric, one for each set of attributes, once
    /// `enough` says yes to them.
    pub async fn points(
        &self,
        name: &str,
        enough: impl Fn(&[CollectedPoint]) -> bool,
    ) -> Vec<CollectedPoint> {
        eventually(&format!("metric {name}"), || {
            let mut latest: Vec<CollectedPoint> = Vec::new();
            for point in lock(&self.kept.points)
                .iter()
                .filter(|point| point.name == name)
            {
                match latest
                    .iter_mut()
                    .find(|it| it.attributes == point.attributes)
                {
                    Some(known) => *known = point.clone(),
                    None => latest.push(point.clone()),
                }
            }
            Some(latest).filter(|points| !points.is_empty() && enough(points))
        })
        .await
    }

    /// Every point of whatever metric, in the order of their coming.
    pub fn all_points(&self) -> Vec<CollectedPoint> {
        lock(&self.kept.points).clone()
    }

    /// How many points it has of whatever metric.
    pub fn point_count(&self) -> usize {
        lock(&self.kept.points).len()
    }

    /// Exports that it has failed, in that mood.
    pub fn failed(&self) -> u64 {
        self.kept.failed.load(Ordering::Relaxed)
    }

    /// How many log records it has.
    pub fn log_count(&self) -> usize {
        lock(&self.kept.logs).len()
    }

    /// Requests over HTTP that it answered by 404.
    pub fn refused(&self) -> u64 {
        self.kept.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}
