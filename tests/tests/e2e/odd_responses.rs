//! Whatever a guest writes, HTTP/1.1 and HTTP/2 treat it alike: the client, the
//! span and the log are compared.

use bytes::Bytes;
use fanlight_runner::span::Status;
use fanlight_runner::traceresponse::TraceResponse;
use fanlight_tests::PATIENCE;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::program::{Program, ServingProgram};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// What a client takes of a head, more than any answer here has.
const MAX_HEAD: u32 = 1024 * 1024;
const MAX_FIELDS: usize = 4096;

/// What a client got.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    /// But for those of the connection and of this one answer.
    headers: HeaderMap,
    /// None where it was broken off.
    body: Option<Bytes>,
    trailers: HeaderMap,
    trace: Option<TraceResponse>,
}

/// Asks by one of the protocols.
async fn ask(
    program: &ServingProgram,
    version: Version,
    method: &Method,
    target: &str,
) -> anyhow::Result<Seen> {
    let address = program.address;
    let io = TokioIo::new(TcpStream::connect(address).await?);
    let request = Request::builder().method(method);
    let (response, connection) = if version == Version::HTTP_2 {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(MAX_HEAD);
        let (mut sender, connection) = builder.handshake(io).await?;
        let connection = tokio::spawn(async move { connection.await.is_ok() });
        let request = request.uri(format!("http://{address}{target}"));
        let sent = sender.send_request(request.body(Empty::<Bytes>::new())?);
        (sent.await?, connection)
    } else {
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_headers(MAX_FIELDS);
        let (mut sender, connection) = builder.handshake(io).await?;
        let connection = tokio::spawn(async move { connection.await.is_ok() });
        let request = request.uri(target).header("host", address.to_string());
        // Without it, trailers are not sent on HTTP/1.1.
        let request = request.header("te", "trailers").header("connection", "te");
        let sent = sender.send_request(request.body(Empty::<Bytes>::new())?);
        (sent.await?, connection)
    };
    let seen = tokio::time::timeout(PATIENCE, seen(response)).await?;
    connection.abort();
    seen
}

async fn seen(response: Response<Incoming>) -> anyhow::Result<Seen> {
    let (mut head, body) = response.into_parts();
    let trace = head.headers.get("traceresponse");
    let trace = trace.and_then(|it| it.to_str().ok()?.parse().ok());
    for of_this_one in ["traceresponse", "date", "connection", "transfer-encoding"] {
        head.headers.remove(of_this_one);
    }
    let body = body.collect().await.ok();
    let trailers = body.as_ref().and_then(|body| body.trailers()).cloned();
    Ok(Seen {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.map(|body| body.to_bytes()),
        trailers: trailers.unwrap_or_default(),
        trace,
    })
}

async fn start(collector: &Collector) -> ServingProgram {
    Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .serve()
        .await
}

/// What is demanded of one odd thing, on both protocols.
struct Odd {
    target: String,
    method: Method,
    status: u16,
    /// Among others; a field without a value is not there.
    headers: Vec<(&'static str, Option<&'static [u8]>)>,
    /// None where it is broken off.
    body: Option<&'static str>,
    /// On HTTP/2, and on HTTP/1.1 where the head names them.
    trailers: Vec<(&'static str, &'static str)>,
    error_type: Option<&'static str>,
    is_logged: bool,
}

impl Odd {
    /// An answer that arrives whole.
    fn whole(query: impl Into<String>) -> Self {
        Self {
            target: format!("/say?{}", query.into()),
            method: Method::GET,
            status: 200,
            headers: Vec::new(),
            body: Some("hello"),
            trailers: Vec::new(),
            error_type: None,
            is_logged: false,
        }
    }

