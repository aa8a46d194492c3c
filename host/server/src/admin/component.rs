//! `/component`: what is served, and its replacement.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::admin::responses::{self, Problem};
use crate::component::import_policy::ImportPolicy;
use crate::component::outcome::{Concluded, Refusal, ReloadOutcome};
use crate::component::reload::{Offer, Reloader};
use crate::component::slot::InUse;
use crate::component::source::ComponentSource;
use crate::component::swap_error::SwapError;
use crate::http::body::drain::DrainOnDrop;
use crate::sandbox::inspection::changes::Changes;
use fanlight_telemetry::propagation::{TRACERESPONSE, format_traceparent, trace_context};

/// Uploads read at once: each may hold as much memory as a component may have.
const MAX_UPLOADS: usize = 4;
/// The time that an upload may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Permits for uploads.
pub(crate) fn uploads() -> Semaphore {
    Semaphore::new(MAX_UPLOADS)
}

/// `GET /component`.
pub(crate) fn get(reloader: &Reloader) -> Response<Full<Bytes>> {
    responses::json(StatusCode::OK, &View::of(reloader))
}

/// `PUT /component`.
pub(crate) async fn put(
    request: Request<DrainOnDrop<Incoming>>,
    reloader: &Reloader,
    uploads: &Semaphore,
) -> Response<Full<Bytes>> {
    let Ok(permit) = uploads.try_acquire() else {
        return responses::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Other components are being uploaded",
        );
    };
    let max_bytes = reloader.max_bytes();
    let asked_by = trace_context::extract(request.headers());
    let Some(policy) = policy(request.uri().query()) else {
        return responses::problem(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "The query may have deny-new-imports, with the value true or false, and nothing else",
        );
    };
    if request.body().size_hint().lower() > max_bytes as u64 {
        return too_large(max_bytes);
    }
    let body = read(Limited::new(request.into_body(), max_bytes));
    let bytes = match tokio::time::timeout(UPLOAD_TIMEOUT, body).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(max_bytes),
        Ok(Err(_)) => {
            return responses::problem(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "The upload ended early",
            );
        }
        Err(_) => {
            return responses::problem(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The upload took too long",
            );
        }
    };
    drop(permit);
    let offer = Offer {
        component: ComponentSource::Upload(bytes),
        policy,
        asked_by,
    };
    answer(reloader.offer(offer).await, reloader)
}

/// What the client lets the component import: `deny-new-imports` in the query. None for
/// an unknown parameter: a misspelled one would let through what the client wants
/// refused.
fn policy(query: Option<&str>) -> Option<ImportPolicy> {
    let mut policy = ImportPolicy::Any;
    for parameter in query.unwrap_or_default().split('&') {
        match parameter {
            "" | "deny-new-imports=false" => {}
            "deny-new-imports" | "deny-new-imports=true" => policy = ImportPolicy::NoneNew,
            _ => return None,
        }
    }
    Some(policy)
}

/// Reads a body into one piece: kept in the chunks that it comes in, it could
/// take many times its size.
async fn read(mut body: Limited<DrainOnDrop<Incoming>>) -> Result<Bytes, BoxError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// `POST /component/rollback`.
pub(crate) fn roll_back(headers: &HeaderMap, reloader: &Reloader) -> Response<Full<Bytes>> {
    answer(
        reloader.roll_back(trace_context::extract(headers)),
        reloader,
    )
}

fn answer(concluded: Concluded, reloader: &Reloader) -> Response<Full<Bytes>> {
    let trace = concluded.trace.as_ref();
    let header = trace.and_then(format_traceparent);
    let mut response = match concluded.swapped {
        Ok(swapped) => {
            let ReloadOutcome {
                outcome,
                now,
                changes,
            } = swapped;
            // It counts as a user of the component while it stands.
            drop(now);
            let view = View {
                outcome: Some(outcome.as_str()),
                changes: Some(changes),
                ..View::of(reloader)
            };
            responses::json(StatusCode::OK, &view)
        }
        Err(error) => refused(&error, trace.map(|trace| trace.trace_id().to_string())),
    };
    if let Some(header) = header {
        response.headers_mut().insert(&TRACERESPONSE, header);
    }
    response
}

fn refused(error: &SwapError, trace_id: Option<String>) -> Response<Full<Bytes>> {
    let (status, name, title) = match error {
        SwapError::Refused(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "refused",
            "The component cannot be served",
        ),
        SwapError::NewImports(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "new_imports",
            "The component imports what the served one does not",
        ),
        SwapError::Superseded => (
            StatusCode::CONFLICT,
            "superseded",
            "A newer component was offered before this one was served",
        ),
        SwapError::NothingBefore => (
            StatusCode::CONFLICT,
            "nothing_before",
            "There is no previous component to return to",
        ),
        SwapError::Ended => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server is shutting down",
        ),
    };
    let is_refusal = error.is_refusal();
    let changes = match error {
        SwapError::NewImports(changes) => Some(&**changes),
        _ => None,
    };
    responses::detailed(&Problem {
        r#type: format!("urn:fanlight:problem:{name}"),
        title,
        status: status.as_u16(),
        detail: is_refusal.then(|| error.reason()),
        error_type: is_refusal.then(|| error.error_type()),
        changes,
        trace_id,
    })
}

fn too_large(max_bytes: usize) -> Response<Full<Bytes>> {
    let mut response = responses::detailed(&Problem {
        r#type: "urn:fanlight:problem:too_large".to_owned(),
        title: "The component is too large",
        status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(),
        detail: Some(format!("{max_bytes} bytes are taken (--max-component)")),
        error_type: Some("too_large"),
        changes: None,
        trace_id: None,
    });
    // What is left of the body is not worth reading for another request.
    let close = http::HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

#[derive(Serialize)]
struct View {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    current: Entry,
    previous: Option<Entry>,
    last_refusal: Option<RefusalEntry>,
}

#[derive(Serialize)]
struct Entry {
    version: String,
    digest: String,
    generation: u64,
    /// Bytes of the file.
    size: usize,
    source: String,
    loaded_at: String,
    /// Requests that run on it.
    in_flight: usize,
}

#[derive(Serialize)]
struct RefusalEntry {
    at: String,
    source: String,
    error_type: &'static str,
    reason: String,
}

impl View {
    fn of(reloader: &Reloader) -> Self {
        let (slot, last_refusal) = reloader.view();
        Self {
            outcome: None,
            changes: None,
            current: Entry::of(&slot.current),
            previous: slot.previous.as_ref().map(Entry::of),
            last_refusal: last_refusal.map(RefusalEntry::of),
        }
    }
}

impl Entry {
    fn of(in_use: &InUse) -> Self {
        let component = &in_use.component;
        Self {
            version: component.version().to_owned(),
            digest: component.digest().to_owned(),
            generation: component.generation(),
            size: component.size(),
            source: component.source().to_string(),
            loaded_at: timestamp(component.loaded_at()),
            in_flight: in_use.in_flight,
        }
    }
}

impl RefusalEntry {
    fn of(refusal: Refusal) -> Self {
        Self {
            at: timestamp(refusal.at),
            source: refusal.source.to_string(),
            error_type: refusal.error_type,
            reason: refusal.reason,
        }
    }
}

/// A time as RFC 3339 writes it, in milliseconds.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
