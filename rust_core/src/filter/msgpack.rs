//! MessagePack read token by token, as far as filters and attributes use it; nothing is copied.

use std::fmt;

/// What is read is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where, in bytes.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at byte {}", self.what, self.at)
    }
}

impl std::error::Error for Malformed {}

/// One value, or the head of one that has others in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// nil.
    Nil,
    /// A bool.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// One that does not.
    LargeInt(u64),
    /// A float of 64 bits.
    Float(f64),
    /// A str: UTF-8 where lone surrogates are allowed.
    Text(&'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
    /// A type of the application, and its bytes.
    Ext(i8, &'a [u8]),
}

/// Reads from the front of a slice.
#[derive(Debug)]
pub struct Reader<'a> {
    /// All that there is.
    bytes: &'a [u8],
    /// Where the next token begins.
    at: usize,
    /// Where the last one began, for messages.
    last: usize,
}

impl<'a> Reader<'a> {
    /// Read `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, last: 0 }
    }

    /// Say that the token that was read last is not what it should be.
    #[must_use]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.last, what }
    }

    /// The next token.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes end too early, and for types that neither filters nor attributes have.
    pub fn token(&mut self) -> Result<Token<'a>, Malformed> {
        self.last = self.at;
        let marker = self.unsigned(1)? as u8;
        Ok(match marker {
            0x00..=0x7f => Token::Int(i64::from(marker)),
            0x80..=0x8f => Token::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Token::Array(usize::from(marker & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Bool(marker == 0xc3),
            0xc7..=0xc9 => {
                let length = self.length(1 << (marker - 0xc7))?;
                self.ext(length)?
            }
            0xcb => Token::Float(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => {
                let int = self.unsigned(1 << (marker - 0xcc))?;
                i64::try_from(int).map_or(Token::LargeInt(int), Token::Int)
            }
            0xd0..=0xd3 => {
                let width = 1 << (marker - 0xd0);
                // The sign bit goes to the front and comes back with its copies.
                let unused = 64 - 8 * width;
                Token::Int((self.unsigned(width)? << unused).cast_signed() >> unused)
            }
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                self.text(length)?
            }
            0xdc | 0xdd => Token::Array(self.length(2 << (marker - 0xdc))?),
            0xde | 0xdf => Token::Map(self.length(2 << (marker - 0xde))?),
            0xe0..=0xff => Token::Int(i64::from(marker.cast_signed())),
            0xc1 | 0xc4..=0xc6 | 0xca => return Err(self.malformed("a type that is not used here")),
        })
    }

    /// Make sure that there is no more.
    ///
    /// # Errors
    /// [`Malformed`] if there is.
    pub fn end(&mut self) -> Result<(), Malformed> {
        self.last = self.at;
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("more than one value")) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.bytes[self.at..]
            .get(..length)
            .ok_or(Malformed { at: self.bytes.len(), what: "ends too early" })?;
        self.at += length;
        Ok(taken)
    }

    /// A big-endian integer of `width` bytes, 8 at most.
    fn unsigned(&mut self, width: u32) -> Result<u64, Malformed> {
        Ok(self.take(width as usize)?.iter().fold(0, |int, &byte| (int << 8) | u64::from(byte)))
    }

    /// A length of `width` bytes. It may be a lie, so that nothing is reserved by it.
    fn length(&mut self, width: u32) -> Result<usize, Malformed> {
        Ok(usize::try_from(self.unsigned(width)?).unwrap_or(usize::MAX))
    }

    fn text(&mut self, length: usize) -> Result<Token<'a>, Malformed> {
        let text = self.take(length)?;
        if is_text(text) { Ok(Token::Text(text)) } else { Err(self.malformed("a str that is not UTF-8")) }
    }

    fn ext(&mut self, length: usize) -> Result<Token<'a>, Malformed> {
        let kind = (self.unsigned(1)? as u8).cast_signed();
        Ok(Token::Ext(kind, self.take(length)?))
    }
}

/// Whether these bytes are what Python's `str.encode("utf-8", "surrogatepass")` gives.
fn is_text(mut bytes: &[u8]) -> bool {
    loop {
        let Err(error) = std::str::from_utf8(bytes) else {
            return true;
        };
        // Surrogates, U+D800 to U+DFFF, would be ED A0 80 to ED BF BF.
        match &bytes[error.valid_up_to()..] {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}
