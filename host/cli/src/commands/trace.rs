//! `fanlight trace`: the spans of one request, as a tree.

pub(crate) mod request;

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::BAD_USE;
use crate::cli::failed;
use crate::commands::client::ClientArgs;
use crate::commands::trace::request::{Answer, RequestArgs};
use crate::span_tree::SpanTree;
use crate::terminal::{self, Styles};
use crate::viewer_client::trace::Trace;
use crate::viewer_client::{self, ViewerClient};

/// How long a trace may take to reach the viewer. The component may go on for some
/// seconds after its response.
const TO_ARRIVE: Duration = Duration::from_secs(10);
/// How often the viewer is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(150);
/// A trace that does not change in this time is complete: the host feeds its viewer five
/// times a second, with spans and log records apart.
const SETTLED: Duration = Duration::from_millis(600);

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A URL, http:// or https://, to send one request to; or the id of a trace that the
    /// host has, 32 hexadecimal digits
    #[arg(value_name = "URL|ID")]
    target: Target,
    #[command(flatten)]
    request: RequestArgs,
    /// Show all attributes, and stack traces and texts in full
    #[arg(short, long)]
    all_attributes: bool,
    /// Print one JSON object a line, for programs: the response, each span and each log
    /// record, told apart by `type`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Id(String),
    Url(reqwest::Url),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(id) = viewer_client::trace_id(text) {
            return Ok(Self::Id(id));
        }
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url: Option<reqwest::Url> = with_scheme.parse().ok();
        url.filter(|it| matches!(it.scheme(), "http" | "https") && it.has_host())
            .map(Self::Url)
            .ok_or_else(|| {
                "expected a URL such as http://127.0.0.1:8000/, or the 32 hexadecimal digits of a \
                 trace's id"
                    .to_owned()
            })
    }
}

/// The trace that is waited for.
struct Awaited {
    id: String,
    /// The span of the request in the server, if the response named it.
    server_span: Option<String>,
    /// The span that the request was sent with.
    sent_span: String,
}

impl TraceArgs {
    pub(crate) async fn run(self) -> ExitCode {
        let is_request = self.request.is_given();
        let viewer = match self.client.client() {
            Ok(admin) => ViewerClient::new(admin),
            Err(error) => return failed(&error, BAD_USE),
        };
        let printed = Printed {
            tree: SpanTree {
                styles: Styles::of_stdout(),
                shows_all: self.all_attributes,
            },
            json: self.json,
        };
        match self.target {
            Target::Id(_) if is_request => {
                let error = "with the id of a trace no request is sent: leave out -X, -H and -d";
                failed(&anyhow::anyhow!(error), BAD_USE)
            }
            Target::Id(id) => super::ended(printed.stored(&viewer, &id).await),
            Target::Url(url) => match self.request.prepare(url) {
                Ok(request) => super::ended(printed.request(&viewer, request).await),
                Err(error) => failed(&error, BAD_USE),
            },
        }
    }
}

/// How a trace is printed.
struct Printed {
    tree: SpanTree,
    json: bool,
}

impl Printed {
    /// Prints a trace that the host has.
    async fn stored(&self, viewer: &ViewerClient, id: &str) -> anyhow::Result<()> {
        let Some(trace) = viewer.trace(id).await? else {
            anyhow::bail!(
                "the host has no trace {id}: it was not sampled, is older than what the viewer \
                 keeps, or another host has it; `fanlight traces` lists those that are there"
            );
        };
        self.print(viewer, &trace)
    }

    /// Sends a request, and prints its trace.
    async fn request(
        &self,
        viewer: &ViewerClient,
        request: request::Prepared,
    ) -> anyhow::Result<()> {
        // A host without a viewer refuses here, before the request has any effect.
        viewer.trace(&request.trace_id).await?;
        let (trace_id, sent_span) = (request.trace_id.clone(), request.span_id.clone());
        let answer = request.send().await?;
        let mut awaited = Awaited {
            id: trace_id,
            server_span: None,
            sent_span,
        };
        let mut is_sampled = true;
        if let Some(context) = answer.trace_response.as_deref()
            && let Ok((trace, span, flag)) = viewer_client::trace_context(context)
        {
            (awaited.id, awaited.server_span, is_sampled) = (trace, Some(span), flag);
        }
        self.print_answer(&answer, &awaited.id)?;
        anyhow::ensure!(
            is_sampled,
            "the host did not sample the request, so that there is no trace: \
             OTEL_TRACES_SAMPLER=parentbased_always_on samples this one"
        );
        let (trace, is_complete) = awaited.wait(viewer).await?;
        self.print(viewer, &trace)?;
        if !is_complete {
            let line = format!(
                "warning: after {} s the trace is not complete: `fanlight trace {}` shows the rest \
                 once it has arrived",
                TO_ARRIVE.as_secs(),
                awaited.id
            );
            crate::stderr::say(&line);
        }
        Ok(())
    }

