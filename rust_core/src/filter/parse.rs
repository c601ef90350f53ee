//! The compiled form read: whatever the bytes are, the answer is a filter within the limits or what is wrong.

use std::ops::Bound;

use super::msgpack::{Malformed, Reader, Token};
use super::number::Number;
use super::{MAX_BYTES, MAX_DEPTH, MAX_FIELD_CHARS, MAX_NODES, Node, OneOf, Test, Text, Value, conjunction};

/// How ints that need more than 64 bits are written.
const EXT_INT: i8 = 1;

pub(super) fn filter(compiled: &[u8]) -> Result<Node, Malformed> {
    if compiled.len() > MAX_BYTES {
        return Err(Malformed { at: MAX_BYTES, what: "a filter takes more than 64 KiB" });
    }
    let mut reader = Reader::new(compiled);
    let root = node(&mut reader, 1, &mut 0)?;
    reader.end()?;
    Ok(root)
}

fn node(reader: &mut Reader<'_>, depth: usize, nodes: &mut usize) -> Result<Node, Malformed> {
    let Token::Array(length) = reader.token()? else {
        return Err(reader.malformed("a filter is an array"));
    };
    if depth > MAX_DEPTH {
        return Err(reader.malformed("a filter is nested more than 32 deep"));
    }
    *nodes += 1;
    if *nodes > MAX_NODES {
        return Err(reader.malformed("a filter has more than 1,024 nodes"));
    }
    let operator = text(reader, "an operator is a text")?;
    let takes = match operator {
        b"and" | b"or" | b"not" => 2,
        b"eq" | b"lt" | b"le" | b"gt" | b"ge" | b"in" | b"has" | b"prefix" => 3,
        _ => return Err(reader.malformed("an operator that is not known")),
    };
    if length != takes {
        return Err(reader.malformed("an operator with too many or too few operands"));
    }
    match operator {
        b"not" => Ok(Node::Not(Box::new(node(reader, depth + 1, nodes)?))),
        b"and" | b"or" => {
            let parts = array(reader, "the operand of and, or: an array of filters")?;
            let parts = parts.map(|()| node(reader, depth + 1, nodes)).collect::<Result<_, _>>()?;
            Ok(if operator == b"or" { Node::Or(parts) } else { conjunction::all_of(parts) })
        }
        _ => Ok(Node::Test(field(reader)?, test(operator, reader)?)),
    }
}

fn test(operator: &[u8], reader: &mut Reader<'_>) -> Result<Test, Malformed> {
    match operator {
        b"in" => {
            let mut one_of = OneOf::default();
            for () in array(reader, "the operand of in is an array of values")? {
                one_of.add(operand(reader)?);
            }
            Ok(Test::OneOf(one_of))
        }
        b"has" => Ok(Test::Has(text(reader, "the operand of has is a text")?.into())),
        b"prefix" => Ok(beginning_with(text(reader, "the operand of prefix is a text")?)),
        _ => Ok(match (operator, operand(reader)?) {
            (b"eq", value) => {
                let mut one_of = OneOf::default();
                one_of.add(value);
                Test::OneOf(one_of)
            }
            (_, Some(Value::Number(number))) => {
                let (low, high) = range(operator, number);
                Test::Numbers(low, high)
            }
            (_, Some(Value::Text(text))) => {
                let (low, high) = range(operator, text);
                Test::Texts(low, high)
            }
            // None and NaN are ordered with nothing.
            (_, Some(Value::None) | None) => Test::OneOf(OneOf::default()),
        }),
    }
}

impl OneOf {
    fn add(&mut self, value: Option<Value>) {
        match value {
            Some(Value::None) => self.none = true,
            Some(Value::Number(number)) => {
                self.numbers.insert(number);
            }
            Some(Value::Text(text)) => {
                self.texts.insert(text);
            }
            // Nothing equals NaN.
            None => {}
        }
    }
}

fn range<T>(operator: &[u8], value: T) -> (Bound<T>, Bound<T>) {
    match operator {
        b"lt" => (Bound::Unbounded, Bound::Excluded(value)),
        b"le" => (Bound::Unbounded, Bound::Included(value)),
        b"gt" => (Bound::Excluded(value), Bound::Unbounded),
        _ => (Bound::Included(value), Bound::Unbounded),
    }
}

/// Texts that begin with `prefix` lie between it and itself with the last byte one higher; none of UTF-8 is
/// the highest.
fn beginning_with(prefix: &[u8]) -> Test {
    let mut end = prefix.to_vec();
    let high = match end.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(end.into())
        }
        None => Bound::Unbounded,
    };
    Test::Texts(Bound::Included(prefix.into()), high)
}

fn operand(reader: &mut Reader<'_>) -> Result<Option<Value>, Malformed> {
    let token = reader.token()?;
    value(reader, token)
}

/// The value that `token`, just read, is; `None` for NaN.
///
/// # Errors
/// [`Malformed`] if it is no value.
pub(crate) fn value(reader: &Reader<'_>, token: Token<'_>) -> Result<Option<Value>, Malformed> {
    Ok(Some(match token {
        Token::Nil => Value::None,
        Token::Bool(bool) => Value::Number(i64::from(bool).into()),
        Token::Int(int) => Value::Number(int.into()),
        Token::LargeInt(int) => Value::Number(int.into()),
        Token::Float(float) => return Ok(Number::from_float(float).map(Value::Number)),
        Token::Ext(EXT_INT, bytes) if !bytes.is_empty() => Value::Number(Number::from_twos_complement(bytes)),
        Token::Text(text) => Value::Text(text.into()),
        Token::Array(_) | Token::Map(_) | Token::Ext(..) => {
            return Err(reader.malformed("a value is None, a bool, a number or a text"));
        }
    }))
}

/// The name of a field.
///
/// # Errors
/// [`Malformed`] if it is none, or too long.
pub(crate) fn field(reader: &mut Reader<'_>) -> Result<Text, Malformed> {
    let name = text(reader, "a field is named by a text")?;
    // Bytes that go on with a character begin with the bits 10.
    let characters = name.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    if (1..=MAX_FIELD_CHARS).contains(&characters) {
        Ok(name.into())
    } else {
        Err(reader.malformed("the name of a field has 1 to 128 characters"))
    }
}

fn text<'a>(reader: &mut Reader<'a>, expected: &'static str) -> Result<&'a [u8], Malformed> {
    match reader.token()? {
        Token::Text(text) => Ok(text),
        _ => Err(reader.malformed(expected)),
    }
}

/// As many times as the array that comes has values.
fn array(
    reader: &mut Reader<'_>,
    expected: &'static str,
) -> Result<impl Iterator<Item = ()> + use<>, Malformed> {
    match reader.token()? {
        Token::Array(length) => Ok(std::iter::repeat_n((), length)),
        _ => Err(reader.malformed(expected)),
    }
}
