//! Questions to Jaeger's query API, version 3, which answers in OTLP's JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use http::Method;
use serde::Deserialize;
use serde_json::{Number, Value};
use tokio::time::Instant;

use crate::base_url::BaseUrl;
use crate::client::Client;
use crate::span::{Event, Kind, Span, Status};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A running Jaeger.
#[derive(Clone, Debug)]
pub struct Jaeger {
    url: BaseUrl,
    client: Client,
}

impl Jaeger {
    /// Takes the address of its query port, such as `http://localhost:16686`.
    #[must_use]
    pub fn new(url: BaseUrl) -> Self {
        Self {
            url,
            client: Client::new(),
        }
    }

    /// Asks for one trace; `None` when Jaeger has no span of it yet.
    ///
    /// # Errors
    /// When Jaeger does not answer, or not what its API promises.
    pub async fn trace(&self, id: &str) -> anyhow::Result<Option<Trace>> {
        let traces = self.ask(&format!("/api/v3/traces/{id}")).await?;
        Ok(traces.into_values().next())
    }

    /// Asks for one trace until it has this many spans, for they arrive in
    /// batches. When the deadline passes first, gives what there is.
    ///
    /// # Errors
    /// When Jaeger does not answer, or not what its API promises.
    pub async fn trace_of(
        &self,
        id: &str,
        spans: usize,
        deadline: Instant,
    ) -> anyhow::Result<Option<Trace>> {
        loop {
            let trace = self.trace(id).await?;
            let complete = trace
                .as_ref()
                .is_some_and(|trace| trace.spans.len() >= spans);
            if complete || Instant::now() >= deadline {
                return Ok(trace);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Asks for the traces of a service that began within the last hour, by id.
    ///
    /// # Errors
    /// When Jaeger does not answer, or not what its API promises.
    pub async fn traces(
        &self,
        service: &str,
        at_most: usize,
    ) -> anyhow::Result<BTreeMap<String, Trace>> {
        const HOUR: Duration = Duration::from_secs(3600);
        let now = SystemTime::now();
        // Both times are required. Jaeger 2.13 requires `num_traces`, later ones
        // call it `search_depth`; what they do not know they ignore.
        self.ask(&format!(
            "/api/v3/traces?query.service_name={}&query.num_traces={at_most}\
             &query.search_depth={at_most}&query.start_time_min={}&query.start_time_max={}",
            percent_encoded(service),
            rfc3339(now - HOUR),
            rfc3339(now + HOUR),
        ))
        .await
    }

    async fn ask(&self, path: &str) -> anyhow::Result<BTreeMap<String, Trace>> {
        let url = self.url.join(path);
        let answer = self
            .client
            .send(&Method::GET, &url)
            .await
            .with_context(|| format!("cannot ask Jaeger at {}", self.url))?;
        match answer.status {
            200 => {}
            // No match is an error to this API.
            404 => return Ok(BTreeMap::new()),
            status => bail!(
                "Jaeger answers {status} to {url}: {}",
                String::from_utf8_lossy(&answer.body).trim()
            ),
        }
        let found: Found = serde_json::from_slice(&answer.body)
            .with_context(|| format!("Jaeger's answer to {url} is not OTLP JSON"))?;
        Ok(found.into_traces())
    }
}

/// What Jaeger holds of one trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The name of the service that sent its first span.
    pub service: String,
    /// The spans that arrived so far, in no order.
    pub spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    result: Data,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    spans: Vec<WireSpan>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpan {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: String,
    kind: u64,
    start_time_unix_nano: Value,
    end_time_unix_nano: Value,
    attributes: Vec<KeyValue>,
    events: Vec<WireEvent>,
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireEvent {
    name: String,
    attributes: Vec<KeyValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    code: u64,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: Value,
}

impl Found {
    fn into_traces(self) -> BTreeMap<String, Trace> {
        let mut traces = BTreeMap::<String, Trace>::new();
        for of_resource in self.result.resource_spans {
            let resource = plain_attributes(of_resource.resource.attributes);
            let service = resource
                .get("service.name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            for span in of_resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let trace = traces
                    .entry(span.trace_id.clone())
                    .or_insert_with(|| Trace {
                        service: service.to_owned(),
                        spans: Vec::new(),
                    });
                trace.spans.push(span.into_span());
            }
        }
        traces
    }
}

impl WireSpan {
    fn into_span(self) -> Span {
        Span {
            name: self.name,
            span_id: self.span_id,
            parent_span_id: Some(self.parent_span_id).filter(|id| !id.is_empty()),
            kind: Kind::from_otlp(self.kind),
            status: Status::from_otlp(self.status.code),
            attributes: plain_attributes(self.attributes),
            events: self
                .events
                .into_iter()
                .map(|event| Event {
                    name: event.name,
                    attributes: plain_attributes(event.attributes),
                })
                .collect(),
            start_unix_nanos: whole_number(&self.start_time_unix_nano).unwrap_or_default(),
            end_unix_nanos: whole_number(&self.end_time_unix_nano).unwrap_or_default(),
        }
    }
}

fn plain_attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes
        .into_iter()
        .map(|pair| (pair.key, plain(pair.value)))
        .collect()
}

/// Takes a value out of the wrapper that names its type: `{"intValue":"3"}` is 3.
fn plain(wrapped: Value) -> Value {
    let Value::Object(fields) = wrapped else {
        return Value::Null;
    };
    let Some((kind, mut value)) = fields.into_iter().next() else {
        return Value::Null;
    };
    match kind.as_str() {
        // 64 bits do not fit a number of JSON, so OTLP writes them as text.
        "intValue" => match value.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => Value::Number(Number::from(number)),
            None => value,
        },
        "arrayValue" => match value.get_mut("values").map(Value::take) {
            Some(Value::Array(values)) => values.into_iter().map(plain).collect(),
            _ => Value::Array(Vec::new()),
        },
        _ => value,
    }
}

fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Writes a time as `2026-11-21T00:42:45Z`.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date: https://howardhinnant.github.io/date_algorithms.html,
    // where years begin in March so that the leap day is their last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;

    use super::{Found, percent_encoded, rfc3339};
    use crate::span::{Kind, Status};

    #[test]
    fn an_answer_becomes_traces_of_plain_spans() {
        let resource = json!({"attributes": [
            {"key": "service.name", "value": {"stringValue": "demo"}},
        ]});
        let found: Found = serde_json::from_value(json!({"result": {"resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {}, "spans": [{
                "traceId": "aa", "spanId": "01", "name": "GET /", "kind": 2,
                "startTimeUnixNano": "1767225600000000000",
                "endTimeUnixNano": "1767225600100000000",
                "attributes": [
                    {"key": "count", "value": {"intValue": "-3"}},
                    {"key": "ratio", "value": {"doubleValue": 0.5}},
                    {"key": "on", "value": {"boolValue": true}},
                    {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}},
                    {"key": "none", "value": {"arrayValue": {}}},
                    {"key": "odd", "value": {}},
                ],
                "events": [{"name": "exception", "attributes": [
                    {"key": "exception.type", "value": {"stringValue": "ValueError"}},
                ]}],
                "status": {"message": "m", "code": 2},
            }]}]},
            {"resource": resource, "scopeSpans": [{"spans": [
                {"traceId": "aa", "spanId": "02", "parentSpanId": "01", "name": "work", "kind": 1},
                {"traceId": "bb", "spanId": "03", "name": "GET /", "kind": 2, "status": {}},
            ]}]},
        ]}}))
        .unwrap();
        let traces = found.into_traces();
        assert_eq!(traces.keys().collect::<Vec<_>>(), ["aa", "bb"]);
        assert_eq!(traces["aa"].service, "demo");
        let [root, child] = &traces["aa"].spans[..] else {
            panic!("{traces:?}")
        };
        assert_eq!((root.kind, root.status), (Kind::Server, Status::Error));
        assert_eq!(root.parent_span_id, None);
        assert_eq!(root.duration(), Duration::from_millis(100));
        assert_eq!(
            json!(root.attributes),
            json!({"count": -3, "ratio": 0.5, "on": true, "list": ["a"], "none": [], "odd": null})
        );
        assert_eq!(root.events[0].attributes["exception.type"], "ValueError");
        assert_eq!(child.parent_span_id.as_deref(), Some("01"));
        assert_eq!((child.kind, child.status), (Kind::Internal, Status::Unset));
    }

    #[test]
    fn an_empty_answer_holds_no_trace() {
        let found: Found = serde_json::from_value(json!({})).unwrap();
        assert!(found.into_traces().is_empty());
    }

    #[test]
    fn times_are_written_as_jaeger_reads_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(
                rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                text
            );
        }
    }

    #[test]
    fn a_service_of_any_name_can_be_asked_for() {
        assert_eq!(percent_encoded("my demo&é-1"), "my%20demo%26%C3%A9-1");
    }
}
