//! The paths of the admin port.

use fanlight_viewer::Viewer;
use http::Method;

/// What the admin port can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Livez,
    Readyz,
    Metrics,
    Component,
    Rollback,
    /// A page of the viewer, a part of one, or its API.
    Viewer,
}

impl Route {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Livez),
            "/readyz" => Some(Self::Readyz),
            "/metrics" => Some(Self::Metrics),
            "/component" => Some(Self::Component),
            "/component/rollback" => Some(Self::Rollback),
            _ if Viewer::serves(path) => Some(Self::Viewer),
            _ => None,
        }
    }

    /// The methods that it takes, as `Allow` lists them.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Livez | Self::Readyz | Self::Metrics => "GET, HEAD",
            Self::Component => "GET, HEAD, PUT",
            Self::Rollback => "POST",
            // The viewer answers for its paths itself.
            Self::Viewer => "",
        }
    }

    pub(crate) fn takes(self, method: &Method) -> bool {
        self.allow().split(", ").any(|taken| taken == method)
    }
}
