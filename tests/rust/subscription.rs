//! Who listens to what, and since when.

use ringcast_core::subscription::{Names, Subscriptions};

#[test]
fn a_subscription_holds_from_the_next_event_to_the_last_one_before_it_ends() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    assert!(own.add(&mut names, "a", 4));
    assert!(!own.add(&mut names, "a", 5), "it is subscribed already");
    let a = names.find("a").unwrap();
    names.note_published(a, Some(7));
    assert!(own.remove(&mut names, "a", 8, 1, |_, newest| newest));
    assert!(!own.remove(&mut names, "a", 8, 1, |_, newest| newest), "it is not subscribed any more");
    assert_eq!(
        (4..=9).map(|offset| own.covers(a, offset)).collect::<Vec<_>>(),
        [false, true, true, true, true, false]
    );
    assert!(own.add(&mut names, "a", 10));
    assert!(own.covers(a, 8) && !own.covers(a, 10) && own.covers(a, 11));
    assert!(own.covers_all(&[a], 11, 20) && !own.covers_all(&[a], 8, 11));
    assert_eq!(own.open().collect::<Vec<_>>(), [a]);
}

#[test]
fn an_interval_without_an_event_leaves_nothing_behind() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    own.add(&mut names, "a", 4);
    own.remove(&mut names, "a", 9, 1, |_, newest| newest);
    assert!(names.is_empty(), "nobody made events of that name, and nobody listens");
    assert_eq!(own.newest_lost(|_| 9), 0);
}

#[test]
fn names_that_clients_made_up_are_given_back_and_published_ones_stay() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    let published = names.intern("published");
    names.note_published(published, None);
    own.add(&mut names, "published", 0);
    for round in 0..1000 {
        own.add(&mut names, &format!("made up {round}"), 0);
        own.remove(&mut names, &format!("made up {round}"), 0, 1, |_, newest| newest);
    }
    own.add(&mut names, "made up", 0);
    assert_eq!(names.len(), 2);
    own.clear(&mut names);
    assert_eq!(names.len(), 1);
    assert_eq!(names.intern("published"), published);
}

#[test]
fn what_ended_long_ago_is_forgotten_but_a_loss_is_not() {
    // Odd offsets are for the connection; it unsubscribes after each. The ring retains from `first` on.
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    let a = names.intern("a");
    for offset in (1..=999).step_by(2) {
        own.add(&mut names, "a", offset - 1);
        names.note_published(a, Some(offset));
        own.remove(&mut names, "a", offset, offset.saturating_sub(200).max(1), |_, newest| newest);
        names.note_published(a, Some(offset + 1));
    }
    let first = 799;
    for offset in first..=1000 {
        assert_eq!(own.covers(a, offset), offset % 2 == 1, "all that is retained is remembered: {offset}");
    }
    assert_eq!(own.newest_lost(|_| first - 1), first - 2);
}

#[test]
fn events_are_offered_to_who_listens_and_to_who_has_just_ceased_to() {
    let mut names = Names::default();
    let mut own = [3, 5, 9].map(Subscriptions::of);
    own.iter_mut().for_each(|own| assert!(own.add(&mut names, "a", 0)));
    own[2].add(&mut names, "b", 0);
    let (a, b) = (names.find("a").unwrap(), names.find("b").unwrap());
    names.note_published(a, Some(1));
    names.note_published(a, Some(2));
    let offered = |names: &mut Names, topics: &[_], swept| {
        names.listeners(topics, swept, 4).map(|slots| slots.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(offered(&mut names, &[a], 0), Some(vec![3, 5, 9]));
    assert_eq!(offered(&mut names, &[b], 0), Some(vec![9]));
    assert_eq!(offered(&mut names, &[], 0), Some(vec![]));
    assert_eq!(offered(&mut names, &[a, b], 0), None, "as many as all, as far as that is known");
    // The second of them was for the one that ceases to listen, and is still to be offered.
    own[1].remove(&mut names, "a", 2, 1, |_, newest| newest);
    assert_eq!(offered(&mut names, &[b], 1), Some(vec![5, 9]));
    assert_eq!(offered(&mut names, &[a], 2), Some(vec![3, 9]), "it has been");
    own[0].remove(&mut names, "a", 2, 1, |_, _| 0);
    assert_eq!(offered(&mut names, &[a], 0), Some(vec![9]), "nothing was for it");
    own[2].clear(&mut names);
    assert_eq!(offered(&mut names, &[a], 2), Some(vec![]));
}
