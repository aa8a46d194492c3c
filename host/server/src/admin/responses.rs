//! The admin port's responses: plain text for probes, JSON for all other clients.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::admin::negotiation;
use crate::sandbox::inspection::changes::Changes;
use fanlight_telemetry::PrometheusText;

/// A problem as RFC 9457 has it.
#[derive(Serialize)]
pub(crate) struct Problem<'a> {
    pub(crate) r#type: String,
    pub(crate) title: &'a str,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
    /// What a swap that was refused would have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changes: Option<&'a Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
}

/// The response to a probe, the last one of its connection: so a client without a
/// token cannot keep one by sending requests and reading nothing.
pub(crate) fn probe(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = answer(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    );
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    answer(status, "application/json", to_json(value))
}

/// The metrics as Prometheus scrapes them, in the format and coding that the
/// request's `headers` prefer.
pub(crate) async fn metrics(
    metrics: Option<&PrometheusText>,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    let Some(metrics) = metrics else {
        return problem(StatusCode::NOT_FOUND, "not_found", "Telemetry is off");
    };
    let format = negotiation::format(headers);
    let is_gzip = negotiation::gzip(headers);
    let rendered = async {
        let text = metrics.render(format).await.map_err(io::Error::other)?;
        if !is_gzip {
            return Ok::<_, io::Error>(Bytes::from(text));
        }
        tokio::task::spawn_blocking(move || gzip(&text)).await?
    };
    match rendered.await {
        Ok(body) => {
            let mut response = answer(StatusCode::OK, format.content_type(), body);
            let headers = response.headers_mut();
            let varies = HeaderValue::from_static("accept, accept-encoding");
            headers.insert(header::VARY, varies);
            if is_gzip {
                let coding = HeaderValue::from_static("gzip");
                headers.insert(header::CONTENT_ENCODING, coding);
            }
            response
        }
        Err(error) => {
            tracing::warn!(%error, "cannot render the metrics");
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics",
                "The metrics cannot be rendered",
            )
        }
    }
}

fn gzip(text: &str) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?.into())
}

/// A problem with nothing more to say than its title.
pub(crate) fn problem(
    status: StatusCode,
    name: &'static str,
    title: &'static str,
) -> Response<Full<Bytes>> {
    detailed(&Problem {
        r#type: format!("urn:fanlight:problem:{name}"),
        title,
        status: status.as_u16(),
        detail: None,
        error_type: None,
        changes: None,
        trace_id: None,
    })
}

pub(crate) fn detailed(problem: &Problem<'_>) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, "application/problem+json", to_json(problem))
}

pub(crate) fn method_not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This is not to be had by that method",
    );
    let allow = HeaderValue::from_static(allow);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Only maps with other keys than strings fail; none is made here.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // What was served a moment ago is not what is served.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
