//! What a connection may ask to listen for, and the text that stands for it.

use std::sync::Arc;

use crate::filter::{Filter, Malformed};

/// Longest event name, in characters. The text of a topic with a filter is longer, so that none is taken for the other.
const MAX_NAME_CHARS: usize = 128;

/// Between the lines of the text of a topic with a filter.
const SEPARATOR: char = '\n';

/// An event name, or an event name with a filter.
///
/// The text of one with a filter is more than 128 characters long and has three lines: the
/// filter as the client wrote it, which tells two apart; its compiled form in hexadecimal digits; and the event name.
#[derive(Debug)]
pub struct Topic<'a> {
    /// What it is known by.
    pub(super) text: &'a str,
    /// The event name, and the filter over the event's fields; `None` for a name by itself.
    pub(super) filtered: Option<(&'a str, Arc<Filter>)>,
}

/// An event name by itself.
impl<'a> From<&'a str> for Topic<'a> {
    fn from(name: &'a str) -> Self {
        Self { text: name, filtered: None }
    }
}

/// The same.
impl<'a> From<&'a String> for Topic<'a> {
    fn from(name: &'a String) -> Self {
        name.as_str().into()
    }
}

impl<'a> Topic<'a> {
    /// What it is known by.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Read the text of a topic.
    ///
    /// # Errors
    /// [`Malformed`] if it is longer than a name and no topic with a filter.
    pub fn read(text: &'a str) -> Result<Self, Malformed> {
        if text.chars().nth(MAX_NAME_CHARS).is_none() {
            return Ok(text.into());
        }
        let malformed = |what| Malformed { at: 0, what };
        let mut parts = text.splitn(3, SEPARATOR).skip(1);
        let (Some(digits), Some(name)) = (parts.next(), parts.next()) else {
            return Err(malformed("a topic with a filter has three lines"));
        };
        let compiled =
            from_hex(digits).ok_or_else(|| malformed("a compiled filter in hexadecimal digits"))?;
        Ok(Self { text, filtered: Some((name, Arc::new(Filter::parse(&compiled)?))) })
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}
