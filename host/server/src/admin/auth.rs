//! Who may ask the admin port for what.
//!
//! A client shows the token where there is one. Without one the listener is on
//! loopback, and closed to web pages: a foreign name that resolves to 127.0.0.1 is
//! not a loopback host, and a write from a foreign origin is refused.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::admin::responses;
use crate::admin::route::Route;
use crate::outbound::CDN_LOOP;

/// Who may ask for what.
pub struct Access {
    token: Option<AdminToken>,
    /// Scrapers need no token.
    metrics_are_public: bool,
}

/// The secret that a client shows as `Authorization: Bearer <token>`.
#[derive(Clone)]
pub struct AdminToken {
    /// Digests have one length: comparing them tells nothing of the token's.
    digest: [u8; 32],
    text: String,
}

/// The admin port can be reached from other machines, and needs a token for that.
#[derive(Debug, thiserror::Error)]
#[error(
    "--admin {0} can be reached from other machines: it needs --admin-token-file or --admin-token"
)]
pub struct UnprotectedAddress(SocketAddr);

/// Why a text is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no character in it.
    #[error("the admin token is empty")]
    Empty,
    /// It has characters that cannot stand in a header.
    #[error("the admin token may hold visible ASCII characters only")]
    Characters,
    /// The file that has it cannot be read.
    #[error("cannot read the admin token from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The text of a file is none.
    #[error("{}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        source: Box<TokenError>,
    },
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoToken,
    WrongToken,
    ForeignHost,
    ForeignOrigin,
    Component,
}

impl Access {
    /// Rules for a listener at `address`.
    ///
    /// # Errors
    /// Where others than this machine reach it and there is no token.
    pub fn new(address: SocketAddr, token: Option<AdminToken>) -> Result<Self, UnprotectedAddress> {
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(UnprotectedAddress(address));
        }
        Ok(Self {
            token,
            metrics_are_public: false,
        })
    }

    /// Lets every client of the port read the metrics.
    #[must_use]
    pub fn with_public_metrics(mut self) -> Self {
        self.metrics_are_public = true;
        self
    }

    pub(crate) fn check<B>(&self, route: Route, request: &Request<B>) -> Result<(), Refused> {
        // A probe has no token, and learns one bit.
        if matches!(route, Route::Livez | Route::Readyz) {
            return Ok(());
        }
        if route == Route::Metrics && self.metrics_are_public {
            return Ok(());
        }
        let headers = request.headers();
        let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
        if is_write && !is_own_origin(headers) {
            return Err(Refused::ForeignOrigin);
        }
        match &self.token {
            // By `--allow-outbound` a component may reach this machine, but not this.
            None if headers.contains_key(CDN_LOOP) => Err(Refused::Component),
            None if is_loopback_host(headers) => Ok(()),
            None => Err(Refused::ForeignHost),
            Some(token) => match shown_token(headers) {
                None => Err(Refused::NoToken),
                Some(shown) if token.is(&shown) => Ok(()),
                Some(_) => Err(Refused::WrongToken),
            },
        }
    }
}

