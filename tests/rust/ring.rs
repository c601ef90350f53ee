//! What a ring retains, and what it refuses.

use ringcast_core::audience::Audience;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::Limits;
use ringcast_core::stream::PublishError;

use crate::actor::{Actor, Setup};

fn actor(max_events: usize, max_bytes: usize) -> Actor {
    Actor::by_hand(Setup { limits: Limits { max_events, max_bytes }, ..Setup::default() })
}

#[test]
fn it_is_bounded_by_count() {
    let actor = actor(3, 1 << 20);
    assert_eq!((actor.stream.head(), actor.stream.first()), (0, 1));
    for offset in 1..=10 {
        assert_eq!(actor.publish("a", ""), offset);
    }
    assert_eq!((actor.stream.head(), actor.stream.first()), (10, 8));
}

#[test]
fn it_is_bounded_by_bytes() {
    let actor = actor(1000, 4000);
    for _ in 0..100 {
        actor.publish("a", &"x".repeat(300));
        assert!(actor.stream.retained_bytes() <= 4000);
    }
    assert!(actor.stream.first() < actor.stream.head(), "more than one event fits");
}

#[test]
fn an_event_that_is_too_large_leaves_it_as_it_was() {
    let actor = actor(1000, 4000);
    actor.publish("a", "");
    let before = actor.stream.retained_bytes();
    let refused = actor.publish_to("a", &"x".repeat(5000), Audience::Subscribers);
    assert!(matches!(refused, Err(PublishError::TooLarge(sizes)) if sizes.max_bytes == 4000));
    assert_eq!((actor.stream.head(), actor.stream.first()), (1, 1));
    assert_eq!(actor.stream.retained_bytes(), before);
}

#[test]
fn a_loss_is_real_for_the_one_that_an_evicted_event_was_for() {
    let actor = actor(1, 1 << 20);
    let target = actor.open(Encoding::Json, &[]);
    let excluded = actor.open(Encoding::Json, &["a"]);
    let other = actor.open(Encoding::Json, &["a"]);
    let lost = |id, position| actor.stream.resume(id, position).unwrap().lost;
    actor.publish_to("a", "", Audience::only(vec![target])).unwrap();
    actor.publish_to("a", "", Audience::except(vec![excluded])).unwrap();
    actor.publish("b", "nobody listens");
    assert_eq!([target, excluded, other].map(|id| lost(id, 0)), [Some((1, 2)), None, Some((1, 2))]);
    assert_eq!([target, excluded, other].map(|id| lost(id, 1)), [None, None, Some((2, 2))]);
    let newcomer = actor.open(Encoding::Json, &["a", "b"]);
    assert_eq!(lost(newcomer, 0), None, "it is entitled to what comes after it opened");
}

#[test]
fn an_event_it_was_excluded_from_is_no_loss_after_it_unsubscribed() {
    let actor = actor(1, 1 << 20);
    let id = actor.open(Encoding::Json, &["a"]);
    actor.publish("a", "for it");
    actor.publish_to("a", "not for it", Audience::except(vec![id])).unwrap();
    actor.stream.change_subscription(id, "a", false).unwrap();
    actor.publish("a", "not for it");
    assert_eq!(actor.stream.resume(id, 1).unwrap().lost, None);
    assert_eq!(actor.stream.resume(id, 0).unwrap().lost, Some((1, 2)));
}

/// A stream whose earlier life is kept from offset 101 on.
fn goes_on(max_events: usize) -> Actor {
    let limits = Limits { max_events, max_bytes: 1 << 20 };
    Actor::by_hand(Setup { limits, base: 100, ..Setup::default() })
}

#[test]
fn a_stream_that_goes_on_counts_from_its_base() {
    let actor = goes_on(3);
    assert_eq!((actor.stream.head(), actor.stream.first(), actor.stream.swept()), (100, 101, 100));
    let offsets: Vec<_> = (0..5).map(|_| actor.publish("a", "")).collect();
    assert_eq!(offsets, [101, 102, 103, 104, 105]);
    assert_eq!((actor.stream.head(), actor.stream.first()), (105, 103));
}

