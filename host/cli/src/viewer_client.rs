//! The client of a running host's viewer: its traces, its log records, its events.

pub(crate) mod events;
pub(crate) mod trace;

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::admin_client::AdminClient;
use crate::terminal;
use crate::viewer_client::events::Events;
use crate::viewer_client::trace::{LogRecord, Trace};

/// Reads from a viewer.
pub(crate) struct ViewerClient {
    admin: AdminClient,
}

/// Log records of one answer, the oldest first.
pub(crate) struct Logs {
    pub(crate) records: Vec<LogRecord>,
    /// The number of the newest one, to go on from.
    pub(crate) last: u64,
    /// Whether older ones were left out.
    pub(crate) has_more: bool,
    /// Another one after each start of the host, which numbers its records anew.
    pub(crate) store: String,
}

impl ViewerClient {
    pub(crate) fn new(admin: AdminClient) -> Self {
        Self { admin }
    }

    /// The page of a trace.
    pub(crate) fn page_of(&self, trace_id: &str) -> String {
        format!("{}/ui/trace/{trace_id}", self.admin.url())
    }

    /// A trace with its log records; none where the viewer has no span of it.
    ///
    /// # Errors
    /// Where the host does not answer, or has no viewer for this client.
    pub(crate) async fn trace(&self, trace_id: &str) -> anyhow::Result<Option<Trace>> {
        let path = format!("/api/v3/traces/{trace_id}");
        let Some(found) = self.json(&path).await? else {
            return Ok(None);
        };
        let mut traces = trace::traces(&found);
        let Some(mut trace) = traces.pop() else {
            return Ok(None);
        };
        let query = [("trace", trace_id), ("limit", "20000")];
        trace.logs = self.logs(&query).await?.records;
        Ok(Some(trace))
    }

    /// The traces that a search finds, without log records, the newest first.
    ///
    /// # Errors
    /// As for [`Self::trace`].
    pub(crate) async fn traces(&self, query: &[(&str, &str)]) -> anyhow::Result<Vec<Trace>> {
        let found = self.json(&target("/api/v3/traces", query)).await?;
        Ok(found.map(|it| trace::traces(&it)).unwrap_or_default())
    }

    /// Log records.
    ///
    /// # Errors
    /// As for [`Self::trace`].
    pub(crate) async fn logs(&self, query: &[(&str, &str)]) -> anyhow::Result<Logs> {
        let found = self.json(&target("/ui/logs.json", query)).await?;
        let found = found.unwrap_or_default();
        Ok(Logs {
            records: trace::log_records(&found),
            last: found["last"].as_u64().unwrap_or(0),
            has_more: found["more"].as_bool().unwrap_or(false),
            store: found["store"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The stream that says what is new, from the event after `last_event` on.
    ///
    /// # Errors
    /// As for [`Self::trace`].
    pub(crate) async fn events(&self, last_event: Option<&str>) -> anyhow::Result<Events> {
        let open = self.admin.open("/events", last_event).await?;
        let status = open.response.status();
        if status == StatusCode::OK {
            return Ok(Events::new(open));
        }
        Err(self.refusal(status, &Bytes::new()))
    }

    /// What is at a path; none where the viewer has no such trace.
    async fn json(&self, target: &str) -> anyhow::Result<Option<Value>> {
        let (status, body) = self.admin.get(target).await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::OK => {
                anyhow::ensure!(
                    value.is_object(),
                    "what answers at {} is no viewer of Fanlight",
                    self.admin.url()
                );
                Ok(Some(value))
            }
            // The viewer's own, which is another one than that of a path that is not there.
            StatusCode::NOT_FOUND if value["error"]["httpCode"] == 404 => Ok(None),
            _ => Err(self.refusal(status, &body)),
        }
    }

    /// Says why the viewer gives nothing, and what to do.
    fn refusal(&self, status: StatusCode, body: &Bytes) -> anyhow::Error {
        let url = self.admin.url();
        match status {
            StatusCode::NOT_FOUND => anyhow::anyhow!(
                "the host at {url} has its viewer turned off: start it with --viewer on, which is \
                 the default, and without FANLIGHT_VIEWER=off"
            ),
            StatusCode::UNAUTHORIZED => anyhow::anyhow!(
                "the admin port at {url} asks for its token, or for another one: pass \
                 --admin-token-file, or set FANLIGHT_ADMIN_TOKEN"
            ),
            StatusCode::SERVICE_UNAVAILABLE => anyhow::anyhow!(
                "the viewer at {url} has as many readers of events as it takes: close a page of it"
            ),
            _ => {
                let value: Value = serde_json::from_slice(body).unwrap_or_default();
                let why = [
                    &value["error"]["message"],
                    &value["detail"],
                    &value["title"],
                ]
                .into_iter()
                .find_map(Value::as_str);
                let why = terminal::shown(why.unwrap_or("no reason given"), 400);
                anyhow::anyhow!("the viewer at {url} refuses: {why} ({status})")
            }
        }
    }
}

/// A path with a query; parameters without a value are left out.
fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    let given = query.iter().filter(|(_, value)| !value.is_empty());
    for (at, (key, value)) in given.enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        target.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    target
}

/// Reads an id of a trace: 32 hexadecimal digits, not all of them zero.
pub(crate) fn trace_id(text: &str) -> Option<String> {
    let is_id = text.len() == 32
        && text.bytes().all(|it| it.is_ascii_hexdigit())
        && text.bytes().any(|it| it != b'0');
    is_id.then(|| text.to_ascii_lowercase())
}

/// Reads a `traceparent` or `traceresponse`: the ids of trace and span, and whether the
/// trace is sampled.
pub(crate) fn trace_context(text: &str) -> anyhow::Result<(String, String, bool)> {
    let parts: Vec<_> = text.trim().split('-').collect();
    let [_, trace, span, flags] = parts.as_slice() else {
        anyhow::bail!("{} is no trace context", terminal::shown(text, 80));
    };
    let trace = trace_id(trace).context("the id of a trace is 32 hexadecimal digits")?;
    let flags = u8::from_str_radix(flags, 16).context("the flags are two hexadecimal digits")?;
    Ok((trace, span.to_ascii_lowercase(), flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_and_empty_parameters_are_left_out() {
        let query = [("a", "x y&z"), ("b", ""), ("c", "ä")];
        assert_eq!(target("/p", &query), "/p?a=x%20y%26z&c=%C3%A4");
    }

    #[test]
    fn an_id_has_32_digits_and_is_not_zero() {
        let id = "4BF92F3577B34DA6A3CE929D0E0E4736";
        assert_eq!(trace_id(id), Some(id.to_lowercase()));
        for text in ["", "4bf9", &"0".repeat(32), &"g".repeat(32)] {
            assert_eq!(trace_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_trace_context_says_whether_it_is_sampled() {
        let context =
            |flags| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let (trace, span, is_sampled) = trace_context(&context("01")).unwrap();
        assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((&*span, is_sampled), ("00f067aa0ba902b7", true));
        assert!(!trace_context(&context("00")).unwrap().2);
        assert!(trace_context("00-1-2").is_err());
    }
}
