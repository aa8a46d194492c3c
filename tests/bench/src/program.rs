//! The server: the real program as a child, on ports of its own.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::process::status_bytes;

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A `fanlight serve` that was not started yet.
#[derive(Clone, Debug)]
pub struct Server {
    program: PathBuf,
    cache_dir: OsString,
    flags: Vec<OsString>,
    env: Vec<(&'static str, String)>,
}

impl Server {
    /// The program at this path, with a cache of compiled code.
    #[must_use]
    pub fn new(program: &Path, cache_dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            cache_dir: cache_dir.into(),
            flags: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Compiles anew each time.
    pub(crate) fn without_cache(mut self) -> Self {
        self.cache_dir = "off".into();
        self
    }

    /// More flags.
    pub(crate) fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(OsString::from));
        self
    }

    /// Exports to this address over gRPC, at short intervals.
    pub(crate) fn exporting_to(mut self, endpoint: SocketAddr) -> Self {
        self.env = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}")),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000".into()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000".into()),
        ];
        self
    }

    /// Exports to this address over gRPC, and leaves the rest as it comes.
    pub(crate) fn exporting_as_usual(mut self, endpoint: SocketAddr) -> Self {
        self.env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}"))];
        self
    }

    /// Makes its telemetry, and exports none of it.
    pub(crate) fn exporting_nothing(mut self) -> Self {
        let signals = [
            "OTEL_TRACES_EXPORTER",
            "OTEL_METRICS_EXPORTER",
            "OTEL_LOGS_EXPORTER",
        ];
        self.env = signals.map(|it| (it, "none".to_owned())).to_vec();
        self
    }

    /// Hands its spans on so often.
    pub(crate) fn exporting_every(mut self, delay: Duration) -> Self {
        let milliseconds = delay.as_millis().to_string();
        self.env.push(("OTEL_BSP_SCHEDULE_DELAY", milliseconds));
        self
    }

    /// Starts it, and waits until it says where it serves.
    pub(crate) async fn serve(self, component: &Path) -> anyhow::Result<Serving> {
        let mut child = self
            .command(component, ANY_PORT)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().context("stderr is piped")?;
        tokio::spawn(keep_lines(BufReader::new(stderr), Arc::clone(&said)));
        let address = address_after("serving at http://", &said, &mut child).await?;
        let admin = address_after("admin: http://", &said, &mut child).await?;
        let id = child.id().context("it ended at once")?;
        Ok(Serving {
            child,
            said,
            id,
            address,
            admin,
        })
    }

    /// The command that serves there, which ends with whoever runs it.
    pub(crate) fn command(&self, component: &Path, listen: SocketAddr) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("OTEL_") || text.starts_with("FANLIGHT_") {
                command.env_remove(&name);
            }
        }
        if self.env.is_empty() {
            command.env("OTEL_SDK_DISABLED", "true");
        }
        command
            .arg("serve")
            .arg(component)
            .args(["--listen", &listen.to_string()])
            .args(["--admin", &ANY_PORT.to_string()])
            .arg("--cache-dir")
            .arg(&self.cache_dir)
            .args(&self.flags)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Keeps the last of what it says: a server under attack says much.
async fn keep_lines(mut lines: BufReader<tokio::process::ChildStderr>, said: Arc<Mutex<String>>) {
    const KEPT_BYTES: usize = 64 * 1024;
    let mut line = String::new();
    while lines
        .read_line(&mut line)
        .await
        .is_ok_and(|bytes| bytes > 0)
    {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() > KEPT_BYTES {
            let half = said.floor_char_boundary(KEPT_BYTES / 2);
            said.drain(..half);
        }
        said.push_str(&line);
        line.clear();
    }
}

async fn address_after(
    words: &str,
    said: &Mutex<String>,
    child: &mut Child,
) -> anyhow::Result<SocketAddr> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = text
            .split_once(words)
            .and_then(|(_, rest)| rest.split_once(char::is_whitespace))
            .and_then(|(address, _)| address.parse().ok());
        if let Some(address) = address {
            return Ok(address);
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the server ended ({status}): {text}");
        }
        anyhow::ensure!(Instant::now() < deadline, "no {words:?} in {text:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server that serves. It is killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    said: Arc<Mutex<String>>,
    pub(crate) id: u32,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Serving {
    /// The memory that it holds now.
    pub(crate) fn rss_bytes(&self) -> anyhow::Result<u64> {
        status_bytes(self.id, "VmRSS:")
    }

    /// The most memory that it ever held.
    pub(crate) fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        status_bytes(self.id, "VmHWM:")
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.id))?.count())
    }

    /// What the descriptors are: sockets are told by their number alone.
    pub(crate) fn open_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id))?;
        // One may be closed while it is looked at.
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let mut links: Vec<_> = links.collect();
        links.sort();
        Ok(links)
    }

    /// The last lines that it said.
    pub(crate) fn last_lines(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = said.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Tells it to drain, and demands that it ends well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let sent = Command::new("kill")
            .args(["-s", "TERM", &self.id.to_string()])
            .status()
            .await?;
        anyhow::ensure!(sent.success(), "the server is gone: {}", self.last_lines());
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("it does not end within {PATIENCE:?}"))??;
        anyhow::ensure!(
            status.success(),
            "it ended badly ({status}): {}",
            self.last_lines()
        );
        Ok(())
    }
}