#[test]
fn of_what_lies_below_the_base_everybody_has_lost_what_was_for_them() {
    let actor = goes_on(1000);
    let listener = actor.open_again(Encoding::Json, &["a"], 100);
    let other = actor.open_again(Encoding::Json, &[], 7);
    let newcomer = actor.open(Encoding::Json, &["a"]);
    let missed = |id, position| {
        let missed = actor.stream.resume(id, position).unwrap();
        (missed.replayed, missed.lost)
    };
    for id in [listener, other, newcomer] {
        assert_eq!(missed(id, 100), (0, None), "nothing was published since");
    }
    assert_eq!([99, 0].map(|position| missed(listener, position).1), [Some((100, 100)), Some((1, 100))]);
    assert_eq!([99, 7, 6].map(|position| missed(other, position).1), [None, None, Some((7, 100))]);
    assert_eq!([99, 0].map(|position| missed(newcomer, position).1), [None, None]);
    actor.publish("a", "");
    actor.publish("b", "");
    assert_eq!([missed(listener, 100), missed(listener, 101)], [(1, None), (0, None)]);
    assert_eq!([missed(listener, 7), missed(other, 7)], [(1, Some((8, 100))), (0, None)]);
    assert_eq!([missed(newcomer, 100), missed(newcomer, 0)], [(1, None), (1, None)]);
}

#[test]
fn what_is_let_go_above_the_base_is_known() {
    let actor = goes_on(1);
    let listener = actor.open(Encoding::Json, &["a"]);
    let other = actor.open(Encoding::Json, &["b"]);
    actor.publish("a", "");
    actor.publish("c", "");
    actor.publish("c", "");
    let lost = |id, position| actor.stream.resume(id, position).unwrap().lost;
    assert_eq!([100, 101].map(|position| lost(listener, position)), [Some((101, 102)), None]);
    assert_eq!([100, 99].map(|position| lost(other, position)), [None, None]);
}

#[test]
fn what_it_has_let_go_is_told_by_name_and_by_connection_where_that_differs() {
    let actor = actor(1, 1 << 20);
    let plain = actor.open(Encoding::Json, &["a"]);
    let named = actor.open(Encoding::Json, &["a"]);
    let excluded = actor.open(Encoding::Json, &["a"]);
    actor.publish("a", "to all");
    actor.publish_to("own", "", Audience::only(vec![named])).unwrap();
    actor.publish_to("a", "", Audience::except(vec![excluded])).unwrap();
    actor.publish("b", "retained, and nobody listens");
    let told = |after, asked: &[_]| {
        let let_go = actor.stream.let_go(after, asked);
        let names: Vec<_> = let_go.names.iter().map(|(name, offset)| (name.to_string(), *offset)).collect();
        (let_go.first, names, let_go.connections)
    };
    let a = || vec![("a".to_owned(), 3)];
    assert_eq!(told(0, &[]), (4, a(), vec![(named, 3), (excluded, 1)]));
    // What was for one alone is older than what was for all: it need not be told again.
    assert_eq!(told(0, &[]), (4, a(), vec![(excluded, 1)]));
    assert_eq!(told(3, &[]), (4, vec![], vec![(excluded, 1)]));
    assert_eq!(told(3, &[plain]), (4, vec![], vec![(plain, 3), (excluded, 1)]));
    actor.stream.close(plain);
    assert_eq!(told(3, &[plain]), (4, vec![], vec![(excluded, 1)]));
    actor.publish("a", "to all");
    actor.publish("a", "to all");
    assert_eq!(told(3, &[]).2, [(excluded, 5)]);
    assert_eq!(told(3, &[]).2, [], "it has lost what everybody has");
}

#[test]
fn names_are_known_while_an_event_or_a_listener_has_them() {
    let actor = actor(2, 1 << 20);
    let listener = actor.open(Encoding::Json, &["kept"]);
    actor.publish("kept", "");
    for number in 0..100 {
        actor.publish(&format!("made up {number}"), "");
        assert!(actor.stream.names() <= 3);
    }
    let refused = actor.publish_to("refused", &"x".repeat(2 << 20), Audience::Subscribers);
    assert!(matches!(refused, Err(PublishError::TooLarge(_))));
    assert_eq!(actor.stream.names(), 3);
    actor.stream.close(listener);
    assert_eq!(actor.stream.names(), 2);
}

#[test]
fn an_actor_that_stops_keeps_no_events() {
    let actor = actor(1000, 1 << 20);
    actor.open(Encoding::Json, &["a"]);
    actor.publish("a", "x");
    actor.stream.shut();
    assert_eq!((actor.stream.head(), actor.stream.first(), actor.stream.swept()), (1, 2, 1));
    assert_eq!((actor.stream.retained_bytes(), actor.stream.names()), (0, 0));
}

#[test]
fn a_client_that_listens_to_one_name_after_the_other_costs_a_bounded_amount() {
    let actor = actor(1, 1 << 20);
    let id = actor.open(Encoding::Json, &[]);
    for number in 0..1000 {
        let name = format!("made up {number}");
        actor.stream.change_subscription(id, &name, true).unwrap();
        actor.publish(&name, "");
        actor.stream.change_subscription(id, &name, false).unwrap();
        assert!(actor.stream.names() < 100);
    }
    assert_eq!(actor.stream.resume(id, 0).unwrap().lost, Some((1, 999)));
}
