//! Collectors behind TLS: authorities that the system does not know, and
//! certificates that a collector asks for.

use std::path::Path;

use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::program::Program;
use fanlight_tests::tls::Authority;

use crate::environment::{PROTOCOLS, SIGNALS, host, speak};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The authority that a host is told of, as a file.
fn written(authority: &Authority, folder: &Path) -> String {
    let path = folder.join("authority.pem");
    std::fs::write(&path, authority.certificate()).unwrap();
    text(&path).to_owned()
}

/// Demands that of the three signals only these reach the collector.
async fn demand(collector: &Collector, vars: &[(&str, &str)], wanted: &[&str], what: &str) {
    let host = host(vars).await;
    speak(&host).await;
    for signal in wanted {
        collector.request(signal).await;
    }
    host.stop().await;
    for request in collector.received() {
        assert!(wanted.contains(&request.signal), "{what}: {request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_trusted_for_all_signals_or_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let path = written(&authority, folder.path());
    let shown = authority.issue("localhost");
    for protocol in PROTOCOLS {
        let collector = Collector::with_tls(&shown, None).await;
        let endpoint = collector.endpoint(protocol);
        let common = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ];
        let mut vars = common.to_vec();
        vars.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", &path));
        demand(&collector, &vars, &["traces", "metrics", "logs"], protocol).await;
    }
    for (signal, name) in SIGNALS {
        for protocol in PROTOCOLS {
            let collector = Collector::with_tls(&shown, None).await;
            let own = format!("OTEL_EXPORTER_OTLP_{name}_CERTIFICATE");
            let vars = [
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
                (&own, &path),
            ];
            demand(&collector, &vars, &[signal], &own).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_grpc_without_a_scheme_is_secure() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let path = written(&authority, folder.path());
    let collector = Collector::with_tls(&authority.issue("localhost"), None).await;
    let vars = [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            collector.grpc().strip_prefix("https://").unwrap(),
        ),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &path),
    ];
    demand(&collector, &vars, &["traces", "metrics", "logs"], "grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_for_all_signals_or_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let clients = Authority::generate();
    let path = written(&authority, folder.path());
    let own = clients.issue("fanlight").write_to(folder.path(), "client");
    let (certificate, key) = (text(&own.certificate), text(&own.key));
    let shown = authority.issue("localhost");
    for protocol in PROTOCOLS {
        let collector = Collector::with_tls(&shown, Some(&clients)).await;
        let vars = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &path),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key),
        ];
        demand(&collector, &vars, &["traces", "metrics", "logs"], protocol).await;
    }
    for (signal, name) in SIGNALS {
        for protocol in PROTOCOLS {
            let collector = Collector::with_tls(&shown, Some(&clients)).await;
            let own_certificate = format!("OTEL_EXPORTER_OTLP_{name}_CLIENT_CERTIFICATE");
            let own_key = format!("OTEL_EXPORTER_OTLP_{name}_CLIENT_KEY");
            let vars = [
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &path),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
                (&own_certificate, certificate),
                (&own_key, key),
            ];
            demand(&collector, &vars, &[signal], &own_key).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_trusted_gets_nothing_and_the_log_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&Authority::generate(), folder.path());
    let shown = Authority::generate().issue("localhost");
    for protocol in PROTOCOLS {
        let collector = Collector::with_tls(&shown, None).await;
        let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", SHOWCASE.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "64")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol))
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &path)
            .serve()
            .await;
        let told = format!("traces: {}", collector.endpoint(protocol));
        let said = program.said();
        assert!(said.contains(&told) && said.contains(", TLS)"), "{said}");
        assert_eq!(program.get("/nested").send().await.status, 200);
        let failed = eventually("a word on the trouble", || {
            let said = program.said();
            let mut lines = said.lines();
            let line = lines.find(|line| line.contains("export failed"));
            line.map(str::to_owned)
        })
        .await;
        assert!(failed.to_lowercase().contains("certificate"), "{failed}");
        assert!(collector.received().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing.pem");
    std::fs::write(&nothing, "no certificate\n").unwrap();
    for (name, value, wanted) in [
        (
            "CERTIFICATE",
            "/not/there.pem",
            "cannot read /not/there.pem",
        ),
        (
            "CLIENT_KEY",
            "/some.key",
            "/some.key has no client certificate",
        ),
        (
            "CERTIFICATE",
            text(&nothing),
            "nothing.pem holds no certificate in PEM",
        ),
    ] {
        for protocol in PROTOCOLS {
            let (code, said) = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
                .env("FANLIGHT_COMPONENT", SHOWCASE.path().to_str().unwrap())
                .env("FANLIGHT_MAX_INSTANCES", "16")
                .env("OTEL_SDK_DISABLED", "")
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9")
                .env(&format!("OTEL_EXPORTER_OTLP_{name}"), value)
                .output()
                .await;
            assert_eq!(code, Some(2), "{protocol}: {said}");
            assert!(said.contains(wanted), "{protocol}: {said}");
        }
    }
}
