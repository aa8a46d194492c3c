//! The command line: raw arguments become resolved configuration, and errors
//! become exit codes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{Admin, AdminAddress, health};
use crate::component::ComponentSlot;
use crate::config::{RequestLimits, ServerLimits};
use crate::engine::EngineConfig;
use crate::imports::GuestLimits;
use crate::server::Server;
use crate::telemetry::{Telemetry, TelemetryConfig};

/// Exit code of a run that failed.
const FAILED: u8 = 1;
/// Exit code of bad use: flags, environment, a component that cannot be served.
const BAD_USE: u8 = 2;

/// Serves WebAssembly components over HTTP and lets you see inside them.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a component
    Serve(Box<ServeArgs>),
    /// Asks a running server whether it is ready; exit code 0 says yes
    Health(HealthArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The component: a WebAssembly component that exports
    /// wasi:http/incoming-handler@0.2
    #[arg(env = "FANLIGHT_COMPONENT")]
    component: PathBuf,
    /// Where to serve it
    #[arg(long, env = "FANLIGHT_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where to answer /livez and /readyz; `off` for nowhere
    #[arg(long, env = "FANLIGHT_ADMIN", default_value = "127.0.0.1:9000")]
    admin: AdminAddress,
    /// Leave the header `traceresponse` out of answers
    #[arg(
        long,
        env = "FANLIGHT_NO_TRACE_HEADER",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    no_trace_header: bool,
    /// Where compiled code is kept between runs; `off` for nowhere
    /// [default: fanlight in the user's cache directory]
    #[arg(long, env = "FANLIGHT_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    guests: GuestArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on a request")]
struct RequestArgs {
    /// From the request's head to the component's response head; then 504
    #[arg(long, env = "FANLIGHT_REQUEST_TIMEOUT", default_value = "30s")]
    request_timeout: humantime::Duration,
    /// How long a component may go on after the last byte of its answer
    #[arg(long, env = "FANLIGHT_LINGER", default_value = "10s")]
    linger: humantime::Duration,
    /// How long a request waits for a free instance; then 503
    #[arg(long, env = "FANLIGHT_QUEUE_TIMEOUT", default_value = "1s")]
    queue_timeout: humantime::Duration,
    /// Instances that live at once
    #[arg(long, env = "FANLIGHT_MAX_INSTANCES", default_value = "5000")]
    max_instances: NonZeroU32,
    /// Memory of one instance
    #[arg(long, env = "FANLIGHT_MAX_MEMORY", default_value = "64MiB")]
    max_memory: ByteSize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on the server")]
struct ServerArgs {
    /// Connections open at once
    #[arg(long, env = "FANLIGHT_MAX_CONNECTIONS", default_value = "10000")]
    max_connections: NonZeroU32,
    /// How long a request's head may take on HTTP/1.1, and a connection idle
    #[arg(long, env = "FANLIGHT_HEADER_TIMEOUT", default_value = "10s")]
    header_timeout: humantime::Duration,
    /// How long running requests may take after SIGTERM or SIGINT
    #[arg(long, env = "FANLIGHT_SHUTDOWN_GRACE", default_value = "30s")]
    shutdown_grace: humantime::Duration,
    /// How long to go on, not ready, before accepting no more
    #[arg(long, env = "FANLIGHT_SHUTDOWN_DELAY", default_value = "0s")]
    shutdown_delay: humantime::Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on a component's telemetry")]
struct GuestArgs {
    /// Spans a request; more are not recorded
    #[arg(long, env = "FANLIGHT_MAX_SPANS", default_value = "1000")]
    max_spans: usize,
    /// Log records and printed lines a request; more are dropped
    #[arg(long, env = "FANLIGHT_MAX_LOG_RECORDS", default_value = "1000")]
    max_log_records: usize,
    /// Instruments; more are refused
    #[arg(long, env = "FANLIGHT_MAX_INSTRUMENTS", default_value = "1000")]
    max_instruments: usize,
}

#[derive(Debug, Args)]
struct HealthArgs {
    /// The admin address of the server to ask
    #[arg(
        long,
        env = "FANLIGHT_ADMIN_URL",
        default_value = "http://127.0.0.1:9000"
    )]
    admin_url: String,
}

impl Cli {
    /// Runs the command; its exit code says how it went.
    pub fn run(self) -> ExitCode {
        init_log();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return failed(&anyhow::Error::from(error), FAILED),
        };
        match self.command {
            Command::Serve(args) => runtime.block_on(args.run()),
            Command::Health(args) => match runtime.block_on(health(&args.admin_url)) {
                Ok(()) => {
                    println!("ready");
                    ExitCode::SUCCESS
                }
                Err(error) => failed(&error, FAILED),
            },
        }
    }
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(code)
}

