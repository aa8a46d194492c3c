//! The demo's endpoints: what they answer, and which spans they leave behind.
//! This table is the one that the tests and the runner compare with.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::base_url::BaseUrl;
use crate::client::{Answer, Client};
use crate::matcher::Matcher;
use crate::span::Kind;
use crate::tree::SpanTree;

/// What is expected of one endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The request's method.
    pub method: Method,
    /// The request's path.
    pub path: &'static str,
    /// The answer's status code.
    pub status: u16,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, Matcher)>,
    /// What its JSON says.
    pub facts: Vec<Fact>,
    /// What the answer takes at the least.
    pub at_least: Duration,
    /// Whether it is part of the load: a mix of what a service answers all day.
    pub in_load: bool,
    /// The spans.
    pub tree: SpanTree,
}

/// What a place in an answer's JSON must be.
#[derive(Clone, Debug)]
pub struct Fact {
    name: &'static str,
    pointer: String,
    matcher: Matcher,
}

impl Fact {
    fn field(name: &'static str, matcher: impl Into<Matcher>) -> Self {
        Self {
            name,
            pointer: format!("/{name}"),
            matcher: matcher.into(),
        }
    }

    /// The whole body, which a person reads as `name`.
    fn body(name: &'static str, matcher: impl Into<Matcher>) -> Self {
        Self {
            name,
            pointer: String::new(),
            matcher: matcher.into(),
        }
    }
}

/// Lists them all: first what works, then what shows failure.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        index(),
        health(),
        users(),
        process(),
        error(),
        panic(),
        unknown_path(),
        wrong_method(),
    ]
}

fn index() -> Endpoint {
    Endpoint {
        facts: vec![
            Fact::field("message", Matcher::SomeText),
            Fact::field("endpoints", Matcher::Lists("/api/users")),
        ],
        in_load: true,
        ..Endpoint::get("/", 200, server("GET /", "/", 200))
    }
}

/// What tells that the demo is there.
#[must_use]
pub fn health() -> Endpoint {
    Endpoint {
        facts: vec![Fact::field("status", "healthy")],
        in_load: true,
        ..Endpoint::get("/health", 200, server("GET /health", "/health", 200))
    }
}

fn users() -> Endpoint {
    let fetch = SpanTree::new("fetch_users", Kind::Client)
        .attribute("db.system.name", "postgresql")
        .attribute("db.system", "postgresql")
        .attribute("db.operation.name", "select")
        .attribute("db.operation", "select")
        .attribute("result.count", 3);
    Endpoint {
        facts: vec![Fact::body("users", Matcher::Items(3))],
        at_least: Duration::from_millis(100),
        in_load: true,
        ..Endpoint::get(
            "/api/users",
            200,
            server("GET /api/users", "/api/users", 200).child(fetch),
        )
    }
}

fn process() -> Endpoint {
    let step = |name| SpanTree::new(name, Kind::Internal).attribute("step", Matcher::Present);
    let process = SpanTree::new("process_request", Kind::Internal)
        .child(step("validate_data"))
        .child(step("process_data"))
        .child(step("save_results").attribute("records_saved", Matcher::Present));
    Endpoint {
        facts: vec![
            Fact::field("status", "success"),
            Fact::field("duration_ms", Matcher::Between(200, 1_000)),
        ],
        at_least: Duration::from_millis(200),
        in_load: true,
        ..Endpoint::get(
            "/api/process",
            200,
            server("GET /api/process", "/api/process", 200).child(process),
        )
    }
}

fn error() -> Endpoint {
    const MESSAGE: &str = "Simulated error for tracing";
    let span = server("GET /api/error", "/api/error", 500)
        .failed()
        .attribute("error", true)
        .attribute("error.type", "500")
        .attribute("error.blame", "guest")
        .event(
            "exception",
            [
                ("exception.type", Matcher::from("ValueError")),
                ("exception.message", Matcher::from(MESSAGE)),
                ("exception.stacktrace", Matcher::Contains("simulate_error")),
            ],
        );
    Endpoint {
        facts: vec![Fact::field("error", MESSAGE)],
        in_load: true,
        ..Endpoint::get("/api/error", 500, span)
    }
}

fn panic() -> Endpoint {
    // The guest is gone before it can end its span: the host does.
    let open = SpanTree::new("about_to_panic", Kind::Internal)
        .failed()
        .attribute("fanlight.span.unfinished", true);
    let span = server("GET /api/panic", "/api/panic", 500)
        .failed()
        .attribute("error.type", "trap")
        .attribute("error.blame", "guest")
        .event(
            "exception",
            [(
                "exception.stacktrace",
                Matcher::Contains("panic_on_purpose"),
            )],
        )
        .child(open);
    Endpoint {
        headers: vec![(
            "content-type",
            Matcher::Contains("application/problem+json"),
        )],
        facts: vec![
            Fact::field("title", Matcher::SomeText),
            Fact::field("status", 500),
        ],
        ..Endpoint::get("/api/panic", 500, span)
    }
}

fn unknown_path() -> Endpoint {
    // The path is anyone's choice and must not become a name.
    let span = SpanTree::new("GET", Kind::Server)
        .attribute("http.request.method", "GET")
        .attribute("http.response.status_code", 404)
        .attribute("url.path", "/no/such/path")
        .without("http.route");
    Endpoint {
        facts: vec![Fact::field("error", Matcher::SomeText)],
        ..Endpoint::get("/no/such/path", 404, span)
    }
}

