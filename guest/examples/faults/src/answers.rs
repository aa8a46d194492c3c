//! Answers in one call that the host refuses, and what comes after them; answers
//! that are not as long as they say, and those that are none.

use std::time::Duration;

use fanlight_guest::bindings::fanlight::http::outgoing_response::{SendError, send};
use fanlight_guest::bindings::wasi::http::types::{
    ErrorCode, Fields, OutgoingResponse, ResponseOutparam,
};
use fanlight_guest::{Request, Response, block_on, sleep, span};

use crate::flood;

/// What the host takes at once, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Tries what the query says, and tells what the host said to that: where it took
/// it, nobody is there who would hear.
pub(crate) fn refused(request: &Request, outparam: ResponseOutparam) {
    let (long, just_right) = (vec![b'x'; MAX_BODY + 1], vec![b'x'; MAX_BODY]);
    let header = |name: &'static str, value: &'static [u8]| [(name, value)];
    let tried = match &*request.query_param("what").unwrap_or_default() {
        "status" => send(&outparam, 99, &[], b""),
        "name" => send(&outparam, 200, &header("not a name", b"x"), b""),
        "value" => send(&outparam, 200, &header("x-value", b"a\r\nx-more: b"), b""),
        "connection" => send(&outparam, 200, &header("connection", b"close"), b""),
        "large" => send(&outparam, 200, &[], &long),
        "largest" => send(&outparam, 200, &[], &just_right),
        "twice" => {
            send(&outparam, 200, &[], b"first\n").ok();
            send(&outparam, 500, &[], b"second\n")
        }
        "short" => send(&outparam, 200, &header("content-length", b"5"), b"four"),
        "long" => send(&outparam, 200, &header("content-length", b"3"), b"four"),
        "no-number" => send(&outparam, 200, &header("content-length", b"+4"), b"four"),
        "204" => send(&outparam, 204, &header("content-length", b"5"), b"four"),
        "304" => send(&outparam, 304, &header("content-length", b"5"), b"four"),
        _ => return,
    };
    let said = match tried {
        Ok(()) => "taken",
        Err(SendError::Status) => "status",
        Err(SendError::Header) => "header",
        Err(SendError::TooLarge) => "too large",
    };
    send(&outparam, 200, &[], said.as_bytes()).ok();
}

/// Says that there are more bytes than it writes, by `wasi:http`, which hears of
/// a body's length where one is opened: here none is.
pub(crate) fn unwritten(outparam: ResponseOutparam) {
    if let Ok(fields) = Fields::from_list(&[("content-length", b"5")]) {
        ResponseOutparam::set(outparam, Ok(OutgoingResponse::new(fields)));
    }
}

/// Writes more bytes than it has said, by `wasi:http`.
pub(crate) fn overlong() -> Response {
    let response = Response::stream(200, async |body| {
        body.write("four").await?;
        Ok(())
    });
    response.header("content-length", "3")
}

/// Gives an answer that is none, and goes on with a span open.
pub(crate) fn none_and_on(request: &Request, outparam: ResponseOutparam) {
    let _span = span!("open_at_answer");
    match &*request.query_param("what").unwrap_or_default() {
        "error-code" => ResponseOutparam::set(outparam, Err(ErrorCode::ConfigurationError)),
        _ => {
            send(&outparam, 103, &[], b"").ok();
        }
    }
    block_on(sleep(Duration::from_secs(600)));
}

/// Says too much, answers, and goes on.
pub(crate) fn flood_and_on(count: u64, outparam: ResponseOutparam) {
    drop(flood::spans(count, 0));
    send(&outparam, 200, &[], b"answered\n").ok();
    block_on(sleep(Duration::from_secs(600)));
}
