//! OTLP over HTTP, with protobuf or JSON.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::grpc::REASON;
use super::kept::{Export, Kept, Refusal};
use super::{Collector, Setup};

pub(super) async fn serve(
    setup: &Setup<'_>,
    kept: Arc<Kept>,
    stop: CancellationToken,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(setup.addresses[1])
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let tls = setup.tls.map(|tls| tls.shown.acceptor(tls.clients));
    let task = tokio::spawn(accept(listener, tls, kept, setup.everything, stop));
    (address, task)
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    kept: Arc<Kept>,
    everything: bool,
    stop: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => return,
            },
        };
        let (kept, stop, tls) = (Arc::clone(&kept), stop.clone(), tls.clone());
        tokio::spawn(async move {
            let served = async {
                match tls {
                    None => connection(stream, kept, everything).await,
                    // Who does not get through the handshake is none.
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            connection(stream, kept, everything).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = served => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn connection<S>(stream: S, kept: Arc<Kept>, everything: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| take(request, Arc::clone(&kept), everything));
    // A client that goes away is no matter here.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Kept>,
    everything: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut body = body.collect().await.expect("a whole request").to_bytes();
    let is = |name: &str, value: &str| head.headers.get(name).is_some_and(|it| it == value);
    if is("content-encoding", "gzip") {
        let mut plain = Vec::new();
        let mut gzip = GzDecoder::new(&*body);
        gzip.read_to_end(&mut plain).expect("it is gzip");
        body = plain.into();
    }
    let json = is("content-type", "application/json");
    assert!(json || is("content-type", "application/x-protobuf"));
    let value = match json {
        true => serde_json::from_slice(&body).expect("it is JSON"),
        false => Value::Null,
    };
    let export = match head.uri.path() {
        "/v1/traces" => Export::Traces(decoded(&body, &value)),
        "/v1/metrics" if everything => Export::Metrics(decoded(&body, &value)),
        "/v1/logs" if everything => Export::Logs(decoded(&body, &value)),
        _ => {
            kept.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(answer(StatusCode::NOT_FOUND, json, Bytes::new()));
        }
    };
    let protocol = if json { "http/json" } else { "http/protobuf" };
    Ok(
        match kept.take(protocol, head.headers, export, value).await {
            Ok(0) => answer(StatusCode::OK, json, Bytes::new()),
            Ok(left_out) => answer(StatusCode::OK, json, partial_success(left_out, json)),
            Err(Refusal::Refusing) => answer(StatusCode::BAD_REQUEST, json, refusal(json)),
            Err(Refusal::Failing) => answer(StatusCode::INTERNAL_SERVER_ERROR, json, Bytes::new()),
            Err(Refusal::Missing) => answer(StatusCode::NOT_FOUND, json, Bytes::new()),
            Err(Refusal::Busy) => answer(StatusCode::SERVICE_UNAVAILABLE, json, Bytes::new()),
        },
    )
}

fn decoded<T: Message + Default + DeserializeOwned>(body: &[u8], json: &Value) -> T {
    if json.is_null() {
        return T::decode(body).expect("it is OTLP in protobuf");
    }
    assert!(!has_null(json), "collectors refuse null: {json}");
    let mut json = json.clone();
    read_numbers(&mut json);
    serde_json::from_value(json).expect("it is OTLP in JSON")
}

fn has_null(json: &Value) -> bool {
    match json {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// The generated messages cannot read the texts that ProtoJSON has for numbers that
/// are not finite. A value of an attribute becomes that text, as [`collected`] shows
/// such numbers in Protobuf, and any other number the largest that is finite.
///
/// [`collected`]: crate::collected
fn read_numbers(json: &mut Value) {
    let is_number =
        |value: &Value| matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"));
    match json {
        Value::Array(list) => list.iter_mut().for_each(read_numbers),
        Value::Object(members) => {
            if let Some(text) = members.remove("doubleValue") {
                let key = if is_number(&text) {
                    "stringValue"
                } else {
                    "doubleValue"
                };
                members.insert(key.to_owned(), text);
            }
            for name in ["asDouble", "sum", "min", "max"] {
                if let Some(value) = members.get_mut(name).filter(|it| is_number(it)) {
                    *value = json!(f64::MAX);
                }
            }
            members.values_mut().for_each(read_numbers);
        }
        _ => {}
    }
}

/// The answer's form is the same for all signals; in JSON the count has another
/// name, and is a text as all numbers of 64 bits.
fn partial_success(left_out: i64, json: bool) -> Bytes {
    if json {
        let partial = json!({"rejectedSpans": left_out.to_string(), "errorMessage": REASON});
        return json!({ "partialSuccess": partial }).to_string().into();
    }
    let partial_success = Some(ExportTracePartialSuccess {
        rejected_spans: left_out,
        error_message: REASON.into(),
    });
    let answer = ExportTraceServiceResponse { partial_success };
    answer.encode_to_vec().into()
}

/// A `google.rpc.Status`, which OTLP has for what is not taken.
fn refusal(json: bool) -> Bytes {
    let message = Collector::REFUSAL;
    if json {
        return json!({"code": 3, "message": message}).to_string().into();
    }
    let status = tonic_types::Status {
        code: 3,
        message: message.to_owned(),
        details: Vec::new(),
    };
    status.encode_to_vec().into()
}

fn answer(status: StatusCode, json: bool, body: Bytes) -> Response<Full<Bytes>> {
    let kind = match json {
        true => "application/json",
        false => "application/x-protobuf",
    };
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Full::new(body))
        .expect("a response")
}
