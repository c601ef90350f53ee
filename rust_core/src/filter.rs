//! Filters over the attributes of connections, and over the fields of events, compiled once; evaluated by
//! [`crate::attributes`].
//!
//! The compiled form, in MessagePack, is what Python's `where(…)` is turned into:
//!
//! ```text
//! filter = ["and", [filter, …]] | ["or", [filter, …]] | ["not", filter]
//!        | ["eq" | "lt" | "le" | "gt" | "ge", field, value] | ["in", field, [value, …]]
//!        | ["has" | "prefix", field, text]
//! field  = text of 1 to 128 characters
//! value  = nil | bool | int | float 64 | text | ext 1
//! text   = str, in UTF-8 where lone surrogates are allowed
//! ext 1  = an int of any size, in two's complement, big-endian
//! ```
//!
//! `["and", []]` matches every connection and `["or", []]` none. A test by itself is one deep, and each
//! `and`, `or` and `not` around it one deeper.

mod conjunction;
pub mod msgpack;
pub mod number;
mod parse;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

pub use self::msgpack::Malformed;
pub(crate) use self::parse::{field, value};

use self::number::Number;
use crate::frame::ENCODINGS;
use crate::subscription;

/// How deep filters may be nested: reading and evaluating them recurses as deep.
pub const MAX_DEPTH: usize = 32;

/// Most nodes of a filter: tests, and what combines them.
pub const MAX_NODES: usize = 1024;

/// Longest compiled form.
pub const MAX_BYTES: usize = 64 << 10;

/// Longest name of a field, in characters.
pub const MAX_FIELD_CHARS: usize = 128;

/// A string, or the name of a field: UTF-8 where lone surrogates are allowed, so that its bytes are ordered
/// as its characters are. Shared by all that mention it.
pub type Text = Arc<[u8]>;

/// What an attribute is compared with. NaN is none of these, because nothing equals it and nothing is ordered
/// with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Also of attributes that are missing.
    None,
    /// A bool, an int or a float.
    Number(Number),
    /// A string.
    Text(Text),
}

/// A filter, ready to be evaluated. Share it: results are kept by its address.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    /// The whole of it.
    pub(crate) root: Node,
}

/// A filter or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// All of these match. Those that are quickest to estimate come first, and no two are ranges over one
    /// field.
    And(Vec<Node>),
    /// At least one of these matches.
    Or(Vec<Node>),
    /// This does not match.
    Not(Box<Node>),
    /// One attribute passes a test.
    Test(Text, Test),
}

/// What one attribute is asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Is it equal to one of these?
    OneOf(OneOf),
    /// Is it a number between these?
    Numbers(Bound<Number>, Bound<Number>),
    /// Is it a string between these? That it begins with something is one of these questions.
    Texts(Bound<Text>, Bound<Text>),
    /// Is it a set that contains this?
    Has(Text),
}

/// Values, by family.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OneOf {
    /// Whether None is among them.
    pub none: bool,
    /// The numbers.
    pub numbers: BTreeSet<Number>,
    /// The strings.
    pub texts: BTreeSet<Text>,
}

impl Node {
    fn add_fields<'a>(&'a self, found: &mut Vec<&'a Text>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.add_fields(found)),
            Self::Not(part) => part.add_fields(found),
            Self::Test(field, _) => found.push(field),
        }
    }
}

impl Filter {
    /// Read the compiled form.
    ///
    /// # Errors
    /// [`Malformed`], which says what is wrong and where, for anything else than one filter within the
    /// limits.
    pub fn parse(compiled: &[u8]) -> Result<Self, Malformed> {
        parse::filter(compiled).map(|root| Self { root })
    }

    /// Whether an event with these encoded arguments, in one encoding or the other, matches by the fields of the first.
    #[must_use]
    pub fn matches(&self, args: [Option<&[u8]>; ENCODINGS]) -> bool {
        subscription::matches(self, args)
    }

    /// The fields that it asks about, as often as it does.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Text> {
        let mut found = Vec::new();
        self.root.add_fields(&mut found);
        found.into_iter()
    }
}
