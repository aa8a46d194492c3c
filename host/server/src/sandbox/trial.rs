//! The instance that is made of a component before it is served.
//!
//! A server that is ready answers requests, so it has made one instance: a component
//! whose start traps, or that there is no memory for, is refused when it is loaded
//! and not by each request. What the guest says meanwhile goes nowhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::config::{MemoryBounds, RequestLimits};
use crate::error::HandleError;
use crate::guest_api::{GuestLimits, GuestSignals, GuestTelemetry};
use crate::request::context::RequestContext;
use crate::request::metrics::ServerMetrics;
use crate::request::peer::{Peer, Scheme};
use crate::request::tracer::ServerTracer;
use crate::sandbox::call::try_instance;
use crate::sandbox::load_error::LoadError;
use crate::sandbox::scheduler::FairScheduler;
use crate::sandbox::store::State;
use fanlight_telemetry::sanitize::Printable;
use fanlight_telemetry::{Telemetry, TelemetryConfig, TelemetryError};

/// How long an instance may take to start: as long as a request may by default.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes instances that nothing is asked of.
pub(crate) struct Trial {
    bounds: MemoryBounds,
    scheduler: Arc<FairScheduler>,
    signals: Arc<GuestSignals>,
    tracer: Arc<ServerTracer>,
}

impl Trial {
    /// Makes one for an engine's components.
    ///
    /// # Errors
    /// Where threads cannot be started.
    pub(crate) fn new(
        bounds: MemoryBounds,
        scheduler: Arc<FairScheduler>,
    ) -> Result<Self, TelemetryError> {
        let disabled = [("OTEL_SDK_DISABLED".to_owned(), "true".to_owned())];
        // Its runtime ends with it: nothing is exported.
        let telemetry = Telemetry::init(&TelemetryConfig::from_vars(disabled, "trial"))?;
        let nowhere = SdkMeterProvider::builder().build();
        let metrics = Arc::new(ServerMetrics::new(&nowhere.meter(""), None));
        let limits = RequestLimits::default();
        Ok(Self {
            bounds,
            scheduler,
            signals: Arc::new(GuestSignals::new(&telemetry, GuestLimits::default())),
            tracer: Arc::new(ServerTracer::new(&telemetry, &limits, metrics)),
        })
    }

    /// Makes an instance and drops it. Holds the calling thread, which runs no future.
    ///
    /// # Errors
    /// Where the instance traps as it starts or takes too long, or there is no memory
    /// for it.
    pub(crate) fn run(&self, pre: &ProxyPre<State>) -> Result<(), LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| LoadError::Instantiate(error.to_string()))?;
        runtime.block_on(self.make_instance(pre))
    }

    async fn make_instance(&self, pre: &ProxyPre<State>) -> Result<(), LoadError> {
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            scheme: Scheme::Http,
        };
        let request = RequestContext::start(&self.tracer, &Request::new(()), peer);
        let telemetry = GuestTelemetry::new(Arc::clone(&self.signals), request);
        let state = State::new(telemetry, self.scheduler.run_handle().ticks(), self.bounds);
        let reason = match tokio::time::timeout(TIMEOUT, try_instance(pre, state)).await {
            Ok(Ok(())) => return Ok(()),
            // All slots are taken by requests, which tells nothing of this component.
            Ok(Err(HandleError::Instantiate(error)))
                if error.0.is::<PoolConcurrencyLimitError>() =>
            {
                return Ok(());
            }
            Ok(Err(HandleError::Instantiate(error))) => format!("{:#}", error.0),
            Ok(Err(HandleError::Trap(trap))) => trap.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not start within {TIMEOUT:?}"),
        };
        Err(LoadError::Instantiate(Printable(&reason).to_string()))
    }
}
