//! The course of a trial: health, endpoints, load, traces. Goes on after a
//! difference, so that one run tells them all; stops where nothing answers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::base_url::BaseUrl;
use crate::client::{Answer, Client};
use crate::expected::{self, Endpoint};
use crate::jaeger::{Jaeger, Trace};
use crate::load::{Latencies, Load};
use crate::report::{Report, millis};
use crate::span;
use crate::traceresponse::TraceResponse;

/// Spans leave the server in batches, every 5 seconds by default.
const TRACES_WITHIN: Duration = Duration::from_secs(20);
/// More lines of the same would bury the first ones.
const MAX_DIFFERENCES: usize = 20;

/// What to try, and where.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The service.
    pub url: BaseUrl,
    /// The load to put on it.
    pub load: Load,
    /// Where to ask for the traces; without it they are not compared.
    pub jaeger: Option<BaseUrl>,
    /// Where a person sees the traces.
    pub jaeger_page: BaseUrl,
}

impl Trial {
    /// Runs it and writes the report; true when everything is as expected.
    ///
    /// # Errors
    /// When the service or Jaeger is not there.
    pub async fn run(&self, mut report: Report<'_>) -> anyhow::Result<bool> {
        let endpoints = expected::endpoints();
        let mut asked = Vec::new();

        self.try_health(&mut report).await?;
        self.try_endpoints(&endpoints, &mut report, &mut asked)
            .await;
        self.try_load(&endpoints, &mut report, &mut asked).await?;
        match &self.jaeger {
            Some(url) => {
                let jaeger = Jaeger::new(url.clone());
                self.compare_traces(&jaeger, &asked, &mut report).await?;
            }
            None => self.link_traces(&asked, &mut report),
        }
        Ok(report.verdict())
    }

    async fn try_health(&self, report: &mut Report<'_>) -> anyhow::Result<()> {
        report.section(format_args!("Health of {}", self.url));
        let health = expected::health();
        let answer = match health.ask(&Client::new(), &self.url).await {
            Ok(answer) => answer,
            Err(error) => bail!(
                "no service answers at {}: {error:#}\n\
                 Start the demo with `cargo xtask run` or `docker compose up --build`, or name \
                 another place with --base-url.",
                self.url
            ),
        };
        let differences = health.differences(&answer);
        report.check(line(&health, Some(&answer)), &differences);
        if !differences.is_empty() {
            bail!(
                "what answers at {} is not the demo, or not healthy",
                self.url
            );
        }
        Ok(())
    }

