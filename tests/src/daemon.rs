//! A real backend as a program: started with a configuration of the test's own,
//! asked until it is healthy, gone with its owner.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use fanlight_runner::base_url::BaseUrl;
use fanlight_runner::client::Client;
use http::Method;
use tempfile::TempDir;
use tokio::time::Instant;

/// It is up within two seconds; a busy machine takes longer.
const UP_WITHIN: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Another process may take a port between its choice and its use.
const ATTEMPTS: usize = 3;

/// A running program. Ends when it is dropped, also by a test that fails; a
/// `static` is never dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: Child,
    /// The configuration and the log.
    directory: TempDir,
}

impl Daemon {
    /// Starts the program that the variable names, with the configuration that
    /// `configured` makes of free ports; gives it back with the ports once
    /// `/status` at the last of them says that it is well. `None` where the
    /// variable is not set.
    ///
    /// # Errors
    /// When it does not start, with the end of what it said.
    pub(crate) async fn start<const PORTS: usize>(
        variable: &str,
        configured: impl Fn(&[u16; PORTS]) -> String,
    ) -> anyhow::Result<Option<(Self, [u16; PORTS])>> {
        let Some(program) = std::env::var_os(variable).filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        let mut tried = Self::try_start(program.as_ref(), &configured).await;
        for _ in 1..ATTEMPTS {
            if tried.is_ok() {
                break;
            }
            tried = Self::try_start(program.as_ref(), &configured).await;
        }
        tried.map(Some)
    }

    async fn try_start<const PORTS: usize>(
        program: &Path,
        configured: impl Fn(&[u16; PORTS]) -> String,
    ) -> anyhow::Result<(Self, [u16; PORTS])> {
        let ports = free_ports()?;
        let directory = tempfile::tempdir().context("no directory to run in")?;
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, configured(&ports)).context("cannot write the configuration")?;
        let log = File::create(directory.path().join("log")).context("no log")?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("no log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut daemon = Self {
            program: child,
            directory,
        };
        let [.., health] = ports[..] else {
            bail!("a program without a port cannot be asked");
        };
        daemon.healthy(health).await?;
        Ok((daemon, ports))
    }

    async fn healthy(&mut self, port: u16) -> anyhow::Result<()> {
        let health: BaseUrl = format!("http://127.0.0.1:{port}").parse()?;
        let client = Client::new();
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if let Some(status) = self.program.try_wait().context("it cannot be waited for")? {
                bail!("it ended at once ({status}):\n{}", self.said());
            }
            match client.send(&Method::GET, &health.join("/status")).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if Instant::now() >= deadline => {
                    bail!("it is not up after {UP_WITHIN:?}:\n{}", self.said());
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Gives the end of its log.
    pub(crate) fn said(&self) -> String {
        const LINES: usize = 10;
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It holds nothing worth an orderly end. One that has ended already cannot
        // be killed, which is as well.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn free_ports<const PORTS: usize>() -> anyhow::Result<[u16; PORTS]> {
    // All are held until all are chosen, so that none is chosen twice.
    let mut held = Vec::with_capacity(PORTS);
    let mut ports = [0; PORTS];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
