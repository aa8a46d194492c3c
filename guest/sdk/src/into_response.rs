//! What a handler may return, and how its errors become responses.

use std::any::type_name;
use std::error::Error;

use crate::Status;
use crate::body::BodyError;
use crate::exception::Exception;
use crate::response::Response;
use crate::server_span::server_span;

/// What a handler may return.
///
/// An error becomes `{"error": message}` with status 500 and is recorded on
/// the server span; a [`BodyError`] brings a status of its own.
pub trait IntoResponse {
    /// Makes an answer of it.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl<R, E> IntoResponse for Result<R, E>
where
    R: IntoResponse,
    E: Into<Box<dyn Error>>,
{
    fn into_response(self) -> Response {
        let error: Box<dyn Error> = match self {
            Ok(response) => return response.into_response(),
            Err(error) => error.into(),
        };
        let status = error.downcast_ref().map_or(500, BodyError::status);
        // What a client did wrong is no error of the server.
        if status >= 500 {
            record(type_name::<E>(), &*error);
        }
        let mut json = String::from(r#"{"error":"#);
        write_json_string(&mut json, &error.to_string());
        json.push('}');
        Response::json_bytes(json.into_bytes()).status(status)
    }
}

/// Tells the server span of an error and why the request failed.
pub(crate) fn record(exception_type: &'static str, error: &dyn Error) {
    let mut exception = Exception::from(error);
    exception.exception_type = exception_type.into();
    let message = exception.message.clone();
    server_span().record_exception(exception);
    server_span().set_status(Status::Error(&message));
}

/// Writes text as a JSON string, for components without the feature `json`.
fn write_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            '\0'..='\u{1f}' => {
                let code = u32::from(character);
                json.push_str("\\u00");
                json.extend(
                    [code >> 4, code & 15].map(|digit| char::from_digit(digit, 16).unwrap_or('0')),
                );
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_json() {
        let mut json = String::new();
        write_json_string(&mut json, "say \"a\\b\"\n\t\u{1}é");
        assert_eq!(json, r#""say \"a\\b\"\n\u0009\u0001é""#);
    }
}
