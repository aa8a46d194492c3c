//! Backends that make trouble: requests go on, what is lost is counted and
//! told once there is somebody to tell, and recovery needs no restart.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fanlight_runner::client::Answer;
use fanlight_telemetry::{Telemetry, TelemetryConfig};
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::eventually;
use fanlight_tests::fixture::DEMO;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::environment::PROTOCOLS;

/// Requests that are served while the backend makes trouble.
const REQUESTS: usize = 30;

/// What an export may take where the backend is in a bad mood, in milliseconds.
const SHORT: &str = "300";
/// The same where it is to be taken, however busy the machine is.
const LONG: &str = "20000";

async fn exporting(collector: &Collector, protocol: &str, timeout: &str) -> RunningHost {
    let endpoint = collector.endpoint(protocol);
    TestHost::serving(DEMO)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", timeout),
        ])
        .start()
        .await
}

/// Serves requests; none of them fails, or waits for the backend.
async fn serve(host: &RunningHost) -> Vec<Answer> {
    let begun = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let answer = host.get("/health").send().await;
        assert_eq!(answer.status, 200);
        answers.push(answer);
    }
    // Had each waited for an export, it were 30 times the timeout of 300 ms.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    answers
}

/// Demands that a request served now arrives, over the same host.
async fn demand_recovery(collector: &Collector, host: &RunningHost) {
    // What was under way may still fail; one of the next arrives.
    let deadline = Instant::now() + fanlight_tests::PATIENCE;
    loop {
        let answer = host.get("/health").send().await;
        assert_eq!(answer.status, 200);
        let trace = trace_of(&answer).trace_id;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if collector.spans().iter().any(|span| span.trace_id == trace) {
            return;
        }
        assert!(Instant::now() < deadline, "nothing arrives any more");
    }
}

fn lost_traces(points: &[CollectedPoint]) -> f64 {
    let of_traces = points
        .iter()
        .filter(|point| point.attributes["signal"] == json!("traces"));
    of_traces.map(|point| point.value).sum()
}

/// Demands that each of the answers' spans arrived or is told as lost.
async fn demand_account(collector: &Collector, answers: &[Answer]) {
    let traces: Vec<_> = answers.iter().map(|it| trace_of(it).trace_id).collect();
    let arrived = || {
        let spans = collector.spans();
        spans
            .iter()
            .filter(|span| traces.contains(&span.trace_id))
            .count()
    };
    #[expect(clippy::cast_precision_loss, reason = "thirty")]
    let enough =
        |points: &[CollectedPoint]| lost_traces(points) + arrived() as f64 >= answers.len() as f64;
    collector.points("fanlight.telemetry.lost", enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_and_comes_back_is_told_what_was_lost() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, SHORT).await;
        demand_recovery(&collector, &host).await;
        let (grpc, http) = collector.stop().await;
        let answers = serve(&host).await;
        let collector = Collector::start_at(grpc, http).await;
        demand_recovery(&collector, &host).await;
        demand_account(&collector, &answers).await;
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_or_hangs_for_a_while_is_told_what_was_lost() {
    for protocol in PROTOCOLS {
        for mood in [Mood::Failing, Mood::Hanging] {
            let collector = Collector::start().await;
            let host = exporting(&collector, protocol, SHORT).await;
            demand_recovery(&collector, &host).await;
            collector.set_mood(mood);
            let answers = serve(&host).await;
            collector.set_mood(Mood::Well);
            demand_recovery(&collector, &host).await;
            demand_account(&collector, &answers).await;
            host.stop().await;
        }
    }
}

/// Serves some requests, and demands that each one's span arrives.
async fn demand_nothing_lost(collector: &Collector, host: RunningHost) {
    let answers = serve(&host).await;
    eventually("all spans", || {
        (collector.spans().len() >= answers.len()).then_some(())
    })
    .await;
    let lost = collector.points("fanlight.telemetry.lost", |_| true).await;
    assert!(lost_traces(&lost).abs() < 0.5, "{lost:#?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_backend_loses_nothing_and_holds_up_nobody() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, LONG).await;
        collector.set_mood(Mood::Slow(Duration::from_millis(150)));
        demand_nothing_lost(&collector, host).await;
    }
}

#[test]
fn telemetry_that_is_dropped_while_it_flushes_holds_up_nobody() {
    for protocol in PROTOCOLS {
        // Connections are taken by the system, and never answered.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let vars = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let config = TelemetryConfig::from_vars(vars, "under-test");
            let telemetry = Telemetry::init(&config).unwrap();
            telemetry.meter().u64_counter("asked").build().add(1, &[]);
            let ended =
                tokio::time::timeout(Duration::from_millis(300), telemetry.shutdown()).await;
            assert!(ended.is_err(), "there was nothing to wait for");
        });
        // It waits for what still runs on threads of its own.
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(runtime);
            let _ = done.send(());
        });
        let ended = ended.recv_timeout(fanlight_tests::PATIENCE);
        assert!(ended.is_ok(), "a thread of the telemetry's is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_backend_is_asked_again_and_nothing_is_lost() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, LONG).await;
        // As long as it takes to start a collector anew.
        collector.be_busy_for(6);
        demand_nothing_lost(&collector, host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_missing_for_a_moment_is_asked_again_at_once() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, LONG).await;
        let metrics = || {
            let received = collector.received();
            received.iter().filter(|it| it.signal == "metrics").count()
        };
        let more = async |count: usize| {
            let enough = metrics() + count;
            eventually("requests of metrics", || {
                (metrics() >= enough).then_some(())
            })
            .await;
        };
        more(1).await;
        collector.set_mood(Mood::Missing);
        // Whoever paused would be silent for longer than is waited here.
        more(3).await;
        host.stop().await;
    }
}

