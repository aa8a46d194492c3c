//! One `cookie` of those that a client may split on HTTP/2.

use http::{HeaderMap, HeaderValue, Version, header};

/// What stands between two of them (RFC 9113 §8.2.3).
const BETWEEN: &[u8] = b"; ";

/// Joins a request's `cookie` fields into one: on HTTP/2 a client may send each pair
/// by itself, as browsers do, and an application is to be given them together.
pub(crate) fn join(version: Version, headers: &mut HeaderMap) {
    if version != Version::HTTP_2 {
        return;
    }
    let mut fields = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (fields.next(), fields.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for field in std::iter::once(second).chain(fields) {
        joined.extend(BETWEEN);
        joined.extend(field.as_bytes());
    }
    // Of bytes that fields may have there comes a field that may be.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(version: Version, cookies: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        join(version, &mut headers);
        let cookies = headers.get_all(header::COOKIE).iter();
        cookies.map(|it| it.as_bytes().to_vec()).collect()
    }

    #[test]
    fn those_of_http2_become_one() {
        let split: [&[u8]; 3] = [b"a=1", b"b=2; c=3", b"d=\xff"];
        assert_eq!(joined(Version::HTTP_2, &split), [b"a=1; b=2; c=3; d=\xff"]);
        assert_eq!(joined(Version::HTTP_2, &split[..1]), [b"a=1"]);
        assert!(joined(Version::HTTP_2, &[]).is_empty());
    }

    #[test]
    fn on_http1_there_is_one_or_the_client_is_wrong() {
        let two: [&[u8]; 2] = [b"a=1", b"b=2"];
        assert_eq!(joined(Version::HTTP_11, &two), two);
    }
}
