//! The settings of the viewer.

/// What a [`Viewer`](crate::Viewer) shows beside the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerConfig {
    /// The address of a Jaeger's page that traces are linked to, such as
    /// `http://localhost:16686`.
    pub jaeger_url: Option<String>,
}
