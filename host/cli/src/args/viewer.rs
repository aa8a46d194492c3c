//! The flags of the viewer.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use http::Uri;

use fanlight_server::{Store, StoreConfig, StoreObserver, ViewerConfig, ViewerState};
use fanlight_telemetry::TelemetryObserver;

use crate::args::values;

#[derive(Debug, Args)]
#[command(next_help_heading = "Viewer")]
pub(crate) struct ViewerArgs {
    /// Serve the viewer at / of the admin port: recent traces, logs, metrics and the
    /// component
    #[arg(
        long,
        env = "FANLIGHT_VIEWER",
        value_name = "SWITCH",
        default_value = "on"
    )]
    viewer: Switch,
    /// The duration from which a trace is slow: the viewer keeps it longer than others
    #[arg(
        long,
        env = "FANLIGHT_SLOW_THRESHOLD",
        value_name = "DURATION",
        default_value = "1s", value_parser = values::duration)]
    slow_threshold: humantime::Duration,
    /// The address of a Jaeger that the viewer links each trace to, such as
    /// http://localhost:16686
    #[arg(long, env = "FANLIGHT_JAEGER_URL", value_name = "URL", value_parser = http_url)]
    jaeger_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl ViewerArgs {
    /// The store that the viewer shows, unless it is off.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        (self.viewer == Switch::On).then(|| {
            Arc::new(Store::new(StoreConfig {
                slow_threshold: self.slow_threshold.into(),
                ..StoreConfig::default()
            }))
        })
    }

    /// What the admin port needs of it.
    pub(crate) fn state(&self, store: Arc<Store>, serving_url: String) -> ViewerState {
        ViewerState {
            store,
            config: ViewerConfig {
                jaeger_url: self.jaeger_url.clone(),
            },
            serving_url,
        }
    }
}

/// What feeds a store.
pub(crate) fn observer(store: &Arc<Store>) -> Arc<dyn TelemetryObserver> {
    Arc::new(StoreObserver(Arc::clone(store)))
}

fn http_url(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let is_http = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    match is_http {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("an address such as http://localhost:16686 is needed".to_owned()),
    }
}
