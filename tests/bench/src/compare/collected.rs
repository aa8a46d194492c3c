//! With a real OpenTelemetry Collector between the server and the sink, which
//! takes a good part of the processors for itself: told, without a bar.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use super::contestant::{Other, free_address};
use super::field::{CONNECTIONS, figures};
use super::generator::{self, Asked};
use super::rounds::{RATE, Rounds};
use super::sink::{Expected, Sink};
use super::{Outcome, Plan, Programs};
use crate::process::CpuTime;
use crate::report::Check;

const SPANS_A_REQUEST: u32 = 3;
/// How long it may have spans to itself.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let Some(program) = &programs.collector else {
        outcome.check(Check::shown("with a real Collector", "there is none here"));
        return Ok(outcome);
    };
    let sink = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let config = folder.path().join("otelcol.yaml");
    std::fs::write(&config, configuration(address, sink.address())?)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config);
    let collector = Other::start(command, address, "the Collector").await?;
    let server = programs
        .fanlight
        .clone()
        .exporting_as_usual(collector.address())
        .serve(&programs.usual)
        .await?;
    let asked = Asked {
        url: format!("http://{}/", server.address),
        connections: CONNECTIONS,
        duration: plan.growth_duration,
        body: None,
    };
    let mut rounds = Rounds::default();
    let (mut requests, mut whole) = (0, 0);
    for _ in 0..plan.growth_rounds {
        sink.forget();
        let before = CpuTime::of(server.id)?;
        let answered = generator::closed(&asked, folder.path()).await?;
        let expected = Expected {
            requests: answered.requests,
            cut: answered.cut,
            spans_a_request: SPANS_A_REQUEST,
        };
        let traces = sink.wait_for(expected, PATIENCE).await?;
        let cpu = CpuTime::of(server.id)?.since(&before);
        requests += answered.requests;
        // Those that were cut are not among the requests.
        whole += traces.whole().min(answered.requests);
        let figures = figures(answered, cpu, server.rss_bytes()?);
        eprintln!("  {figures}");
        rounds.push(figures);
    }
    server.stop().await.context("fanlight")?;
    outcome.check(Check::figures("with a real Collector", &rounds, RATE));
    outcome.check(Check::shown(
        "with a real Collector: whole traces behind it",
        &format!("{whole} of {requests} requests"),
    ));
    outcome.keep("rounds", &rounds)?;
    outcome.keep("requests", requests)?;
    outcome.keep("whole_traces", whole)?;
    Ok(outcome)
}

/// Takes OTLP there, joins it to batches, and hands it on to the sink.
fn configuration(
    address: std::net::SocketAddr,
    sink: std::net::SocketAddr,
) -> anyhow::Result<String> {
    let mut text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{address}'}}}}}}}}\n\
         processors: {{batch: {{}}}}\n\
         exporters: {{otlp: {{endpoint: '{sink}', compression: none, tls: {{insecure: true}}}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}\n  pipelines:\n"
    );
    for signal in ["traces", "metrics", "logs"] {
        writeln!(
            text,
            "    {signal}: {{receivers: [otlp], processors: [batch], exporters: [otlp]}}"
        )?;
    }
    Ok(text)
}
