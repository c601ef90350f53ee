//! Filters and attributes as data: drawn at random, written in MessagePack, and evaluated as naively as can
//! be, one connection at a time. Texts are lists of code points here, and ints have 128 bits.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

pub const FIELDS: [&str; 4] = ["a", "b", "ab", "ß"];

pub type Text = Vec<u32>;

#[derive(Clone, Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
    Set(Vec<Text>),
}

pub type State = BTreeMap<&'static str, Value>;

#[derive(Clone, Debug)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(&'static str, &'static str, Value),
    In(&'static str, Vec<Value>),
    Has(&'static str, Text),
    Prefix(&'static str, Text),
}

impl Filter {
    pub fn matches(&self, state: &State) -> bool {
        let get = |field: &str| state.get(field).unwrap_or(&Value::None);
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(state)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(state)),
            Self::Not(part) => !part.matches(state),
            Self::Compare(operator, field, value) => match (*operator, order(get(field), value)) {
                ("eq", order) => order == Some(Ordering::Equal),
                // None equals None, but is not ordered with it.
                (_, None) => false,
                _ if matches!(value, Value::None) => false,
                ("lt", Some(order)) => order.is_lt(),
                ("le", Some(order)) => order.is_le(),
                ("gt", Some(order)) => order.is_gt(),
                (_, Some(order)) => order.is_ge(),
            },
            Self::In(field, values) => {
                values.iter().any(|value| order(get(field), value) == Some(Ordering::Equal))
            }
            Self::Has(field, text) => matches!(get(field), Value::Set(elements) if elements.contains(text)),
            Self::Prefix(field, prefix) => {
                matches!(get(field), Value::Text(text) if text.starts_with(prefix))
            }
        }
    }

    /// The compiled form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                begin(out, 2, if matches!(self, Self::And(_)) { "and" } else { "or" });
                array(out, parts.len());
                parts.iter().for_each(|part| part.write(out));
            }
            Self::Not(part) => {
                begin(out, 2, "not");
                part.write(out);
            }
            Self::Compare(operator, field, value) => {
                begin(out, 3, operator);
                text(out, field.as_bytes());
                value.write(out);
            }
            Self::In(field, values) => {
                begin(out, 3, "in");
                text(out, field.as_bytes());
                array(out, values.len());
                values.iter().for_each(|value| value.write(out));
            }
            Self::Has(field, operand) | Self::Prefix(field, operand) => {
                begin(out, 3, if matches!(self, Self::Has(..)) { "has" } else { "prefix" });
                text(out, field.as_bytes());
                text(out, &encoded(operand));
            }
        }
    }
}

/// How they are ordered, if they are of one family; None is a family of its own.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::None, Value::None) => Some(Ordering::Equal),
        (Value::Bool(one), _) => order(&Value::Int(i128::from(*one)), other),
        (_, Value::Bool(other)) => order(one, &Value::Int(i128::from(*other))),
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Int(int), Value::Float(float)) => order_to_float(*int, *float),
        (Value::Float(float), Value::Int(int)) => order_to_float(*int, *float).map(Ordering::reverse),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn order_to_float(int: i128, float: f64) -> Option<Ordering> {
    let end = 2_f64.powi(127);
    if float.is_nan() {
        None
    } else if float >= end {
        Some(Ordering::Less)
    } else if float < -end {
        Some(Ordering::Greater)
    } else {
        let whole = int.cmp(&(float.trunc() as i128));
        Some(whole.then(0_f64.partial_cmp(&float.fract())?))
    }
}

impl Value {
    /// Whether no filter can tell these apart.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(one), Self::Float(other)) if one.is_nan() => other.is_nan(),
            (Self::Set(one), Self::Set(other)) => {
                one.iter().all(|text| other.contains(text)) && other.iter().all(|text| one.contains(text))
            }
            _ => order(self, other) == Some(Ordering::Equal),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(0xc0),
            Self::Bool(bool) => out.push(0xc2 + u8::from(*bool)),
            Self::Int(int) => {
                if let Ok(int) = i64::try_from(*int) {
                    out.push(0xd3);
                    out.extend(int.to_be_bytes());
                } else if let Ok(int) = u64::try_from(*int) {
                    out.push(0xcf);
                    out.extend(int.to_be_bytes());
                } else {
                    let bytes = int.to_be_bytes();
                    let sign = if *int < 0 { 0xff } else { 0 };
                    let is_needed = |at: &usize| bytes[*at] != sign || (bytes[at + 1] ^ sign) >= 0x80;
                    let first = (0..15).find(is_needed).unwrap_or(15);
                    out.extend([0xc7, 16 - first as u8, 1]);
                    out.extend(&bytes[first..]);
                }
            }
            Self::Float(float) => {
                out.push(0xcb);
                out.extend(float.to_be_bytes());
            }
            Self::Text(value) => text(out, &encoded(value)),
            Self::Set(elements) => {
                array(out, elements.len());
                elements.iter().for_each(|element| text(out, &encoded(element)));
            }
        }
    }
}