impl AdminToken {
    /// Takes a token from a flag or a variable.
    ///
    /// # Errors
    /// Where it is empty or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        Ok(Self {
            digest: Sha256::digest(text.as_bytes()).into(),
            text: text.to_owned(),
        })
    }

    /// Reads a token from a file; space around it does not count.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(&text).map_err(|source| TokenError::InFile {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// The value of `Authorization` that shows it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.text)
    }

    fn is(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.digest.ct_eq(&shown).into()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl Refused {
    pub(crate) fn answer(&self) -> Response<Full<Bytes>> {
        let (status, name, title) = match self {
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "This needs the admin token: Authorization: Bearer <token>",
            ),
            Self::WrongToken => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "This is not the admin token",
            ),
            Self::ForeignHost => (
                StatusCode::FORBIDDEN,
                "foreign_host",
                "Without a token the admin port answers to loopback host names alone",
            ),
            Self::Component => (
                StatusCode::FORBIDDEN,
                "component",
                "Without a token the admin port answers to no component",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "The admin port takes no writes from other origins",
            ),
        };
        let mut response = responses::problem(status, name, title);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl Refused {
    /// The same for a browser, which then asks its user for the token.
    pub(crate) fn answer_to_browser(&self) -> Response<Full<Bytes>> {
        let mut response = self.answer();
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = "Basic realm=\"The admin token is the password\", charset=\"UTF-8\"";
            let challenge = HeaderValue::from_static(challenge);
            response
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The token that a request shows: by `Bearer` (RFC 6750 §2.1), or as the password of
/// `Basic` (RFC 7617 §2), which browsers ask their user for.
fn shown_token(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    let credentials = credentials.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(credentials.into());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = BASE64.decode(credentials).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec().into())
}

/// Whether the one `Host` names this machine's loopback.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else {
        return false;
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a request comes from no web page, or from one of this very server.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    let Some(host) = host(headers) else {
        return false;
    };
    let own = [format!("http://{host}"), format!("https://{host}")];
    origins.next().is_none() && own.iter().any(|own| origin == own.as_str())
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn loopback(token: Option<&str>) -> Access {
        let address = "127.0.0.1:9000".parse().unwrap();
        Access::new(address, token.map(|text| AdminToken::new(text).unwrap())).unwrap()
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let token = AdminToken::new("t").unwrap();
        for address in ["0.0.0.0:9000", "[::]:9000", "192.168.0.1:9000"] {
            let address = address.parse().unwrap();
            assert!(Access::new(address, None).is_err(), "{address}");
            assert!(Access::new(address, Some(token.clone())).is_ok());
        }
        for address in ["127.0.0.1:9000", "[::1]:9000", "[::ffff:127.0.0.1]:9000"] {
            assert!(
                Access::new(address.parse().unwrap(), None).is_ok(),
                "{address}"
            );
        }
    }

    #[test]
    fn without_a_token_only_loopback_hosts_are_answered() {
        let access = loopback(None);
        let check = |host| access.check(Route::Component, &request(Method::GET, &[("host", host)]));
        for host in [
            "127.0.0.1:9000",
            "localhost:9000",
            "LOCALHOST",
            "[::1]:9000",
            "127.9.9.9",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
        ] {
            assert_eq!(check(host), Err(Refused::ForeignHost), "{host}");
        }
        let none = access.check(Route::Component, &request(Method::GET, &[]));
        assert_eq!(none, Err(Refused::ForeignHost));
        let two = [("host", "localhost"), ("host", "localhost")];
        let two = access.check(Route::Component, &request(Method::GET, &two));
        assert_eq!(two, Err(Refused::ForeignHost));
    }

    #[test]
    fn writes_from_another_origin_are_refused_even_with_the_token() {
        let access = loopback(Some("secret"));
        let check = |origin| {
            let headers = [
                ("host", "localhost:9000"),
                ("authorization", "Bearer secret"),
                ("origin", origin),
            ];
            access.check(Route::Component, &request(Method::PUT, &headers))
        };
        assert_eq!(check("http://localhost:9000"), Ok(()));
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost",
            "http://localhost:90000",
        ] {
            assert_eq!(check(origin), Err(Refused::ForeignOrigin), "{origin}");
        }
    }

    #[test]
    fn a_token_is_demanded_as_it_is_except_by_probes() {
        let access = loopback(Some("secret"));
        let check = |route, value: &str| {
            access.check(route, &request(Method::GET, &[("authorization", value)]))
        };
        assert_eq!(check(Route::Component, "Bearer secret"), Ok(()));
        assert_eq!(check(Route::Component, "bearer secret"), Ok(()));
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer SECRET", "Bearer "] {
            assert_eq!(
                check(Route::Component, wrong),
                Err(Refused::WrongToken),
                "{wrong}"
            );
        }
        for none in ["Basic secret", "secret", ""] {
            assert_eq!(
                check(Route::Component, none),
                Err(Refused::NoToken),
                "{none}"
            );
        }
        let probe = request(Method::GET, &[("host", "10.0.0.1")]);
        assert_eq!(access.check(Route::Readyz, &probe), Ok(()));
        assert_eq!(access.check(Route::Metrics, &probe), Err(Refused::NoToken));
        let access = access.with_public_metrics();
        assert_eq!(access.check(Route::Metrics, &probe), Ok(()));
        assert_eq!(
            access.check(Route::Component, &probe),
            Err(Refused::NoToken)
        );
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let token = AdminToken::new(" secret\n").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(token.authorization(), "Bearer secret");
        assert!(AdminToken::new(" \n").is_err());
        assert!(AdminToken::new("two words").is_err());
    }
}
