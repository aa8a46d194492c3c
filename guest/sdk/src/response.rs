//! The answer to a request.
//!
//! Invariant: the head goes to the host before the first byte of the body.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::pin::Pin;

use crate::bindings::fanlight::http::outgoing_response;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::body_writer::{BodyWriter, WriteError};
use crate::into_response::{IntoResponse, record};

/// An answer.
///
/// ```
/// # use fanlight_guest::Response;
/// let response = Response::text("not here\n")
///     .status(404)
///     .header("cache-control", "no-store");
/// ```
#[must_use = "an answer does nothing until the handler returns it"]
pub struct Response {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    content: Content,
    after: Option<BoxFuture<()>>,
    pub(crate) is_to_head: bool,
}

/// The largest body that the host takes at once, in bytes.
const MAX_AT_ONCE: usize = 64 * 1024;

enum Content {
    Bytes(Vec<u8>),
    Stream(Produce),
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Writes a body, and gives the writer back to be finished or aborted.
type Produce = Box<dyn FnOnce(BodyWriter) -> BoxFuture<(BodyWriter, StreamResult)>>;

/// How the writing of a streamed body ends: an error aborts it.
pub type StreamResult = Result<(), Box<dyn Error>>;

impl Response {
    /// Makes an answer without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Bytes(Vec::new()),
            after: None,
            is_to_head: false,
        }
    }

    /// Makes an answer of plain text, with status 200.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200)
            .header("content-type", "text/plain; charset=utf-8")
            .body(text.into())
    }

    /// Makes an answer of HTML, with status 200.
    pub fn html(html: impl Into<String>) -> Self {
        Self::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body(html.into())
    }

    /// Makes an answer of JSON, with status 200.
    ///
    /// A value that cannot be written as JSON becomes an error that the server
    /// span records, and a 500.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::json_bytes(json),
            Err(error) => Err::<Self, _>(error).into_response(),
        }
    }

    pub(crate) fn json_bytes(json: Vec<u8>) -> Self {
        Self::new(200)
            .header("content-type", "application/json")
            .body(json)
    }

    /// Makes an answer whose body is written while it is sent.
    ///
    /// The closure gets the writer once the head is on its way. When it returns
    /// an error, the body is aborted and the error recorded on the server span.
    ///
    /// ```
    /// # use fanlight_guest::{Response, sleep};
    /// # use std::time::Duration;
    /// let response = Response::stream(200, async |body| {
    ///     for tick in 0..3 {
    ///         body.write(format!("{tick}\n")).await?;
    ///         sleep(Duration::from_millis(100)).await;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn stream<F>(status: u16, write: F) -> Self
    where
        F: AsyncFnOnce(&mut BodyWriter) -> StreamResult + 'static,
    {
        let produce: Produce = Box::new(|mut writer| {
            Box::pin(async move {
                let result = write(&mut writer).await;
                (writer, result)
            })
        });
        Self {
            content: Content::Stream(produce),
            ..Self::new(status)
        }
    }

    /// Replaces the status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sets a header, replacing what has the same name in any case.
    ///
    /// A header that the host does not take makes the answer a 500.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let name = name.into();
        self.remove_header(&name);
        self.append_header(name, value)
    }

    /// Adds a header next to what has the same name.
    pub fn append_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn remove_header(&mut self, name: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Bytes(body.into());
        self
    }

    /// Goes on working after the answer was sent, as long as the host lets it.
    pub fn after(mut self, work: impl Future<Output = ()> + 'static) -> Self {
        self.after = Some(Box::pin(work));
        self
    }

    /// Sends the answer, which only a handler of [`serve_raw!`](crate::serve_raw) does itself.
    pub async fn send(mut self, outparam: ResponseOutparam) {
        let after = self.after.take();
        match &self.content {
            Content::Bytes(bytes) if bytes.len() <= MAX_AT_ONCE => self.send_at_once(outparam),
            Content::Bytes(_) | Content::Stream(_) => self.send_in_pieces(outparam).await,
        }
        if let Some(work) = after {
            work.await;
        }
    }

    /// Sends what is there as a whole, by one call to the host.
    fn send_at_once(&self, outparam: ResponseOutparam) {
        let sent = self.answer(&outparam).or_else(|error| {
            let answer = Err::<Self, _>(error).into_response();
            answer.answer(&outparam)
        });
        match sent {
            // To drop it would be one more call, and does nothing.
            Ok(()) => std::mem::forget(outparam),
            Err(error) => give_up(outparam, &error),
        }
    }

    fn answer(&self, outparam: &ResponseOutparam) -> Result<(), InvalidResponse> {
        let Content::Bytes(body) = &self.content else {
            return Ok(());
        };
        self.with_head(|headers| outgoing_response::send(outparam, self.status, headers, body))
            .map_err(|error| match error {
                outgoing_response::SendError::Status => InvalidResponse::Status,
                outgoing_response::SendError::Header | outgoing_response::SendError::TooLarge => {
                    InvalidResponse::Header
                }
            })
    }

    async fn send_in_pieces(self, outparam: ResponseOutparam) {
        match self.open() {
            Ok((response, body)) => {
                ResponseOutparam::set(outparam, Ok(response));
                self.write_content(body).await;
            }
            Err(error) => {
                let answer = Err::<Self, _>(error).into_response();
                match answer.open() {
                    Ok((response, body)) => {
                        ResponseOutparam::set(outparam, Ok(response));
                        answer.write_content(body).await;
                    }
                    Err(error) => give_up(outparam, &error),
                }
            }
        }
    }

    /// Passes the headers to `take`, with the body's length.
    fn with_head<T>(&self, take: impl FnOnce(&[(&str, &[u8])]) -> T) -> T {
        let length;
        let mut headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, value.as_bytes()))
            .collect();
        let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
        match &self.content {
            // With its length known, the host can write head and body at once.
            // A length is that of the answer to GET, which this one need not be.
            Content::Bytes(bytes) if self.is_to_head && bytes.is_empty() => {}
            Content::Bytes(bytes) => {
                headers.retain(|(name, _)| !is_length(name));
                if !matches!(self.status, 100..=199 | 204 | 304) {
                    length = bytes.len().to_string();
                    headers.push(("content-length", length.as_bytes()));
                }
            }
            // The host would miss the body that an answer to HEAD has not.
            Content::Stream(_) if self.is_to_head => {
                headers.retain(|(name, _)| !is_length(name));
            }
            Content::Stream(_) => {}
        }
        take(&headers)
    }

    /// Makes the host's response of the head.
    fn open(&self) -> Result<(OutgoingResponse, OutgoingBody), InvalidResponse> {
        let fields = self.with_head(Fields::from_list);
        let fields = fields.map_err(|_| InvalidResponse::Header)?;
        let response = OutgoingResponse::new(fields);
        if self.status != 200 {
            response
                .set_status_code(self.status)
                .map_err(|()| InvalidResponse::Status)?;
        }
        let body = response.body().map_err(|()| InvalidResponse::Header)?;
        Ok((response, body))
    }

    async fn write_content(self, body: OutgoingBody) {
        let (writer, result) = match self.content {
            Content::Bytes(bytes) if bytes.is_empty() => {
                // A client that is gone is the only thing that can be wrong.
                OutgoingBody::finish(body, None).ok();
                return;
            }
            Content::Stream(_) if self.is_to_head => {
                OutgoingBody::finish(body, None).ok();
                return;
            }
            Content::Bytes(bytes) => {
                let Some(mut writer) = BodyWriter::from_raw(body) else {
                    return;
                };
                let result = writer.write(bytes).await.map_err(Into::into);
                (writer, result)
            }
            Content::Stream(produce) => {
                let Some(writer) = BodyWriter::from_raw(body) else {
                    return;
                };
                produce(writer).await
            }
        };
        let tell = |error: &(dyn Error + 'static)| {
            if error.downcast_ref() != Some(&WriteError::Closed) {
                record(type_name::<dyn Error>(), error);
            }
        };
        match result {
            Ok(()) => {
                if let Err(error) = writer.finish() {
                    tell(&error);
                }
            }
            Err(error) => {
                // While there is a span to be told: it ends with the body.
                tell(&*error);
                // Dropped rather than finished: that is what aborts it.
                drop(writer);
            }
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Tells the host that there is no answer that it would take.
fn give_up(outparam: ResponseOutparam, error: &InvalidResponse) {
    let code = ErrorCode::InternalError(Some(error.to_string()));
    ResponseOutparam::set(outparam, Err(code));
}

/// The host does not take an answer's head.
#[derive(Debug)]
enum InvalidResponse {
    Header,
    Status,
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "the answer has a header that the host does not take",
            Self::Status => "the answer has a status that does not exist",
        })
    }
}

