//! The protocols by which telemetry is exported: `OTEL_EXPORTER_OTLP_PROTOCOL`.

use std::fmt;

use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_PROTOCOL_GRPC as GRPC, OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_JSON as HTTP_JSON,
    OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF as HTTP_PROTOBUF,
};

/// The wire protocols of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf in the body of HTTP requests.
    HttpProtobuf,
    /// JSON in the body of HTTP requests.
    HttpJson,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            GRPC => Some(Self::Grpc),
            HTTP_PROTOBUF => Some(Self::HttpProtobuf),
            HTTP_JSON => Some(Self::HttpJson),
            _ => None,
        }
    }

    /// The port that collectors take it on.
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf | Self::HttpJson => 4318,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "gRPC",
            Self::HttpProtobuf => "HTTP",
            Self::HttpJson => "HTTP with JSON",
        })
    }
}
