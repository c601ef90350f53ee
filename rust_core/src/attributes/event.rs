//! The fields of an event read out of its encoded arguments: what its clients see of the first one.
//!
//! Both encodings give the same answer, that of JSON: a number that is not finite is None, bytes are text, the key of a
//! field is text. An array of texts is a set. What cannot be filtered is left out, and not an error.
//!
//! Nothing is read further down than into a field's own array; what is below is passed over, which in JSON has no
//! bound and in MessagePack one of 1024 levels. Events nest at most 254 deep: whoever sends one that goes deeper is
//! refused, before it comes here.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Attribute, Own};
use crate::filter::Text;
use crate::filter::number::Number;
use crate::frame::{ENCODINGS, Encoding};

/// No arguments. They also stand for an event in an encoding that nobody used when it was sent, once a durable actor's
/// stream is restored: then the other encoding has them.
const NONE_IN_MSGPACK: &[u8] = b"\x90";

/// The fields of the first of these arguments, as far as `asked` knows their names. Of several encodings one is read.
pub(crate) fn fields<'a>(args: [Option<&[u8]>; ENCODINGS], asked: impl Fn(&[u8]) -> Option<&'a Text>) -> Own {
    let mut read = Vec::new();
    let first = Arguments { asked: &asked, read: &mut read };
    // The arguments were written by an encoder, which makes no mistakes; and behind the first one nothing is read,
    // which is an error to the reader.
    let msgpack = args[Encoding::Msgpack.index()].filter(|&args| args != NONE_IN_MSGPACK);
    let _end = if let Some(msgpack) = msgpack {
        rmp_serde::Deserializer::from_read_ref(msgpack).deserialize_any(first).is_ok()
    } else if let Some(json) = args[Encoding::Json.index()] {
        serde_json::Deserializer::from_slice(json).deserialize_any(first).is_ok()
    } else {
        true
    };
    // Of a field that is there twice clients see the last.
    read.reverse();
    read.sort_by(|(one, _), (other, _)| one.cmp(other));
    read.dedup_by(|later, earlier| later.0 == earlier.0);
    read.into_iter().filter_map(|(field, attribute)| Some((field, attribute?))).collect()
}

/// What is read: in the order in which it came, None included.
type Read = Vec<(Text, Option<Attribute>)>;

/// All arguments, of which the first counts.
struct Arguments<'a, A> {
    asked: &'a A,
    read: &'a mut Read,
}

impl<'de, 'a: 'b, 'b, A: Fn(&[u8]) -> Option<&'a Text>> Visitor<'de> for Arguments<'b, A> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of arguments")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut arguments: S) -> Result<(), S::Error> {
        arguments.next_element_seed(First { asked: self.asked, read: self.read }).map(drop)
    }
}

/// The first argument.
struct First<'a, A> {
    asked: &'a A,
    read: &'a mut Read,
}

impl<'de, 'a: 'b, 'b, A: Fn(&[u8]) -> Option<&'a Text>> DeserializeSeed<'de> for First<'b, A> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, argument: D) -> Result<(), D::Error> {
        argument.deserialize_any(self)
    }
}

impl<'de, 'a: 'b, 'b, A: Fn(&[u8]) -> Option<&'a Text>> Visitor<'de> for First<'b, A> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an argument with fields")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<(), M::Error> {
        while let Some(name) = entries.next_key_seed(WHOLE)? {
            let field = match name {
                Seen::Text(name) => (self.asked)(&name),
                Seen::Int(name) => (self.asked)(name.to_string().as_bytes()),
                _ => None,
            };
            match field {
                Some(field) => {
                    let value = entries.next_value_seed(WHOLE)?;
                    self.read.push((Text::clone(field), value.attribute()));
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A value as far as filters look at one.
enum Seen {
    Nothing,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Vec<u8>),
    Set(Vec<Text>),
}

impl Seen {
    fn attribute(self) -> Option<Attribute> {
        let number = match self {
            Self::Nothing => return None,
            Self::Text(text) => return Some(Attribute::Text(text.into())),
            Self::Set(texts) => return Some(Attribute::Set(texts)),
            Self::Bool(bool) => i64::from(bool).into(),
            Self::Int(int) => match i64::try_from(int) {
                Ok(int) => int.into(),
                // Neither encoding has more than 64 bits.
                Err(_) => u64::try_from(int).ok()?.into(),
            },
            Self::Float(float) if float.is_finite() => Number::from_float(float)?,
            Self::Float(_) => return None,
        };
        Some(Attribute::Number(number))
    }
}

/// Reads a [`Seen`].
struct Plain {
    /// It stands in an array, where only texts count: what is in further arrays is passed over.
    is_item: bool,
}

const WHOLE: Plain = Plain { is_item: false };

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Seen, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Seen;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(Seen::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Seen, E> {
        Ok(Seen::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Seen, E> {
        Ok(Seen::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Seen, E> {
        Ok(Seen::Text(value.into()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Seen, E> {
        let is_text = std::str::from_utf8(value).is_ok();
        Ok(if is_text { Seen::Text(value.into()) } else { Seen::Nothing })
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Seen, S::Error> {
        if self.is_item {
            // Not looked into one by one: how deep that goes has a bound, which differs between the encodings.
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Seen::Nothing);
        }
        let mut texts = Some(Vec::new());
        while let Some(item) = items.next_element_seed(Plain { is_item: true })? {
            match (item, &mut texts) {
                (Seen::Text(text), Some(texts)) => texts.push(Text::from(text)),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Seen::Nothing, |mut texts| {
            texts.sort_unstable();
            texts.dedup();
            Seen::Set(texts)
        }))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<Seen, M::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Seen::Nothing)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Seen, D::Error> {
        // A type of MessagePack's that the protocol does not have.
        extension.deserialize_ignored_any(IgnoredAny).map(|_| Seen::Nothing)
    }
}
