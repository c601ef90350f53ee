//! An event that is missing, comes twice or is out of place is noticed; one that was said to be lost is not missed.

use ringcast_load::sequence::{Faults, Sequence};

/// The faults of a connection that gets events of one name with these offsets and counters.
fn faults(mut sequence: Sequence, events: &[(u64, u64)]) -> Faults {
    let mut faults = Faults::default();
    for &(offset, counter) in events {
        sequence.take(0, offset, counter, &mut faults);
    }
    faults
}

fn whole() -> Sequence {
    Sequence::new(1, true, &[100])
}

#[test]
fn events_in_order_are_faultless() {
    assert!(!faults(whole(), &[(1, 100), (2, 101), (3, 102)]).any());
}

#[test]
fn an_event_that_never_came_is_missing() {
    let found = faults(whole(), &[(1, 100), (4, 103)]);
    assert_eq!((found.missing, found.holes, found.twice), (2, 1, 0));
}

#[test]
fn the_first_event_is_missing_as_well() {
    assert_eq!(faults(whole(), &[(2, 101)]).missing, 1);
}

#[test]
fn an_event_that_comes_again_comes_twice() {
    assert_eq!(faults(whole(), &[(1, 100), (2, 101), (2, 101)]), Faults { twice: 1, ..Faults::default() });
    assert_eq!(faults(whole(), &[(1, 100), (2, 101), (1, 100)]), Faults { twice: 1, ..Faults::default() });
}

#[test]
fn an_event_that_comes_behind_later_ones_is_late_and_not_missing() {
    let found = faults(whole(), &[(1, 100), (4, 103), (2, 101), (3, 102), (2, 101)]);
    assert_eq!((found.missing, found.late, found.twice), (0, 2, 1));
}

#[test]
fn a_counter_that_comes_again_under_a_new_offset_comes_twice() {
    assert_eq!(faults(whole(), &[(1, 100), (2, 100)]).twice, 1);
}

#[test]
fn offsets_may_have_holes_where_not_every_event_is_for_the_connection() {
    assert!(!faults(Sequence::new(1, false, &[100]), &[(1, 100), (7, 101)]).any());
}

#[test]
fn names_are_counted_apart() {
    let mut sequence = Sequence::new(2, true, &[100, 500]);
    let mut faults = Faults::default();
    sequence.take(0, 1, 100, &mut faults);
    sequence.take(1, 2, 500, &mut faults);
    sequence.take(0, 3, 101, &mut faults);
    assert!(!faults.any());
    sequence.take(1, 4, 502, &mut faults);
    assert_eq!(faults, Faults { missing: 1, ..Faults::default() });
    assert_eq!((sequence.newest(0), sequence.newest(1)), (101, 502));
}

#[test]
fn what_was_said_to_be_lost_is_not_missing() {
    let mut sequence = whole();
    let mut found = Faults::default();
    sequence.take(0, 1, 100, &mut found);
    sequence.skip(5);
    sequence.take(0, 6, 105, &mut found);
    assert!(!found.any());
}

#[test]
fn what_is_lost_beyond_what_was_said_is_noticed() {
    let mut sequence = whole();
    let mut found = Faults::default();
    sequence.take(0, 1, 100, &mut found);
    sequence.skip(5);
    sequence.take(0, 7, 106, &mut found);
    assert_eq!(found.holes, 1);
    sequence.skip(10);
    sequence.take(0, 11, 111, &mut found);
    assert_eq!(found.holes, 2, "a counter that does not belong to its offset");
}

#[test]
fn a_session_goes_on_where_its_client_was() {
    let mut sequence = whole();
    let mut found = Faults::default();
    sequence.begin(40);
    sequence.take(0, 41, 100, &mut found);
    sequence.go_on(41, &mut found);
    assert!(!found.any());
    sequence.go_on(42, &mut found);
    assert_eq!(found.misplaced, 1);
}
