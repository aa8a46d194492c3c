//! Headers that server spans record: `--capture-request-header` and
//! `--capture-response-header`.
//!
//! The operator names each of them, because headers hold secrets. The names are
//! bounded here, the values by the bounds of any attribute.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use thiserror::Error;

use fanlight_telemetry::sanitize::truncated;

/// The most names in one direction. Each that a message has is an attribute of
/// its span, and 128 is the usual bound on those.
const MAX_NAMES: usize = 32;

/// The headers to record, of requests and of responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedHeaders {
    request: Arc<[Captured]>,
    response: Arc<[Captured]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Captured {
    name: HeaderName,
    key: Key,
}

/// More names than there is room for.
#[derive(Debug, Error)]
#[error("more than {MAX_NAMES} captured headers")]
pub struct TooManyHeaders;

impl CapturedHeaders {
    /// Captures the headers of these names.
    ///
    /// # Errors
    /// Where there are more than 32 of requests, or as many of answers.
    pub fn new(request: &[HeaderName], response: &[HeaderName]) -> Result<Self, TooManyHeaders> {
        Ok(Self {
            request: captured("http.request.header.", request)?,
            response: captured("http.response.header.", response)?,
        })
    }

    /// How many attributes a span may get.
    pub(crate) fn len(&self) -> usize {
        self.request.len() + self.response.len()
    }

    /// Whether any response header is recorded.
    pub(crate) fn any_of_response(&self) -> bool {
        !self.response.is_empty()
    }

    /// The attributes of a request's headers; `limit` bounds each in bytes.
    pub(crate) fn of_request(&self, headers: &HeaderMap, limit: usize) -> Vec<KeyValue> {
        attributes(&self.request, headers, limit)
    }

    /// The attributes of an answer's headers; `limit` bounds each in bytes.
    pub(crate) fn of_response(&self, headers: &HeaderMap, limit: usize) -> Vec<KeyValue> {
        attributes(&self.response, headers, limit)
    }
}

fn captured(prefix: &str, names: &[HeaderName]) -> Result<Arc<[Captured]>, TooManyHeaders> {
    let mut captured: Vec<Captured> = Vec::new();
    for name in names {
        if captured.iter().any(|known| known.name == *name) {
            continue;
        }
        if captured.len() == MAX_NAMES {
            return Err(TooManyHeaders);
        }
        captured.push(Captured {
            // Names of headers are kept in lower case, as the conventions want them.
            key: Key::from(Arc::<str>::from(format!("{prefix}{name}"))),
            name: name.clone(),
        });
    }
    Ok(captured.into())
}

/// One attribute for each header that is there, with all its values.
fn attributes(captured: &[Captured], headers: &HeaderMap, limit: usize) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    for Captured { name, key } in captured {
        let mut left = limit;
        let values = headers.get_all(name).iter().map_while(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let cut = truncated(&text, limit);
            // As lists of guests: an empty text takes room as well.
            left = left.checked_sub(cut.len().min(limit.saturating_sub(1)) + 1)?;
            Some(StringValue::from(cut.to_owned()))
        });
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            let value = Value::Array(Array::String(values));
            attributes.push(KeyValue::new(key.clone(), value));
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn names(texts: &[&str]) -> Vec<HeaderName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn told(captured: &[&str], headers: &HeaderMap, limit: usize) -> Vec<(String, Vec<String>)> {
        let captured = CapturedHeaders::new(&names(captured), &[]).unwrap();
        let attributes = captured.of_request(headers, limit).into_iter();
        attributes
            .map(|attribute| match attribute.value {
                Value::Array(Array::String(values)) => {
                    let values = values.iter().map(|value| value.as_str().to_owned());
                    (attribute.key.as_str().to_owned(), values.collect())
                }
                other => panic!("{other:?} is no list"),
            })
            .collect()
    }

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn all_values_of_a_header_are_told_in_their_order_and_absent_ones_are_not() {
        let headers = headers(&[
            ("x-team", b"a, b"),
            ("x-other", b"secret"),
            ("x-team", b"c"),
            ("x-odd", b"caf\xc3\xa9 \xff"),
        ]);
        assert_eq!(
            told(&["X-Team", "x-absent", "x-odd", "x-team"], &headers, 100),
            [
                (
                    "http.request.header.x-team".to_owned(),
                    vec!["a, b".to_owned(), "c".to_owned()]
                ),
                (
                    "http.request.header.x-odd".to_owned(),
                    vec!["caf\u{e9} \u{fffd}".to_owned()]
                ),
            ]
        );
        assert!(told(&[], &headers, 100).is_empty());
    }

    #[test]
    fn a_value_is_cut_and_a_list_ends_at_the_bound_of_an_attribute() {
        let headers = headers(&[
            ("x-long", b"0123456789"),
            ("x-many", b"0123"),
            ("x-many", b"4567"),
            ("x-many", b"89"),
            ("x-empty", b""),
        ]);
        let texts = |name: &str| told(&[name], &headers, 8).remove(0).1;
        assert_eq!(texts("x-long"), ["01234567"]);
        assert_eq!(texts("x-many"), ["0123"]);
        assert_eq!(texts("x-empty"), [""]);
    }

    #[test]
    fn names_are_counted_once_each_and_bounded() {
        let many: Vec<_> = (0..=MAX_NAMES).map(|n| format!("x-{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| name.parse().unwrap()).collect();
        assert!(CapturedHeaders::new(&many[..MAX_NAMES], &many[..MAX_NAMES]).is_ok());
        assert!(CapturedHeaders::new(&many, &[]).is_err());
        assert!(CapturedHeaders::new(&[], &many).is_err());
        let twice = [many[0].clone(), many[0].clone()];
        assert_eq!(CapturedHeaders::new(&twice, &[]).unwrap().len(), 1);
    }
}
