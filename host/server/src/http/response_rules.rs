//! What a guest may say in the fields of its answer. HTTP/1.1 and HTTP/2 are sent
//! the same: what one of the two does not take is sent by neither.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::request::framing::{BodyLength, RequestFraming};

/// Makes an answer's head one that both protocols take; gives what comes after it.
pub(crate) fn mend<B>(response: &mut Response<B>, request: RequestFraming) -> BodyLength {
    match response.status() {
        StatusCode::NO_CONTENT => {
            // Not allowed there (RFC 9110 §8.6), and hyper passes it on.
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        StatusCode::RESET_CONTENT => {
            // It has a body, of no bytes (RFC 9110 §15.3.6).
            let none = HeaderValue::from_static("0");
            response.headers_mut().insert(header::CONTENT_LENGTH, none);
        }
        _ => {}
    }
    // `wasi:http` takes no length that is no number.
    let length = BodyLength::of(response, request).unwrap_or(BodyLength::Open);
    if length == BodyLength::Absent {
        // hyper takes it from such an answer on HTTP/1.1 alone.
        response.headers_mut().remove(header::TRAILER);
    }
    mend_fields(response.headers_mut(), is_of_message);
    length
}

/// Leaves out trailers that cannot be such: hyper does so on HTTP/1.1 alone, and on
/// HTTP/2 ends the stream by an error for those of a connection.
pub(crate) fn mend_trailers(trailers: &mut HeaderMap) {
    mend_fields(trailers, is_trailer);
}

/// Keeps the fields that `is_kept`, without blanks around their values, which are
/// not part of them (RFC 9110 §5.5) and malformed in HTTP/2 (RFC 9113 §8.2.1).
fn mend_fields(fields: &mut HeaderMap, is_kept: fn(&HeaderName) -> bool) {
    let is_right = |value: &HeaderValue| trimmed(value).len() == value.len();
    // As nearly all are.
    if fields
        .iter()
        .all(|(name, value)| is_kept(name) && is_right(value))
    {
        return;
    }
    let mut kept = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter().filter(|(name, _)| is_kept(name)) {
        if is_right(value) {
            kept.append(name, value.clone());
        } else if let Ok(value) = HeaderValue::from_bytes(trimmed(value)) {
            kept.append(name, value);
        }
    }
    *fields = kept;
}

fn trimmed(value: &HeaderValue) -> &[u8] {
    // These blanks alone: what else is ASCII whitespace is in no field.
    value.as_bytes().trim_ascii()
}

/// Whether a field is of the message rather than of its connection, whose fields
/// HTTP/2 forbids (RFC 9113 §8.2.2); `te` is a request's.
fn is_of_message(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION | header::TE | header::TRANSFER_ENCODING | header::UPGRADE => false,
        _ => !matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// Whether a field can be a trailer (RFC 9110 §6.5.1): hyper's list for HTTP/1.1.
fn is_trailer(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONTENT_ENCODING
            | header::CONTENT_LENGTH
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
            | header::HOST
            | header::MAX_FORWARDS
            | header::SET_COOKIE
            | header::TRAILER
    ) && is_of_message(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        fields
    }

    #[test]
    fn blanks_around_values_go_and_those_within_stay() {
        let mut mended = fields(&[
            ("x-a", b" a\t"),
            ("x-b", b"b  b"),
            ("x-c", b" \t "),
            ("x-b", b"\xa0\xff "),
        ]);
        mend_trailers(&mut mended);
        let right = fields(&[
            ("x-a", b"a"),
            ("x-b", b"b  b"),
            ("x-c", b""),
            ("x-b", b"\xa0\xff"),
        ]);
        assert_eq!(mended, right);
    }

    #[test]
    fn fields_of_a_connection_are_in_neither_section() {
        const OF_CONNECTION: [&str; 6] = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "upgrade",
        ];
        let all = OF_CONNECTION.map(|name| (name, &b"x"[..]));
        let all = [&all[..], &[("x-kept", b"x"), ("content-length", b"1")]].concat();
        let mut response = Response::new(());
        *response.headers_mut() = fields(&all);
        let length = mend(&mut response, RequestFraming::default());
        assert_eq!(length, BodyLength::Bytes(1));
        let kept = fields(&[("x-kept", b"x"), ("content-length", b"1")]);
        assert_eq!(*response.headers(), kept);
        let mut trailers = fields(&all);
        mend_trailers(&mut trailers);
        assert_eq!(trailers, fields(&[("x-kept", b"x")]));
    }
}
