//! `fanlight logs`: the log records of a running host, and those that come.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::BAD_USE;
use crate::cli::failed;
use crate::commands::client::ClientArgs;
use crate::span_tree;
use crate::terminal::{self, Styles};
use crate::viewer_client::trace::{self, LogRecord};
use crate::viewer_client::{self, ViewerClient};

/// The wait before the host is asked again that does not answer, or has ended a stream.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The records that are asked for when some are new: at most as many as the viewer gives.
const MAX_NEW: &str = "20000";
/// What a line shows of a body and of a value.
const MAX_BODY_BYTES: usize = 4096;
const MAX_VALUE_BYTES: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on with the records that come, until the command is interrupted; a host that
    /// is restarted is followed on
    #[arg(short, long)]
    follow: bool,
    /// The last records that are there already
    #[arg(short = 'n', long, value_name = "N", default_value = "100")]
    lines: u16,
    /// Records of this severity and above
    #[arg(long, value_name = "SEVERITY", value_enum)]
    severity: Option<Severity>,
    /// Records with this text in body or attributes, whatever its case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Records of this trace
    #[arg(long, value_name = "ID", value_parser = id)]
    trace: Option<String>,
    /// Print one JSON object a line, for programs: records as OTLP has them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Where a reader of log records stands.
struct Reader {
    viewer: ViewerClient,
    severity: &'static str,
    text: String,
    trace: String,
    styles: Styles,
    json: bool,
    /// The last record that was read, and the store that numbers it.
    last: u64,
    store: String,
}

impl LogsArgs {
    pub(crate) async fn run(self) -> ExitCode {
        let admin = match self.client.client() {
            Ok(admin) => admin,
            Err(error) => return failed(&error, BAD_USE),
        };
        let reader = Reader {
            viewer: ViewerClient::new(admin),
            severity: self.severity.map_or("", Severity::as_str),
            text: self.text.unwrap_or_default(),
            trace: self.trace.unwrap_or_default(),
            styles: Styles::of_stdout(),
            json: self.json,
            last: 0,
            store: String::new(),
        };
        let lines = self.lines.to_string();
        super::ended(match self.follow {
            true => reader.follow(&lines).await,
            false => reader.once(&lines).await,
        })
    }
}

impl Reader {
    async fn once(mut self, lines: &str) -> anyhow::Result<()> {
        let records = self.read(lines, Left::Old).await?;
        if records.is_empty() && !self.json {
            crate::stderr::say("no log record matches");
        }
        self.print(&records)
    }

    /// Prints what is there, and then what comes. The stream of events says when to ask;
    /// it is opened first, so that no record falls between the two.
    async fn follow(mut self, lines: &str) -> anyhow::Result<()> {
        let mut events = self.viewer.events(None).await?;
        let records = self.read(lines, Left::Old).await?;
        self.print(&records)?;
        let mut last_event = None;
        loop {
            while let Some(new) = events.next().await {
                last_event = new.iter().rev().find_map(|it| it.id.clone()).or(last_event);
                // What was missed may have been log records.
                if new.iter().any(|it| matches!(&*it.kind, "logs" | "missed")) {
                    match self.read(MAX_NEW, Left::New).await {
                        Ok(records) => self.print(&records)?,
                        // The stream ends with the host.
                        Err(_) => break,
                    }
                }
            }
            events = self.connect_again(last_event.as_deref()).await;
            if let Ok(records) = self.read(MAX_NEW, Left::New).await {
                self.print(&records)?;
            }
        }
    }

    /// Opens the stream of events again, and waits for a host that does not answer.
    async fn connect_again(
        &self,
        last_event: Option<&str>,
    ) -> crate::viewer_client::events::Events {
        let mut is_said = false;
        loop {
            match self.viewer.events(last_event).await {
                Ok(events) => return events,
                Err(error) if !is_said => {
                    is_said = true;
                    crate::stderr::say(&format!("warning: {error:#}; asking again each second"));
                }
                Err(_) => {}
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Reads the records after the last one that was read.
    async fn read(&mut self, limit: &str, left: Left) -> anyhow::Result<Vec<LogRecord>> {
        let mut found = self.ask(limit).await?;
        if !self.store.is_empty() && found.store != self.store {
            // Another start of the host: its first record is new.
            self.last = 0;
            found = self.ask(limit).await?;
        }
        if found.has_more && left == Left::New {
            crate::stderr::say("warning: more records came than the viewer gives at a time");
        }
        (self.last, self.store) = (found.last, found.store);
        Ok(found.records)
    }

    async fn ask(&self, limit: &str) -> anyhow::Result<viewer_client::Logs> {
        let since = self.last.to_string();
        let query = [
            ("since", since.as_str()),
            ("limit", limit),
            ("severity", self.severity),
            ("q", &self.text),
            ("trace", &self.trace),
        ];
        self.viewer.logs(&query).await
    }

    fn print(&self, records: &[LogRecord]) -> anyhow::Result<()> {
        let text: String = records
            .iter()
            .map(|record| match self.json {
                true => terminal::json_line(&record.json) + "\n",
                false => line(record, &self.styles) + "\n",
            })
            .collect();
        Ok(terminal::print(&text)?)
    }
}

/// What records stand for that an answer leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Those that were there before; they were not asked for.
    Old,
    New,
}

/// A record in one line.
fn line(record: &LogRecord, styles: &Styles) -> String {
    let Styles { dim, .. } = styles;
    let style = styles.of_severity(record.severity);
    let mut line = format!(
        "{dim}{}{dim:#} {style}{:<5}{style:#} {}",
        terminal::timestamp(trace::time(record.time)),
        record.level(),
        terminal::shown(span_tree::body(record).trim_end(), MAX_BODY_BYTES),
    );
    let mut others = String::new();
    for it in &record.attributes {
        let (key, value) = (
            terminal::shown(&it.key, MAX_VALUE_BYTES),
            terminal::shown(&it.value, MAX_VALUE_BYTES),
        );
        others.push_str(&format!("  {key}={value}"));
    }
    if !record.trace_id.is_empty() {
        others.push_str(&format!(
            "  trace={}",
            terminal::shown(&record.trace_id, 32)
        ));
    }
    line.push_str(&format!("{dim}{others}{dim:#}"));
    line
}

fn id(text: &str) -> Result<String, String> {
    viewer_client::trace_id(text)
        .ok_or_else(|| "the id of a trace is 32 hexadecimal digits".to_owned())
}
