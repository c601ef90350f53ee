//! A resume answered.

use ringcast_core::frame::Encoding;
use ringcast_core::replay::Missed;

use crate::actor::{Actor, Setup};

#[test]
fn it_counts_what_the_connection_was_entitled_to() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &["a"]);
    for name in ["a", "b", "a"] {
        actor.publish(name, "");
    }
    let replayed = |position| actor.stream.resume(id, position).unwrap();
    assert_eq!(replayed(0), Missed { replayed: 2, lost: None });
    assert_eq!(replayed(1), Missed { replayed: 1, lost: None });
    assert_eq!(replayed(3), Missed { replayed: 0, lost: None });
}

#[test]
fn many_changes_of_subscription_lose_no_retained_event() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &[]);
    for _ in 0..200 {
        actor.stream.change_subscription(id, "a", true).unwrap();
        actor.publish("a", "");
        actor.stream.change_subscription(id, "a", false).unwrap();
    }
    assert_eq!(actor.stream.resume(id, 0).unwrap(), Missed { replayed: 200, lost: None });
}
