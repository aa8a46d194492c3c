//! The servers that are compared, each as a child on a port of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long one may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Fanlight with all its telemetry, exported.
    Fanlight,
    /// Fanlight with `OTEL_SDK_DISABLED=true`.
    Quiet,
    /// A server that does nothing else.
    Hyper,
    /// `wasmtime serve` as it comes.
    Wasmtime,
    /// `wasmtime serve` with the flags that suit instances of one request.
    WasmtimeTuned,
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanlight => "fanlight",
            Self::Quiet => "fanlight, telemetry off",
            Self::Hyper => "bare hyper",
            Self::Wasmtime => "wasmtime serve",
            Self::WasmtimeTuned => "wasmtime serve, tuned",
        }
    }
}

/// The programs and what they serve.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `fanlight`.
    pub fanlight: PathBuf,
    /// `bare-hyper` of this package.
    pub bare_hyper: PathBuf,
    /// `wasmtime`, where it is to be compared with.
    pub wasmtime: Option<PathBuf>,
    /// `oha`, for asking at a rate.
    pub oha: PathBuf,
    /// The guest `bench-usual`.
    pub usual: PathBuf,
    /// The same answers by `wasi:http` alone.
    pub plain: PathBuf,
}

/// One that serves. It is killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Serving {
    /// Starts one; `sink` is where Fanlight exports to.
    pub(crate) async fn start(
        contestant: Contestant,
        programs: &Programs,
        sink: SocketAddr,
        cache: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = match contestant {
            Contestant::Hyper => {
                let mut command = Command::new(&programs.bare_hyper);
                command.args(["--listen", &address.to_string()]);
                command
            }
            Contestant::Fanlight | Contestant::Quiet => {
                let mut command = Command::new(&programs.fanlight);
                command
                    .arg("serve")
                    .arg(&programs.usual)
                    .args(["--listen", &address.to_string(), "--admin", "off"])
                    .arg("--cache-dir")
                    .arg(cache)
                    .env("FANLIGHT_LOG", "warn");
                match contestant {
                    Contestant::Quiet => command.env("OTEL_SDK_DISABLED", "true"),
                    _ => command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{sink}")),
                };
                command
            }
            Contestant::Wasmtime | Contestant::WasmtimeTuned => {
                let wasmtime = programs.wasmtime.as_ref();
                let mut command = Command::new(wasmtime.context("no wasmtime to compare with")?);
                command.args(["serve", "--addr", &address.to_string()]);
                if contestant == Contestant::WasmtimeTuned {
                    command.args([
                        "-Opooling-memory-keep-resident=2097152",
                        "-Opooling-table-keep-resident=65536",
                        "-Opooling-pagemap-scan=auto",
                    ]);
                }
                command.arg(&programs.plain);
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", contestant.name()))?;
        let mut serving = Self { child, address };
        serving.listening(contestant).await?;
        Ok(serving)
    }

    async fn listening(&mut self, contestant: Contestant) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{} ended ({status})", contestant.name());
            }
            let waits = Instant::now() < deadline;
            anyhow::ensure!(waits, "{} does not listen", contestant.name());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The processor time that it took so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let id = self.child.id().context("it has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name before may hold anything but ends with the last bracket.
        let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
        let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
        let (user, system) = (
            ticks.next().context("no user time")??,
            ticks.next().context("no system time")??,
        );
        // USER_HZ, the unit of these fields, is 100 on every Linux there is.
        Ok(Duration::from_millis((user + system) * 10))
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn rss_bytes(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmRSS")?.trim().parse()?;
        Ok(kib * 1024)
    }
}

/// An address that was free a moment ago: not every server tells which it took.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
