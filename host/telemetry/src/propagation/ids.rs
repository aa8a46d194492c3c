//! Ids of traces and spans as hexadecimal digits.

use opentelemetry::trace::{SpanId, TraceId};

/// Reads a trace's id of 32 lower-case digits; none where it is all zeros.
pub(crate) fn trace_id(digits: &[u8]) -> Option<TraceId> {
    let id = TraceId::from_bytes(bytes_of(digits)?);
    (id != TraceId::INVALID).then_some(id)
}

/// Reads a span's id of 16 lower-case digits; none where it is all zeros.
pub(crate) fn span_id(digits: &[u8]) -> Option<SpanId> {
    let id = SpanId::from_bytes(bytes_of(digits)?);
    (id != SpanId::INVALID).then_some(id)
}

/// Decodes lower-case hexadecimal digits; the standard library takes upper case too.
pub fn bytes_of<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Writes two lower-case digits for each byte.
pub(crate) fn hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0x0f)];
    }
}
