//! What benchmarks call: one type for each hot piece, made once and run often.
//!
//! Not part of the library's interface: `benches/` measures these. Those that need
//! no component are in `pieces`.

#[cfg(any(test, feature = "benchmarks"))]
pub(crate) mod pieces;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty};

use crate::benchmarks::pieces::{PEER, telemetry, usual_request};
pub use crate::benchmarks::pieces::{SPANS_A_ROUND, ServerSpans, TraceContext};
use crate::component::slot::{ComponentSlot, SlotError};
use crate::config::RequestLimits;
use crate::error::HandleError;
use crate::guest_api::GuestLimits;
pub use crate::guest_api::benchmarks::{AttributeConversion, SentAttributes};
use crate::http::handler::Handler;
use crate::sandbox::engine::{EngineConfig, EngineError};
use fanlight_telemetry::Telemetry;
pub use fanlight_telemetry::benchmarks::{SpanBatch, SpanEncoding};

/// Instances that live at once: one runs, and some slots have been used before.
const INSTANCES: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);

/// Whole requests without a connection: span, place, instance, guest, body.
pub struct Requests {
    handler: Handler,
    telemetry: Telemetry,
}

impl Requests {
    /// Compiles a component, and is ready to have it asked.
    ///
    /// # Errors
    /// Where the file cannot be served, or telemetry not be started.
    pub fn serving(component: &Path) -> Result<Self, SlotError> {
        let limits = RequestLimits {
            max_instances: INSTANCES,
            ..RequestLimits::default()
        };
        let engine = EngineConfig {
            max_instances: INSTANCES,
            max_memory_bytes: limits.max_memory_bytes,
            max_table_elements: limits.max_table_elements,
            max_component_bytes: 64 * 1024 * 1024,
            direct_imports: true,
            grants_calls: false,
            cache_dir: None,
        };
        let slot = Arc::new(ComponentSlot::load(component, &engine)?);
        let telemetry = telemetry().map_err(EngineError::from)?;
        Ok(Self {
            handler: Handler::new(slot, &telemetry, limits, GuestLimits::default(), None),
            telemetry,
        })
    }

    /// Asks for a target, and gives the answer's status and whole body. Belongs
    /// into a runtime.
    ///
    /// # Errors
    /// Where the body breaks off.
    pub async fn get(&self, target: &Uri) -> Result<(StatusCode, Bytes), HandleError> {
        let no_body = Empty::<Bytes>::new().map_err(no_error);
        let request = usual_request(target.clone(), no_body);
        let begun = self.handler.begin(&request, PEER);
        let answered = self.handler.handle(request, begun).await;
        let (head, body) = match answered {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        let body = body.collect().await?;
        Ok((head.status, body.to_bytes()))
    }

    /// Forgets the spans that are queued, and tells how many those were.
    pub fn discard_spans(&self) -> usize {
        self.telemetry.discard_spans()
    }
}

/// An empty body has none.
fn no_error(never: Infallible) -> wasmtime_wasi_http::Error {
    match never {}
}
