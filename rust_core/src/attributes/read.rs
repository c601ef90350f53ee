//! The attributes of one connection read from MessagePack.

use crate::filter::msgpack::{Malformed, Reader, Token};
use crate::filter::{self, Text, Value};

use super::{Attribute, Own};

pub(super) fn attributes(bytes: &[u8]) -> Result<Own, Malformed> {
    let mut reader = Reader::new(bytes);
    let Token::Map(length) = reader.token()? else {
        return Err(reader.malformed("attributes are a map"));
    };
    let mut read = Vec::new();
    for _ in 0..length {
        read.push((filter::field(&mut reader)?, attribute(&mut reader)?));
    }
    reader.end()?;
    read.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    if read.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(reader.malformed("a field is there twice"));
    }
    // None is what an attribute has that is not there.
    Ok(read.into_iter().filter_map(|(field, attribute)| Some((field, attribute?))).collect())
}

fn attribute(reader: &mut Reader<'_>) -> Result<Option<Attribute>, Malformed> {
    let token = reader.token()?;
    if let Token::Array(length) = token {
        return set(reader, length).map(Some);
    }
    Ok(match filter::value(reader, token)? {
        Some(Value::None) => None,
        Some(Value::Number(number)) => Some(Attribute::Number(number)),
        Some(Value::Text(text)) => Some(Attribute::Text(text)),
        None => Some(Attribute::NotANumber),
    })
}

fn set(reader: &mut Reader<'_>, length: usize) -> Result<Attribute, Malformed> {
    let mut elements: Vec<Text> = Vec::new();
    for _ in 0..length {
        match reader.token()? {
            Token::Text(text) => elements.push(text.into()),
            _ => return Err(reader.malformed("a set has texts only")),
        }
    }
    elements.sort_unstable();
    elements.dedup();
    elements.shrink_to_fit();
    Ok(Attribute::Set(elements))
}
