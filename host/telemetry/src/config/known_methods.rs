//! The methods of HTTP that telemetry calls by their names:
//! `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`.
//!
//! All others are `_OTHER`, so that what clients invent makes no new series.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

/// The name of the variable, which the semantic conventions prescribe.
const VARIABLE: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";
/// RFC 9110, PATCH (RFC 5789) and QUERY: the semantic conventions' own list.
const STANDARD: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY",
];
/// The most names of an own list: WebDAV with all that was built on it knows
/// some forty, and each is a series of every instrument for requests.
const MAX_METHODS: usize = 64;

/// The methods that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownMethods(Option<Arc<[Cow<'static, str>]>>);

impl KnownMethods {
    /// Reads the variable: names with commas between them, in their case, in
    /// place of the standard ones. What is no method, or over 64 of them, is
    /// warned about and left out; where nothing is left, the standard ones hold.
    pub(crate) fn parse(text: Option<&str>, warnings: &mut Vec<String>) -> Self {
        let names = text.unwrap_or_default().split(',').map(str::trim);
        let mut methods: Vec<Cow<'static, str>> = Vec::new();
        for name in names.filter(|name| !name.is_empty()) {
            if Method::from_bytes(name.as_bytes()).is_err() {
                warnings.push(format!("{VARIABLE}={name}: no method; left out"));
            } else if methods.iter().any(|known| known == name) {
            } else if methods.len() == MAX_METHODS {
                warnings.push(format!(
                    "{VARIABLE}: over {MAX_METHODS} methods; those from {name} on are left out"
                ));
                break;
            } else {
                let standard = STANDARD.into_iter().find(|known| *known == name);
                methods.push(standard.map_or_else(|| name.to_owned().into(), Cow::Borrowed));
            }
        }
        Self((!methods.is_empty()).then(|| methods.into()))
    }

    /// The name of a method, where it is known; case matters.
    pub fn name(&self, method: &Method) -> Option<Cow<'static, str>> {
        let method = method.as_str();
        match &self.0 {
            None => STANDARD
                .into_iter()
                .find(|known| *known == method)
                .map(Cow::Borrowed),
            Some(own) => own.iter().find(|known| *known == method).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (KnownMethods, Vec<String>) {
        let mut warnings = Vec::new();
        let methods = KnownMethods::parse(Some(text), &mut warnings);
        (methods, warnings)
    }

    fn knows(methods: &KnownMethods, name: &str) -> bool {
        methods
            .name(&Method::from_bytes(name.as_bytes()).unwrap())
            .is_some()
    }

    #[test]
    fn the_standard_ones_are_known_in_their_own_case() {
        let methods = KnownMethods::default();
        assert!(STANDARD.into_iter().all(|name| knows(&methods, name)));
        for name in ["get", "Get", "BREW", "PROPFIND"] {
            assert!(!knows(&methods, name), "{name}");
        }
    }

    #[test]
    fn an_own_list_stands_in_the_place_of_the_standard_one() {
        let (methods, warnings) = parse(" GET, PROPFIND,,purge ,GET");
        assert!(warnings.is_empty(), "{warnings:?}");
        for name in ["GET", "PROPFIND", "purge"] {
            assert!(knows(&methods, name), "{name}");
        }
        for name in ["POST", "PURGE", "propfind"] {
            assert!(!knows(&methods, name), "{name}");
        }
    }

    #[test]
    fn what_is_no_method_is_warned_about_and_left_out() {
        let (methods, warnings) = parse("GET,a b,P\u{e9}T");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(knows(&methods, "GET") && !knows(&methods, "POST"));
        for text in ["", " , ", "a b"] {
            assert_eq!(parse(text).0, KnownMethods::default(), "{text:?}");
        }
    }

    #[test]
    fn a_list_ends_where_it_would_make_too_many_series() {
        let names: Vec<_> = (0..100).map(|n| format!("M{n}")).collect();
        let (methods, warnings) = parse(&names.join(","));
        assert!(knows(&methods, "M63") && !knows(&methods, "M64"));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}
