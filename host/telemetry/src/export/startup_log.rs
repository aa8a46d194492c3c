//! The log's lines at the start: where each signal goes, and where no collector
//! listens.

use std::collections::BTreeMap;

use crate::config::TelemetryConfig;

/// Logs one line for each default port at which no collector listens.
pub(crate) async fn notice_absent_collector(config: TelemetryConfig) {
    for (port, signals) in expected_collectors(&config) {
        if tokio::net::TcpStream::connect(("localhost", port))
            .await
            .is_err()
        {
            tracing::info!(
                "no collector at localhost:{port}: {} are not exported until one listens there, or \
                 OTEL_EXPORTER_OTLP_ENDPOINT names another",
                signals.join(", ")
            );
        }
    }
}

/// The default ports in use, and the signals that are sent there.
fn expected_collectors(config: &TelemetryConfig) -> BTreeMap<u16, Vec<&'static str>> {
    let mut ports: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    for (name, signal) in [
        ("traces", &config.traces),
        ("metrics", &config.metrics),
        ("logs", &config.logs),
    ] {
        if signal.enabled && signal.endpoint_is_default {
            let port = signal.protocol.default_port();
            ports.entry(port).or_default().push(name);
        }
    }
    ports
}

/// Tells where each signal goes.
pub(crate) fn summary(config: &TelemetryConfig) -> Vec<(&'static str, String)> {
    [
        ("traces", &config.traces),
        ("metrics", &config.metrics),
        ("logs", &config.logs),
    ]
    .into_iter()
    // Where metrics are read at is told once that is open.
    .filter(|(name, signal)| {
        *name != "metrics" || signal.is_exported() || config.prometheus_address.is_none()
    })
    .map(|(name, signal)| (name, signal.to_string()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_is_absent_is_named_with_what_would_go_there() {
        let expected = |vars: &[(&str, &str)]| {
            let vars = vars
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()));
            expected_collectors(&TelemetryConfig::from_vars(vars, "demo"))
        };
        let all = expected(&[]);
        assert_eq!(all[&4317], ["traces", "metrics", "logs"]);
        let some = expected(&[
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://elsewhere:4317",
            ),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ]);
        assert_eq!(
            (&*some[&4317], &*some[&4318]),
            (&["metrics"][..], &["logs"][..])
        );
        assert!(expected(&[("OTEL_SDK_DISABLED", "true")]).is_empty());
    }
}
