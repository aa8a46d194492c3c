//! The common parts of OTLP's three requests.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde::Serialize;

use crate::otlp::split::Split;
use crate::sanitize::one_line;

/// Names the exporter to backends, as OTLP asks for.
pub(crate) const USER_AGENT: &str =
    concat!("fanlight-otlp-exporter-rust/", env!("CARGO_PKG_VERSION"));

/// The most bytes of a backend's text that are kept: enough for a reason, and no page
/// of HTML.
const MAX_BACKEND_TEXT: usize = 512;

/// A request to export a signal.
pub(crate) trait OtlpRequest: Message + Clone + Default + Serialize + Split {
    /// The method's path in gRPC.
    const METHOD: &'static str;
    /// The response to it.
    type Response: Message + Default + 'static;

    /// The items that a response reports as rejected.
    fn rejected(response: Self::Response) -> Option<Rejection>;
}

/// A request to send: a message, or an encoded one.
pub(crate) trait EncodedRequest: Sync {
    /// The message that it is.
    type Request: OtlpRequest;

    /// Its spans, points or log records.
    fn items(&self) -> u64;

    /// The message.
    fn message(&self) -> Cow<'_, Self::Request>;

    /// The same in Protobuf.
    fn protobuf(&self) -> Bytes;
}

impl<R: OtlpRequest> EncodedRequest for R {
    type Request = Self;

    fn items(&self) -> u64 {
        self.count() as u64
    }

    fn message(&self) -> Cow<'_, Self> {
        Cow::Borrowed(self)
    }

    fn protobuf(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

/// Spans in Protobuf, encoded when they ended.
#[derive(Clone, Debug)]
pub(crate) struct EncodedTraces {
    /// An `ExportTraceServiceRequest`.
    pub(crate) message: Bytes,
    /// How many there are.
    pub(crate) spans: u64,
}

impl EncodedRequest for EncodedTraces {
    type Request = ExportTraceServiceRequest;

    fn items(&self) -> u64 {
        self.spans
    }

    /// Decodes the message, for other encodings than Protobuf.
    fn message(&self) -> Cow<'_, ExportTraceServiceRequest> {
        let message = ExportTraceServiceRequest::decode(self.message.clone());
        debug_assert!(message.is_ok(), "spans were written wrongly");
        Cow::Owned(message.unwrap_or_default())
    }

    fn protobuf(&self) -> Bytes {
        self.message.clone()
    }
}

/// A text of a backend's as the log may have it: one line, with control characters
/// escaped, and no more than a few hundred bytes.
pub(crate) fn backend_text(text: &str) -> String {
    one_line(text.trim(), MAX_BACKEND_TEXT)
}

/// The items that a backend rejected from a request that it took, and its reason;
/// without items, a warning of the backend.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) items: u64,
    pub(crate) message: String,
}

impl Rejection {
    /// None where nothing was rejected and there is no message.
    fn new(items: i64, message: &str) -> Option<Self> {
        let items = u64::try_from(items).unwrap_or(0);
        let message = backend_text(message);
        (items > 0 || !message.is_empty()).then_some(Self { items, message })
    }

    /// Reads a response in JSON, where numbers of 64 bits are texts.
    pub(crate) fn from_json(body: &[u8]) -> Option<Self> {
        let response: serde_json::Value = serde_json::from_slice(body).ok()?;
        // ProtoJSON may have the names of Protobuf as well.
        let either = |object: &'_ serde_json::Value, json: &str, protobuf: &str| {
            object.get(json).or_else(|| object.get(protobuf)).cloned()
        };
        let partial = either(&response, "partialSuccess", "partial_success")?;
        let mut members = partial.as_object()?.iter();
        let count = members.find(|(key, _)| key.starts_with("rejected"));
        let count = count.and_then(|(_, it)| it.as_i64().or_else(|| it.as_str()?.parse().ok()));
        let message = either(&partial, "errorMessage", "error_message");
        let message = message.as_ref().and_then(|text| text.as_str());
        Self::new(count.unwrap_or_default(), message.unwrap_or_default())
    }
}

impl OtlpRequest for ExportTraceServiceRequest {
    const METHOD: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    type Response = ExportTraceServiceResponse;

    fn rejected(response: Self::Response) -> Option<Rejection> {
        let partial = response.partial_success?;
        Rejection::new(partial.rejected_spans, &partial.error_message)
    }
}

impl OtlpRequest for ExportMetricsServiceRequest {
    const METHOD: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    type Response = ExportMetricsServiceResponse;

    fn rejected(response: Self::Response) -> Option<Rejection> {
        let partial = response.partial_success?;
        Rejection::new(partial.rejected_data_points, &partial.error_message)
    }
}

impl OtlpRequest for ExportLogsServiceRequest {
    const METHOD: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    type Response = ExportLogsServiceResponse;

    fn rejected(response: Self::Response) -> Option<Rejection> {
        let partial = response.partial_success?;
        Rejection::new(partial.rejected_log_records, &partial.error_message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_in_json_left_out_is_read_as_text_and_as_number() {
        let wanted = Rejection {
            items: 3,
            message: "too old".into(),
        };
        for count in ["3", "\"3\""] {
            let json = format!(
                r#"{{"partialSuccess":{{"rejectedLogRecords":{count},"errorMessage":"too old"}}}}"#
            );
            assert_eq!(
                Rejection::from_json(json.as_bytes()).as_ref(),
                Some(&wanted)
            );
        }
        let names = r#"{"partial_success":{"rejected_spans":"3","error_message":"too old"}}"#;
        assert_eq!(Rejection::from_json(names.as_bytes()), Some(wanted));
        let advice = Rejection::from_json(br#"{"partialSuccess":{"errorMessage":"take care"}}"#);
        let advice = advice.unwrap();
        assert_eq!((advice.items, advice.message.as_str()), (0, "take care"));
        for nothing in ["", "{}", r#"{"partialSuccess":{"errorMessage":""}}"#] {
            assert_eq!(Rejection::from_json(nothing.as_bytes()), None);
        }
    }
}
