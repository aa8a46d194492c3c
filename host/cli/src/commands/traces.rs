//! `fanlight traces`: the recent traces of a running host.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::BAD_USE;
use crate::cli::failed;
use crate::commands::client::ClientArgs;
use crate::terminal::{self, Styles};
use crate::viewer_client::ViewerClient;
use crate::viewer_client::trace::{self, Trace};

/// What a line shows of a name.
const MAX_NAME_BYTES: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct TracesArgs {
    /// Those in which a span failed (`error`), or whose response had this status, such as
    /// 404
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<String>,
    /// Those with a span that took this long or longer, such as 250ms
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<humantime::Duration>,
    /// Those with a span of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Those with a span of this name, such as 'GET /users/{id}'
    #[arg(long, value_name = "NAME")]
    span: Option<String>,
    /// Those with a span that has this attribute; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// Those that began no longer ago than this, such as 10m
    #[arg(long, value_name = "DURATION")]
    since: Option<humantime::Duration>,
    /// The most traces
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1500))]
    limit: u16,
    /// Print one JSON object a line, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl TracesArgs {
    pub(crate) async fn run(self) -> ExitCode {
        let query = self.query();
        let is_json = self.json;
        match self.client.client() {
            Ok(admin) => super::ended(print(&ViewerClient::new(admin), &query, is_json).await),
            Err(error) => failed(&error, BAD_USE),
        }
    }

    /// The search as Jaeger's API has it.
    fn query(&self) -> Vec<(&'static str, String)> {
        let now = SystemTime::now();
        let since = self.since.map(|it| now.checked_sub(it.into()));
        let since = since.flatten().unwrap_or(SystemTime::UNIX_EPOCH);
        let time = |time| humantime::format_rfc3339_nanos(time).to_string();
        let mut attributes = Map::new();
        match self.status.as_deref() {
            None => {}
            Some("error") => {
                attributes.insert("error".to_owned(), "true".into());
            }
            Some(code) => {
                attributes.insert("http.response.status_code".to_owned(), code.into());
            }
        }
        let own = self.attribute.iter().cloned();
        attributes.extend(own.map(|(key, value)| (key, Value::from(value))));
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => Value::from(attributes).to_string(),
        };
        let min_duration = self.min_duration.map(Duration::from);
        let min_duration = min_duration.map(|it| format!("{}ns", it.as_nanos()));
        vec![
            ("query.start_time_min", time(since)),
            // Clocks of two machines differ a little.
            (
                "query.start_time_max",
                time(now + Duration::from_secs(3600)),
            ),
            ("query.num_traces", self.limit.to_string()),
            (
                "query.service_name",
                self.service.clone().unwrap_or_default(),
            ),
            (
                "query.operation_name",
                self.span.clone().unwrap_or_default(),
            ),
            ("query.duration_min", min_duration.unwrap_or_default()),
            ("query.attributes", attributes),
        ]
    }
}

async fn print(
    viewer: &ViewerClient,
    query: &[(&'static str, String)],
    is_json: bool,
) -> anyhow::Result<()> {
    let query: Vec<_> = query.iter().map(|(key, it)| (*key, it.as_str())).collect();
    let traces = viewer.traces(&query).await?;
    if traces.is_empty() && !is_json {
        crate::stderr::say("no trace matches");
    }
    let styles = Styles::of_stdout();
    let text: String = traces
        .iter()
        .map(|trace| match is_json {
            true => terminal::json_line(&object(trace)) + "\n",
            false => line(trace, &styles) + "\n",
        })
        .collect();
    Ok(terminal::print(&text)?)
}

/// A trace in one line.
fn line(trace: &Trace, styles: &Styles) -> String {
    let Styles { dim, error, .. } = styles;
    let entry = trace.entry();
    let status = entry.and_then(|it| it.attribute("http.response.status_code"));
    let status = terminal::shown(status.unwrap_or("-"), 8);
    let style = styles.of_status(
        status.parse().unwrap_or(0),
        entry.is_some_and(|it| it.is_error),
    );
    let name = terminal::shown(entry.map_or("", |it| &it.name), MAX_NAME_BYTES);
    let mut line = format!(
        "{dim}{}{dim:#}  {style}{status:>3}{style:#} {:>8}  {:>4} {}  {}  {name}",
        terminal::timestamp(trace::time(trace.start())),
        terminal::duration(trace.duration()),
        trace.spans.len(),
        if trace.spans.len() == 1 {
            "span "
        } else {
            "spans"
        },
        terminal::shown(&trace.id, 32),
    );
    if trace.errors() > 0 {
        let word = entry.and_then(|it| it.attribute("error.type"));
        let word = terminal::shown(word.unwrap_or("error"), 64);
        line.push_str(&format!("  {error}{word}{error:#}"));
    }
    line
}

fn object(trace: &Trace) -> Value {
    let entry = trace.entry();
    let attribute = |key| entry.and_then(|it| it.attribute(key));
    let status: Option<u16> = attribute("http.response.status_code").and_then(|it| it.parse().ok());
    json!({
        "traceId": trace.id,
        "name": entry.map(|it| &it.name),
        "service": entry.map(|it| &it.service),
        "method": attribute("http.request.method"),
        "route": attribute("http.route"),
        "path": attribute("url.path"),
        "status": status,
        "errorType": attribute("error.type"),
        "startTimeUnixNano": trace.start().to_string(),
        "durationNano": trace.duration().as_nanos().to_string(),
        "spans": trace.spans.len(),
        "errors": trace.errors(),
    })
}

fn status(text: &str) -> Result<String, String> {
    let is_code = text.len() == 3 && text.parse::<u16>().is_ok_and(|it| it >= 100);
    match is_code || text == "error" {
        true => Ok(text.to_owned()),
        false => Err("expected `error`, or a status such as 404".to_owned()),
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as order.id=7".to_owned()),
    }
}
