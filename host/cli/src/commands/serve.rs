//! `fanlight serve`.

pub(crate) mod request_log;
mod start_lines;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use crate::args::auth::TokenArgs;
use crate::args::headers::HeaderArgs;
use crate::args::limits::{GuestArgs, RequestArgs, ServerArgs};
use crate::args::log::LogArgs;
use crate::args::outbound::OutboundArgs;
use crate::args::reload::{SwapArgs, Watched};
use crate::args::tls::TlsArgs;
use crate::args::values::{self, reachable};
use crate::args::viewer::{self, ViewerArgs};
use crate::cli::boolean;
use crate::cli::failed;
use crate::cli::{BAD_USE, FAILED};
use crate::commands::dev::Builder;
use crate::commands::serve::request_log::RequestLog;
use crate::help;
use crate::log::LogFormat;
use crate::signals::{Hangups, Signals, ignore_others};
use crate::stderr;
use fanlight_server::EngineConfig;
use fanlight_server::LoadError;
use fanlight_server::Reloader;
use fanlight_server::RequestLimits;
use fanlight_server::RequestObserver;
use fanlight_server::Server;
use fanlight_server::SlotError;
use fanlight_server::Store;
use fanlight_server::Watch;
use fanlight_server::{Access, Admin, AdminAddress, AdminState, PrometheusListener};
use fanlight_server::{ComponentSlot, LoadedComponent};
use fanlight_server::{Renewal, Tls};
use fanlight_telemetry::{HostLog, RECORD_TARGET, ServiceIdentity, Telemetry, TelemetryConfig};

#[derive(Debug, Args)]
#[command(after_long_help = help::SERVE)]
pub(crate) struct ServeArgs {
    /// The component: a WebAssembly component that exports
    /// wasi:http/incoming-handler@0.2
    #[arg(env = "FANLIGHT_COMPONENT")]
    component: PathBuf,
    /// The configuration file: flags as keys, in TOML [default: fanlight.toml in the
    /// working directory, if it exists]
    #[arg(long, env = "FANLIGHT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to serve the component at
    #[arg(
        long,
        env = "FANLIGHT_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8000", value_parser = values::address)]
    listen: SocketAddr,
    /// The address of the admin port, which serves /livez, /readyz, /metrics and
    /// /component; `off` disables it
    #[arg(
        long,
        env = "FANLIGHT_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9000", value_parser = values::admin_address)]
    admin: AdminAddress,
    #[command(flatten)]
    token: TokenArgs,
    /// Serve /metrics to clients without the token
    #[arg(
        long,
        env = "FANLIGHT_METRICS_PUBLIC",
        value_parser = boolean
    )]
    metrics_public: bool,
    /// Leave the header `traceresponse` out of responses
    #[arg(
        long,
        env = "FANLIGHT_NO_TRACE_HEADER",
        value_parser = boolean
    )]
    no_trace_header: bool,
    /// Keep the table through which a component's imports are called: making an
    /// instance takes longer, some code that computes runs a little faster
    #[arg(
        long,
        env = "FANLIGHT_NO_DIRECT_IMPORTS",
        value_parser = boolean
    )]
    no_direct_imports: bool,
    /// The folder that keeps compiled code between runs; `off` for none
    /// [default: fanlight in the user's cache directory]
    #[arg(long, env = "FANLIGHT_CACHE_DIR", value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    viewer: ViewerArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    outbound: OutboundArgs,
    #[command(flatten)]
    swaps: SwapArgs,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    guests: GuestArgs,
    /// What builds the component anew while it is served.
    #[arg(skip)]
    builder: Option<Builder>,
}

/// What the admin port is made of.
struct AdminPort {
    address: SocketAddr,
    access: Access,
    /// What the viewer shows, unless it is off.
    store: Option<Arc<Store>>,
}

impl ServeArgs {
    /// The operand.
    pub(crate) fn component(&self) -> &Path {
        &self.component
    }

    /// Serves `component` and what `builder` makes of it.
    pub(crate) fn develop(&mut self, component: PathBuf, builder: Builder) {
        self.component = component;
        self.swaps.watch_component();
        self.builder = Some(builder);
    }

