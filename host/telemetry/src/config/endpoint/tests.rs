use super::*;
use crate::config::signal::SignalConfig;

const COMMON: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];

fn read(vars: &[(&str, &str)]) -> (SignalConfig, Vec<String>) {
    let vars = vars
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let mut env = Env::new(vars);
    let signal = SignalConfig::read(&mut env, "TRACES", false);
    (signal, env.warnings)
}

fn read_over(protocol: &str, vars: &[(&str, &str)]) -> (SignalConfig, Vec<String>) {
    let mut all = vec![("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
    all.extend(vars);
    read(&all)
}

#[test]
fn an_address_of_grpc_without_a_scheme_is_secure_unless_it_is_said_not_to_be() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(read(&[endpoint]).0.endpoint, "https://collector:4317");
    for (common, own, wanted) in [
        ("true", "", "http://collector:4317"),
        ("true", "false", "https://collector:4317"),
        ("", "TRUE", "http://collector:4317"),
    ] {
        let vars = [
            endpoint,
            ("OTEL_EXPORTER_OTLP_INSECURE", common),
            ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", own),
        ];
        assert_eq!(read(&vars).0.endpoint, wanted, "{common:?} {own:?}");
    }
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
    ];
    assert_eq!(read(&vars).0.endpoint, "https://collector:4317");
}

#[test]
fn an_address_that_is_none_is_warned_about_and_the_default_is_used() {
    for protocol in PROTOCOLS {
        for (address, problem) in [
            ("ftp://backend:21", "neither http nor https"),
            ("file:///tmp/spans", "neither http nor https"),
            ("dns:///backend:4317", "neither http nor https"),
            ("http://", "no host"),
            ("http://:4317", "no host"),
            ("https://me:hush@:4317/", "no host"),
            ("http://backend:", "a port"),
            ("http://backend:0", "a port"),
            ("http://backend:99999", "a port"),
            ("http://backend:otlp", "a port"),
            ("http://[::1]:otlp", "a port"),
            ("http://::1:4317", "not a URL"),
            ("http://[nowhere", "not a URL"),
            ("http://back end:4317", "not a URL"),
            ("http:\\\\backend:4317", "not a URL"),
            ("unix:///run/otel.sock", "not supported"),
            ("unix:/run/otel.sock", "not supported"),
        ] {
            let (config, warnings) = read_over(protocol, &[(COMMON, address)]);
            let default = match protocol {
                "grpc" => "http://localhost:4317",
                _ => "http://localhost:4318/v1/traces",
            };
            assert_eq!(config.endpoint, default, "{address}");
            assert!(config.endpoint_is_default, "{address}");
            let [warning] = &*warnings else {
                unreachable!("one line for {address}: {warnings:?}")
            };
            for wanted in [COMMON, problem, "expected http://HOST:PORT", "localhost:43"] {
                assert!(warning.contains(wanted), "{address}: {warning}");
            }
            assert!(!warning.contains("hush"), "{warning}");
        }
    }
}

#[test]
fn an_address_of_a_signals_own_that_is_none_leaves_it_the_common_one() {
    for protocol in PROTOCOLS {
        let vars = [(OWN, "ftp://backend"), (COMMON, "http://collector:1234")];
        let (config, warnings) = read_over(protocol, &vars);
        let wanted = match protocol {
            "grpc" => "http://collector:1234",
            _ => "http://collector:1234/v1/traces",
        };
        assert_eq!(config.endpoint, wanted);
        assert!(!config.endpoint_is_default);
        assert_eq!(
            warnings,
            [format!(
                "{OWN}=ftp://backend: has a scheme that is neither http nor https; expected \
                 http://HOST:PORT or https://HOST:PORT; ignored, http://collector:1234 is used"
            )]
        );
    }
}

#[test]
fn schemes_that_name_grpc_are_taken_over_grpc_with_one_warning() {
    for (address, wanted) in [
        ("grpc://127.0.0.1:4317", "http://127.0.0.1:4317"),
        ("GRPC://127.0.0.1:4317", "http://127.0.0.1:4317"),
        ("grpcs://127.0.0.1:4317", "https://127.0.0.1:4317"),
    ] {
        let (config, warnings) = read(&[(COMMON, address)]);
        assert_eq!(config.endpoint, wanted);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&format!("taken as {wanted}")));
        for protocol in &PROTOCOLS[1..] {
            let (config, warnings) = read_over(protocol, &[(COMMON, address)]);
            assert!(config.endpoint_is_default, "{}", config.endpoint);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
        }
    }
}

#[test]
fn a_missing_scheme_is_told_in_plain_words_unless_its_meaning_was_said() {
    let (config, warnings) = read(&[(COMMON, "localhost:4317")]);
    assert_eq!(config.endpoint, "https://localhost:4317");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("no scheme means TLS; write http://localhost:4317"));
    for said in ["true", "false"] {
        let vars = [
            (COMMON, "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_INSECURE", said),
        ];
        assert_eq!(read(&vars).1.len(), 0);
    }
    // HTTP has no meaning for it.
    for protocol in &PROTOCOLS[1..] {
        let (config, warnings) = read_over(protocol, &[(COMMON, "localhost:4318")]);
        assert!(config.endpoint_is_default);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("has no scheme"), "{warnings:?}");
    }
}

#[test]
fn addresses_that_are_some_are_taken_without_a_word() {
    for address in [
        "http://backend",
        "http://backend:4317/",
        "HTTPS://backend:1",
        "http://127.0.0.1:65535",
        "http://[::1]:4317",
        "http://[::1]",
    ] {
        let (config, warnings) = read(&[(COMMON, address)]);
        assert_eq!(warnings, [""; 0], "{address}");
        assert!(!config.endpoint_is_default, "{address}");
    }
    let (_, warnings) = read(&[(COMMON, "http://backend:4317/v1/traces")]);
    assert!(
        warnings[0].contains("the path has no effect"),
        "{warnings:?}"
    );
}

#[test]
fn a_user_and_a_password_become_a_header_and_are_shown_nowhere() {
    for protocol in PROTOCOLS {
        let address = "https://me:h%40sh@backend:4318";
        let (config, warnings) = read_over(protocol, &[(COMMON, address)]);
        assert!(config.endpoint.starts_with("https://backend:4318"));
        // me:h@sh
        assert_eq!(config.headers["authorization"], "Basic bWU6aEBzaA==");
        assert!(!format!("{config:?} {config} {warnings:?}").contains("sh@"));
        let given = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer x");
        let (config, _) = read_over(protocol, &[(COMMON, address), given]);
        assert_eq!(config.headers["authorization"], "Bearer x");
    }
}

#[test]
fn an_address_is_shown_without_its_password() {
    for (address, wanted) in [
        (
            "https://me:hush@backend:4318/a@b",
            "https://backend:4318/a@b",
        ),
        ("http://backend:4317", "http://backend:4317"),
        ("http://backend/a@b", "http://backend/a@b"),
        ("http://backend/a?key=hush@b", "http://backend/a"),
        ("https://me:hush@[nowhere", "https://[nowhere"),
        ("me:hush@backend:4318?key=hush", "backend:4318"),
    ] {
        assert_eq!(shown(address), wanted);
        for protocol in PROTOCOLS {
            let (config, warnings) = read_over(protocol, &[(OWN, address)]);
            let told = format!("{config} {warnings:?}");
            assert!(!told.contains("hush"), "{told}");
        }
    }
}
