//! How long a response body is, by the request and the response headers.

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};

/// What the length of a response body depends on besides the response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFraming {
    /// The method is HEAD: the response has headers alone.
    pub(crate) is_head: bool,
    pub(crate) version: Version,
}

impl RequestFraming {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            is_head: request.method() == Method::HEAD,
            version: request.version(),
        }
    }
}

/// What the client receives after the response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// Nothing, by the request's method or the response's status, whatever the
    /// guest writes (RFC 9110 §6.4.1, §15.3.6).
    Absent,
    /// This many bytes, by `content-length`.
    Bytes(u64),
    /// All that is written until it ends.
    Open,
}

impl BodyLength {
    /// Reads it; `None` where `content-length` is no number.
    pub(crate) fn of<B>(response: &Response<B>, request: RequestFraming) -> Option<Self> {
        let said = match response.headers().get(header::CONTENT_LENGTH) {
            Some(length) => Self::Bytes(number(length)?),
            None => Self::Open,
        };
        let no_body = matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
        if request.is_head || no_body {
            return Some(Self::Absent);
        }
        Some(said)
    }
}

/// Reads digits alone (RFC 9110 §8.6): `parse` takes a sign as well.
fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(response: &Response<()>, method: Method) -> Option<BodyLength> {
        let request = Request::builder().method(method).body(()).unwrap();
        BodyLength::of(response, RequestFraming::of(&request))
    }

    #[test]
    fn answers_to_head_and_those_of_some_statuses_have_no_body_whatever_they_say() {
        let mut response = Response::new(());
        assert_eq!(length(&response, Method::GET), Some(BodyLength::Open));
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert_eq!(length(&response, Method::GET), Some(BodyLength::Bytes(5)));
        assert_eq!(length(&response, Method::HEAD), Some(BodyLength::Absent));
        for status in [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::NOT_MODIFIED,
        ] {
            *response.status_mut() = status;
            assert_eq!(length(&response, Method::GET), Some(BodyLength::Absent));
        }
    }

    #[test]
    fn a_content_length_that_is_no_number_says_nothing() {
        for value in ["", "+5", "-5", "5 ", "5, 5", "five", "18446744073709551616"] {
            let mut response = Response::new(());
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from_static(value));
            assert_eq!(length(&response, Method::GET), None, "{value}");
            assert_eq!(length(&response, Method::HEAD), None, "{value}");
        }
    }
}
