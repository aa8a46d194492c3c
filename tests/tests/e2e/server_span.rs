//! What the server span and the metrics say of a request's head: methods and
//! proxies.

use fanlight_runner::client::Answer;
use fanlight_server::{ProxyHeaders, TrustedProxies};
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{FAULTS, PLAIN};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use serde_json::json;

pub(crate) async fn server_span(collector: &Collector, answer: &Answer) -> CollectedSpan {
    let own = trace_of(answer).span_id;
    collector.span(|span| span.span_id == own).await
}

/// A host whose clients here, which are on loopback, are trusted proxies.
async fn behind_proxies(collector: &Collector) -> RunningHost {
    behind_proxies_that_write(ProxyHeaders::Auto, collector).await
}

async fn behind_proxies_that_write(family: ProxyHeaders, collector: &Collector) -> RunningHost {
    let trusted = ["127.0.0.0/8", "10.0.0.0/8"].map(|text| text.parse().unwrap());
    let trusted = TrustedProxies::new(trusted).writing(family);
    TestHost::serving(FAULTS)
        .exporting_to(collector)
        .requests(|limits| limits.trusted_proxies = trusted)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn known_methods_are_what_the_variable_says_and_nothing_else() {
    let collector = Collector::start().await;
    let host = TestHost::serving(PLAIN)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,BREW"),
        ])
        .start()
        .await;
    for (method, name, told, original) in [
        ("GET", "GET", json!("GET"), json!(null)),
        ("BREW", "BREW", json!("BREW"), json!(null)),
        ("brew", "HTTP", json!("_OTHER"), json!("brew")),
        ("POST", "HTTP", json!("_OTHER"), json!("POST")),
    ] {
        let ask = host.get("/").method(method.parse().unwrap());
        let span = server_span(&collector, &ask.send().await).await;
        assert_eq!(span.name, name, "{method}");
        assert_eq!(span.attribute("http.request.method"), told, "{method}");
        let had = span.attribute("http.request.method_original");
        assert_eq!(had, original, "{method}");
    }
    let points = collector
        .points("http.server.request.duration", |points| points.len() >= 3)
        .await;
    let mut methods: Vec<_> = points
        .iter()
        .map(|point| point.attributes["http.request.method"].to_string())
        .collect();
    methods.sort();
    assert_eq!(methods, ["\"BREW\"", "\"GET\"", "\"_OTHER\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_clients_invent_make_one_series() {
    let collector = Collector::start().await;
    let host = TestHost::serving(PLAIN)
        .exporting_to(&collector)
        .start()
        .await;
    for n in 0..20 {
        let method = format!("INVENTED-{n}").parse().unwrap();
        assert_eq!(host.get("/").method(method).send().await.status, 200);
    }
    let points = collector
        .points("http.server.request.duration", |points| {
            points.iter().map(|point| point.count).sum::<u64>() >= 20
        })
        .await;
    assert_eq!(points.len(), 1, "{points:?}");
    let method = &points[0].attributes["http.request.method"];
    assert_eq!(method, &json!("_OTHER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_have_the_buckets_of_the_conventions_or_for_bytes_up_to_large_ones() {
    let collector = Collector::start().await;
    let host = TestHost::serving(PLAIN)
        .exporting_to(&collector)
        .start()
        .await;
    assert_eq!(host.get("/").send().await.status, 200);
    let seconds = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
    let mut bytes = vec![0.0];
    bytes.extend((4..=14).map(|exponent| 4_f64.powi(exponent)));
    for (name, unit, bounds) in [
        ("http.server.request.duration", "s", seconds.to_vec()),
        ("http.server.request.body.size", "By", bytes.clone()),
        ("http.server.response.body.size", "By", bytes),
    ] {
        let points = collector.points(name, |points| !points.is_empty()).await;
        assert_eq!(
            (points[0].unit.as_str(), &points[0].bounds),
            (unit, &bounds)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_who_the_client_is_and_what_it_asked() {
    let collector = Collector::start().await;
    let host = behind_proxies(&collector).await;
    let forwarded = "for=\"192.0.2.1:4711\";proto=https;host=\"example.com:8443\", for=10.0.0.2";
    for (fields, address, port) in [
        (vec![("forwarded", forwarded)], "192.0.2.1", json!(4711)),
        (
            vec![
                ("x-forwarded-for", "2001:db8::1, 10.0.0.2"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "example.com"),
                ("x-forwarded-port", "8443"),
            ],
            "2001:db8::1",
            json!(null),
        ),
        // What the client has written itself stands left of its address.
        (
            vec![
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "example.com:8443"),
            ],
            "192.0.2.7",
            json!(null),
        ),
    ] {
        let mut ask = host.get("/scheme");
        for (name, value) in &fields {
            ask = ask.header(name, value);
        }
        let answer = ask.send().await;
        assert_eq!(answer.body, "https\n", "{fields:?}");
        let span = server_span(&collector, &answer).await;
        for (key, value) in [
            ("client.address", json!(address)),
            ("client.port", port),
            ("url.scheme", json!("https")),
            ("server.address", json!("example.com")),
            ("server.port", json!(8443)),
            ("network.peer.address", json!("127.0.0.1")),
        ] {
            assert_eq!(span.attribute(key), value, "{key}: {fields:?}");
        }
    }
    for name in [
        "http.server.request.duration",
        "http.server.active_requests",
    ] {
        let points = collector.points(name, |points| !points.is_empty()).await;
        let schemes = points.iter().map(|point| &point.attributes["url.scheme"]);
        assert!(
            schemes.into_iter().all(|it| it == &json!("https")),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_believed_who_is_not_trusted_or_contradicts_itself() {
    let collector = Collector::start().await;
    let trusting_nobody = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    let others = ["10.0.0.0/8".parse().unwrap()];
    let trusting_others = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .requests(|limits| limits.trusted_proxies = TrustedProxies::new(others))
        .start()
        .await;
    let behind_proxies = behind_proxies(&collector).await;
    let honest = ("forwarded", "for=192.0.2.1;proto=https;host=example.com");
    let malformed = ("forwarded", "for=192.0.2.1;proto=https;host=");
    for (host, fields) in [
        (&trusting_nobody, vec![honest]),
        (&trusting_others, vec![honest]),
        (
            &trusting_others,
            vec![
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
            ],
        ),
        (&behind_proxies, vec![malformed]),
        (
            &behind_proxies,
            vec![honest, ("x-forwarded-for", "203.0.113.9")],
        ),
    ] {
        let mut ask = host.get("/scheme");
        for (name, value) in &fields {
            ask = ask.header(name, value);
        }
        let answer = ask.send().await;
        assert_eq!(answer.body, "http\n", "{fields:?}");
        let span = server_span(&collector, &answer).await;
        for (key, value) in [
            ("client.address", json!("127.0.0.1")),
            ("client.port", json!(null)),
            ("url.scheme", json!("http")),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(host.address.port())),
        ] {
            assert_eq!(span.attribute(key), value, "{key}: {fields:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_forge_its_origin_in_headers_that_its_proxy_does_not_write() {
    let collector = Collector::start().await;
    let auto = behind_proxies_that_write(ProxyHeaders::Auto, &collector).await;
    let standard = behind_proxies_that_write(ProxyHeaders::Forwarded, &collector).await;
    let usual = behind_proxies_that_write(ProxyHeaders::XForwarded, &collector).await;
    let forged = (
        "forwarded",
        "for=203.0.113.8;proto=https;host=bank.example:443",
    );
    let by_proxy = ("x-forwarded-for", "192.0.2.1");
    let bad_port = ("x-forwarded-port", "x");
    let usual_headers = [forged, by_proxy, bad_port];
    let forged_others = [
        ("x-forwarded-for", "203.0.113.8"),
        ("x-forwarded-proto", "ws"),
        ("forwarded", "for=192.0.2.1"),
    ];
    for (host, fields, client) in [
        (&auto, usual_headers, "127.0.0.1"),
        (&usual, usual_headers, "192.0.2.1"),
        (&auto, forged_others, "127.0.0.1"),
        (&standard, forged_others, "192.0.2.1"),
    ] {
        let mut ask = host.get("/scheme");
        for (name, value) in fields {
            ask = ask.header(name, value);
        }
        let answer = ask.send().await;
        assert_eq!(answer.body, "http\n", "{fields:?}");
        let span = server_span(&collector, &answer).await;
        for (key, value) in [
            ("client.address", json!(client)),
            ("url.scheme", json!("http")),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(host.address.port())),
        ] {
            assert_eq!(span.attribute(key), value, "{key}: {fields:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_sees_the_headers_of_proxies_as_they_came() {
    let collector = Collector::start().await;
    let host = behind_proxies(&collector).await;
    let ask = host.get("/headers").header("forwarded", "for=192.0.2.1");
    let answer = ask.header("x-forwarded-for", "192.0.2.1").send().await;
    let seen = String::from_utf8_lossy(&answer.body).into_owned();
    for line in ["forwarded: for=192.0.2.1", "x-forwarded-for: 192.0.2.1"] {
        assert!(seen.lines().any(|it| it == line), "{line} is not in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flags_about_headers_have_their_variables() {
    let collector = Collector::start().await;
    let plain = PLAIN.path();
    let plain = plain.to_str().unwrap();
    let serve = ["serve", plain, "--listen", "127.0.0.1:0", "--admin", "off"];
    let flags = [
        "--trust-proxy=10.0.0.0/8",
        "--trust-proxy=127.0.0.1",
        "--proxy-headers=x-forwarded",
        "--capture-request-header=X-One",
        "--capture-request-header=x-two",
        "--capture-response-header=traceresponse",
    ];
    let by_flags = Program::new(serve.iter().chain(&flags));
    let by_variables = Program::new(serve)
        .env("FANLIGHT_TRUST_PROXY", "10.0.0.0/8, 127.0.0.1")
        .env("FANLIGHT_PROXY_HEADERS", "x-forwarded")
        .env("FANLIGHT_CAPTURE_REQUEST_HEADER", "X-One,x-two")
        .env("FANLIGHT_CAPTURE_RESPONSE_HEADER", "traceresponse");
    for program in [by_flags, by_variables] {
        let program = program
            .env("FANLIGHT_MAX_INSTANCES", "16")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
            .serve()
            .await;
        let ask = program.get("/").header("x-one", "1").header("x-two", "2");
        let ask = ask.header("x-forwarded-for", "192.0.2.1, 10.0.0.2");
        let ask = ask.header("forwarded", "for=203.0.113.8");
        let span = server_span(&collector, &ask.send().await).await;
        for (key, value) in [
            ("client.address", json!("192.0.2.1")),
            ("http.request.header.x-one", json!(["1"])),
            ("http.request.header.x-two", json!(["2"])),
        ] {
            assert_eq!(span.attribute(key), value, "{key}");
        }
        let told = span.attribute("http.response.header.traceresponse");
        assert!(told.is_array(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_and_networks_that_are_none_are_refused() {
    let plain = PLAIN.path();
    let plain = plain.to_str().unwrap();
    let many: Vec<_> = (0..33).map(|n| format!("x-{n}")).collect();
    let many = format!("--capture-response-header={}", many.join(","));
    for (flag, message) in [
        ("--trust-proxy=everybody", "--trust-proxy"),
        ("--trust-proxy=10.0.0.0/33", "--trust-proxy"),
        ("--proxy-headers=both", "[possible values: auto, forwarded"),
        ("--capture-request-header=:path", "--capture-request-header"),
        ("--capture-request-header=a b", "--capture-request-header"),
        ("--capture-response-header=", "--capture-response-header"),
        (many.as_str(), "more than 32"),
    ] {
        let (code, said) = Program::new(["serve", plain, flag]).output().await;
        assert_eq!(code, Some(2), "{flag}: {said}");
        assert!(said.contains(message), "{flag}: {said}");
    }
}
