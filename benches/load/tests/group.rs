//! What is counted of a group: its share of the processor is of one span of time.

use ringcast_load::clock::{cpu_ns, monotonic_ns};
use ringcast_load::group::{Counts, seconds};

#[test]
fn the_share_of_the_processor_is_of_the_time_in_which_it_was_used_not_of_that_since_the_first_event() {
    let mut counts = Counts::default();
    // Connecting, for example.
    let used_ns = cpu_ns();
    while cpu_ns() < used_ns + 1_000_000 {}
    counts.note_events(1, monotonic_ns());
    let before_the_event = counts.first_ns - counts.since_ns;
    let figures = counts.figures();
    assert!(figures.cpu_s > 0.0);
    assert!(figures.cpu_s / figures.cpu_share >= seconds(before_the_event), "{figures:?}");
}