fn wrong_method() -> Endpoint {
    let span = SpanTree::new("POST /api/users", Kind::Server)
        .attribute("http.request.method", "POST")
        .attribute("http.response.status_code", 405)
        .attribute("http.route", "/api/users");
    Endpoint {
        method: Method::POST,
        headers: vec![("allow", Matcher::Contains("GET"))],
        facts: vec![Fact::field("error", Matcher::SomeText)],
        ..Endpoint::get("/api/users", 405, span)
    }
}

/// The server span of a GET to a route that the guest knows.
fn server(name: &'static str, route: &'static str, status: u16) -> SpanTree {
    SpanTree::new(name, Kind::Server)
        .attribute("http.request.method", "GET")
        .attribute("http.response.status_code", status)
        .attribute("http.route", route)
        .attribute("url.path", route)
}

impl Endpoint {
    fn get(path: &'static str, status: u16, tree: SpanTree) -> Self {
        Self {
            method: Method::GET,
            path,
            status,
            headers: vec![("content-type", Matcher::Contains("json"))],
            facts: Vec::new(),
            at_least: Duration::ZERO,
            in_load: false,
            tree,
        }
    }

    /// Sends its request.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn ask(&self, client: &Client, url: &BaseUrl) -> anyhow::Result<Answer> {
        client.send(&self.method, &url.join(self.path)).await
    }

    /// Says where an answer differs from what is expected; empty when nowhere.
    #[must_use]
    pub fn differences(&self, answer: &Answer) -> Vec<String> {
        let mut differences = Vec::new();
        if answer.status != self.status {
            differences.push(format!(
                "status: expected {}, got {}",
                self.status, answer.status
            ));
        }
        if answer.latency < self.at_least {
            differences.push(format!(
                "time: expected at least {} ms, got {} ms",
                self.at_least.as_millis(),
                answer.latency.as_millis()
            ));
        }
        differences.extend(self.headers.iter().filter_map(|(name, matcher)| {
            matcher.difference(name, answer.header(name).map(Value::from).as_ref())
        }));
        match answer.json() {
            Ok(body) => {
                differences.extend(self.facts.iter().filter_map(|fact| {
                    fact.matcher
                        .difference(fact.name, body.pointer(&fact.pointer))
                }));
            }
            Err(error) => differences.push(format!("{error:#}")),
        }
        differences.extend(problem_difference(answer));
        differences
    }

    /// Tells a person what an answer says, in one line.
    #[must_use]
    pub fn summary(&self, answer: &Answer) -> String {
        let body = answer.json().unwrap_or_default();
        let facts = self.facts.iter().filter_map(|fact| {
            let name = fact.name;
            match body.pointer(&fact.pointer)? {
                Value::Array(items) => Some(format!("{} {name}", items.len())),
                Value::String(text) => Some(format!("{name}: {text}")),
                value => Some(format!("{name}: {value}")),
            }
        });
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "content-type")
            .filter_map(|(name, _)| Some(format!("{name}: {}", answer.header(name)?)));
        facts.chain(headers).collect::<Vec<_>>().join(", ")
    }
}

/// Checks that the host's own answer names the trace that its header names.
fn problem_difference(answer: &Answer) -> Option<String> {
    if answer.header("content-type")? != "application/problem+json" {
        return None;
    }
    let trace = answer.trace().ok()?;
    let body = answer.json().unwrap_or_default();
    Matcher::from(trace.trace_id).difference("trace_id", body.get("trace_id"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{endpoints, wrong_method};
    use crate::client::Answer;

    fn refusal() -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("allow", HeaderValue::from_static("GET, HEAD"));
        Answer {
            status: 405,
            headers,
            body: r#"{"error":"method not allowed"}"#.into(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn the_expected_answer_has_no_differences() {
        assert_eq!(wrong_method().differences(&refusal()), [""; 0]);
        assert_eq!(
            wrong_method().summary(&refusal()),
            "error: method not allowed, allow: GET, HEAD"
        );
    }

    #[test]
    fn each_difference_of_an_answer_is_told() {
        let mut answer = refusal();
        answer.status = 404;
        answer.headers.remove("allow");
        answer.body = "{}".into();
        assert_eq!(
            wrong_method().differences(&answer),
            [
                "status: expected 405, got 404",
                "allow: expected a text with \"GET\", but it is not there",
                "error: expected a text, but it is not there",
            ]
        );
        answer.body = "oops".into();
        assert!(
            wrong_method()
                .differences(&answer)
                .iter()
                .any(|it| it.contains("is not JSON")),
            "a page in place of JSON"
        );
    }

    #[test]
    fn a_problem_must_name_the_trace_of_its_header() {
        let mut answer = refusal();
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        answer
            .headers
            .insert("traceresponse", HeaderValue::from_static(header));
        answer.headers.insert(
            "content-type",
            HeaderValue::from_static("application/problem+json"),
        );
        answer.body = r#"{"error":"e","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#.into();
        assert_eq!(wrong_method().differences(&answer), [""; 0]);
        answer.body = r#"{"error":"e","trace_id":"0"}"#.into();
        assert!(wrong_method().differences(&answer)[0].starts_with("trace_id: expected"));
    }

    #[test]
    fn the_load_is_a_mix_of_endpoints() {
        let paths: Vec<_> = endpoints()
            .into_iter()
            .filter(|it| it.in_load)
            .map(|it| it.path)
            .collect();
        assert_eq!(
            paths,
            ["/", "/health", "/api/users", "/api/process", "/api/error"]
        );
    }
}
