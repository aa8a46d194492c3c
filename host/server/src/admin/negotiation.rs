//! Which format and which coding of the metrics a client wants (RFC 9110 section 12).
//!
//! Never refuses: a client that accepts nothing that there is gets plain text.

use fanlight_telemetry::TextFormat;
use http::{HeaderMap, HeaderName, header};

/// A weight in thousandths, as `q=` gives it.
type Weight = u16;

const FULL_WEIGHT: Weight = 1000;

/// The format that `Accept` prefers. OpenMetrics is sent where it is named:
/// a client that takes anything gets Prometheus' own text.
pub(crate) fn format(headers: &HeaderMap) -> TextFormat {
    let ranges: Vec<_> = members(headers, header::ACCEPT).collect();
    let open_metrics = preference(&ranges, "application", "openmetrics-text", "1.0.0");
    let prometheus = preference(&ranges, "text", "plain", "0.0.4");
    match open_metrics {
        // Named as clearly as the other, it is the richer one.
        Some(wanted) if wanted.weight > 0 && wanted.is_named && Some(wanted) >= prometheus => {
            TextFormat::OpenMetrics
        }
        // Named by nothing but a wildcard, it is sent where the other is not wanted.
        Some(wanted) if wanted.weight > prometheus.map_or(0, |other| other.weight) => {
            TextFormat::OpenMetrics
        }
        _ => TextFormat::Prometheus,
    }
}

/// Whether `Accept-Encoding` prefers gzip to no coding at all.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for (coding, parameters) in members(headers, header::ACCEPT_ENCODING) {
        let Some(weight) = weight(parameters) else {
            continue;
        };
        let coding = coding.to_ascii_lowercase();
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = gzip.max(Some(weight)),
            "identity" => identity = identity.max(Some(weight)),
            "*" => any = any.max(Some(weight)),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // No coding is acceptable unless it is excluded, and comes last where it is
    // not named.
    gzip > 0 && identity.is_none_or(|identity| gzip >= identity)
}

/// How much a media type is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    weight: Weight,
    /// Whether the range names the type itself, rather than a wildcard.
    is_named: bool,
}

/// The preference of the most specific range that has the media type.
fn preference(ranges: &[(&str, &str)], kind: &str, subtype: &str, of: &str) -> Option<Preference> {
    let matching = ranges.iter().filter_map(|(range, parameters)| {
        let (range_kind, range_subtype) = range.split_once('/')?;
        let is = |part: &str, own: &str| part.eq_ignore_ascii_case(own);
        let version = parameter(parameters, "version");
        let specificity = match (range_kind.trim_end(), range_subtype.trim_start()) {
            ("*", "*") => 0,
            (range, "*") if is(range, kind) => 1,
            (range, sub) if is(range, kind) && is(sub, subtype) => match version {
                None => 2,
                Some(version) if version.trim_matches('"') == of => 3,
                Some(_) => return None,
            },
            _ => return None,
        };
        let weight = weight(parameters)?;
        let is_named = specificity >= 2;
        Some((specificity, Preference { weight, is_named }))
    });
    let (_, preference) = matching.max_by_key(|(specificity, it)| (*specificity, *it))?;
    Some(preference)
}

/// The members of a list, over all lines of the header: the part before the first
/// `;`, and the rest.
fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| split(line, ','))
        .map(|member| {
            let (first, parameters) = member.split_once(';').unwrap_or((member, ""));
            (first.trim(), parameters)
        })
        .filter(|(first, _)| !first.is_empty())
}

/// Splits at a separator that is not within quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return c == separator && !is_quoted,
        }
        false
    })
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    split(parameters, ';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let is_it = key.trim().eq_ignore_ascii_case(name);
        is_it.then(|| value.trim())
    })
}

/// The weight of a member: all of it without `q`, and none at all where `q` is no
/// weight, so that the member counts as if it were not there.
fn weight(parameters: &str) -> Option<Weight> {
    let Some(text) = parameter(parameters, "q") else {
        return Some(FULL_WEIGHT);
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_short = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse::<Weight>().ok();
    match (whole, thousandths.filter(|_| is_short)?) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(FULL_WEIGHT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_str(line));
        lines.map(|line| (name.clone(), line.unwrap())).collect()
    }

    #[test]
    fn openmetrics_is_sent_to_a_client_that_names_it_and_prefers_it() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text",
            "APPLICATION/OpenMetrics-Text;VERSION=\"1.0.0\"",
            "application/openmetrics-text;version=1.0.0,*/*",
            "application/openmetrics-text,text/plain",
            "text/plain;q=0.9, application/openmetrics-text",
            "application/openmetrics-text;q=0.001",
            "application/*",
            "text/plain;q=0, */*",
            "application/json;v=\"a,b\", application/openmetrics-text;q=1.000",
            prometheus_3,
        ] {
            let format = format(&with(header::ACCEPT, &[accept]));
            assert_eq!(format, TextFormat::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/*, application/*",
            "text/html, */*;q=0.8",
            "application/json",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0, */*",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0.5, text/plain",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text;version=1.0.0;q=0.2, text/plain;version=0.0.4;q=0.3",
            "text/plain;x=\"application/openmetrics-text,",
            ",;,/",
        ] {
            let format = format(&with(header::ACCEPT, &[accept]));
            assert_eq!(format, TextFormat::Prometheus, "{accept}");
        }
        let lines = ["text/plain;q=0.5", "application/openmetrics-text"];
        assert_eq!(
            format(&with(header::ACCEPT, &lines)),
            TextFormat::OpenMetrics
        );
        assert_eq!(format(&HeaderMap::new()), TextFormat::Prometheus);
    }

    #[test]
    fn gzip_is_sent_to_a_client_that_does_not_prefer_none() {
        for accept in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip;q=0.5",
            "*",
            "br, *;q=0.1",
            "gzip;q=0.001",
            "gzip, identity",
            "gzip;q=0.5, identity;q=0.5",
            "identity;q=0, gzip",
            "identity;q=0, *",
            "*;q=0, gzip",
            "gzip ; Q=1.0 , identity ; q=0.9",
        ] {
            assert!(gzip(&with(header::ACCEPT_ENCODING, &[accept])), "{accept}");
        }
        for accept in [
            "",
            "identity",
            "deflate, br",
            "gzip;q=0",
            "gzip;q=0.0, *",
            "*;q=0",
            "identity, gzip;q=0.9",
            "identity;q=0",
            "gzip;q=1.1",
            "gzip;q=x",
            "gzipped",
        ] {
            assert!(!gzip(&with(header::ACCEPT_ENCODING, &[accept])), "{accept}");
        }
        assert!(gzip(&with(header::ACCEPT_ENCODING, &["br", "gzip"])));
        assert!(!gzip(&HeaderMap::new()));
    }
}
