//! Reads a header that a request may have once.

use http::{HeaderMap, HeaderName};

/// A header that is there more than once, where once is the most.
pub(crate) struct Repeated;

/// The value of a header that may be there once. Of two, nothing shows which is
/// right.
pub(crate) fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a [u8]>, Repeated> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        None => Ok(value.map(http::HeaderValue::as_bytes)),
        Some(_) => Err(Repeated),
    }
}
