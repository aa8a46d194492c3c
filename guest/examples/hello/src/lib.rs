//! Answers `GET /hello?name=Ada` with a greeting, and lets you see inside.

use fanlight_guest::{Method, Request, Response, attributes, counter, info, server_span, span};

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Result<Response, fanlight_guest::InstrumentError> {
    if (request.method(), request.path()) != (&Method::Get, "/hello") {
        return Ok(Response::text("try GET /hello\n").status(404));
    }
    server_span().set_route("/hello");
    let name = request.query_param("name").unwrap_or("world".into());
    counter("greetings").add_u64(1, &attributes!["language" = "en"])?;
    let _span = span!("greet", "name.length" = name.len());
    info!("greeting {name}");
    Ok(Response::text(format!("hello, {name}\n")))
}
