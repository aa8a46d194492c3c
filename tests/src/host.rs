//! A host in the test's own process, on a port of its own.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use fanlight::{
    ComponentSlot, EngineConfig, GuestLimits, Readiness, RequestLimits, Server, ServerLimits,
    Telemetry, TelemetryConfig,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Ask;
use crate::collector::Collector;
use crate::fixture::{Fixture, target_directory};

/// What a host is started with.
pub struct TestHost {
    fixture: Fixture,
    env: Vec<(String, String)>,
    /// Bounds on a request; 64 instances unless a test says otherwise.
    pub requests: RequestLimits,
    /// Bounds on the server.
    pub server: ServerLimits,
    /// Bounds on the guest's telemetry.
    pub guests: GuestLimits,
}

impl TestHost {
    /// Serves a component, exporting nothing.
    pub fn serving(fixture: Fixture) -> Self {
        let requests = RequestLimits {
            // Each slot reserves 4 GiB of addresses, and many tests run at once.
            max_instances: NonZeroU32::MIN.saturating_add(63),
            ..RequestLimits::default()
        };
        Self {
            fixture,
            env: vec![("OTEL_SDK_DISABLED".into(), "true".into())],
            requests,
            server: ServerLimits::default(),
            guests: GuestLimits::default(),
        }
    }

    /// Exports over gRPC, at short intervals, so that tests wait less.
    #[must_use]
    pub fn exporting_to(self, collector: &Collector) -> Self {
        self.exporting(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())])
    }

    /// Exports as these variables say.
    #[must_use]
    pub fn exporting(mut self, vars: &[(&str, &str)]) -> Self {
        let quick = [
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ];
        self.env = quick
            .iter()
            .chain(vars)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self
    }

    /// Changes the bounds on a request.
    #[must_use]
    pub fn requests(mut self, change: impl FnOnce(&mut RequestLimits)) -> Self {
        change(&mut self.requests);
        self
    }

    /// Changes the bounds on the server.
    #[must_use]
    pub fn server(mut self, change: impl FnOnce(&mut ServerLimits)) -> Self {
        change(&mut self.server);
        self
    }

    /// Changes the bounds on the guest's telemetry.
    #[must_use]
    pub fn guests(mut self, change: impl FnOnce(&mut GuestLimits)) -> Self {
        change(&mut self.guests);
        self
    }

    /// Starts it.
    pub async fn start(self) -> RunningHost {
        let path = self.fixture.path();
        let engine = EngineConfig {
            max_instances: self.requests.max_instances,
            max_memory_bytes: self.requests.max_memory_bytes,
            cache_dir: Some(target_directory().join("compiled-for-tests")),
        };
        let slot = tokio::task::spawn_blocking(move || ComponentSlot::load(&path, &engine))
            .await
            .expect("loading does not panic")
            .expect("the component loads");
        let telemetry = Telemetry::init(&TelemetryConfig::from_vars(self.env, "under-test"))
            .expect("telemetry starts");
        let server = Server::new(
            Arc::new(slot),
            &telemetry,
            self.requests,
            self.server,
            self.guests,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let readiness = server.readiness();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                // A test that ends without a word stops it as well.
                let _ = stopped.await;
            };
            server.serve(listener, stopped).await;
            telemetry.shutdown().await;
        });
        RunningHost {
            address,
            readiness,
            stop: Some(stop),
            task,
        }
    }
}

/// A host that serves. It stops when it is dropped.
pub struct RunningHost {
    /// Where it serves.
    pub address: SocketAddr,
    /// Whether it says that it is ready.
    pub readiness: Readiness,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl RunningHost {
    /// A GET of `target`.
    pub fn get(&self, target: &str) -> Ask {
        Ask::get(self.address, target)
    }

    /// Tells it to drain, and goes on.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
    }

    /// Drains it and flushes its telemetry.
    pub async fn stop(mut self) {
        self.begin_stop();
        self.task.await.expect("serving does not panic");
    }
}
