//! The formats, header by header: tables of what comes in and what goes out.
//!
//! In them ` | ` stands between two headers, `$T` and `$S` are the caller's trace
//! and span, `$L` is a trace's id of 64 bits, and `$W` the same with its zeros.

mod incoming;
mod outgoing;
mod together;

use http::HeaderValue;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const LOW: &str = "8448eb211c80319c";
const WIDE: &str = "00000000000000008448eb211c80319c";

fn fill(text: &str) -> String {
    text.replace("$T", TRACE)
        .replace("$S", SPAN)
        .replace("$L", LOW)
        .replace("$W", WIDE)
}

fn propagators(list: &str) -> Propagators {
    let mut warnings = Vec::new();
    let propagators = Propagators::parse(Some(list), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    propagators
}

fn headers(lines: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in fill(lines).split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    map
}

#[test]
fn the_list_is_read_in_order_each_name_once() {
    let read = |text: &str| {
        let mut warnings = Vec::new();
        let Propagators(list) = Propagators::parse(Some(text), &mut warnings);
        (list.to_vec(), warnings.len())
    };
    let default = vec![Propagator::TraceContext, Propagator::Baggage];
    for (text, expected, warnings) in [
        ("tracecontext,baggage", default.clone(), 0),
        ("", default.clone(), 0),
        (" , ", default.clone(), 0),
        ("none", vec![], 0),
        ("None", vec![], 0),
        (
            " b3multi ,B3,b3,tracecontext",
            vec![
                Propagator::B3Multi,
                Propagator::B3,
                Propagator::TraceContext,
            ],
            0,
        ),
        ("b3multi", vec![Propagator::B3Multi], 0),
        ("xray,b3", vec![Propagator::B3], 1),
        ("xray,ottrace", default.clone(), 2),
        ("jaeger,b3", vec![Propagator::B3], 1),
        ("none,b3", vec![Propagator::B3], 1),
        ("none,xray", vec![], 1),
    ] {
        assert_eq!(read(text), (expected, warnings), "{text:?}");
    }
    let mut warnings = Vec::new();
    assert_eq!(
        Propagators::parse(None, &mut warnings),
        Propagators::default()
    );
}
