//! Numbers as Python compares them: bools, ints of any size and floats in one exact order.
//!
//! `1`, `1.0` and `True` are the same number here, so that they share one place in an index. The order is
//! exact: an int is never rounded to the nearest float to be compared with one.

use std::cmp::Ordering;

/// A number. NaN is none.
#[derive(Clone, Debug)]
pub struct Number(Form);

/// Each number has one form.
#[derive(Clone, Debug)]
enum Form {
    /// An integer that fits.
    Int(i64),
    /// A number with a fractional part, which is below 2^53; or an infinity.
    Float(f64),
    /// An integer that does not fit.
    Large {
        /// Whether it is below zero.
        negative: bool,
        /// Its absolute value: big-endian, 8 bytes or more, of which the first is not 0.
        magnitude: Box<[u8]>,
    },
}

impl Number {
    /// A float; `None` for NaN.
    #[must_use]
    pub fn from_float(float: f64) -> Option<Self> {
        // Where i64 ends. The largest i64 itself is no float.
        const END: f64 = (1_u64 << 63) as f64;
        if float.is_nan() {
            None
        } else if float.is_infinite() || float.fract() != 0.0 {
            Some(Self(Form::Float(float)))
        } else if (-END..END).contains(&float) {
            Some(Self(Form::Int(float as i64)))
        } else {
            Some(Self(Form::Large { negative: float < 0.0, magnitude: magnitude(float) }))
        }
    }

    /// An integer of any size in two's complement, big-endian. Of no bytes at all, it is 0.
    #[must_use]
    pub fn from_twos_complement(bytes: &[u8]) -> Self {
        let negative = bytes.first().is_some_and(|&first| first >= 0x80);
        let sign = if negative { 0xff } else { 0 };
        let bytes = without_leading(bytes, sign);
        let fits = bytes.len() < 8 || (bytes.len() == 8 && (bytes[0] >= 0x80) == negative);
        if fits {
            let int = bytes.iter().fold(-i64::from(negative), |int, &byte| (int << 8) | i64::from(byte));
            return Self(Form::Int(int));
        }
        if !negative {
            return Self(Form::Large { negative, magnitude: bytes.into() });
        }
        // Turned over and one added: what follows the last byte that is not 0 stays as it is. There may be
        // one more byte, as of -2^64.
        let mut absolute: Vec<u8> = std::iter::once(0).chain(bytes.iter().map(|byte| !byte)).collect();
        for byte in absolute.iter_mut().rev() {
            let overflows;
            (*byte, overflows) = byte.overflowing_add(1);
            if !overflows {
                break;
            }
        }
        Self(Form::Large { negative, magnitude: without_leading(&absolute, 0).into() })
    }

    /// Where it lies: numbers of different regions need no closer look.
    fn region(&self) -> i8 {
        match self.0 {
            Form::Float(f64::NEG_INFINITY) => -2,
            Form::Large { negative: true, .. } => -1,
            Form::Int(_) | Form::Float(f64::MIN..=f64::MAX) => 0,
            Form::Large { negative: false, .. } => 1,
            Form::Float(_) => 2,
        }
    }
}

/// The absolute value of an integer of 2^63 or more.
fn magnitude(float: f64) -> Box<[u8]> {
    let (bits, fraction) = (float.to_bits(), 52);
    let significand = (bits & ((1 << fraction) - 1)) | (1 << fraction);
    let exponent = (bits >> fraction & 0x7ff) as usize - 1023 - fraction;
    let shifted = u128::from(significand) << (exponent % 8);
    let mut bytes = without_leading(&shifted.to_be_bytes(), 0).to_vec();
    bytes.resize(bytes.len() + exponent / 8, 0);
    bytes.into()
}

fn without_leading(bytes: &[u8], leading: u8) -> &[u8] {
    &bytes[bytes.iter().take_while(|&&byte| byte == leading).count()..]
}

impl From<i64> for Number {
    fn from(int: i64) -> Self {
        Self(Form::Int(int))
    }
}

impl From<u64> for Number {
    fn from(int: u64) -> Self {
        match i64::try_from(int) {
            Ok(int) => int.into(),
            Err(_) => Self(Form::Large { negative: false, magnitude: int.to_be_bytes().into() }),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.region().cmp(&other.region()).then_with(|| match (&self.0, &other.0) {
            (Form::Int(own), Form::Int(other)) => own.cmp(other),
            // Neither is NaN nor a zero, so that this is the order of their values.
            (Form::Float(own), Form::Float(other)) => own.total_cmp(other),
            (Form::Int(own), Form::Float(other)) => int_to_float(*own, *other),
            (Form::Float(own), Form::Int(other)) => int_to_float(*other, *own).reverse(),
            (Form::Large { negative, magnitude: own }, Form::Large { magnitude: other, .. }) => {
                let by_magnitude = (own.len(), own).cmp(&(other.len(), other));
                if *negative { by_magnitude.reverse() } else { by_magnitude }
            }
            (Form::Large { .. }, _) | (_, Form::Large { .. }) => {
                unreachable!("large numbers have regions of their own")
            }
        })
    }
}

/// `float` is finite and no integer.
fn int_to_float(int: i64, float: f64) -> Ordering {
    if int <= float.floor() as i64 { Ordering::Less } else { Ordering::Greater }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}
