//! The request that `fanlight trace` sends: flags as curl's, a trace context of its own.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Certificate, Client, Url, redirect};

use crate::viewer_client;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestArgs {
    /// The method [default: GET, or POST with --data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// A header, such as 'accept: text/plain'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, sent as a form unless --header says otherwise; @FILE reads it from a
    /// file, @- from standard input. May be repeated: `&` joins the parts
    #[arg(short, long, value_name = "DATA")]
    data: Vec<String>,
    /// Trust these authorities, in PEM, in place of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Accept any certificate
    #[arg(short = 'k', long, conflicts_with = "cacert")]
    insecure: bool,
    /// How long the whole response may take
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: humantime::Duration,
}

/// A request that can be sent.
pub(crate) struct Prepared {
    request: reqwest::Request,
    client: Client,
    /// The trace and the span that it names as its caller.
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) body_bytes: u64,
    pub(crate) taken: Duration,
    /// The header `traceresponse`.
    pub(crate) trace_response: Option<String>,
}

impl RequestArgs {
    /// Whether anything of a request was named.
    pub(crate) fn is_given(&self) -> bool {
        self.method.is_some() || !self.headers.is_empty() || !self.data.is_empty()
    }

    /// Reads the files that the flags name, and makes the request.
    ///
    /// # Errors
    /// Where a file cannot be read, or a `traceparent` was given that is none.
    pub(crate) fn prepare(self, url: Url) -> anyhow::Result<Prepared> {
        // It was not set before, or the same is.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("fanlight/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(self.timeout.into())
            // The host that is looked at is a near one.
            .no_proxy();
        if let Some(path) = &self.cacert {
            let pem = read(path)?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} holds no certificate in PEM", path.display()))?;
            client = client.tls_certs_only(authorities);
        }
        if self.insecure {
            client = client.tls_danger_accept_invalid_certs(true);
        }
        let mut headers = HeaderMap::new();
        let body = self.body()?;
        let method = self.method.unwrap_or(match &body {
            Some(_) => Method::POST,
            None => Method::GET,
        });
        headers.extend(self.headers);
        if body.is_some() && !headers.contains_key(header::CONTENT_TYPE) {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        let (trace_id, span_id) = match headers.get(&TRACEPARENT) {
            Some(given) => {
                let given = given.to_str().unwrap_or_default();
                let (trace, span, _) = viewer_client::trace_context(given)
                    .context("the header traceparent cannot be used")?;
                (trace, span)
            }
            None => {
                // Ids of zeros alone are invalid.
                let trace = format!("{:032x}", fastrand::u128(1..));
                let span = format!("{:016x}", fastrand::u64(1..));
                let context = format!("00-{trace}-{span}-01");
                headers.insert(TRACEPARENT, HeaderValue::try_from(context)?);
                (trace, span)
            }
        };
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        Ok(Prepared {
            request,
            client: client.build()?,
            trace_id,
            span_id,
        })
    }

    fn body(&self) -> anyhow::Result<Option<Vec<u8>>> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let mut body = Vec::new();
        for (at, part) in self.data.iter().enumerate() {
            if at > 0 {
                body.push(b'&');
            }
            match part.strip_prefix('@') {
                None => body.extend_from_slice(part.as_bytes()),
                Some("-") => {
                    let mut stdin = std::io::stdin().lock();
                    stdin
                        .read_to_end(&mut body)
                        .context("cannot read standard input")?;
                }
                Some(path) => body.extend(read(Path::new(path))?),
            }
        }
        Ok(Some(body))
    }
}

impl Prepared {
    /// Sends the request, and reads the response to its end.
    pub(crate) async fn send(self) -> anyhow::Result<Answer> {
        let Self {
            request, client, ..
        } = self;
        let (method, url) = (request.method().clone(), request.url().to_string());
        let sent_at = Instant::now();
        let unanswered = |error: reqwest::Error| {
            anyhow::Error::from(error.without_url()).context(format!("no answer from {url}"))
        };
        let mut response = client.execute(request).await.map_err(unanswered)?;
        let mut body_bytes = 0;
        while let Some(part) = response.chunk().await.map_err(unanswered)? {
            body_bytes += part.len() as u64;
        }
        let trace_response = response.headers().get("traceresponse");
        let trace_response = trace_response.and_then(|it| it.to_str().ok());
        Ok(Answer {
            method,
            status: response.status(),
            body_bytes,
            taken: sent_at.elapsed(),
            trace_response: trace_response.map(str::to_owned),
            url,
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Parses a header as curl writes it.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is written 'name: value'")?;
    let name = name.trim().parse();
    let name = name.map_err(|_| "it has no name of a header, such as x-request-id")?;
    let value = HeaderValue::from_str(value.trim());
    let value = value.map_err(|_| "its value has characters that no header may have")?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArgs,
    }

    fn prepared(arguments: &[&str]) -> anyhow::Result<Prepared> {
        let line = Line::try_parse_from([&["trace"], arguments].concat()).unwrap();
        line.request.prepare("http://127.0.0.1:1/".parse().unwrap())
    }

    #[test]
    fn flags_mean_what_they_mean_to_curl() {
        let plain = prepared(&[]).unwrap().request;
        assert_eq!(
            (plain.method(), plain.body().is_none()),
            (&Method::GET, true)
        );
        let arguments = [
            "-d",
            "a=1",
            "-d",
            "b=2",
            "-H",
            "X-Own: v: w",
            "-H",
            "x-own:2",
        ];
        let posted = prepared(&arguments).unwrap().request;
        assert_eq!(posted.method(), Method::POST);
        let body = posted.body().unwrap().as_bytes();
        assert_eq!(body, Some(&b"a=1&b=2"[..]));
        let headers = posted.headers();
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        let own: Vec<_> = headers.get_all("x-own").iter().collect();
        assert_eq!(own, ["v: w", "2"]);
        let put = prepared(&[
            "-X",
            "PUT",
            "-d",
            "{}",
            "-H",
            "content-type: application/json",
        ]);
        let put = put.unwrap().request;
        assert_eq!(put.method(), Method::PUT);
        assert_eq!(put.headers()["content-type"], "application/json");
        assert!(prepared(&["-d", "@/not/there"]).is_err());
        for text in ["plain", "sp ace: x", ": x", "a: \u{7}"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_request_has_a_sampled_context_of_its_own_unless_it_is_given_one() {
        let own = prepared(&[]).unwrap();
        let context = own.request.headers()[TRACEPARENT].to_str().unwrap();
        let expected = format!("00-{}-{}-01", own.trace_id, own.span_id);
        assert_eq!(context, expected);
        assert_ne!(own.trace_id, prepared(&[]).unwrap().trace_id);
        let given = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let given = prepared(&["-H", given]).unwrap();
        assert_eq!(given.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(given.span_id, "00f067aa0ba902b7");
        assert!(prepared(&["-H", "traceparent: none"]).is_err());
    }
}
