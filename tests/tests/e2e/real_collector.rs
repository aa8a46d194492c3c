//! A real OpenTelemetry Collector takes all that is sent, and nothing is lost
//! on the way or counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fanlight_runner::client::Client;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::otelcol::OtelCollector;
use fanlight_tests::prometheus::{Families, parse};
use fanlight_tests::skipped::skip_outside_ci;
use fanlight_tests::tls::Pair;
use fanlight_tests::{PATIENCE, eventually};
use http::Method;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A host that sends to a Collector by TLS and gzip, and what the Collector
/// hands on.
struct Chain {
    host: RunningHost,
    between: OtelCollector,
    end: Collector,
    _folder: TempDir,
}

impl Chain {
    /// None where there is no Collector to test with.
    async fn start(test: &str, protocol: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let end = Collector::start().await;
        let pair = Pair::generate();
        let between = OtelCollector::start(&pair, folder.path(), end.grpc()).await;
        let Some(between) = between.unwrap() else {
            skip_outside_ci(test, "FANLIGHT_TEST_OTELCOL names no Collector");
            return None;
        };
        let endpoint = match protocol {
            "grpc" => between.otlp_grpc(),
            _ => between.otlp_http(),
        };
        let certificate = folder.path().join("tls.crt");
        let host = TestHost::serving(SHOWCASE)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
                (
                    "OTEL_EXPORTER_OTLP_CERTIFICATE",
                    certificate.to_str().unwrap(),
                ),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ])
            .start()
            .await;
        Some(Self {
            host,
            between,
            end,
            _folder: folder,
        })
    }

    /// Sends so many requests from so many connections; each is answered.
    async fn load(&self, requests: usize, connections: usize) {
        let url = format!("http://{}/all-signals", self.host.address);
        let left = Arc::new(AtomicUsize::new(requests));
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let (url, left) = (url.clone(), Arc::clone(&left));
            clients.spawn(async move {
                // It asks for the next when it has one: one connection each.
                let client = Client::new();
                let next = |left: usize| left.checked_sub(1);
                while left.fetch_update(Relaxed, Relaxed, next).is_ok() {
                    let answer = client.send(&Method::GET, &url).await.unwrap();
                    assert_eq!(answer.status, 200);
                }
            });
        }
        clients.join_all().await;
    }

    /// The host's own Prometheus text.
    async fn scraped(&self) -> Families {
        let answer = self.host.ask_admin(Method::GET, "/metrics").send().await;
        parse(std::str::from_utf8(&answer.body).unwrap())
    }
}

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_arrive_whole_and_once_over_grpc_and_http_three_times() {
    for protocol in ["grpc", "http/protobuf", "grpc"] {
        let name = "ten_thousand_requests_arrive_whole_and_once_over_grpc_and_http_three_times";
        let Some(chain) = Chain::start(name, protocol).await else {
            return;
        };
        chain.load(REQUESTS, CONNECTIONS).await;

        eventually(&format!("all spans over {protocol}"), || {
            (chain.end.span_count() >= 3 * REQUESTS).then_some(())
        })
        .await;
        let spans = chain.end.spans();
        let mut traces: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for span in &spans {
            traces.entry(&span.trace_id).or_default().push(span);
        }
        assert_eq!(traces.len(), REQUESTS);
        for (trace, spans) in &traces {
            let of = |name: &str| {
                let mut named = spans.iter().filter(|span| span.name == name);
                let found = named.next().unwrap_or_else(|| panic!("no {name}: {trace}"));
                assert!(named.next().is_none(), "{name} twice: {trace}");
                found
            };
            let (server, outer, inner) = (of("GET /all-signals"), of("outer"), of("inner"));
            assert_eq!(spans.len(), 3, "{trace}");
            assert_eq!(server.parent_span_id, None);
            assert_eq!(outer.parent_span_id.as_ref(), Some(&server.span_id));
            assert_eq!(inner.parent_span_id.as_ref(), Some(&outer.span_id));
        }

        let total = REQUESTS as u64;
        let count_of = |name: &'static str| {
            chain.end.points(name, move |points| {
                points.iter().map(|point| point.count).sum::<u64>() >= total
            })
        };
        for name in ["http.server.request.duration", "signals.size"] {
            let points = count_of(name).await;
            assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), total);
        }
        let counted = chain
            .end
            .points("signals.requests", |points| {
                points[0].value >= REQUESTS as f64
            })
            .await;
        assert_eq!((counted.len(), counted[0].value), (1, REQUESTS as f64));
        let records = eventually("all log records", || {
            let count = chain.end.log_count_of("all signals");
            (count >= REQUESTS).then_some(count)
        })
        .await;
        assert_eq!(records, REQUESTS);

        // By its own account: all of it, and nothing refused.
        assert_eq!(chain.between.accepted("spans").await, 3.0 * REQUESTS as f64);
        for kind in ["spans", "metric_points", "log_records"] {
            assert_eq!(chain.between.refused(kind).await, 0.0, "{kind}");
        }
        let own = chain.scraped().await;
        let lost = own["fanlight_telemetry_lost_total"].sum("fanlight_telemetry_lost_total", &[]);
        assert_eq!(lost, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collectors_prometheus_text_and_the_hosts_say_the_same() {
    let name = "the_collectors_prometheus_text_and_the_hosts_say_the_same";
    let Some(chain) = Chain::start(name, "grpc").await else {
        return;
    };
    chain.load(64, 4).await;
    for target in ["/metrics", "/metric-clash", "/nowhere"] {
        chain.host.get(target).send().await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (own, collectors) = (chain.scraped().await, chain.between.prometheus().await);
        let (own, collectors) = (comparable(&own), comparable(&collectors));
        if own == collectors && own.len() > 100 {
            return;
        }
        // What differs is what one looks for.
        let only = |here: &BTreeMap<String, String>, there: &BTreeMap<String, String>| {
            let mut only = here.clone();
            only.retain(|series, value| there.get(series) != Some(value));
            only
        };
        assert!(
            tokio::time::Instant::now() < deadline,
            "the host alone says {:#?}, the Collector {:#?}",
            only(&own, &collectors),
            only(&collectors, &own)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The value of each series that does not change by being exported. What the
/// Collector adds about who sent it is left out.
fn comparable(families: &Families) -> BTreeMap<String, String> {
    let still = families
        .iter()
        .filter(|(name, _)| !name.starts_with("fanlight_telemetry") && *name != "target_info");
    let samples = still.flat_map(|(_, family)| &family.samples);
    let series = samples.map(|sample| {
        let mut labels = sample.labels.clone();
        for added in ["job", "instance", "otel_scope_schema_url"] {
            labels.remove(added);
        }
        if let Some(bound) = labels.get_mut("le") {
            // One writes 100000, the other 1e+05.
            let number: f64 = bound.parse().unwrap();
            *bound = number.to_string();
        }
        let own = ["fanlight", "fanlight.guest"];
        if labels
            .get("otel_scope_name")
            .is_some_and(|name| own.contains(&name.as_str()))
        {
            labels.retain(|name, _| !name.starts_with("otel_scope_"));
        }
        (
            format!("{}{labels:?}", sample.name),
            sample.value.to_string(),
        )
    });
    series.collect()
}
