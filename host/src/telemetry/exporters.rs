//! Builds the OTLP exporters. The only place that names their crates' builders.

use anyhow::Context as _;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use tonic::transport::{Channel, ClientTlsConfig};

use super::config::{Protocol, SignalConfig};
use super::gate::Probe;

/// Builds the exporter of spans.
///
/// # Errors
/// Where the endpoint is no address.
pub(crate) fn spans(config: &SignalConfig) -> anyhow::Result<SpanExporter> {
    let exporter = match transport(config)? {
        Transport::Grpc(channel) => SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .build(),
        Transport::Http(client) => SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(&config.endpoint)
            .build(),
    };
    Ok(exporter?)
}

/// Builds the exporter of metrics, and the probe for its backend.
///
/// # Errors
/// Where the endpoint is no address.
pub(crate) fn metrics(config: &SignalConfig) -> anyhow::Result<(MetricExporter, Probe)> {
    Ok(match transport(config)? {
        Transport::Grpc(channel) => (
            MetricExporter::builder()
                .with_tonic()
                .with_channel(channel.clone())
                .build()?,
            Probe::GrpcMetrics(channel),
        ),
        Transport::Http(client) => (
            MetricExporter::builder()
                .with_http()
                .with_http_client(client.clone())
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(&config.endpoint)
                .build()?,
            Probe::Http(client, config.endpoint.clone()),
        ),
    })
}

/// Builds the exporter of log records, and the probe for its backend.
///
/// # Errors
/// Where the endpoint is no address.
pub(crate) fn logs(config: &SignalConfig) -> anyhow::Result<(LogExporter, Probe)> {
    Ok(match transport(config)? {
        Transport::Grpc(channel) => (
            LogExporter::builder()
                .with_tonic()
                .with_channel(channel.clone())
                .build()?,
            Probe::GrpcLogs(channel),
        ),
        Transport::Http(client) => (
            LogExporter::builder()
                .with_http()
                .with_http_client(client.clone())
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(&config.endpoint)
                .build()?,
            Probe::Http(client, config.endpoint.clone()),
        ),
    })
}

enum Transport {
    Grpc(Channel),
    Http(reqwest::Client),
}

fn transport(config: &SignalConfig) -> anyhow::Result<Transport> {
    // Both clients take the process's cryptography; whoever was first decides.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match config.protocol {
        Protocol::Grpc => {
            let mut endpoint = Channel::from_shared(config.endpoint.clone())
                .with_context(|| format!("{} is no address", config.endpoint))?
                // The exporter takes a channel as it is: a backend that accepts
                // and never answers has to be given up here.
                .timeout(config.timeout)
                .connect_timeout(config.timeout);
            if config.endpoint.starts_with("https:") {
                endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
            }
            Ok(Transport::Grpc(endpoint.connect_lazy()))
        }
        Protocol::HttpProtobuf => {
            reqwest::Url::parse(&config.endpoint)
                .with_context(|| format!("{} is no address", config.endpoint))?;
            let client = reqwest::Client::builder().timeout(config.timeout);
            Ok(Transport::Http(client.build()?))
        }
    }
}
