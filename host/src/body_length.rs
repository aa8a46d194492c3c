//! How long an answer's body is, as the request and the answer's head have it.

use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};

/// What the length of an answer's body depends on besides the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// By HEAD, which asks for the head alone.
    pub(crate) is_head: bool,
    pub(crate) version: Version,
}

impl Asked {
    pub(crate) fn by<B>(request: &Request<B>) -> Self {
        Self {
            is_head: request.method() == Method::HEAD,
            version: request.version(),
        }
    }
}

/// What the client gets after the head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// Nothing, by the request's method or the answer's status, whatever is
    /// written (RFC 9110 §6.4.1).
    Absent,
    /// So many bytes, by `content-length`.
    Bytes(u64),
    /// All that is written until it ends.
    Open,
}

impl BodyLength {
    pub(crate) fn of<B>(response: &Response<B>, asked: Asked) -> Self {
        let no_body = matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if asked.is_head || no_body {
            return Self::Absent;
        }
        match content_length(response.headers()) {
            Some(length) => Self::Bytes(length),
            None => Self::Open,
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn answers_to_head_and_those_of_some_statuses_have_no_body_whatever_they_say() {
        let mut response = Response::new(());
        let length = |response: &Response<()>, method: Method| {
            let request = Request::builder().method(method).body(()).unwrap();
            BodyLength::of(response, Asked::by(&request))
        };
        assert_eq!(length(&response, Method::GET), BodyLength::Open);
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert_eq!(length(&response, Method::GET), BodyLength::Bytes(5));
        assert_eq!(length(&response, Method::HEAD), BodyLength::Absent);
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            *response.status_mut() = status;
            assert_eq!(length(&response, Method::GET), BodyLength::Absent);
        }
    }
}
