//! Reaching for what was not granted: the network, the environment, files.

use std::env;
use std::fs::File;

use fanlight_guest::bindings::wasi::http::outgoing_handler::handle;
use fanlight_guest::bindings::wasi::http::types::{ErrorCode, Fields, OutgoingRequest};
use fanlight_guest::{Request, Response, Scheme, ready};

/// Tries a request to the URL given, and answers its status or error code.
pub(crate) async fn outbound(request: &Request) -> Response {
    let url = request.query_param("url").unwrap_or_default();
    Response::text(match send(&url).await {
        Ok(status) => format!("{status}\n"),
        Err(code) => format!("{code:?}\n"),
    })
}

async fn send(url: &str) -> Result<u16, ErrorCode> {
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url.split_once("://").ok_or(()).map_err(invalid)?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.into()),
    };
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request
        .set_path_with_query(Some(path).filter(|path| !path.is_empty()))
        .map_err(invalid)?;
    let response = handle(request, None)?;
    loop {
        match response.get() {
            Some(Ok(Ok(response))) => return Ok(response.status()),
            Some(Ok(Err(code))) => return Err(code),
            Some(Err(())) => return Err(ErrorCode::InternalError(None)),
            None => ready(response.subscribe()).await,
        }
    }
}

/// Answers what can be seen of the host: how many variables and arguments, and
/// why a file cannot be opened.
pub(crate) fn env() -> Response {
    let file = match File::open("/etc/passwd") {
        Ok(_) => "opened".into(),
        Err(error) => error.to_string(),
    };
    let (variables, arguments) = (env::vars_os().count(), env::args_os().count());
    Response::text(format!(
        "variables {variables}\narguments {arguments}\nfile {file}\n"
    ))
}
