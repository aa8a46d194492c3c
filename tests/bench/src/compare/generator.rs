//! The load generators: `wrk`, which asks again as soon as it has its answer,
//! and `oha`, which asks at a rate, however the server does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

/// Tells in one line what wrk measured.
const WRK_SCRIPT: &str = include_str!("wrk.lua");

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) connections: u32,
    pub(crate) duration: Duration,
    /// What is sent by POST; a GET where there is none.
    pub(crate) body: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Asks by wrk, in a closed loop.
///
/// # Errors
/// Where wrk is not there, or one answer was not right.
pub(crate) async fn closed(asked: &Asked, folder: &Path) -> anyhow::Result<Answered> {
    let script = folder.join("wrk.lua");
    let mut text = String::from(WRK_SCRIPT);
    if let Some(body) = &asked.body {
        text.push_str(&format!(
            "local file = assert(io.open({body:?}, \"rb\"))\nwrk.method = \"POST\"\n\
             wrk.body = file:read(\"*a\")\nwrk.headers[\"content-type\"] = \"application/json\"\n"
        ));
    }
    std::fs::write(&script, text).context("cannot write wrk's script")?;
    // One thread: what it takes of the processors the server does not have.
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{}", asked.connections)])
        .arg(format!("-d{}s", asked.duration.as_secs()))
        .args(["--timeout", "10s", "-s"])
        .arg(&script)
        .arg(&asked.url)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run wrk: install it as your system does (`apt install wrk`)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("result "));
    let line = line.with_context(|| format!("wrk said {said}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|it| it.parse().ok()).collect();
    let [requests, micros, errors, p50, p99] = numbers[..] else {
        anyhow::bail!("wrk said {line:?}");
    };
    anyhow::ensure!(errors == 0.0, "{errors} of {requests} requests failed");
    Ok(Answered {
        requests: requests as u64,
        per_second: requests / micros * 1e6,
        p50: Duration::from_secs_f64(p50 / 1e6),
        p99: Duration::from_secs_f64(p99 / 1e6),
    })
}

/// Asks by oha, so many times a second.
///
/// # Errors
/// Where oha cannot be run, or one answer was not right.
pub(crate) async fn open(oha: &Path, asked: &Asked, rate: u64) -> anyhow::Result<Answered> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        summary: Summary,
        latency_percentiles: Percentiles,
        status_code_distribution: std::collections::BTreeMap<String, u64>,
        error_distribution: std::collections::BTreeMap<String, u64>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        requests_per_sec: f64,
    }
    #[derive(Deserialize)]
    struct Percentiles {
        p50: f64,
        p99: f64,
    }

    let output = Command::new(oha)
        .args([
            "-q",
            &rate.to_string(),
            "-c",
            &asked.connections.to_string(),
        ])
        .args(["-z", &format!("{}s", asked.duration.as_secs())])
        // Counted from when a request should have been sent.
        .args([
            "--latency-correction",
            "--no-tui",
            "--output-format",
            "json",
        ])
        .arg(&asked.url)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", oha.display()))?;
    let report: Report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("oha said {}", String::from_utf8_lossy(&output.stdout)))?;
    let right = report.status_code_distribution.get("200").copied();
    let requests = right.context("no request was answered by 200")?;
    let all: u64 = report.status_code_distribution.values().sum();
    anyhow::ensure!(requests == all, "{} requests failed", all - requests);
    // Those under way when the time was over are not failures.
    let mut errors = report.error_distribution;
    errors.remove("aborted due to deadline");
    anyhow::ensure!(errors.is_empty(), "requests failed: {errors:?}");
    Ok(Answered {
        requests,
        per_second: report.summary.requests_per_sec,
        p50: Duration::from_secs_f64(report.latency_percentiles.p50),
        p99: Duration::from_secs_f64(report.latency_percentiles.p99),
    })
}
