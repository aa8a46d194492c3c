//! Jaeger's query API, version 3, over the store: what is written for Jaeger works here.
//!
//! The answers are those of Jaeger 2.13, with three differences: their content type is
//! `application/json`, a search needs no `num_traces`, and `query.attributes` filters.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use crate::model::TraceModel;
use crate::otlp_json;
use crate::params::{self, Params};
use crate::query::{Search, SpanSearch};
use crate::store::Store;
use crate::wire::{Fields, Value as Field};

/// Where the API is.
pub(crate) const PREFIX: &str = "/api/v3/";
/// Traces of one answer, unless the client asks for another number.
const DEFAULT_TRACES: usize = 100;
/// The most traces and spans of one answer, and the bytes after which no other trace is
/// added.
const MAX_TRACES: usize = 1_500;
const MAX_SPANS: usize = 50_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// An answer of the API.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// A text of JSON.
    pub(crate) json: String,
}

impl Answer {
    /// Traces that were written.
    fn found(resource_spans: &str) -> Self {
        Self {
            status: StatusCode::OK,
            json: format!("{{\"result\":{{\"resourceSpans\":[{resource_spans}]}}}}"),
        }
    }

    fn ok(json: &Value) -> Self {
        Self {
            status: StatusCode::OK,
            json: json.to_string(),
        }
    }

    fn error(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            json: json!({"error": {"httpCode": status.as_u16(), "message": message}}).to_string(),
        }
    }

    fn malformed(parameter: &str, why: &str) -> Self {
        Self::error(
            StatusCode::BAD_REQUEST,
            &format!("malformed parameter {parameter}: {why}"),
        )
    }

    fn none() -> Self {
        Self::error(StatusCode::NOT_FOUND, "No traces found")
    }
}

/// Answers a request for `path`, which follows [`PREFIX`].
pub(crate) fn answer(path: &str, params: &Params, store: &Store) -> Answer {
    let answered = match path {
        "services" => Ok(services(store)),
        "operations" => Ok(operations(params, store)),
        "traces" => traces(params, store),
        _ => match path.strip_prefix("traces/") {
            Some(id) => trace(id, store),
            None => Err(Answer::error(StatusCode::NOT_FOUND, "no such resource")),
        },
    };
    answered.unwrap_or_else(|refused| refused)
}

fn services(store: &Store) -> Answer {
    let mut names = BTreeSet::new();
    for trace in store.traces() {
        for span in &trace.spans {
            let name = span.origin.service();
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }
    match names.is_empty() {
        true => Answer::ok(&json!({})),
        false => Answer::ok(&json!({"services": names})),
    }
}

fn operations(params: &Params, store: &Store) -> Answer {
    let (service, kind) = (params.text("service"), params.text("span_kind"));
    let mut found = BTreeSet::new();
    for trace in store.traces() {
        for span in &trace.spans {
            if span.origin.service() != service || service.is_empty() {
                continue;
            }
            let name = Fields::new(&span.bytes).find_map(|field| match field {
                (5, Field::Bytes(name)) => Some(name),
                _ => None,
            });
            let name = name.unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            found.insert((name, span.head.kind));
        }
    }
    let found: Vec<_> = found
        .into_iter()
        .map(|(name, of_kind)| (name, kind_name(of_kind)))
        .filter(|(_, of_kind)| kind.is_empty() || kind == *of_kind)
        .map(|(name, of_kind)| json!({"name": name, "spanKind": of_kind}))
        .collect();
    Answer::ok(&json!({"operations": found}))
}

/// The name of a span's kind, as Jaeger has it.
pub(crate) fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

fn trace(id: &str, store: &Store) -> Result<Answer, Answer> {
    let id = trace_id(id).ok_or_else(|| {
        let why = format!("strconv.ParseUint: parsing {id:?}: invalid syntax");
        Answer::malformed("trace_id", &why)
    })?;
    let trace = store.trace(id).ok_or_else(Answer::none)?;
    let mut found = String::new();
    otlp_json::write_resource_spans(&TraceModel::new(&trace, &[]), &mut found);
    Ok(Answer::found(&found))
}

/// Reads an id of up to 32 digits; leading zeros may lack.
pub(crate) fn trace_id(text: &str) -> Option<u128> {
    let is_hex = text.len() <= 32 && text.bytes().all(|it| it.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?
}

fn traces(params: &Params, store: &Store) -> Result<Answer, Answer> {
    let search = search(params)?;
    let mut spans = 0;
    let mut found = String::new();
    for trace in search.run(store).traces {
        spans += trace.spans.len();
        if !found.is_empty() {
            if spans > MAX_SPANS || found.len() > MAX_BYTES {
                break;
            }
            found.push(',');
        }
        otlp_json::write_resource_spans(&TraceModel::new(&trace, &[]), &mut found);
    }
    match found.is_empty() {
        true => Err(Answer::none()),
        false => Ok(Answer::found(&found)),
    }
}

fn search(params: &Params) -> Result<Search, Answer> {
    let text = |key: &str| params.text(&format!("query.{key}"));
    let (start_min, start_max) = (text("start_time_min"), text("start_time_max"));
    if start_min.is_empty() || start_max.is_empty() {
        return Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "query.start_time_min and query.start_time_max are required",
        ));
    }
    let time = |key: &str| {
        params::time(text(key)).ok_or_else(|| {
            let why = format!(
                "parsing time {:?} as \"2006-01-02T15:04:05.999999999Z07:00\"",
                text(key)
            );
            Answer::malformed(&format!("query.{key}"), &why)
        })
    };
    let duration = |key: &str, default: u64| match text(key) {
        "" => Ok(default),
        given => params::duration(given).ok_or_else(|| {
            let why = format!("time: invalid duration {given:?}");
            Answer::malformed(&format!("query.{key}"), &why)
        }),
    };
    // Later versions than 2.13 call it `search_depth`.
    let mut limit = DEFAULT_TRACES;
    for key in ["search_depth", "num_traces"] {
        if text(key).is_empty() {
            continue;
        }
        limit = text(key).parse().map_err(|_| {
            let why = format!("strconv.Atoi: parsing {:?}: invalid syntax", text(key));
            Answer::malformed(&format!("query.{key}"), &why)
        })?;
    }
    Ok(Search {
        service: text("service_name").to_owned(),
        span: SpanSearch {
            name: text("operation_name").to_owned(),
            attributes: attributes(text("attributes"))?,
            duration: duration("duration_min", 0)?..=duration("duration_max", u64::MAX)?,
            start: time("start_time_min")?..=time("start_time_max")?,
        },
        limit: limit.min(MAX_TRACES),
        ..Search::default()
    })
}

/// Attributes as an object of JSON whose values are texts.
fn attributes(text: &str) -> Result<Vec<(String, String)>, Answer> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(Answer::malformed(
            "query.attributes",
            "it is not an object of JSON",
        ));
    };
    let pairs = object.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    });
    Ok(pairs.collect())
}
