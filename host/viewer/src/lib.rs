//! The viewer that is built into Fanlight: recent traces and log records in memory, their
//! pages, and Jaeger's query API.
//!
//! The host feeds a [`Store`] beside the export of the same telemetry, and answers
//! requests on its admin port by [`Viewer::respond`]. Nothing here is called by a request
//! to the component, and nothing knows the host's server: what pages show of the host
//! comes from a [`HostStatus`].
//!
//! Modules use those below them, and none above: `viewer`; `pages`; `jaeger`; `otlp_json`;
//! `query`; `model`; `store`; `samples` and `body`; then `events`, `status` and the rest.

mod assets;
mod body;
mod config;
mod events;
mod jaeger;
mod model;
mod otlp_json;
mod pages;
mod params;
mod query;
mod samples;
mod status;
mod store;
mod value;
mod viewer;
mod wire;

pub use crate::body::Body;
pub use crate::config::ViewerConfig;
pub use crate::status::{
    Access, ComponentStatus, ComponentVersion, Histogram, HostStatus, Import, Instrument,
    MetricsStatus, Point, PointValue, SwapOutcome, SwapRecord,
};
pub use crate::store::{Store, StoreConfig, StoreCounts};
pub use crate::viewer::Viewer;