    fn print_answer(&self, answer: &Answer, trace_id: &str) -> anyhow::Result<()> {
        let status = answer.status.as_u16();
        if self.json {
            let line = json!({
                "type": "response",
                "method": answer.method.as_str(),
                "url": answer.url,
                "status": status,
                "bodyBytes": answer.body_bytes,
                "durationNano": answer.taken.as_nanos().to_string(),
                "traceId": trace_id,
            });
            return Ok(terminal::print(&lines(&[line]))?);
        }
        let style = self.tree.styles.of_status(status, false);
        let line = format!(
            "{} {} {style}{}{style:#}, {} in {}\n",
            terminal::shown(answer.method.as_str(), 64),
            terminal::shown(&answer.url, 2000),
            answer.status,
            terminal::size(answer.body_bytes),
            terminal::duration(answer.taken),
        );
        Ok(terminal::print(&line)?)
    }

    fn print(&self, viewer: &ViewerClient, trace: &Trace) -> anyhow::Result<()> {
        if self.json {
            let spans = trace.spans.iter().map(|span| {
                let mut json = marked(&span.json, "span");
                json["serviceName"] = span.service.clone().into();
                json
            });
            let logs = trace.logs.iter().map(|it| marked(&it.json, "log"));
            let all: Vec<_> = spans.chain(logs).collect();
            return Ok(terminal::print(&lines(&all))?);
        }
        let Styles { dim, .. } = self.tree.styles;
        let id = terminal::shown(&trace.id, 32);
        let mut text = format!(
            "trace {id}: {}, {}, {}\n{dim}{}{dim:#}\n\n",
            count(trace.spans.len(), "span"),
            count(trace.logs.len(), "log record"),
            terminal::duration(trace.duration()),
            terminal::shown(&viewer.page_of(&id), 2000),
        );
        text.push_str(&self.tree.text(trace));
        Ok(terminal::print(&text)?)
    }
}

impl Awaited {
    /// Waits until the trace is complete, or the time is over: then it says so.
    async fn wait(&self, viewer: &ViewerClient) -> anyhow::Result<(Trace, bool)> {
        let deadline = Instant::now() + TO_ARRIVE;
        let mut found: Option<Trace> = None;
        let mut changed = Instant::now();
        loop {
            if let Some(trace) = viewer.trace(&self.id).await? {
                let size = |it: &Trace| (it.spans.len(), it.logs.len());
                if found.as_ref().map(size) != Some(size(&trace)) {
                    changed = Instant::now();
                }
                let is_whole = self.is_whole(&trace) && changed.elapsed() >= SETTLED;
                found = Some(trace);
                if is_whole {
                    break;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let Some(trace) = found else {
            anyhow::bail!(
                "trace {} did not reach the viewer in {} s: is the URL served by the host of \
                 --admin-url, and is the request sampled?",
                self.id,
                TO_ARRIVE.as_secs()
            );
        };
        let is_complete = self.is_whole(&trace);
        Ok((trace, is_complete))
    }

    /// Whether the request's own span is there, and the parent of each span.
    fn is_whole(&self, trace: &Trace) -> bool {
        let is_here = |id: &str| trace.spans.iter().any(|it| it.id == id);
        let has_server_span = match &self.server_span {
            Some(id) => is_here(id),
            None => trace.spans.iter().any(|it| it.parent == self.sent_span),
        };
        let has_parent =
            |parent: &str| parent.is_empty() || parent == self.sent_span || is_here(parent);
        has_server_span && trace.spans.iter().all(|it| has_parent(&it.parent))
    }
}

fn marked(json: &Value, kind: &str) -> Value {
    let mut json = json.clone();
    if let Some(object) = json.as_object_mut() {
        object.insert("type".to_owned(), kind.into());
    }
    json
}

fn lines(values: &[Value]) -> String {
    values
        .iter()
        .map(|value| terminal::json_line(value) + "\n")
        .collect()
}

fn count(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        _ => format!("{number} {of}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer_client::trace::Span;

    #[test]
    fn an_id_is_told_from_a_url() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id.parse(), Ok(Target::Id(id.to_owned())));
        let url = |text: &str| match text.parse() {
            Ok(Target::Url(url)) => url.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(
            url("http://127.0.0.1:8000/a?b"),
            "http://127.0.0.1:8000/a?b"
        );
        assert_eq!(url("127.0.0.1:8000/a"), "http://127.0.0.1:8000/a");
        assert_eq!(url("https://example.com"), "https://example.com/");
        for text in ["", "ftp://a/", "http://", "a b", "data:text,x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_trace_is_whole_with_the_servers_span_and_all_parents() {
        let span = |id: &str, parent: &str| Span {
            id: id.to_owned(),
            parent: parent.to_owned(),
            ..Span::default()
        };
        let trace = |spans| Trace {
            spans,
            ..Trace::default()
        };
        let awaited = |server_span: Option<&str>| Awaited {
            id: String::new(),
            server_span: server_span.map(str::to_owned),
            sent_span: "sent".to_owned(),
        };
        let named = awaited(Some("root"));
        assert!(!named.is_whole(&trace(vec![span("child", "root")])));
        let orphan = vec![span("root", "sent"), span("child", "gone")];
        assert!(!named.is_whole(&trace(orphan)));
        let whole = vec![span("root", "sent"), span("child", "root")];
        assert!(named.is_whole(&trace(whole.clone())));
        assert!(awaited(None).is_whole(&trace(whole)));
        assert!(!awaited(None).is_whole(&trace(vec![span("root", "")])));
    }
}
