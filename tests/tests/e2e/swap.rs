//! The component is replaced while it serves: what clients see of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fanlight_runner::client::Answer;
use fanlight_runner::span::Status;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{DEMO, FAULTS, HELLO, large_version, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::{eventually, eventually_async};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

/// The version that an answer says, when all of it says the same.
fn said(answer: &Answer) -> u16 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = std::str::from_utf8(&answer.body).unwrap();
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!(lines.len(), 1, "an answer of two versions: {text}");
    let line = lines.first().unwrap();
    let digits = line.strip_prefix("version-of-faults-").unwrap();
    digits.parse().unwrap()
}

async fn swap_to(host: &RunningHost, number: u16) {
    let answer = host.put(version(number)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_swaps_under_load_lose_no_request_and_mix_no_answer() {
    const SWAPS: u64 = 200;
    let host = TestHost::serving(FAULTS).start().await;
    swap_to(&host, 0).await;
    // Swap n serves version n % 2. Begun before it is asked for, acknowledged
    // after the answer: what a request may see lies between.
    let (begun, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let ended = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..32 {
        let (begun, acknowledged) = (Arc::clone(&begun), Arc::clone(&acknowledged));
        let (ended, address) = (Arc::clone(&ended), host.address);
        load.spawn(async move {
            let mut answered = 0_u64;
            while !ended.load(Ordering::Acquire) {
                let oldest = acknowledged.load(Ordering::Acquire);
                let answer = Ask::get(address, "/version?chunks=3").send().await;
                let newest = begun.load(Ordering::Acquire);
                let seen = u64::from(said(&answer));
                assert!(
                    (oldest..=newest).any(|swap| swap % 2 == seen),
                    "version {seen} between the swaps {oldest} and {newest}"
                );
                answered += 1;
                // The other tests on this machine want to run as well.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            answered
        });
    }
    for swap in 1..=SWAPS {
        begun.store(swap, Ordering::Release);
        swap_to(&host, u16::try_from(swap % 2).unwrap()).await;
        acknowledged.store(swap, Ordering::Release);
    }
    ended.store(true, Ordering::Release);
    let answered: u64 = load.join_all().await.into_iter().sum();
    assert!(answered > SWAPS, "{answered} requests are no load");
    assert_eq!(
        host.component().await["current"]["generation"],
        json!(SWAPS + 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_finish_on_the_component_they_began_with() {
    let host = TestHost::serving(FAULTS).start().await;
    let asleep = tokio::spawn(host.get("/sleep?ms=1500").send());
    let streaming = tokio::spawn(host.get("/version?chunks=15&delay_ms=100").send());
    eventually_async("both run", async || {
        (host.component().await["current"]["in_flight"] == json!(2)).then_some(())
    })
    .await;
    swap_to(&host, 1).await;
    assert_eq!(said(&host.get("/version").send().await), 1);
    let view = host.component().await;
    assert_eq!(view["previous"]["in_flight"], json!(2), "{view}");
    assert_eq!(view["previous"]["generation"], json!(1));
    assert_eq!(view["current"]["in_flight"], json!(0));
    assert_eq!(asleep.await.unwrap().body, "slept\n");
    assert_eq!(said(&streaming.await.unwrap()), 0);
    eventually_async("the old component is free", async || {
        (host.component().await["previous"]["in_flight"] == json!(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_with_its_reason_and_the_old_one_serves_on() {
    let host = TestHost::serving(FAULTS)
        .with(|host| host.max_component_bytes = 2 * 1024 * 1024)
        .start()
        .await;
    let good = version(1);
    let component = |body: &str| wat::parse_str(format!("(component {body})")).unwrap();
    let unknown = r#"(import "acme:missing/thing@1.0.0" (instance (export "f" (func))))"#;
    let bad = [
        ("it is empty", "not_a_component", Vec::new()),
        ("magic number", "not_a_component", vec![0xa5; 4096]),
        (
            "out of bounds",
            "not_a_component",
            good[..good.len() / 2].to_vec(),
        ),
        (
            "core WebAssembly module",
            "core_module",
            wat::parse_str("(module)").unwrap(),
        ),
        ("does not export wasi:http", "exports", component("")),
        ("acme:missing/thing", "imports", component(unknown)),
        (
            "its memory has 64.1 MiB from the start, and an instance may have 64.0 MiB",
            "too_much_memory",
            component("(core module (memory 1025)) (core instance (instantiate 0))"),
        ),
    ];
    for (reason, error_type, bytes) in bad {
        let answer = host.put(bytes).await;
        assert_eq!(answer.status, 422, "{reason}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem = answer.json().unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{detail}");
        assert_eq!(problem["error_type"], json!(error_type));
        let refusal = &host.component().await["last_refusal"];
        assert_eq!(refusal["reason"], json!(detail));
        assert_eq!(refusal["source"], json!("upload"));
        assert_eq!(said(&host.get("/version").send().await), 0);
    }
    let answer = host.put(vec![0; 3 * 1024 * 1024]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(host.component().await["current"]["generation"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_swaps_at_once_the_newest_wins_and_the_other_is_told() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    let salt = format!("{:?}", std::time::SystemTime::now());
    let put = |component: Vec<u8>| {
        let put = host.ask_admin(Method::PUT, "/component").body(component);
        tokio::spawn(put.send())
    };
    // An offer has its place in the order when it was read.
    let reads = async |count: usize| {
        eventually("an offer that was read", || {
            let spans = collector.spans();
            let reads = spans.iter().filter(|span| span.name == "read").count();
            (reads == count).then_some(())
        })
        .await;
    };
    let compiling = put(large_version(1, 8_000, &salt));
    reads(1).await;
    let waiting = put(version(2));
    reads(2).await;
    let newest = put(version(3));
    for superseded in [waiting, compiling] {
        let answer = superseded.await.unwrap();
        assert_eq!(answer.status, 409, "{answer:?}");
        assert_eq!(
            answer.json().unwrap()["type"],
            json!("urn:fanlight:problem:superseded")
        );
    }
    assert_eq!(newest.await.unwrap().status, 200);
    assert_eq!(said(&host.get("/version").send().await), 3);
    assert_eq!(host.component().await["current"]["generation"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_returns_to_the_previous_component_and_a_second_one_undoes_it() {
    let host = TestHost::serving(FAULTS).start().await;
    let nothing = host.roll_back().await;
    assert_eq!(nothing.status, 409);
    assert_eq!(
        nothing.json().unwrap()["type"],
        json!("urn:fanlight:problem:nothing_before")
    );
    swap_to(&host, 1).await;
    let back = host.roll_back().await;
    assert_eq!(back.status, 200);
    assert_eq!(back.json().unwrap()["outcome"], json!("rolled_back"));
    assert_eq!(said(&host.get("/version").send().await), 0);
    assert_eq!(host.roll_back().await.status, 200);
    assert_eq!(said(&host.get("/version").send().await), 1);
    let view = host.component().await;
    assert_eq!(view["current"]["generation"], json!(4));
    assert_eq!(view["previous"]["generation"], json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_already_is_not_swapped() {
    let host = TestHost::serving(FAULTS).start().await;
    let answer = host.put(version(0)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().unwrap()["outcome"], json!("unchanged"));
    let view = host.component().await;
    assert_eq!(view["current"]["generation"], json!(1));
    assert_eq!(view["previous"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_probed_before_it_is_served() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .with(|host| host.probe = Some("/health".into()))
        .requests(|limits| limits.request_timeout = std::time::Duration::from_secs(5))
        .start()
        .await;
    // HELLO knows no /health, and the demo does.
    let refused = host.put(std::fs::read(HELLO.path()).unwrap()).await;
    assert_eq!(refused.status, 422);
    let problem = refused.json().unwrap();
    assert_eq!(
        problem["detail"],
        json!("the probe /health failed: status 404")
    );
    assert_eq!(problem["error_type"], json!("probe"));
    let swapped = host.put(std::fs::read(DEMO.path()).unwrap()).await;
    assert_eq!(swapped.status, 200);
    assert_eq!(host.get("/health").send().await.status, 200);
    // The probe's own span hangs below the step.
    let trace = trace_of(&swapped).trace_id;
    let probe = collector
        .span(|it| it.trace_id == trace && it.name == "probe")
        .await;
    let served = collector
        .span(|it| it.parent_span_id.as_ref() == Some(&probe.span_id))
        .await;
    assert_eq!(served.name, "GET /health");
    assert_eq!(
        served.attribute("fanlight.component.generation"),
        json!(null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_traps_or_takes_too_long_refuses_the_component() {
    for (path, why) in [
        ("/trap", "the guest trapped"),
        ("/sleep?ms=60000", "no answer within"),
    ] {
        let host = TestHost::serving(HELLO)
            .with(|host| host.probe = Some(path.into()))
            .requests(|limits| limits.request_timeout = std::time::Duration::from_millis(300))
            .start()
            .await;
        let refused = host.put(version(1)).await;
        assert_eq!(refused.status, 422);
        let problem = refused.json().unwrap();
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(why), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_is_a_trace_of_its_own_and_a_count() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    let asked_by = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = host
        .ask_admin(Method::PUT, "/component")
        .header("traceparent", asked_by)
        .body(version(1))
        .send()
        .await;
    let trace = trace_of(&answer);
    let spans = collector.trace(&trace.trace_id, 6).await;
    let root = spans.iter().find(|it| it.span_id == trace.span_id).unwrap();
    assert_eq!(root.name, "component.swap");
    assert_eq!(root.parent_span_id, None);
    assert_eq!(root.links[0].trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(root.attribute("fanlight.swap.outcome"), json!("swapped"));
    assert_eq!(root.attribute("fanlight.component.generation"), json!(2));
    let steps: BTreeSet<_> = spans
        .iter()
        .filter(|it| it.parent_span_id.as_ref() == Some(&trace.span_id))
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(
        steps,
        BTreeSet::from(["read", "compile", "link", "instantiate", "swap"])
    );
    // A request's span tells which component it was.
    let served = host.get("/version").send().await;
    let span = collector
        .span(|it| it.span_id == trace_of(&served).span_id)
        .await;
    for key in ["fanlight.component.digest", "fanlight.component.generation"] {
        assert_eq!(span.attribute(key), root.attribute(key), "{key}");
    }

    let refused = host.put(Vec::new()).await;
    let trace = trace_of(&refused);
    let root = collector.span(|it| it.span_id == trace.span_id).await;
    assert_eq!(root.status, Status::Error);
    assert_eq!(root.attribute("error.type"), json!("not_a_component"));
    assert!(root.status_message.contains("it is empty"));
    let counts = collector
        .points("fanlight.component.swaps", |points| points.len() == 2)
        .await;
    for point in counts {
        let outcome = &point.attributes["fanlight.swap.outcome"];
        assert!(["swapped", "refused"].contains(&outcome.as_str().unwrap()));
        assert_eq!(point.value, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_never_ends_holds_up_nobody() {
    let host = TestHost::serving(FAULTS).start().await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(host.admin).await.unwrap();
        let head = "PUT /component HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
            .await
            .unwrap();
        stalled.push(stream);
    }
    swap_to(&host, 1).await;
    assert_eq!(said(&host.get("/version").send().await), 1);
}
