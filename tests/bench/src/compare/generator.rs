//! The load generators: `wrk`, which asks again as soon as it has its answer,
//! and `oha`, which asks at a rate, however the server does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

/// Tells in one line what wrk measured.
const WRK_SCRIPT: &str = include_str!("wrk.lua");

/// Of wrk: as many as the machine has processors that the figures are from.
const THREADS: u32 = 2;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) connections: u32,
    /// In whole seconds.
    pub(crate) duration: Duration,
    /// What is sent by POST; a GET where there is none.
    pub(crate) body: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// How many more may have been under way when the time was over, answered
    /// by the server and counted by nobody.
    pub(crate) cut: u64,
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
    // One thread alone does not ask as fast as bare hyper answers.
    let threads = asked.connections.min(THREADS);
    let output = Command::new("wrk")
        .args([format!("-t{threads}"), format!("-c{}", asked.connections)])
        .arg(format!("-d{}s", asked.duration.as_secs()))
        .args(["--timeout", "10s", "-s"])
        .arg(&script)
        .arg(&asked.url)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run wrk: install it as your system does (`apt install wrk`)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    wrk_said(&said, asked.connections.into()).with_context(|| {
        let complained = String::from_utf8_lossy(&output.stderr);
        format!("wrk: {complained}{said}")
    })
}

/// Reads the line that the script has wrk say.
fn wrk_said(said: &str, connections: u64) -> anyhow::Result<Answered> {
    let line = said.lines().find_map(|line| line.strip_prefix("result "));
    let numbers = line.context("it told no result")?.split(' ');
    let numbers: Result<Vec<f64>, _> = numbers.map(str::parse).collect();
    let numbers = numbers.context("it told no numbers")?;
    let [requests, micros, errors, p50_us, p99_us] = numbers[..] else {
        anyhow::bail!("it told {} numbers", numbers.len());
    };
    anyhow::ensure!(requests > 0.0, "no request was answered");
    anyhow::ensure!(errors == 0.0, "{errors} of {requests} requests failed");
    Ok(Answered {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "wrk prints a count"
        )]
        requests: requests as u64,
        per_second: requests / micros * 1e6,
        p50_us,
        p99_us,
        cut: connections,
    })
}

/// Asks by oha, so many times a second. Latency counts from when a request
/// should have been sent, so that a server which stalls is not asked less.
///
/// # Errors
/// Where oha cannot be run, or one answer was not right.
pub(crate) async fn open(oha: &Path, asked: &Asked, rate: f64) -> anyhow::Result<Answered> {
    let output = Command::new(oha)
        .args(["-q", &format!("{rate:.0}")])
        .args(["-c", &asked.connections.to_string()])
        .args(["-z", &format!("{}s", asked.duration.as_secs())])
        .arg("--wait-ongoing-requests-after-deadline")
        .args(["--latency-correction", "--no-tui"])
        .args(["--output-format", "json"])
        .arg(&asked.url)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", oha.display()))?;
    oha_said(&output.stdout).with_context(|| {
        let complained = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        format!("oha: {complained}{said}")
    })
}

/// The part of oha's JSON that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OhaReport {
    summary: OhaSummary,
    latency_percentiles: OhaPercentiles,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OhaSummary {
    requests_per_sec: f64,
}

/// In seconds.
#[derive(Deserialize)]
struct OhaPercentiles {
    p50: f64,
    p99: f64,
}

fn oha_said(json: &[u8]) -> anyhow::Result<Answered> {
    let report: OhaReport = serde_json::from_slice(json).context("it told no result")?;
    let errors = report.error_distribution;
    anyhow::ensure!(errors.is_empty(), "requests failed: {errors:?}");
    let statuses = report.status_code_distribution;
    let right = statuses.get("200").copied();
    let requests = right.context("no request was answered by 200")?;
    anyhow::ensure!(statuses.len() == 1, "requests failed: {statuses:?}");
    Ok(Answered {
        requests,
        per_second: report.summary.requests_per_sec,
        p50_us: report.latency_percentiles.p50 * 1e6,
        p99_us: report.latency_percentiles.p99 * 1e6,
        // It waits for those that it has sent.
        cut: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::{Answered, oha_said, wrk_said};

    #[test]
    fn what_wrk_measured_is_in_one_line_of_what_it_says() {
        let said = "Running 2s test @ http://127.0.0.1:8000/\n  1 threads and 32 connections\n\
                    result 200000 2000000 0 310.5 900.0\n";
        let answered = Answered {
            requests: 200_000,
            per_second: 100_000.0,
            p50_us: 310.5,
            p99_us: 900.0,
            cut: 32,
        };
        assert_eq!(wrk_said(said, 32).unwrap(), answered);
    }

    #[test]
    fn a_round_of_wrk_with_one_failure_is_none() {
        assert!(wrk_said("result 200000 2000000 1 310.5 900.0", 32).is_err());
        assert!(wrk_said("result 0 2000000 0 0 0", 32).is_err());
        assert!(wrk_said("result 200000 2000000 0 310.5", 32).is_err());
        assert!(wrk_said("unable to connect", 32).is_err());
    }

    fn report(statuses: &str, errors: &str) -> String {
        format!(
            r#"{{"summary": {{"successRate": 1.0, "total": 2.0, "requestsPerSec": 1000.0}},
                "latencyPercentiles": {{"p10": 0.0001, "p50": 0.0002, "p99": 0.0015}},
                "statusCodeDistribution": {statuses}, "errorDistribution": {errors}}}"#
        )
    }

    #[test]
    fn what_oha_measured_is_told_in_microseconds() {
        let answered = oha_said(report(r#"{"200": 2000}"#, "{}").as_bytes()).unwrap();
        assert_eq!(answered.requests, 2_000);
        assert_eq!(answered.per_second, 1_000.0);
        assert_eq!((answered.p50_us, answered.p99_us), (200.0, 1_500.0));
        assert_eq!(answered.cut, 0);
    }

    #[test]
    fn a_round_of_oha_with_one_failure_is_none() {
        let failed = [
            report(r#"{"200": 2000, "503": 1}"#, "{}"),
            report(r#"{"503": 1}"#, "{}"),
            report(r#"{"200": 2000}"#, r#"{"connection closed": 1}"#),
            "not found".to_owned(),
        ];
        for json in failed {
            assert!(oha_said(json.as_bytes()).is_err(), "{json}");
        }
    }
}