    pub(crate) async fn run(mut self, log: &HostLog) -> ExitCode {
        if let Err(error) = ignore_others() {
            return failed(&error.into(), FAILED);
        }
        // Each connection is a descriptor; the soft limit is often 1,024.
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
        let token = match self.token.token() {
            Ok(token) => token,
            Err(error) => return failed(&error, BAD_USE),
        };
        let admin = match self.admin {
            AdminAddress::Off => None,
            AdminAddress::Bind(address) => match Access::new(address, token) {
                Ok(access) => Some(AdminPort {
                    address,
                    access: match self.metrics_public {
                        true => access.with_public_metrics(),
                        false => access,
                    },
                    store: self.viewer.store(),
                }),
                Err(error) => return failed(&error.into(), BAD_USE),
            },
        };
        let tls = match self.tls.tls() {
            Ok(tls) => tls,
            Err(error) => return failed(&error, BAD_USE),
        };
        let captured_headers = match self.headers.captured() {
            Ok(captured) => captured,
            Err(error) => return failed(&error.into(), BAD_USE),
        };
        let requests = RequestLimits {
            trace_header: !self.no_trace_header,
            trusted_proxies: self.headers.trusted_proxies(),
            captured_headers,
            ..self.requests.limits()
        };
        // Seen before it is read: what changes from now on is offered.
        let mut watch = self.swaps.watched(&self.component);
        // A component that cannot be served is said before anything is bound.
        let loading = start_lines::Compiling::of(&self.component);
        let slot = match self.load(watch.as_mut()) {
            Ok(slot) => Arc::new(slot),
            Err(error) => return failed(&self.named(error), BAD_USE),
        };
        drop(loading);
        let mut config = TelemetryConfig::from_env(self.service(&slot.current()));
        // Without an address no client could read it.
        config.prometheus &= self.admin != AdminAddress::Off || config.prometheus_address.is_some();
        let store = admin.as_ref().and_then(|admin| admin.store.as_ref());
        let observer = store.map(viewer::observer);
        let telemetry = match Telemetry::init_observed(&config, observer) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(&error.into(), BAD_USE),
        };
        log.connect(telemetry.host_logger());
        let served = self
            .serve(slot, &telemetry, requests, tls, admin, watch)
            .await;
        // Said before flushing, which may take a while where no backend listens.
        let code = match &served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(target: RECORD_TARGET, "{error:#}");
                failed(error, FAILED)
            }
        };
        log.close();
        telemetry.shutdown().await;
        if served.is_ok() {
            // The last line: flushing may have its own to say.
            tracing::info!("drained");
        }
        code
    }

    async fn serve(
        &mut self,
        slot: Arc<ComponentSlot>,
        telemetry: &Telemetry,
        requests: RequestLimits,
        tls: Option<Arc<Tls>>,
        admin: Option<AdminPort>,
        watch: Option<Watched>,
    ) -> anyhow::Result<()> {
        let guests = self.guests.limits();
        let outbound = self.outbound.client(telemetry)?;
        let probe = self
            .swaps
            .probe(&requests, telemetry, guests, outbound.clone());
        let server = Server::new(
            Arc::clone(&slot),
            telemetry,
            requests,
            self.server.limits(),
            guests,
            outbound,
        )
        .with_tls(tls.clone())
        .with_observer(self.request_log());
        let listener = bind("--listen", self.listen)?;
        let admin = match admin {
            None => None,
            Some(admin) => Some((bind("--admin", admin.address)?, admin)),
        };
        let scrapes = match (telemetry.prometheus_address(), telemetry.prometheus()) {
            (Some((host, port)), Some(metrics)) => {
                let listener = TcpListener::bind((host, port)).await;
                let listener = listener
                    .with_context(|| format!("cannot listen on {host}:{port} for Prometheus"))?;
                Some((listener, metrics))
            }
            _ => None,
        };
        let mut signals = Signals::new()?;
        let _hangups = Hangups::heed(tls.clone())?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let _renewal = tls.map(Renewal::start);
        let serving_url = format!("{scheme}://{}", reachable(listener.local_addr()?));
        if let Some(config) = &self.config {
            tracing::info!("configuration: {}", config.display());
        }
        let component = slot.current();
        tracing::info!(
            component = %self.component.display(),
            version = component.version(),
            digest = component.digest(),
            "serving at {scheme}://{}",
            listener.local_addr()?
        );
        tracing::info!("{}", start_lines::imports(component.imported()));
        // Held, it would count as a request on the first component.
        drop(component);
        let policy = self.swaps.policy();
        let reloader = Arc::new(Reloader::new(slot, telemetry, probe, policy));
        let admin = match admin {
            Some((listener, AdminPort { access, store, .. })) => {
                let address = listener.local_addr()?;
                tracing::info!("admin: http://{address}");
                let viewer = store.map(|store| {
                    tracing::info!("viewer: http://{}/", reachable(address));
                    self.viewer.state(store, serving_url)
                });
                let state = AdminState {
                    readiness: server.readiness(),
                    reloader: Arc::clone(&reloader),
                    metrics: telemetry.prometheus(),
                    access,
                    viewer,
                };
                Some(Admin::serve(listener, state))
            }
            None => None,
        };
        telemetry.log_destinations();
        let scrapes = match scrapes {
            Some((listener, metrics)) => {
                let address = listener.local_addr()?;
                tracing::info!("metrics: http://{address}/metrics (Prometheus)");
                Some(PrometheusListener::serve(listener, metrics))
            }
            None => None,
        };
        let watch = watch.map(|Watched { path, served }| {
            tracing::info!("watching {}", path.display());
            Watch::start(path, served, Arc::clone(&reloader))
        });
        let builder = self.builder.take();
        let building = builder.map(|it| it.start(&self.component, reloader));
        server
            .serve(listener, async move {
                let name = signals.next().await;
                let first = Instant::now();
                tracing::info!("{name}: draining; a second signal ends at once");
                // A component that is swapped in from now on would serve no request.
                drop(watch);
                if let Some(building) = building {
                    building.stop().await;
                }
                tokio::spawn(async move {
                    signals.insists(first).await;
                    tracing::warn!("a second signal: ended without draining");
                    stderr::end();
                    std::process::exit(i32::from(FAILED));
                });
            })
            .await;
        drop((admin, scrapes));
        Ok(())
    }

    /// Loads what is served first: COMPONENT, or a watched file that is there to take its
    /// place, so that a restart serves no request by COMPONENT. A watched file that
    /// cannot be served is offered, and so refused, once the server is up.
    fn load(&mut self, watch: Option<&mut Watched>) -> Result<ComponentSlot, SlotError> {
        let engine = self.engine();
        if let Some(watched) = watch
            && let Some(stamp) = self.swaps.takes_place(watched)
            && let Ok(slot) = ComponentSlot::load(&watched.path, &engine)
        {
            watched.served = Some(stamp);
            self.component.clone_from(&watched.path);
            return Ok(slot);
        }
        ComponentSlot::load(&self.component, &engine)
    }

    /// The form of the log.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log.log_format
    }

    /// What writes a line for each request, if it is wanted.
    fn request_log(&self) -> Option<Arc<dyn RequestObserver>> {
        let log = |format| -> Arc<dyn RequestObserver> { Arc::new(RequestLog::new(format)) };
        let is_wanted = self.log.logs_requests();
        is_wanted.then(|| log(self.log_format()))
    }

    /// Names the file in front of what is wrong with it.
    fn named(&self, error: SlotError) -> anyhow::Error {
        match error {
            SlotError::Engine(_) | SlotError::Load(LoadError::Read { .. }) => error.into(),
            SlotError::Load(_) => {
                anyhow::Error::from(error).context(self.component.display().to_string())
            }
        }
    }

    /// What the service is where the environment does not say: what the
    /// component calls itself, or else its file's name.
    fn service(&self, component: &LoadedComponent) -> ServiceIdentity {
        let file_name = || {
            let stem = self.component.file_stem().unwrap_or_default();
            stem.to_string_lossy().replace('_', "-")
        };
        let name = component.claimed_name().map(str::to_owned);
        ServiceIdentity {
            name: name.unwrap_or_else(file_name),
            version: component.claimed_version().map(str::to_owned),
        }
    }

    fn engine(&self) -> EngineConfig {
        let component = &self.requests.component;
        let engine = component.engine(&self.swaps.file, !self.no_direct_imports);
        EngineConfig {
            grants_calls: self.outbound.grants_calls(),
            cache_dir: match &self.cache_dir {
                Some(directory) if directory.as_os_str() == "off" => None,
                // The engine's cache takes absolute paths alone.
                Some(directory) => std::path::absolute(directory).ok(),
                None => default_cache_dir(),
            },
            ..engine
        }
    }
}

/// Binds the address of a flag, which the error names: it chooses another one.
fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    fanlight_server::listen(address)
        .with_context(|| format!("cannot listen on {address} (choose another address by {flag})"))
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
