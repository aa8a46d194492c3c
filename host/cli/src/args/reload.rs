//! The flags about replacing the component.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use http::Uri;

use fanlight_server::GuestLimits;
use fanlight_server::ImportPolicy;
use fanlight_server::OutboundClient;
use fanlight_server::Probe;
use fanlight_server::RequestLimits;
use fanlight_server::Stamp;
use fanlight_telemetry::Telemetry;

use crate::args::component::FileArgs;
use crate::cli::boolean;

#[derive(Debug, Args)]
#[command(next_help_heading = "Replacing the component")]
pub(crate) struct SwapArgs {
    /// Serve COMPONENT again whenever its file changes, or PATH whenever it appears
    /// or changes; in the variable, `true` and its like mean COMPONENT [default: off]
    #[arg(
        long,
        env = "FANLIGHT_WATCH",
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    watch: Option<WatchTarget>,
    /// A path; a new component is served once it has answered a GET of it with a
    /// status from 200 to 399
    #[arg(long, env = "FANLIGHT_PROBE", value_name = "PATH", value_parser = probe_path)]
    probe: Option<Uri>,
    /// Refuse a component that imports an interface that the served one does not,
    /// whether it comes from a watched file or by the admin port
    #[arg(long, env = "FANLIGHT_DENY_NEW_IMPORTS", value_parser = boolean)]
    deny_new_imports: bool,
    #[command(flatten)]
    pub(crate) file: FileArgs,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum WatchTarget {
    /// The component itself.
    Component,
    /// Another file.
    File(PathBuf),
    /// Nothing: a variable that was set to say so.
    Nothing,
}

impl FromStr for WatchTarget {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, boolean(text)) {
            ("", _) | (_, Ok(true)) => Self::Component,
            (_, Ok(false)) => Self::Nothing,
            (path, Err(_)) => Self::File(path.into()),
        })
    }
}

/// A file to watch, and how it was when the component was read from it.
pub(crate) struct Watched {
    pub(crate) path: PathBuf,
    pub(crate) served: Option<Stamp>,
}

impl SwapArgs {
    /// Watches the component, whatever the flag says.
    pub(crate) fn watch_component(&mut self) {
        self.watch = Some(WatchTarget::Component);
    }

    /// What is to be watched, as it is before the component is read.
    pub(crate) fn watched(&self, component: &Path) -> Option<Watched> {
        match self.watch.as_ref()? {
            WatchTarget::Nothing => None,
            WatchTarget::Component => Some(Watched {
                path: component.to_owned(),
                served: Stamp::of(component),
            }),
            WatchTarget::File(path) => Some(Watched {
                path: path.clone(),
                served: None,
            }),
        }
    }

    /// How a watched file is that may be served first in place of the component: one
    /// that is there, is not too large, and needs no probe.
    pub(crate) fn takes_place(&self, watched: &Watched) -> Option<Stamp> {
        if watched.served.is_some() || self.probe.is_some() {
            return None;
        }
        // Before its size: what changes from now on is offered.
        let stamp = Stamp::of(&watched.path)?;
        let size = std::fs::metadata(&watched.path).ok()?.len();
        (size <= self.file.max_component.as_u64()).then_some(stamp)
    }

    pub(crate) fn policy(&self) -> ImportPolicy {
        match self.deny_new_imports {
            true => ImportPolicy::NoneNew,
            false => ImportPolicy::Any,
        }
    }

    pub(crate) fn probe(
        &self,
        requests: &RequestLimits,
        telemetry: &Telemetry,
        guests: GuestLimits,
        outbound: Option<Arc<OutboundClient>>,
    ) -> Option<Probe> {
        let path = self.probe.clone()?;
        Some(Probe::new(path, requests, telemetry, guests, outbound))
    }
}

/// Parses a path with, perhaps, a query.
fn probe_path(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "it is no path".to_owned())?;
    match uri.authority() {
        None if text.starts_with('/') => Ok(uri),
        _ => Err("a path begins with a slash, such as /health".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_path() {
        assert!(probe_path("/health?deep=1").is_ok());
        for text in ["", "health", "http://localhost/health", "*", "/a b"] {
            assert!(probe_path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_watch_without_a_path_is_of_the_component() {
        assert_eq!("".parse(), Ok(WatchTarget::Component));
        assert_eq!("off".parse(), Ok(WatchTarget::Nothing));
        assert_eq!("a.wasm".parse(), Ok(WatchTarget::File("a.wasm".into())));
    }
}
