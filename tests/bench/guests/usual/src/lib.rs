//! A usual request: two spans, one within the other, a counter, a histogram.
//! Answers `hello`, or a POST with the body that it was sent.

use fanlight_guest::{
    InstrumentError, Method, Request, Response, attributes, counter, histogram, server_span, span,
};

fanlight_guest::serve!(handle);

/// The largest body that is sent back.
const MAX_BODY: usize = 1024 * 1024;

async fn handle(request: Request) -> Result<Response, InstrumentError> {
    server_span().set_route("/");
    let _handle = span!("handle", "step" = 1);
    counter("bench.requests").add_u64(1, &attributes!["kind" = "usual"])?;
    let response = {
        let _answer = span!("answer", "step" = 2);
        match request.method() {
            Method::Post => match request.bytes(MAX_BODY).await {
                Ok(body) => Response::new(200)
                    .header("content-type", "application/json")
                    .body(body),
                Err(error) => Response::text(format!("{error}\n")).status(400),
            },
            _ => Response::text("hello\n"),
        }
    };
    histogram("bench.answers").record_f64(1.0, &[])?;
    Ok(response)
}
