//! A host in the test's own process, on a port of its own.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use fanlight_runner::client::Answer;
use fanlight_server::{
    Access, Admin, AdminState, AdminToken, ComponentSlot, EngineConfig, GuestLimits, ImportPolicy,
    OutboundClient, OutboundLimits, OutboundPolicy, Probe, Readiness, Reloader, Renewal,
    RequestLimits, Server, ServerLimits, Store, StoreObserver, Tls, TlsFiles, ViewerConfig,
    ViewerState, Watch,
};
use fanlight_telemetry::{Telemetry, TelemetryConfig, TelemetryObserver};
use http::Method;
use serde_json::Value;
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
    /// What a new component has to answer before it is served.
    pub probe: Option<String>,
    /// What a new component may import.
    pub import_policy: ImportPolicy,
    /// The token of the admin port.
    pub admin_token: Option<String>,
    /// The largest component, in bytes.
    pub max_component_bytes: usize,
    /// A file to serve whenever it appears or changes.
    pub watch: Option<PathBuf>,
    /// The certificate of a host that serves HTTPS.
    pub tls: Option<TlsFiles>,
    /// What the viewer shows, where the host has one.
    pub viewer: Option<Arc<Store>>,
    /// What guests may call, within which bounds, and the certificates that are trusted.
    pub outbound: Option<(OutboundPolicy, OutboundLimits, Option<PathBuf>)>,
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
            probe: None,
            import_policy: ImportPolicy::Any,
            admin_token: None,
            max_component_bytes: 64 * 1024 * 1024,
            watch: None,
            tls: None,
            viewer: None,
            outbound: None,
        }
    }

    /// Lets the guest call what these rules name.
    #[must_use]
    pub fn calling(mut self, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|it| it.parse().expect("a rule"));
        self.outbound = Some((OutboundPolicy::new(rules), OutboundLimits::default(), None));
        self
    }

    /// Has the viewer on the admin port.
    #[must_use]
    pub fn viewed(mut self) -> Self {
        self.viewer = Some(Arc::default());
        self
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

    /// Changes what has no method of its own.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Starts it.
    pub async fn start(self) -> RunningHost {
        let path = self.fixture.path();
        let engine = EngineConfig {
            max_instances: self.requests.max_instances,
            max_memory_bytes: self.requests.max_memory_bytes,
            max_table_elements: self.requests.max_table_elements,
            max_component_bytes: self.max_component_bytes,
            direct_imports: true,
            grants_calls: self.outbound.is_some(),
            cache_dir: Some(target_directory().join("compiled-for-tests")),
        };
        let slot = tokio::task::spawn_blocking(move || ComponentSlot::load(&path, &engine))
            .await
            .expect("loading does not panic")
            .expect("the component loads");
        let observer = self.viewer.clone().map(|store| {
            let observer: Arc<dyn TelemetryObserver> = Arc::new(StoreObserver(store));
            observer
        });
        let config = TelemetryConfig::from_vars(self.env, "under-test");
        let telemetry = Telemetry::init_observed(&config, observer).expect("telemetry starts");
        let slot = Arc::new(slot);
        let outbound = self.outbound.map(|(policy, limits, ca_file)| {
            let client = OutboundClient::new(policy, limits, ca_file.as_deref(), &telemetry);
            Arc::new(client.expect("certificates"))
        });
        let probe = self.probe.map(|path| {
            let path = path.parse().expect("a path");
            Probe::new(
                path,
                &self.requests,
                &telemetry,
                self.guests,
                outbound.clone(),
            )
        });
        let reloader = Reloader::new(Arc::clone(&slot), &telemetry, probe, self.import_policy);
        let reloader = Arc::new(reloader);
        let tls = self
            .tls
            .map(|files| Arc::new(Tls::load(files).expect("a certificate")));
        let server = Server::new(
            slot,
            &telemetry,
            self.requests,
            self.server,
            self.guests,
            outbound,
        )
        .with_tls(tls.clone());
        let renewal = tls.map(Renewal::start);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let readiness = server.readiness();
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin = admin_listener.local_addr().expect("it is bound");
        let token = self.admin_token.as_deref();
        let token = token.map(|text| AdminToken::new(text).expect("a token"));
        let admin_task = Admin::serve(
            admin_listener,
            AdminState {
                readiness: readiness.clone(),
                reloader: Arc::clone(&reloader),
                metrics: telemetry.prometheus(),
                access: Access::new(admin, token).expect("it is on loopback"),
                viewer: self.viewer.map(|store| ViewerState {
                    store,
                    config: ViewerConfig::default(),
                    serving_url: format!("http://{address}"),
                }),
            },
        );
        let watch = self.watch.map(|path| Watch::start(path, None, reloader));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                // A test that ends without a word stops it as well.
                let _ = stopped.await;
            };
            server.serve(listener, stopped).await;
            drop((admin_task, watch, renewal));
            telemetry.shutdown().await;
        });
        RunningHost {
            address,
            admin,
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
    /// Where its admin port is.
    pub admin: SocketAddr,
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

    /// Asks its admin port for a target.
    pub fn ask_admin(&self, method: Method, target: &str) -> Ask {
        Ask::get(self.admin, target).method(method)
    }

    /// Puts a component on its admin port.
    pub async fn put(&self, component: impl Into<Bytes>) -> Answer {
        let put = self.ask_admin(Method::PUT, "/component");
        put.body(component).send().await
    }

    /// Has it go back to the previous component.
    pub async fn roll_back(&self) -> Answer {
        self.ask_admin(Method::POST, "/component/rollback")
            .send()
            .await
    }

    /// What `GET /component` says.
    pub async fn component(&self) -> Value {
        let answer = self.ask_admin(Method::GET, "/component").send().await;
        assert_eq!(answer.status, 200);
        answer.json().expect("it is JSON")
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
