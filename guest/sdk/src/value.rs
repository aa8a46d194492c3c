//! Attributes and their values, which spans, metrics and logs have in common.
//!
//! A value borrows where it can: an attribute made of text that exists already
//! costs no allocation.

use std::borrow::Cow;

use crate::bindings::fanlight::telemetry::types as raw;

/// The value of an attribute or the body of a log record.
///
/// There is a `From` for text, booleans and numbers, and for slices, arrays and
/// vectors of `&str`, `bool`, `i64` and `f64`; of `String`, borrowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    String(Cow<'a, str>),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    S64(i64),
    /// A floating-point number.
    F64(f64),
    /// A list of texts.
    StringList(Cow<'a, [&'a str]>),
    /// A list of booleans.
    BoolList(Cow<'a, [bool]>),
    /// A list of signed integers.
    S64List(Cow<'a, [i64]>),
    /// A list of floating-point numbers.
    F64List(Cow<'a, [f64]>),
}

impl Value<'_> {
    pub(crate) fn as_raw(&self) -> raw::Value<'_> {
        match self {
            Value::String(text) => raw::Value::String(text),
            Value::Bool(truth) => raw::Value::Bool(*truth),
            Value::S64(number) => raw::Value::S64(*number),
            Value::F64(number) => raw::Value::F64(*number),
            Value::StringList(list) => raw::Value::StringList(list),
            Value::BoolList(list) => raw::Value::BoolList(list),
            Value::S64List(list) => raw::Value::S64List(list),
            Value::F64List(list) => raw::Value::F64List(list),
        }
    }
}

/// A key and its value.
///
/// Where the same key is set twice, the last one counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute<'a> {
    /// The name, by preference one of the OpenTelemetry semantic conventions.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// Makes an attribute of a key and whatever becomes a [`Value`].
    pub fn new(key: &'a str, value: impl Into<Value<'a>>) -> Self {
        let value = value.into();
        Self { key, value }
    }

    pub(crate) fn as_raw(&self) -> raw::Attribute<'_> {
        raw::Attribute {
            key: self.key,
            value: self.value.as_raw(),
        }
    }
}

/// Borrows attributes in the form in which they cross to the host.
pub(crate) fn as_raw<'a>(attributes: &'a [Attribute<'_>]) -> Vec<raw::Attribute<'a>> {
    attributes.iter().map(Attribute::as_raw).collect()
}

/// As many attributes as cross to the host without an allocation.
const FEW: usize = 8;

/// Lends attributes in the form in which they cross to the host.
pub(crate) fn with_raw<T>(
    attributes: &[Attribute<'_>],
    lend: impl FnOnce(&[raw::Attribute<'_>]) -> T,
) -> T {
    if attributes.len() > FEW {
        return lend(&as_raw(attributes));
    }
    let mut few = [const {
        raw::Attribute {
            key: "",
            value: raw::Value::Bool(false),
        }
    }; FEW];
    for (place, attribute) in few.iter_mut().zip(attributes) {
        *place = attribute.as_raw();
    }
    lend(&few[..attributes.len()])
}

/// Makes an array of [`Attribute`]s of `"key" = value` pairs.
///
/// ```
/// # use fanlight_guest::attributes;
/// let table = String::from("users");
/// let attributes = attributes!["db.collection.name" = &table, "result.count" = 3];
/// assert_eq!(attributes[1].key, "result.count");
/// ```
#[macro_export]
macro_rules! attributes {
    ($($key:tt = $value:expr),* $(,)?) => {
        [$($crate::Attribute::new($key, $value)),*]
    };
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Value::String(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::F64(number)
    }
}

impl From<f32> for Value<'_> {
    fn from(number: f32) -> Self {
        Value::F64(number.into())
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value<'_> {
            fn from(number: $integer) -> Self {
                Value::S64(number.into())
            }
        }
    )*};
}

from_integers!(i8, i16, i32, i64, u8, u16, u32);

macro_rules! from_wide_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value<'_> {
            /// Converts what fits; a larger number becomes the largest there is.
            fn from(number: $integer) -> Self {
                Value::S64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
    )*};
}

from_wide_integers!(u64, usize);

macro_rules! from_lists {
    ($($item:ty => $variant:ident),* $(,)?) => {$(
        impl<'a> From<&'a [$item]> for Value<'a> {
            fn from(list: &'a [$item]) -> Self {
                Value::$variant(Cow::Borrowed(list))
            }
        }

        impl<'a, const N: usize> From<&'a [$item; N]> for Value<'a> {
            fn from(list: &'a [$item; N]) -> Self {
                Value::$variant(Cow::Borrowed(list))
            }
        }

        impl<'a, const N: usize> From<[$item; N]> for Value<'a> {
            fn from(list: [$item; N]) -> Self {
                Value::$variant(Cow::Owned(list.into()))
            }
        }

        impl<'a> From<&'a Vec<$item>> for Value<'a> {
            fn from(list: &'a Vec<$item>) -> Self {
                Value::$variant(Cow::Borrowed(list))
            }
        }

        impl<'a> From<Vec<$item>> for Value<'a> {
            fn from(list: Vec<$item>) -> Self {
                Value::$variant(Cow::Owned(list))
            }
        }
    )*};
}

from_lists! {
    &'a str => StringList,
    bool => BoolList,
    i64 => S64List,
    f64 => F64List,
}

impl<'a> From<&'a [String]> for Value<'a> {
    fn from(list: &'a [String]) -> Self {
        Value::StringList(list.iter().map(String::as_str).collect())
    }
}

impl<'a> From<&'a Vec<String>> for Value<'a> {
    fn from(list: &'a Vec<String>) -> Self {
        list.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_and_owned_text_is_kept() {
        let owned = String::from("b");
        assert_eq!(Value::from("a"), Value::String(Cow::Borrowed("a")));
        assert!(matches!(
            Value::from(&owned),
            Value::String(Cow::Borrowed("b"))
        ));
        assert!(matches!(Value::from(owned), Value::String(Cow::Owned(_))));
    }

    #[test]
    fn integers_that_do_not_fit_become_the_largest() {
        assert_eq!(Value::from(7_u8), Value::S64(7));
        assert_eq!(Value::from(-7_i32), Value::S64(-7));
        assert_eq!(Value::from(u64::MAX), Value::S64(i64::MAX));
    }

    #[test]
    fn lists_of_every_type_convert() {
        let names = vec![String::from("a"), String::from("b")];
        assert_eq!(
            Value::from(&names),
            Value::StringList(vec!["a", "b"].into())
        );
        assert_eq!(Value::from(["a"]), Value::StringList(vec!["a"].into()));
        assert_eq!(Value::from(&[true]), Value::BoolList(vec![true].into()));
        assert_eq!(Value::from(vec![1, 2]), Value::S64List(vec![1, 2].into()));
        assert_eq!(Value::from([0.5]), Value::F64List(vec![0.5].into()));
    }

    #[test]
    fn the_macro_takes_literals_constants_and_expressions() {
        const KEY: &str = "k";
        let attributes = attributes!["a" = 1 + 1, KEY = format!("{}", 2), "c" = true];
        assert_eq!(attributes[0], Attribute::new("a", 2));
        assert_eq!(attributes[1], Attribute::new("k", "2"));
        assert_eq!(attributes[2], Attribute::new("c", true));
        assert!(matches!(
            as_raw(&attributes)[1],
            raw::Attribute {
                key: "k",
                value: raw::Value::String("2")
            }
        ));
    }
}