    async fn try_endpoints<'e>(
        &self,
        endpoints: &'e [Endpoint],
        report: &mut Report<'_>,
        asked: &mut Vec<Asked<'e>>,
    ) {
        report.section("Endpoints");
        let client = Client::new();
        for endpoint in endpoints {
            match endpoint.ask(&client, &self.url).await {
                Ok(answer) => {
                    report.check(
                        line(endpoint, Some(&answer)),
                        &endpoint.differences(&answer),
                    );
                    asked.push(Asked {
                        endpoint,
                        trace: answer.trace(),
                        in_load: false,
                    });
                }
                Err(error) => report.check(line(endpoint, None), &[format!("{error:#}")]),
            }
        }
    }

    async fn try_load<'e>(
        &self,
        endpoints: &'e [Endpoint],
        report: &mut Report<'_>,
        asked: &mut Vec<Asked<'e>>,
    ) -> anyhow::Result<()> {
        let Load { requests, workers } = self.load;
        report.section(format_args!(
            "Load: {requests} requests by {workers} workers"
        ));
        let mix: Vec<&Endpoint> = endpoints.iter().filter(|it| it.in_load).collect();
        let owned: Vec<Endpoint> = mix.iter().copied().cloned().collect();

        let bar = ProgressBar::new(requests.get().into());
        if let Ok(style) = ProgressStyle::with_template("  {bar:40} {pos}/{len}  {elapsed}") {
            bar.set_style(style);
        }
        let ticking = bar.clone();
        let result = self
            .load
            .put(&self.url, &owned, move || ticking.inc(1))
            .await?;
        bar.finish_and_clear();

        let mut differences = Vec::new();
        let mut latencies = Vec::new();
        for request in result.requests {
            let endpoint = mix[request.endpoint];
            match request.answer {
                Ok(answer) => {
                    latencies.push(answer.latency);
                    let found = endpoint.differences(&answer);
                    differences.extend(found.iter().map(|it| format!("{}: {it}", endpoint.path)));
                    asked.push(Asked {
                        endpoint,
                        trace: answer.trace(),
                        in_load: true,
                    });
                }
                Err(error) => differences.push(format!("{}: {error:#}", endpoint.path)),
            }
        }
        let seconds = result.took.as_secs_f64();
        let rate = f64::from(requests.get()) / seconds.max(f64::EPSILON);
        report.check(
            format_args!("{requests} answers in {seconds:.1} s, {rate:.0} a second"),
            &shortened(differences),
        );
        let latencies: Latencies = latencies.into_iter().collect();
        for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
            if let Some(latency) = latencies.percentile(percent) {
                report.note(format_args!("      {name} {}", millis(latency)));
            }
        }
        Ok(())
    }

    async fn compare_traces(
        &self,
        jaeger: &Jaeger,
        asked: &[Asked<'_>],
        report: &mut Report<'_>,
    ) -> anyhow::Result<()> {
        report.section(format_args!("Traces in {}", self.jaeger_page));
        let deadline = Instant::now() + TRACES_WITHIN;
        let mut service = None;
        for asked in asked.iter().filter(|it| !it.in_load) {
            let (trace, differences) = asked.compare(jaeger, deadline).await?;
            let Endpoint { method, path, .. } = asked.endpoint;
            report.check(
                format_args!("{:<24}{}", format!("{method} {path}"), self.link(asked)),
                &differences,
            );
            for line in span::draw(&trace.spans) {
                report.note(format_args!("        {line}"));
            }
            service = service.or(Some(trace.service).filter(|name| !name.is_empty()));
        }
        let mut differences = Vec::new();
        let mut spans = BTreeMap::new();
        for asked in asked.iter().filter(|it| it.in_load) {
            let (trace, found) = asked.compare(jaeger, deadline).await?;
            differences.extend(found.iter().map(|it| format!("{}: {it}", self.link(asked))));
            *spans.entry(trace.spans.len()).or_insert(0_usize) += 1;
        }
        let total: usize = spans.iter().map(|(spans, traces)| spans * traces).sum();
        let traces: usize = spans.values().sum();
        report.check(
            format_args!("{traces} traces of the load, {total} spans"),
            &shortened(differences),
        );
        if let Some(service) = service {
            let page = self.jaeger_page.join(&format!("/search?service={service}"));
            report.section(format_args!("See them all: {page}"));
        }
        Ok(())
    }

    fn link_traces(&self, asked: &[Asked<'_>], report: &mut Report<'_>) {
        report.section("Traces, if Jaeger runs there (with --jaeger URL they are compared)");
        for asked in asked.iter().filter(|it| !it.in_load && it.trace.is_ok()) {
            let Endpoint { method, path, .. } = asked.endpoint;
            report.note(format_args!(
                "{:<24}{}",
                format!("{method} {path}"),
                self.link(asked)
            ));
        }
    }

    fn link(&self, asked: &Asked<'_>) -> String {
        match &asked.trace {
            Ok(trace) => self.jaeger_page.join(&format!("/trace/{}", trace.trace_id)),
            Err(_) => "-".to_owned(),
        }
    }
}

/// A request that was answered, and how its answer names its trace.
struct Asked<'e> {
    endpoint: &'e Endpoint,
    trace: anyhow::Result<TraceResponse>,
    in_load: bool,
}

impl Asked<'_> {
    async fn compare(
        &self,
        jaeger: &Jaeger,
        deadline: Instant,
    ) -> anyhow::Result<(Trace, Vec<String>)> {
        let named = match &self.trace {
            Ok(named) => named,
            Err(error) => return Ok((Trace::default(), vec![format!("{error:#}")])),
        };
        if !named.sampled {
            let unsampled = "it was not sampled: set OTEL_TRACES_SAMPLER=always_on".to_owned();
            return Ok((Trace::default(), vec![unsampled]));
        }
        let tree = &self.endpoint.tree;
        let Some(trace) = jaeger
            .trace_of(&named.trace_id, tree.count(), deadline)
            .await?
        else {
            let within = TRACES_WITHIN.as_secs();
            let missing = format!("the trace did not arrive within {within} s");
            return Ok((Trace::default(), vec![missing]));
        };
        let mut differences = tree.differences(&trace.spans, None);
        if !trace
            .spans
            .iter()
            .any(|it| it.span_id == named.span_id && it.name == tree.name())
        {
            differences.push(format!("{} is not the server span's id", named.span_id));
        }
        Ok((trace, differences))
    }
}

fn line(endpoint: &Endpoint, answer: Option<&Answer>) -> String {
    let asked = format!("{} {}", endpoint.method, endpoint.path);
    match answer {
        None => asked,
        Some(answer) => format!(
            "{asked:<24}{} {}  {}",
            answer.status,
            millis(answer.latency),
            endpoint.summary(answer)
        ),
    }
}

fn shortened(mut differences: Vec<String>) -> Vec<String> {
    if differences.len() > MAX_DIFFERENCES {
        let more = differences.len() - MAX_DIFFERENCES;
        differences.truncate(MAX_DIFFERENCES);
        differences.push(format!("and {more} more"));
    }
    differences
}