impl ServeArgs {
    async fn run(self) -> ExitCode {
        // Each connection is a descriptor; the soft limit is often 1,024.
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
        // A component that cannot be served is said before anything is bound.
        let slot = match ComponentSlot::load(&self.component, &self.engine()) {
            Ok(slot) => Arc::new(slot),
            Err(error) => return failed(&self.named(error), BAD_USE),
        };
        let telemetry = match Telemetry::init(&TelemetryConfig::from_env(&self.service_name())) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(&error, BAD_USE),
        };
        let served = self.serve(slot, &telemetry).await;
        telemetry.shutdown().await;
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error, FAILED),
        }
    }

    async fn serve(&self, slot: Arc<ComponentSlot>, telemetry: &Telemetry) -> anyhow::Result<()> {
        let server = Server::new(
            Arc::clone(&slot),
            telemetry,
            self.request_limits(),
            self.server_limits(),
            self.guest_limits(),
        );
        let listener = bind(self.listen).await?;
        let admin = match self.admin {
            AdminAddress::Off => None,
            AdminAddress::Bind(address) => Some(bind(address).await?),
        };
        let mut signals = Signals::new()?;
        let component = slot.current();
        tracing::info!(
            component = %self.component.display(),
            version = component.version(),
            digest = component.digest(),
            "serving at http://{}",
            listener.local_addr()?
        );
        for (signal, way) in telemetry.summary() {
            tracing::info!("{signal}: {way}");
        }
        let admin = match admin {
            Some(admin) => {
                tracing::info!("admin: http://{}", admin.local_addr()?);
                Some(Admin::serve(admin, server.readiness()))
            }
            None => None,
        };
        server
            .serve(listener, async move {
                let name = signals.next().await;
                tracing::info!("{name}: draining; a second signal ends at once");
                tokio::spawn(async move {
                    signals.next().await;
                    tracing::warn!("a second signal: ended without draining");
                    std::process::exit(i32::from(FAILED));
                });
            })
            .await;
        drop(admin);
        tracing::info!("drained");
        Ok(())
    }

    /// Names the file in front of what is wrong with it.
    fn named(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<crate::component::LoadError>() {
            Some(crate::component::LoadError::Read { .. }) | None => error,
            Some(_) => error.context(self.component.display().to_string()),
        }
    }

    /// The name of a service that nobody named: its file's.
    fn service_name(&self) -> String {
        let stem = self.component.file_stem().unwrap_or_default();
        stem.to_string_lossy().replace('_', "-")
    }

    fn engine(&self) -> EngineConfig {
        EngineConfig {
            max_instances: self.requests.max_instances,
            max_memory_bytes: bytes(self.requests.max_memory),
            cache_dir: match &self.cache_dir {
                Some(directory) if directory.as_os_str() == "off" => None,
                // The engine's cache takes absolute paths alone.
                Some(directory) => std::path::absolute(directory).ok(),
                None => default_cache_dir(),
            },
        }
    }

    fn request_limits(&self) -> RequestLimits {
        let args = &self.requests;
        RequestLimits {
            request_timeout: args.request_timeout.into(),
            linger: args.linger.into(),
            queue_timeout: args.queue_timeout.into(),
            max_instances: args.max_instances,
            max_memory_bytes: bytes(args.max_memory),
            trace_header: !self.no_trace_header,
        }
    }

    fn server_limits(&self) -> ServerLimits {
        let args = &self.server;
        ServerLimits {
            max_connections: args.max_connections.get() as usize,
            header_timeout: args.header_timeout.into(),
            shutdown_grace: args.shutdown_grace.into(),
            shutdown_delay: Duration::from(args.shutdown_delay),
        }
    }

    fn guest_limits(&self) -> GuestLimits {
        GuestLimits {
            spans: self.guests.max_spans,
            log_records: self.guests.max_log_records,
            instruments: self.guests.max_instruments,
        }
    }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// `$XDG_CACHE_HOME/fanlight/compiled`, or the same below `~/.cache`.
fn default_cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match set("XDG_CACHE_HOME") {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(set("HOME")?).join(".cache"),
    };
    Some(base.join("fanlight").join("compiled"))
}

/// Starts the host's own log on stderr. The exporters and their transports
/// speak there only when asked: their trouble is told by the telemetry itself.
fn init_log() {
    let quiet = "info,opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off,\
                 opentelemetry_http=off,hyper=warn,h2=warn,tonic=warn,reqwest=warn,\
                 wasmtime_wasi_http=error";
    let asked = std::env::var("FANLIGHT_LOG")
        .ok()
        .filter(|value| !value.is_empty());
    let directives = match asked {
        Some(asked) => format!("{quiet},{asked}"),
        None => quiet.to_owned(),
    };
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(directives);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // Tests run several commands in one process; the first log serves them all.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .try_init();
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