/// A way to `address` that breaks: the first connection ends in the midst of
/// its first request, and those after it hold.
async fn breaking_once(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // Whoever still asks the address of another test, which was here before,
        // goes without a request.
        loop {
            let (mut first, _) = listener.accept().await.unwrap();
            // As a server greets, so that there is a request to break off.
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let mut request = [0; 256];
            if first.write_all(&settings).await.is_ok()
                && first.read_exact(&mut request).await.is_ok()
            {
                break;
            }
        }
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut backend = TcpStream::connect(address).await.unwrap();
                // Either end may close it.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut backend).await;
            });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_midst_of_a_request_loses_nothing() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let endpoint = collector.endpoint(protocol);
        let address = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let way = format!("http://{}", breaking_once(address).await);
        let own = match protocol {
            "grpc" => way,
            _ => format!("{way}/v1/traces"),
        };
        let host = TestHost::serving(DEMO)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &own),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", LONG),
            ])
            .start()
            .await;
        demand_nothing_lost(&collector, host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cumulative_points_that_were_not_taken_are_not_lost() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Failing);
        let host = exporting(&collector, protocol, LONG).await;
        eventually("failed exports", || {
            let received = collector.received();
            let of_metrics = received.iter().filter(|it| it.signal == "metrics");
            (of_metrics.count() >= 2).then_some(())
        })
        .await;
        collector.set_mood(Mood::Well);
        let points = collector.points("fanlight.telemetry.lost", |_| true).await;
        let of_metrics = points
            .iter()
            .filter(|point| point.attributes["signal"] == json!("metrics"));
        let lost: f64 = of_metrics.map(|point| point.value).sum();
        assert!(lost < 0.5, "{points:#?}");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_leaves_out_is_counted_as_rejected() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, LONG).await;
        collector.set_mood(Mood::LeavingOut(1));
        // A span, a record of what it prints, and points all the time.
        assert_eq!(host.get("/api/panic").send().await.status, 500);
        let rejected = |points: &[CollectedPoint], signal: &str| {
            let mut of_signal = points.iter().filter(|point| {
                let attributes = &point.attributes;
                attributes["signal"] == json!(signal) && attributes["reason"] == json!("rejected")
            });
            of_signal.any(|point| point.value > 0.5)
        };
        let all = |points: &[CollectedPoint]| {
            let signals = ["traces", "metrics", "logs"];
            signals.iter().all(|signal| rejected(points, signal))
        };
        collector.points("fanlight.telemetry.lost", all).await;
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_counted_and_not_the_metrics_that_they_are_of() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = exporting(&collector, protocol, LONG).await;
        let exported = |points: &[CollectedPoint]| {
            let mut of_metrics = points
                .iter()
                .filter(|point| point.attributes["signal"] == json!("metrics"));
            of_metrics.any(|point| point.value > 0.5)
        };
        let points = collector
            .points("fanlight.telemetry.exported", exported)
            .await;
        let of_metrics = points
            .iter()
            .find(|point| point.attributes["signal"] == json!("metrics"));
        let told = of_metrics.unwrap().value;
        // What an export says of those before it is the points that came by then.
        let received = collector.received();
        let sizes = received.iter().filter(|it| it.signal == "metrics");
        let mut sum = 0.0;
        let sums: Vec<f64> = sizes
            .map(|it| {
                #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
                let items = it.items as f64;
                sum += items;
                sum
            })
            .collect();
        assert!(sums.contains(&told), "{told} is none of {sums:?}");
        host.stop().await;
    }
}
