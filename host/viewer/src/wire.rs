//! Reads Protocol Buffers field by field, so that a span is not decoded before a page
//! shows it. Never panics on malformed input: reading ends where the input is malformed.
//!
//! The numbers of fields are those of opentelemetry-proto's `trace/v1/trace.proto`.

/// The content of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// The fields of one message, in the order of the input.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The contents of the fields of one number that hold bytes.
    pub(crate) fn messages(self, number: u32) -> impl Iterator<Item = &'a [u8]> {
        self.filter_map(move |(found, value)| match value {
            Value::Bytes(bytes) if found == number => Some(bytes),
            _ => None,
        })
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        // Nearly all keys and lengths have one byte.
        let (&first, rest) = self.rest.split_first()?;
        if first < 0x80 {
            self.rest = rest;
            return Some(u64::from(first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = self.rest.get(at + 1..)?;
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
                self.rest = rest;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            _ => return None,
        };
        Some((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        field
    }
}

/// What the store knows of a span without decoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpanHead {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// 0 where the span has no parent.
    pub(crate) parent: u64,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    /// Nanoseconds since 1970.
    pub(crate) end: u64,
    pub(crate) kind: u8,
    pub(crate) is_error: bool,
}

/// The first field behind those that a start has.
const ATTRIBUTES: u32 = 9;
/// The field of a status that holds its code, and the code of an error.
const ERROR: [u8; 2] = [3 << 3, 2];
/// The kind of a server span.
pub(crate) const SERVER: u8 = 2;

impl SpanHead {
    /// Reads the head of an encoded `Span`; `None` where it has no valid ids.
    pub(crate) fn scan(span: &[u8]) -> Option<Self> {
        Self::read(Fields::new(span))
    }

    /// The same without the status, which is behind the attributes.
    pub(crate) fn scan_start(span: &[u8]) -> Option<Self> {
        Self::read(Fields::new(span).take_while(|(number, _)| *number < ATTRIBUTES))
    }

    fn read<'a>(fields: impl Iterator<Item = (u32, Value<'a>)>) -> Option<Self> {
        let mut head = Self::default();
        for field in fields {
            match field {
                (1, Value::Bytes(id)) => head.trace_id = u128::from_be_bytes(id.try_into().ok()?),
                (2, Value::Bytes(id)) => head.span_id = u64::from_be_bytes(id.try_into().ok()?),
                (4, Value::Bytes(id)) => {
                    head.parent = id.try_into().map(u64::from_be_bytes).unwrap_or_default();
                }
                (6, Value::Varint(kind)) => head.kind = u8::try_from(kind).unwrap_or_default(),
                (7, Value::Fixed64(start)) => head.start = start,
                (8, Value::Fixed64(end)) => head.end = end,
                (15, Value::Bytes(status)) => {
                    head.is_error = Fields::new(status).any(|it| it == (3, Value::Varint(2)));
                }
                _ => {}
            }
        }
        (head.trace_id != 0 && head.span_id != 0).then_some(head)
    }

    /// Whether the status of an encoded `Span` is an error. Where the last field is the
    /// flags, as in the host's own spans, those before them answer for most.
    pub(crate) fn has_error(span: &[u8]) -> bool {
        let may_have_one = match span.split_last_chunk::<6>() {
            Some((before, [0x85, 0x01, ..])) => before.ends_with(&ERROR),
            _ => true,
        };
        may_have_one && Self::scan(span).is_some_and(|head| head.is_error)
    }

    pub(crate) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span began the trace here: it has no parent, or one of another
    /// process.
    pub(crate) fn is_entry(&self) -> bool {
        self.parent == 0 || self.kind == SERVER
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{Span, Status};
    use prost::Message as _;

    use super::{Fields, SpanHead, Value};

    #[test]
    fn a_head_has_what_the_decoded_span_has() {
        let span = Span {
            trace_id: vec![7; 16],
            span_id: vec![3; 8],
            parent_span_id: vec![1; 8],
            name: "a name".to_owned(),
            kind: 2,
            start_time_unix_nano: 100,
            end_time_unix_nano: 350,
            dropped_attributes_count: 300,
            status: Some(Status {
                message: "no".to_owned(),
                code: 2,
            }),
            flags: 257,
            ..Default::default()
        };
        let head = SpanHead::scan(&span.encode_to_vec()).unwrap();
        assert_eq!(head.trace_id, u128::from_be_bytes([7; 16]));
        assert_eq!(head.span_id, u64::from_be_bytes([3; 8]));
        assert_eq!(head.parent, u64::from_be_bytes([1; 8]));
        assert_eq!((head.kind, head.is_error), (2, true));
        assert_eq!(head.duration(), 250);
    }

    #[test]
    fn an_error_is_found_wherever_the_status_stands() {
        let span = |code, flags| Span {
            trace_id: vec![7; 16],
            span_id: vec![3; 8],
            end_time_unix_nano: 350,
            dropped_attributes_count: 300,
            status: Some(Status {
                message: "no".to_owned(),
                code,
            }),
            flags,
            ..Default::default()
        };
        for flags in [0, 257] {
            assert!(SpanHead::has_error(&span(2, flags).encode_to_vec()));
            assert!(!SpanHead::has_error(&span(1, flags).encode_to_vec()));
            assert!(!SpanHead::has_error(&span(0, flags).encode_to_vec()));
        }
        let start = SpanHead::scan_start(&span(2, 257).encode_to_vec()).unwrap();
        assert_eq!((start.end, start.is_error), (350, false));
    }

    #[test]
    fn malformed_input_ends_the_reading() {
        let span = Span {
            trace_id: vec![7; 16],
            span_id: vec![3; 8],
            name: "n".repeat(300),
            ..Default::default()
        };
        let bytes = span.encode_to_vec();
        for end in 0..bytes.len() {
            // None of these panics.
            let _ = SpanHead::scan(&bytes[..end]);
        }
        assert_eq!(SpanHead::scan(&[0xff; 40]), None);
        assert_eq!(Fields::new(&[0x0a, 0x05, 1]).count(), 0);
        assert_eq!(
            Fields::new(&[0x08, 0x96, 0x01]).next(),
            Some((1, Value::Varint(150)))
        );
    }
}