/// A state as it is set.
pub fn map(state: &State) -> Vec<u8> {
    let mut out = vec![0x80 + state.len() as u8];
    for (field, value) in state {
        text(&mut out, field.as_bytes());
        value.write(&mut out);
    }
    out
}

fn begin(out: &mut Vec<u8>, length: usize, operator: &str) {
    array(out, length);
    text(out, operator.as_bytes());
}

fn array(out: &mut Vec<u8>, length: usize) {
    out.push(0xdc);
    out.extend((length as u16).to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend([0xd9, text.len() as u8]);
    out.extend(text);
}

/// UTF-8, of surrogates too.
fn encoded(text: &Text) -> Vec<u8> {
    let mut out = Vec::new();
    for &point in text {
        let tail = |shift: u32| 0x80 | (point >> shift & 0x3f) as u8;
        match point {
            0..0x80 => out.push(point as u8),
            0x80..0x800 => out.extend([0xc0 | (point >> 6) as u8, tail(0)]),
            0x800..0x1_0000 => out.extend([0xe0 | (point >> 12) as u8, tail(6), tail(0)]),
            _ => out.extend([0xf0 | (point >> 18) as u8, tail(12), tail(6), tail(0)]),
        }
    }
    out
}

/// Few characters, so that texts are equal now and then, and begin with each other.
fn any_text() -> impl Strategy<Value = Text> {
    let point =
        prop::sample::select(&[0x61, 0x62, 0xdf, 0x7ff, 0xd800, 0xdfff, 0xffff, 0x1_0000, 0x10_ffff][..]);
    prop::collection::vec(point, 0..3)
}

/// Numbers at which something changes, and a few more.
fn number() -> impl Strategy<Value = Value> {
    let edge = prop::sample::select(&[0, 1, 53, 63, 64, 100][..]);
    let int = (edge, -1..=1_i128, any::<bool>()).prop_map(|(edge, by, negative)| {
        let int = (1_i128 << edge) + by;
        if negative { -int } else { int }
    });
    let float = prop::sample::select(
        &[0.0, -0.0, 0.5, -0.5, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324][..],
    );
    let near_int = int.clone().prop_map(|int| int as f64);
    prop_oneof![
        1 => any::<bool>().prop_map(Value::Bool),
        3 => int.prop_map(Value::Int),
        2 => prop_oneof![float, near_int].prop_map(Value::Float),
    ]
}

/// Something to compare with.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::None), 4 => number(), 3 => any_text().prop_map(Value::Text)]
}

fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&FIELDS[..])
}

pub fn state() -> impl Strategy<Value = State> {
    let set = prop::collection::vec(any_text(), 0..4).prop_map(Value::Set);
    prop::collection::btree_map(field(), prop_oneof![3 => value(), 1 => set], 0..4)
}

pub fn filter() -> impl Strategy<Value = Filter> {
    let operator = prop::sample::select(&["eq", "lt", "le", "gt", "ge"][..]);
    let test = prop_oneof![
        5 => (operator, field(), value()).prop_map(|(operator, field, value)| {
            Filter::Compare(operator, field, value)
        }),
        1 => (field(), prop::collection::vec(value(), 0..4))
            .prop_map(|(field, values)| Filter::In(field, values)),
        1 => (field(), any_text()).prop_map(|(field, text)| Filter::Has(field, text)),
        1 => (field(), any_text()).prop_map(|(field, text)| Filter::Prefix(field, text)),
    ];
    test.prop_recursive(4, 16, 4, |part| {
        let parts = || prop::collection::vec(part.clone(), 0..4);
        prop_oneof![
            2 => parts().prop_map(Filter::And),
            2 => parts().prop_map(Filter::Or),
            1 => part.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}
