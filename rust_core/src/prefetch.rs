//! Memory that will be read soon, asked for before it is: the processor goes on meanwhile. A hint, which changes no
//! result; where it is not known how to give it, nothing happens.
#![allow(unsafe_code)]

use std::sync::Arc;

/// What one cache line holds.
const LINE_BYTES: usize = 64;

/// What an [`Arc`] keeps in front of the value: two counts, as large as pointers. Nobody promises that; if it changes,
/// a hint is worth less.
const COUNTS_BYTES: usize = 2 * size_of::<usize>();

/// Ask for what `shared` points to, with its counts.
#[inline]
pub(crate) fn prefetch<T>(shared: &Arc<T>) {
    let start = Arc::as_ptr(shared).cast::<i8>().wrapping_sub(COUNTS_BYTES);
    // The last byte too: what is smaller than a line may still lie in two.
    let last = COUNTS_BYTES + size_of::<T>() - 1;
    for offset in (0..last).step_by(LINE_BYTES).chain([last]) {
        prefetch_line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(place: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is part of every x86-64 processor. It reads nothing that the program sees, and an address
    // that is not mapped has no effect.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_place: *const i8) {}
