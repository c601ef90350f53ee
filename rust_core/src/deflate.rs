//! Payloads compressed as permessage-deflate has it (RFC 7692); leaves framing them to [`crate::frame`].
//!
//! Each message is compressed by itself (*no context takeover*), so that one compressed frame serves every connection.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

use crate::frame::{self, ENCODINGS, Encoding};

/// From the first level to this one an event of 1 KB gets smaller by a sixth and takes a third longer; the levels after it
/// take longer for next to nothing. `benches/compression.py` measures it.
const LEVEL: u32 = 2;

/// How far back compressed data refers: 4 KiB, as much as clients ask for that want to save memory. More gains nothing
/// for messages up to that size, and little beyond.
pub const WINDOW_BITS: u8 = 12;

/// What ends a flushed block, and is left out of a message (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// About 150 KB, for each thread that publishes or answers; made when it first compresses.
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new_with_window_bits(Compression::new(LEVEL), false, WINDOW_BITS));
}

/// Compress `parts`, one after the other, to whole blocks without what a message leaves out.
///
/// `None` if that would not be smaller.
#[must_use]
pub fn deflate(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut out = Vec::with_capacity(length / 2);
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            feed(compressor, part, last, &mut out, length)?;
        }
        let kept = out.len().checked_sub(FLUSHED.len()).filter(|&kept| out[kept..] == FLUSHED)?;
        out.truncate(kept);
        Some(out)
    })
}

/// Take a part in; `None` if the output reaches `limit` bytes.
fn feed(compressor: &mut Compress, part: &[u8], flush: bool, out: &mut Vec<u8>, limit: usize) -> Option<()> {
    let flush = if flush { FlushCompress::Sync } else { FlushCompress::None };
    let begin = compressor.total_in();
    loop {
        if out.len() == out.capacity() {
            out.reserve_exact((limit - out.len()).min(out.len().max(64)));
        }
        let taken = (compressor.total_in() - begin) as usize;
        // Fails on a state that is inconsistent, which it is not; what is sent then is the plain form.
        compressor.compress_vec(&part[taken..], out, flush).ok()?;
        if out.len() >= limit {
            return None;
        }
        // With room left over, everything has been taken, and flushed.
        if out.len() < out.capacity() {
            return Some(());
        }
    }
}

/// The arguments of one event in one encoding, compressed, where that is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deflated {
    /// Nobody takes compressed frames of this encoding.
    #[default]
    Unused,
    /// It goes out as it is: it is small, or would not get smaller.
    AsIs,
    /// Its arguments and [tail](frame::event_tail), compressed.
    Bytes(Vec<u8>),
}

impl Deflated {
    /// Compress arguments of at least `min_bytes`.
    #[must_use]
    pub fn new(encoding: Encoding, args: &[u8], min_bytes: usize) -> Self {
        if args.len() < min_bytes {
            return Self::AsIs;
        }
        let deflated = deflate(&[args, frame::event_tail(encoding)]);
        let is_smaller = |bytes: &Vec<u8>| bytes.len() + frame::STORED_BLOCK_BYTES < args.len();
        deflated.filter(is_smaller).map_or(Self::AsIs, Self::Bytes)
    }

    /// Bytes that it adds to a ring, of an event with these arguments.
    #[must_use]
    pub fn len_of(&self, args: &[u8]) -> usize {
        match self {
            Self::Unused => 0,
            Self::AsIs => args.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Of an event that nobody takes compressed.
pub static UNUSED: [Deflated; ENCODINGS] = [Deflated::Unused, Deflated::Unused];

/// The arguments of one event, by encoding: `None` for one that nobody uses.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// As they are.
    pub plain: [Option<&'a [u8]>; ENCODINGS],
    /// Compressed.
    pub deflated: &'a [Deflated; ENCODINGS],
}

impl<'a> From<[Option<&'a [u8]>; ENCODINGS]> for Args<'a> {
    fn from(plain: [Option<&'a [u8]>; ENCODINGS]) -> Self {
        Self { plain, deflated: &UNUSED }
    }
}

impl<'a> Args<'a> {
    /// Bytes of them in all forms.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.forms().map(|(_, args, deflated)| args.len() + deflated.len_of(args)).sum()
    }

    /// The encodings in use, with both forms of the arguments.
    pub fn forms(self) -> impl Iterator<Item = (Encoding, &'a [u8], &'a Deflated)> {
        Encoding::ALL.iter().filter_map(move |&encoding| {
            let index = encoding.index();
            Some((encoding, self.plain[index]?, &self.deflated[index]))
        })
    }
}