impl Error for InvalidResponse {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyError;

    #[test]
    fn a_header_replaces_its_namesake_and_an_appended_one_does_not() {
        let response = Response::text("x")
            .header("Content-Type", "text/csv")
            .append_header("set-cookie", "a=1")
            .append_header("set-cookie", "b=2");
        let names: Vec<_> = response.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["Content-Type", "set-cookie", "set-cookie"]);
    }

    #[test]
    fn an_answer_to_head_tells_no_length_but_its_own_and_that_of_its_body() {
        let told = |response: Response| {
            response.with_head(|headers| {
                let told = headers.iter().map(|(_, value)| value.to_vec());
                told.collect::<Vec<_>>()
            })
        };
        let to_head = |mut response: Response| {
            response.is_to_head = true;
            told(response)
        };
        let none = || Response::new(200);
        let of_seven = || none().header("content-length", "7");
        assert_eq!(to_head(none()), Vec::<Vec<u8>>::new());
        assert_eq!(to_head(of_seven()), [b"7"]);
        assert_eq!(to_head(none().body("abc")), [b"3"]);
        assert_eq!(told(none()), [b"0"]);
        assert_eq!(told(of_seven()), [b"0"]);
    }

    #[test]
    fn a_body_error_brings_its_own_status() {
        let error = BodyError::TooLarge { limit: 5 };
        let response = Err::<Response, _>(error).into_response();
        assert_eq!(response.status, 413);
        let Content::Bytes(bytes) = response.content else {
            panic!("streamed");
        };
        assert_eq!(bytes, br#"{"error":"the body is larger than 5 bytes"}"#);
    }
}
