//! The header by which an answer names its trace.

use std::str::FromStr;

use anyhow::bail;

/// The content of a `traceresponse` header: `00-<trace>-<span>-<flags>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceResponse {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// The server span's: 16 lower-case hexadecimal digits.
    pub span_id: String,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl FromStr for TraceResponse {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let ["00", trace_id, span_id, flags] = parts[..] else {
            bail!("traceresponse must be 00-<trace>-<span>-<flags>, got {text:?}");
        };
        if !is_id(trace_id, 32) || !is_id(span_id, 16) || !is_hex(flags, 2) {
            bail!("traceresponse holds an id or flags that are none: {text:?}");
        }
        let flags = u8::from_str_radix(flags, 16)?;
        Ok(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            sampled: flags & 1 == 1,
        })
    }
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|digit| digit != b'0')
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::TraceResponse;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_header_is_taken_apart() {
        let parsed: TraceResponse = format!("00-{TRACE}-b7ad6b7169203331-01").parse().unwrap();
        assert_eq!(parsed.trace_id, TRACE);
        assert_eq!(parsed.span_id, "b7ad6b7169203331");
        assert!(parsed.sampled);
    }

    #[test]
    fn only_the_lowest_flag_means_sampled() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true)] {
            let parsed: TraceResponse = format!("00-{TRACE}-b7ad6b7169203331-{flags}")
                .parse()
                .unwrap();
            assert_eq!(parsed.sampled, sampled, "{flags}");
        }
    }

    #[test]
    fn a_malformed_header_is_refused() {
        for text in [
            String::new(),
            format!("00-{TRACE}-b7ad6b7169203331"),
            format!("00-{TRACE}-b7ad6b7169203331-01-"),
            format!("01-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-B7AD6B7169203331-01"),
            format!("00-{TRACE}-b7ad6b716920333-01"),
            format!("00-{TRACE}-b7ad6b7169203331-+1"),
            format!("00-{TRACE}-0000000000000000-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
        ] {
            assert!(text.parse::<TraceResponse>().is_err(), "{text}");
        }
    }
}
