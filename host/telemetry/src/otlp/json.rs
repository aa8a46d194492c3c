//! OTLP's JSON, as backends take it: ProtoJSON, but for ids, which are hexadecimal.
//!
//! `serde_json` writes what has no value, and numbers that are not finite, as `null`.
//! Collectors refuse the whole batch for one of those, and a guest can easily make
//! one. The writer here leaves members without a value out, and writes the other
//! numbers as the texts that ProtoJSON has for them. It keeps the text alone: a tree
//! of values would take thirty times as much memory, and guests decide how much there
//! is to write.

#[cfg(test)]
mod tests;

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

/// Encodes a message.
///
/// # Errors
/// Where it holds a type that no message of OTLP has, which would be a defect.
pub(crate) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut writer = Writer { json: Vec::new() };
    message.serialize(&mut writer)?;
    Ok(writer.json)
}

/// The text that ProtoJSON has for a number that is not finite, which JSON cannot
/// write as a number.
fn not_finite(number: f64) -> Option<&'static str> {
    match number {
        _ if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Writes ProtoJSON, without white space.
struct Writer {
    json: Vec<u8>,
}

/// Whether a value was written; a member without one is left out.
type IsWritten = bool;

impl Writer {
    /// Writes what JSON and ProtoJSON write alike.
    fn plain(&mut self, value: &(impl Serialize + ?Sized)) -> serde_json::Result<IsWritten> {
        serde_json::to_writer(&mut self.json, value)?;
        Ok(true)
    }

    /// Writes a number of 64 bits, which many readers of JSON cannot hold, as a text.
    fn text_of(&mut self, number: impl Display) -> serde_json::Result<IsWritten> {
        self.plain(&number.to_string())
    }

    fn open(&mut self, bracket: u8) -> Members<'_> {
        self.json.push(bracket);
        Members {
            is_first: true,
            before: self.json.len(),
            writer: self,
        }
    }
}

/// An object or a list while its members are written.
struct Members<'a> {
    writer: &'a mut Writer,
    is_first: bool,
    /// Where the member began whose value comes next, its comma included.
    before: usize,
}

impl Members<'_> {
    fn begin(&mut self) {
        self.before = self.writer.json.len();
        if !self.is_first {
            self.writer.json.push(b',');
        }
    }

    fn key(&mut self, key: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
        self.begin();
        self.writer.plain(key)?;
        self.writer.json.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
        if value.serialize(&mut *self.writer)? {
            self.is_first = false;
        } else {
            self.writer.json.truncate(self.before);
        }
        Ok(())
    }

    fn close(self, bracket: u8) -> serde_json::Result<IsWritten> {
        self.writer.json.push(bracket);
        Ok(true)
    }
}

impl SerializeSeq for Members<'_> {
    type Ok = IsWritten;
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> serde_json::Result<()> {
        self.begin();
        self.value(value)
    }

    fn end(self) -> serde_json::Result<IsWritten> {
        self.close(b']')
    }
}

impl SerializeMap for Members<'_> {
    type Ok = IsWritten;
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> serde_json::Result<()> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> serde_json::Result<()> {
        self.value(value)
    }

    fn end(self) -> serde_json::Result<IsWritten> {
        self.close(b'}')
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = IsWritten;
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> serde_json::Result<()> {
        self.key(key)?;
        self.value(value)
    }

    fn end(self) -> serde_json::Result<IsWritten> {
        self.close(b'}')
    }
}

type Never = Impossible<IsWritten, serde_json::Error>;

fn unknown<T>() -> serde_json::Result<T> {
    Err(serde_json::Error::custom(
        "no message of OTLP has this type",
    ))
}

/// Passes on what JSON writes as ProtoJSON does.
macro_rules! plain {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> serde_json::Result<IsWritten> {
            self.plain(&value)
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = IsWritten;
    type Error = serde_json::Error;
    type SerializeSeq = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeStructVariant = Never;

    plain! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_char(char)
        serialize_str(&str)
    }

    fn serialize_i64(self, value: i64) -> serde_json::Result<IsWritten> {
        self.text_of(value)
    }

    fn serialize_u64(self, value: u64) -> serde_json::Result<IsWritten> {
        self.text_of(value)
    }

    fn serialize_f32(self, value: f32) -> serde_json::Result<IsWritten> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> serde_json::Result<IsWritten> {
        match not_finite(value) {
            Some(text) => self.plain(text),
            None => self.plain(&value),
        }
    }

    fn serialize_bytes(self, bytes: &[u8]) -> serde_json::Result<IsWritten> {
        self.plain(&BASE64.encode(bytes))
    }

    fn serialize_none(self) -> serde_json::Result<IsWritten> {
        Ok(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> serde_json::Result<IsWritten> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> serde_json::Result<IsWritten> {
        Ok(false)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> serde_json::Result<IsWritten> {
        unknown()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> serde_json::Result<IsWritten> {
        // Messages hold the numbers of enums.
        unknown()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> serde_json::Result<IsWritten> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> serde_json::Result<IsWritten> {
        let mut members = self.open(b'{');
        members.key(variant)?;
        members.value(value)?;
        members.close(b'}')
    }

    fn serialize_seq(self, _length: Option<usize>) -> serde_json::Result<Members<'a>> {
        Ok(self.open(b'['))
    }

    fn serialize_map(self, _length: Option<usize>) -> serde_json::Result<Members<'a>> {
        Ok(self.open(b'{'))
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> serde_json::Result<Members<'a>> {
        Ok(self.open(b'{'))
    }

    fn serialize_tuple(self, _length: usize) -> serde_json::Result<Never> {
        unknown()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> serde_json::Result<Never> {
        unknown()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> serde_json::Result<Never> {
        unknown()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> serde_json::Result<Never> {
        unknown()
    }
}
