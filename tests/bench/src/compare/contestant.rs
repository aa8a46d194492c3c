//! The servers that are compared, each as a child on a port of its own.

use std::io::{Read, Seek};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::{CpuTime, status_bytes};
use crate::program::{self, Server};

/// How long one may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// A server that does nothing else.
    Hyper,
    /// One that makes an instance for each request, and does nothing else.
    Instance,
    /// Fanlight with all its telemetry, exported.
    Fanlight,
    /// The same without its viewer.
    Unviewed,
    /// Fanlight with `OTEL_SDK_DISABLED=true`.
    Quiet,
    /// `wasmtime serve` as it comes.
    Wasmtime,
    /// `wasmtime serve` with the flags that suit instances of one request.
    WasmtimeTuned,
}

/// What `wasmtime serve` is told where it is tuned. It serves each request of a
/// component like this by a fresh instance in any case, and takes instances from
/// a pool; what these change is how the memory of one is made new. Others that
/// were tried made it no faster: more warm slots, tables made at once, decommits
/// in batches, more buffered chunks, no 0.3.
const WASMTIME_FLAGS: [&str; 2] = [
    // As much as Fanlight keeps: more than the guest touches.
    "-Opooling-memory-keep-resident=131072",
    "-Opooling-table-keep-resident=65536",
];

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "bare hyper",
            Self::Instance => "bare instance",
            Self::Fanlight => "fanlight",
            Self::Unviewed => "fanlight, viewer off",
            Self::Quiet => "fanlight, telemetry off",
            Self::Wasmtime => "wasmtime serve",
            Self::WasmtimeTuned => "wasmtime serve, tuned",
        }
    }
}

/// The programs and what they serve.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `fanlight`, with a cache of compiled code.
    pub fanlight: Server,
    /// `bare-hyper` of this package, where it is to be compared with.
    pub bare_hyper: Option<PathBuf>,
    /// `bare-instance`, where it is to be compared with.
    pub bare_instance: Option<PathBuf>,
    /// `wasmtime`, where it is to be compared with.
    pub wasmtime: Option<PathBuf>,
    /// `oha`, for asking at a rate.
    pub oha: PathBuf,
    /// The OpenTelemetry Collector, where there is one.
    pub collector: Option<PathBuf>,
    /// The guest `bench-usual`.
    pub usual: PathBuf,
    /// The same answers by `wasi:http` alone.
    pub plain: PathBuf,
    /// The guest `bench-varied`.
    pub varied: PathBuf,
}

impl Programs {
    /// Those of these contestants that there is a program for.
    pub(crate) fn present(&self, contestants: &[Contestant]) -> Vec<Contestant> {
        let is_present = |contestant: &Contestant| match contestant {
            Contestant::Fanlight | Contestant::Unviewed | Contestant::Quiet => true,
            Contestant::Hyper => self.bare_hyper.is_some(),
            Contestant::Instance => self.bare_instance.is_some(),
            Contestant::Wasmtime | Contestant::WasmtimeTuned => self.wasmtime.is_some(),
        };
        contestants.iter().copied().filter(is_present).collect()
    }
}

/// One that serves. It is killed when it is dropped.
pub(crate) enum Serving {
    Fanlight(program::Serving),
    Other(Other),
}

/// A server that is not ours.
pub(crate) struct Other {
    _child: Child,
    id: u32,
    address: SocketAddr,
}

impl Serving {
    /// Starts one; `sink` is where Fanlight exports to.
    pub(crate) async fn start(
        contestant: Contestant,
        programs: &Programs,
        sink: SocketAddr,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let command = match contestant {
            Contestant::Fanlight => {
                let server = programs.fanlight.clone().exporting_as_usual(sink);
                return Ok(Self::Fanlight(server.serve(&programs.usual).await?));
            }
            Contestant::Unviewed => {
                let server = programs.fanlight.clone().exporting_as_usual(sink);
                let server = server.flags(["--viewer", "off"]);
                return Ok(Self::Fanlight(server.serve(&programs.usual).await?));
            }
            Contestant::Quiet => {
                let server = programs.fanlight.clone();
                return Ok(Self::Fanlight(server.serve(&programs.usual).await?));
            }
            Contestant::Hyper => listening(programs.bare_hyper.as_ref(), address)?,
            Contestant::Instance => listening(programs.bare_instance.as_ref(), address)?,
            Contestant::Wasmtime | Contestant::WasmtimeTuned => {
                let program = programs.wasmtime.as_ref();
                let mut command = Command::new(program.context("no wasmtime")?);
                command.args(["serve", "--addr", &address.to_string()]);
                if contestant == Contestant::WasmtimeTuned {
                    command.args(WASMTIME_FLAGS);
                }
                command.arg(&programs.plain);
                command
            }
        };
        Ok(Self::Other(
            Other::start(command, address, contestant.name()).await?,
        ))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Fanlight(serving) => serving.address,
            Self::Other(other) => other.address,
        }
    }

    /// Where its own numbers are.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        match self {
            Self::Fanlight(serving) => Some(serving.admin),
            Self::Other(_) => None,
        }
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of(self.id())
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn rss_bytes(&self) -> anyhow::Result<u64> {
        status_bytes(self.id(), "VmRSS:")
    }

    fn id(&self) -> u32 {
        match self {
            Self::Fanlight(serving) => serving.id,
            Self::Other(other) => other.id,
        }
    }
}

impl Other {
    /// Starts it, and waits until it listens there.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        name: &str,
    ) -> anyhow::Result<Self> {
        // What it says goes to a file, for it may say more than a pipe holds.
        let mut said = tempfile::tempfile()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = child.try_wait()? {
                let mut text = String::new();
                said.rewind()?;
                said.read_to_string(&mut text)?;
                anyhow::bail!("{name} ended ({status}): {text}");
            }
            anyhow::ensure!(Instant::now() < deadline, "{name} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let id = child.id().with_context(|| format!("{name} ended"))?;
        Ok(Self {
            _child: child,
            id,
            address,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A program of our own, told where to listen.
fn listening(program: Option<&PathBuf>, address: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(program.context("it is not to be compared with")?);
    command.args(["--listen", &address.to_string()]);
    Ok(command)
}

/// An address that was free a moment ago: not every server tells which it took.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What a program says by `--version`; nothing where it says nothing.
pub(crate) fn version(program: &Path) -> String {
    let output = std::process::Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