    /// An answer that does not.
    fn broken(query: &str) -> Self {
        Self {
            body: None,
            error_type: Some("body_aborted"),
            is_logged: true,
            ..Self::whole(query)
        }
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn has(mut self, name: &'static str, value: &'static [u8]) -> Self {
        self.headers.push((name, Some(value)));
        self
    }

    fn lacks(mut self, name: &'static str) -> Self {
        self.headers.push((name, None));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn heads() -> Vec<Odd> {
    let connections = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    let refused = connections.map(|name| {
        let odd = Odd::whole(format!("body=hello&head={name}:x"));
        odd.lacks(name).has("x-refused", name.as_bytes())
    });
    let mut all = Vec::from(refused);
    for way in ["body=hello", "body=hello&at-once=yes"] {
        let odd = |query: &str| Odd::whole(format!("{way}&{query}"));
        all.extend([
            odd("head=te:trailers").lacks("te"),
            odd("head=te:gzip&head=x-b:b").lacks("te").has("x-b", b"b"),
            odd("head=x-a:%20a").has("x-a", b"a"),
            odd("head=x-a:a%20%09").has("x-a", b"a"),
            odd("head=x-a:%09a%20b%20").has("x-a", b"a b"),
            odd("head=x-a:%20").has("x-a", b""),
            odd("head=x-a:").has("x-a", b""),
            odd("head=x-a:%c3%a9%c3%bf").has("x-a", b"\xe9\xff"),
            odd("long=60000").with(|odd| odd.headers.push(("x-long", Some(LONG)))),
            odd("fields=1000").has("x-0", b"0").has("x-999", b"999"),
        ]);
    }
    all
}

const LONG: &[u8] = &[b'x'; 60_000];

fn lengths() -> Vec<Odd> {
    vec![
        Odd::whole("body=hello&head=content-length:5").has("content-length", b"5"),
        Odd::broken("body=hello&head=content-length:3").has("content-length", b"3"),
        Odd::broken("body=hello&head=content-length:9").has("content-length", b"9"),
        // A length too many, or that is none, is refused where the guest says it.
        Odd::whole("body=hello&head=content-length:5&head=content-length:9")
            .has("content-length", b"5")
            .has("x-refused", b"content-length"),
        Odd::whole("body=hello&head=content-length:five")
            .lacks("content-length")
            .has("x-refused", b"content-length"),
        Odd::whole("body=hello&head=content-length:%205")
            .lacks("content-length")
            .has("x-refused", b"content-length"),
        Odd::broken("body=hello&head=content-length:9&head=trailer:x-sum&trailer=x-sum:5"),
    ]
}

fn statuses() -> Vec<Odd> {
    let none = |query: &str, status| Odd {
        body: Some(""),
        ..Odd::whole(query).status(status)
    };
    vec![
        none("status=204&body=hello&head=content-length:5", 204).lacks("content-length"),
        none("status=205&body=hello", 205).has("content-length", b"0"),
        none("status=304&body=hello&head=content-length:5", 304).has("content-length", b"5"),
        none("body=hello&head=content-length:5&head=trailer:x-sum", 200)
            .has("content-length", b"5")
            .lacks("trailer")
            .with(|odd| odd.method = Method::HEAD),
        none("status=204&head=trailer:x-sum&trailer=x-sum:5", 204).lacks("trailer"),
        Odd::whole("status=599&body=hello")
            .status(599)
            .with(|odd| odd.error_type = Some("599")),
        Odd::whole("status=600&body=hello")
            .status(600)
            .with(|odd| odd.error_type = Some("600")),
        Odd::whole("status=999&body=hello")
            .status(999)
            .with(|odd| odd.error_type = Some("999")),
        // Neither is one, and so the status stays as it was.
        Odd::whole("status=99&body=hello"),
        Odd::whole("status=1000&body=hello"),
    ]
}

fn trailers() -> Vec<Odd> {
    let names = [
        "connection",
        "content-length",
        "content-type",
        "keep-alive",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let forbidden = names.map(|name| {
        let odd = Odd::whole(format!(
            "body=hello&head=trailer:{name},x-sum&trailer={name}:1&trailer=x-sum:5"
        ));
        odd.with(|odd| odd.trailers = vec![("x-sum", "5")])
    });
    let alone = names.map(|name| {
        let query = format!("body=hello&head=trailer:{name}&trailer={name}:1");
        Odd::whole(query)
    });
    let mut all: Vec<_> = forbidden.into_iter().chain(alone).collect();
    all.push(
        Odd::whole("body=hello&head=trailer:x-sum&trailer=x-sum:%205%09")
            .has("trailer", b"x-sum")
            .with(|odd| odd.trailers = vec![("x-sum", "5")]),
    );
    // Without a name in the head they are sent on HTTP/2 alone, where gRPC has them.
    all.push(
        Odd::whole("body=hello&trailer=grpc-status:0")
            .lacks("trailer")
            .with(|odd| odd.trailers = vec![("grpc-status", "0")]),
    );
    all
}

/// Asks for all by both protocols, and demands of both what the table says.
async fn demand(table: Vec<Odd>) {
    let collector = Collector::start().await;
    let program = start(&collector).await;
    for odd in table {
        let mut both = Vec::new();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let name = format!("{} {} on {version:?}", odd.method, odd.target);
            let seen = ask(&program, version, &odd.method, &odd.target).await;
            let trace = match seen {
                Ok(seen) => {
                    demand_one(&odd, version, &seen, &name);
                    let (headers, body) = (seen.headers, seen.body);
                    both.push(body.map(|body| (headers, body)));
                    seen.trace
                }
                // What breaks off early may take the head with it.
                Err(error) => {
                    assert_eq!(odd.body, None, "{name}: {error:#}");
                    both.push(None);
                    None
                }
            };
            let span = collector
                .span(|span| match &trace {
                    Some(trace) => span.span_id == trace.span_id,
                    None => is_of(span, version, &odd.target),
                })
                .await;
            let status = if odd.error_type.is_some() {
                Status::Error
            } else {
                Status::Unset
            };
            let error_type = odd.error_type.map_or(Value::Null, |it| json!(it));
            assert_eq!(span.status, status, "{name}");
            assert_eq!(span.attribute("error.type"), error_type, "{name}");
            let code = span.attribute("http.response.status_code");
            assert_eq!(code, json!(odd.status), "{name}");
            let said = program.said();
            let lines = said.lines().filter(|line| line.contains(&span.trace_id));
            assert_eq!(lines.count(), usize::from(odd.is_logged), "{name}: {said}");
        }
        assert_eq!(both[0], both[1], "{} {}", odd.method, odd.target);
    }
}

fn is_of(span: &CollectedSpan, version: Version, target: &str) -> bool {
    let version = if version == Version::HTTP_2 {
        "2"
    } else {
        "1.1"
    };
    let query = target.split_once('?').map(|(_, query)| query);
    span.attribute("network.protocol.version") == json!(version)
        && span.attribute("url.query") == json!(query)
}

fn demand_one(odd: &Odd, version: Version, seen: &Seen, name: &str) {
    assert_eq!(seen.status, odd.status, "{name}");
    for (field, value) in &odd.headers {
        let found = seen.headers.get(*field).map(HeaderValue::as_bytes);
        assert_eq!(found, *value, "{name}: {field}");
    }
    assert_eq!(seen.body.as_deref(), odd.body.map(str::as_bytes), "{name}");
    let is_sent = version == Version::HTTP_2 || seen.headers.contains_key("trailer");
    let wanted = odd.trailers.iter().filter(|_| is_sent);
    let wanted = wanted.map(|(field, value)| (*field, value.as_bytes()));
    let found = seen.trailers.iter();
    let found = found.map(|(field, value)| (field.as_str(), value.as_bytes()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        wanted.collect::<Vec<_>>(),
        "{name}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_head_is_the_same_on_both_protocols() {
    demand(heads()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_length_is_the_same_on_both_protocols() {
    demand(lengths()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_status_is_the_same_on_both_protocols() {
    demand(statuses()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_trailers_are_the_same_on_both_protocols() {
    demand(trailers()).await;
}
