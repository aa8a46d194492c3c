//! The end of the real program under load: every request whose head was read is
//! answered whole, and told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanlight_runner::span::Status;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::{DEMO, FAULTS, Fixture};
use fanlight_tests::program::{Program, ServingProgram};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 32;

async fn start(fixture: Fixture, collector: &Collector, vars: &[(&str, &str)]) -> ServingProgram {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", fixture.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc());
    for (name, value) in vars {
        program = program.env(name, value);
    }
    program.serve().await
}

/// What a client saw on its connections.
#[derive(Default)]
struct Seen {
    /// Traces of the answers that came whole.
    answered: HashSet<String>,
    /// Answers that began and did not end.
    cut: Vec<String>,
}

/// Asks over and over, on a new connection where the last one was closed, until
/// none can be made any more.
async fn ask_until_refused(address: SocketAddr, answered: Arc<AtomicUsize>) -> Seen {
    let mut seen = Seen::default();
    while let Ok(stream) = TcpStream::connect(address).await {
        let Ok((mut sender, connection)) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
        else {
            continue;
        };
        let connection = tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            let request = Request::get("/health").header("host", "test");
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            // Closed before its head was read: it got nothing at all.
            let Ok(response) = sender.send_request(request).await else {
                break;
            };
            let trace = response.headers()["traceresponse"].to_str().unwrap()[3..35].to_owned();
            assert_eq!(response.status(), 200);
            match response.into_body().collect().await {
                Ok(_) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    seen.answered.insert(trace);
                }
                Err(error) => seen.cut.push(error.to_string()),
            }
        }
        connection.abort();
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_under_load_loses_no_request_and_no_trace() {
    for (signal, delay) in [("TERM", "0s"), ("INT", "300ms")] {
        let collector = Collector::start().await;
        let vars = [("FANLIGHT_SHUTDOWN_DELAY", delay)];
        let mut program = start(DEMO, &collector, &vars).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            clients.spawn(ask_until_refused(program.address, Arc::clone(&answered)));
        }
        eventually("load", || {
            (answered.load(Ordering::Relaxed) > 10 * CONNECTIONS).then_some(())
        })
        .await;
        program.signal(signal).await;
        assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
        let mut all = HashSet::new();
        for seen in clients.join_all().await {
            assert_eq!(seen.cut, Vec::<String>::new(), "{signal}");
            all.extend(seen.answered);
        }
        // No request that was read went without its whole answer, and each
        // answered one's trace is there: the last word was flushed.
        let spans = collector.spans();
        let told: HashSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
        assert_eq!(told.len(), spans.len(), "{signal}");
        assert!(
            spans.iter().all(|span| span.status != Status::Error),
            "{signal}"
        );
        let untold: Vec<_> = all.difference(&told).collect();
        let unanswered: Vec<_> = told.difference(&all).collect();
        assert!(
            untold.is_empty(),
            "{signal}: {} of {}",
            untold.len(),
            all.len()
        );
        assert!(
            unanswered.is_empty(),
            "{signal}: {} of {}",
            unanswered.len(),
            told.len()
        );
        // Whatever flushing has to say stands before it.
        eventually("the last line", || {
            let said = program.said();
            said.lines()
                .last()
                .is_some_and(|line| line.ends_with("drained"))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first_and_requests_go_on_for_the_delay() {
    let collector = Collector::start().await;
    let vars = [("FANLIGHT_SHUTDOWN_DELAY", "5s")];
    let mut program = start(FAULTS, &collector, &vars).await;
    let admin = program.admin.unwrap();
    assert_eq!(Ask::get(admin, "/readyz").send().await.status, 200);
    program.signal("TERM").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Ask::get(admin, "/readyz").send().await.status != 503 {
        assert!(Instant::now() < deadline, "it stays ready");
    }
    let answer = program.get("/counter").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(Ask::get(admin, "/livez").send().await.status, 200);
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    let trace = trace_of(&answer).trace_id;
    assert!(collector.spans().iter().any(|span| span.trace_id == trace));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_is_bounded_and_what_took_too_long_is_told() {
    let collector = Collector::start().await;
    let vars = [
        ("FANLIGHT_SHUTDOWN_GRACE", "500ms"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let mut program = start(FAULTS, &collector, &vars).await;
    let mut asleep = JoinSet::new();
    for _ in 0..8 {
        asleep.spawn(program.get("/sleep?ms=600000").send());
    }
    collector
        .points("http.server.active_requests", |points| {
            points.iter().map(|point| point.value).sum::<f64>() >= 8.0
        })
        .await;
    let signalled = Instant::now();
    program.signal("TERM").await;
    for answer in asleep.join_all().await {
        assert_eq!(answer.status, 503);
    }
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    // Ten minutes of sleep were not waited for.
    assert!(signalled.elapsed() < Duration::from_secs(15));
    let spans = collector.spans();
    let unavailable = spans
        .iter()
        .filter(|span| span.attribute("error.type") == serde_json::json!("unavailable"));
    assert_eq!(unavailable.count(), 8);
}

const ASK: &[u8] = b"GET /counter HTTP/1.1\r\nhost: x\r\n\r\n";

/// Asks once on a connection; gives back the head and what the body holds.
async fn ask_on(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(ASK).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let whole = match length {
                Some(length) => body.len() >= length.parse().unwrap(),
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Asks again as soon as it has its answer, on a new connection where the answer
/// said that the last one closes; gives back the requests that were cut.
async fn ask_without_pause(address: SocketAddr, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut cut = Vec::new();
    while let Ok(mut stream) = TcpStream::connect(address).await {
        loop {
            match ask_on(&mut stream).await {
                Ok(answer) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.contains("connection: close") {
                        break;
                    }
                }
                Err(error) => {
                    cut.push(error.to_string());
                    break;
                }
            }
        }
    }
    cut
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_a_busy_client_is_cut_by_a_signal() {
    for round in 0..8 {
        let mut program = start(FAULTS, &Collector::start().await, &[]).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            clients.spawn(ask_without_pause(program.address, Arc::clone(&answered)));
        }
        eventually("load", || {
            (answered.load(Ordering::Relaxed) > 400).then_some(())
        })
        .await;
        program.signal("TERM").await;
        assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
        let cut: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        assert_eq!(cut, Vec::<String>::new(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_has_one_more_answer_after_the_signal() {
    let vars = [
        ("FANLIGHT_HEADER_TIMEOUT", "1h"),
        ("FANLIGHT_SHUTDOWN_GRACE", "1h"),
    ];
    let mut program = start(FAULTS, &Collector::start().await, &vars).await;
    let mut used = TcpStream::connect(program.address).await.unwrap();
    assert!(
        !ask_on(&mut used)
            .await
            .unwrap()
            .contains("connection: close")
    );
    let mut fresh = TcpStream::connect(program.address).await.unwrap();
    let mut silent = TcpStream::connect(program.address).await.unwrap();
    ask_on(&mut silent).await.unwrap();
    program.signal("TERM").await;
    eventually("the signal's line", || {
        program.said().contains("SIGTERM: draining").then_some(())
    })
    .await;
    for stream in [&mut used, &mut fresh] {
        let answer = ask_on(stream).await.unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // One that says nothing holds up the end for a moment, and not for the grace.
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    for stream in [&mut used, &mut fresh, &mut silent] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
}
