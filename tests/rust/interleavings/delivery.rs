//! Each connection gets what it is entitled to, once and in order, whoever comes when.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringcast_core::audience::Audience;
use ringcast_core::frame::{self, Opcode};
use ringcast_core::stream::SlowReader;
use ringcast_core::sync::thread;

use crate::actor::{Actor, JSON, ROOMY, Setup, check, choose, join, offsets, publish_to};
use crate::client::{Message, reply};

/// Less than two events.
const NARROW: usize = 40;

#[test]
fn fast_and_slow_readers_get_all_events_in_order() {
    check(3000, || {
        let actor = Actor::running(&Setup { two_writers: choose(2) == 1, ..Setup::default() });
        let ids = [&["a"][..], &["a", "b"], &["b"]].map(|names| actor.open(names));
        let clients = [(ids[0], NARROW), (ids[1], NARROW), (ids[2], ROOMY)]
            .map(|(id, capacity)| actor.attach(id, 0, capacity));
        let publishers = ["a", "b"].map(|name| actor.publisher(name, 3));
        let [a, b] = publishers.map(|publisher| publisher.join().unwrap());
        let all: BTreeSet<u64> = a.iter().chain(&b).copied().collect();
        let expected = [a, all.into_iter().collect(), b];
        for (client, expected) in clients.into_iter().zip(expected) {
            assert_eq!(offsets(&client.close()), expected);
        }
        actor.end();
    });
}

#[test]
fn a_client_that_comes_and_goes_gets_each_event_once() {
    check(6000, || {
        let actor = Actor::running(&Setup { two_writers: choose(4) == 0, ..Setup::default() });
        let id = actor.open(&["a"]);
        let publisher = actor.publisher("a", 5);
        let mut received = Vec::new();
        for _ in 0..3 {
            let position = received.last().copied().unwrap_or(0);
            let client = actor.attach(id, position, if choose(2) == 0 { NARROW } else { ROOMY });
            let own = actor.publish("a");
            client.sink.push_message(&reply(JSON, own));
            client.sink.drive(None);
            match choose(3) {
                0 => actor.detach(id, &client.sink),
                // The socket is found lost by the next write, or by a new one that replaces it.
                1 => {}
                _ => client.sink.drop_socket(),
            }
            client.sink.drop_socket();
            received.extend(offsets(&client.messages()));
        }
        publisher.join().unwrap();
        let position = received.last().copied().unwrap_or(0);
        let missed = actor.stream.resume(id, position).unwrap();
        assert_eq!((missed.replayed, missed.lost), (8 - position, None));
        received.extend(offsets(&actor.attach(id, position, NARROW).close()));
        assert_eq!(received, (1..=8).collect::<Vec<_>>());
        actor.end();
    });
}

#[test]
fn a_new_socket_may_replace_one_that_is_not_known_to_be_lost() {
    check(3000, || {
        let actor = Actor::running(&Setup::default());
        let id = actor.open(&["a"]);
        let publisher = actor.publisher("a", 4);
        let first = actor.attach(id, 0, if choose(2) == 0 { NARROW } else { ROOMY });
        let sink = Arc::clone(&first.sink);
        // Somebody answers over the first one all the time.
        let answers = thread::spawn(move || (0..3).for_each(|_| sink.drive(None)));
        let second = actor.attach(id, 0, NARROW);
        publisher.join().unwrap();
        answers.join().unwrap();
        assert_eq!(offsets(&second.close()), [1, 2, 3, 4]);
        first.sink.close(Some(4500), "");
        let messages = first.messages();
        let seen = offsets(&messages);
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        assert_eq!(messages.last(), Some(&Message::Close(Some(4500), String::new())));
        actor.end();
    });
}

#[test]
fn replies_come_behind_the_events_before_them_and_pongs_do_not_get_lost() {
    check(3000, || {
        let actor = Actor::running(&Setup::default());
        let client = actor.attach(actor.open(&["a"]), 0, if choose(2) == 0 { NARROW } else { ROOMY });
        let publisher = actor.publisher("a", 2);
        let mut replies = vec![0];
        for number in 0..3_u8 {
            let offset = actor.publish("a");
            client.sink.push_message(&reply(JSON, offset));
            replies.push(offset);
            if choose(2) == 0 {
                client.sink.drive(None);
            }
            client.sink.push_control(frame::frame(Opcode::Pong, &[number]));
        }
        publisher.join().unwrap();
        let messages = client.close();
        assert_eq!(offsets(&messages), [1, 2, 3, 4, 5]);
        let (mut reached, mut replied, mut pongs) = (0, Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Event { offset, .. } => reached = offset,
                Message::Reply(after) => {
                    assert!(after <= reached, "reply {after} after event {reached}");
                    replied.push(after);
                }
                Message::Pong(number) => pongs.push(number),
                Message::Gap { .. } | Message::Close(..) => {}
            }
        }
        assert_eq!((replied, pongs), (replies, vec![vec![0], vec![1], vec![2]]));
        actor.end();
    });
}

#[test]
fn messages_after_a_detach_keep_their_order() {
    check(6000, || {
        let actor = Actor::running(&Setup::default());
        let id = actor.open(&["a"]);
        let client = actor.attach(id, 0, 30);
        for _ in 0..2 {
            actor.stream.publish("a", [Some(b"[\"\"]"), None], Audience::Subscribers).unwrap();
        }
        // It is the writer thread that writes this, and it may be about to, behind the events, when the connection ends.
        client.sink.push_message(&reply(JSON, 1));
        actor.stream.close(id);
        client.sink.push_message(&reply(JSON, 2));
        client.sink.push_message(&reply(JSON, 3));
        let messages = client.close();
        let seen = offsets(&messages);
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        let replies = messages.iter().filter(|message| matches!(message, Message::Reply(_)));
        assert_eq!(replies.collect::<Vec<_>>(), [0, 1, 2, 3].map(Message::Reply).iter().collect::<Vec<_>>());
        actor.end();
    });
}

#[test]
fn whom_an_event_is_for_is_decided_when_it_is_published() {
    check(3000, || {
        let actor = Actor::running(&Setup::default());
        let id = actor.open(&["a"]);
        let other = actor.open(&["a", "b"]);
        let clients = [id, other].map(|id| actor.attach(id, 0, if choose(2) == 0 { NARROW } else { ROOMY }));
        // What `id` is to get, and whether it listens to `b`; taken over each publication and change, so with a lock that
        // does not count as one of the core's.
        let model = Arc::new(shuttle::sync::Mutex::new((Vec::new(), false)));
        let publisher = {
            let (stream, model) = (Arc::clone(&actor.stream), Arc::clone(&model));
            thread::spawn(move || {
                for audience in [Audience::Subscribers, Audience::only(vec![id]), Audience::only(vec![other])]
                {
                    let is_listed = matches!(&audience, Audience::Only(ids) if ids.contains(id));
                    let is_plain = matches!(&audience, Audience::Subscribers);
                    let mut model = model.lock().unwrap();
                    let offset = stream.publish("b", [Some(b"[\"\"]"), None], audience).unwrap().0;
                    if is_listed || (is_plain && model.1) {
                        model.0.push(offset);
                    }
                }
            })
        };
        for listen in [true, false, true] {
            let mut model = model.lock().unwrap();
            actor.stream.change_subscription(id, "b", listen).unwrap();
            model.1 = listen;
            if choose(2) == 0 {
                let offset = actor.stream.publish("b", [Some(b"[\"\"]"), None], Audience::Subscribers);
                let offset = offset.unwrap().0;
                if listen {
                    model.0.push(offset);
                }
            }
        }
        publish_to(&actor.stream, "b", Audience::except(vec![id])).unwrap();
        publisher.join().unwrap();
        let [client, _] = clients.map(|client| offsets(&client.close()));
        assert_eq!(client, model.lock().unwrap().0);
        actor.end();
    });
}

#[test]
fn what_it_may_hear_after_all_is_delivered_though_sweeps_have_passed_it_by() {
    check(3000, || {
        let actor = Actor::running(&Setup::default());
        let id = actor.open(&["b"]);
        let other = actor.open(&["a"]);
        let [client, passed_by] =
            [id, other].map(|id| actor.attach(id, 0, if choose(2) == 0 { NARROW } else { ROOMY }));
        let publisher = {
            let stream = Arc::clone(&actor.stream);
            // Sweeps that are not about it end before, at and behind where it is held.
            thread::spawn(move || {
                ["b", "a", "b", "a", "b"].map(|name| publish_to(&stream, name, Audience::Subscribers))
            })
        };
        let names = ["b".to_owned()];
        for _ in 0..2 {
            actor.stream.hold(id, &names).unwrap();
            if choose(2) == 0 {
                // Asked again: the first answer is up to there.
                actor.stream.hold(id, &names).unwrap();
            }
            if choose(2) == 0 {
                actor.publish("a");
            }
            while actor.stream.answer(id, &names, &[]).unwrap() {}
        }
        let [first, .., last] = publisher.join().unwrap().map(Result::unwrap);
        let heard = offsets(&client.close());
        assert_eq!((heard.len(), heard[0], heard[2]), (3, first, last));
        passed_by.close();
        actor.end();
    });
}

/// Whether each offset up to `head` was received, or announced as lost, in order and once.
fn is_whole(messages: &[Message], head: u64) {
    let mut reached = 0;
    for message in messages {
        let (first, last) = match message {
            Message::Event { offset, .. } => (*offset, *offset),
            Message::Gap { first, last } => (*first, *last),
            _ => continue,
        };
        assert!(first == reached + 1 && last >= first, "{first} to {last} after {reached}");
        reached = last;
    }
    assert_eq!(reached, head);
}

#[test]
fn a_reader_that_falls_behind_a_small_ring_is_told_what_it_lost() {
    check(3000, || {
        let setup = Setup { max_events: 2, slow_reader: SlowReader::Skip, ..Setup::default() };
        let actor = Actor::running(&setup);
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let slow = actor.attach(ids[0], 0, NARROW);
        let ready = actor.attach(ids[1], 0, ROOMY);
        let publishers = [actor.publisher("a", 3), actor.publisher("a", 3)];
        join(publishers);
        is_whole(&slow.close(), 6);
        is_whole(&ready.close(), 6);
        actor.end();
    });
}

#[test]
fn a_ready_reader_is_never_outrun() {
    check(3000, || {
        let setup = Setup { max_events: 2, max_unswept_bytes: 1 << 20, ..Setup::default() };
        let actor = Actor::running(&setup);
        let ready = actor.attach(actor.open(&["a"]), 0, ROOMY);
        let _blocked = actor.attach(actor.open(&["a"]), 0, 1);
        assert_eq!(actor.publisher("a", 5).join().unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(offsets(&ready.close()), [1, 2, 3, 4, 5]);
        actor.end();
    });
}

#[test]
fn a_slow_reader_is_closed_and_gets_no_answer_before_the_events_of_its_action() {
    check(3000, || {
        let actor = Actor::running(&Setup { max_events: 2, ..Setup::default() });
        let id = actor.open(&["a"]);
        let publisher = actor.publisher("a", 5);
        let (mut reached, mut is_over) = (0, false);
        for round in 0.. {
            let client = actor.attach(id, reached, NARROW);
            if round < 2 {
                let offset = actor.publish("a");
                client.sink.push_message(&reply(JSON, offset));
                client.sink.drive(None);
            }
            // Until all is published it is closed for being slow, or comes back by itself.
            client.sink.close(Some(1000), "");
            let messages = client.messages();
            for (index, message) in messages.iter().enumerate() {
                match message {
                    Message::Event { offset, .. } => {
                        assert_eq!(*offset, reached + 1);
                        reached = *offset;
                    }
                    Message::Reply(after) => assert!(*after <= reached, "{after} after {reached}"),
                    Message::Close(..) => assert_eq!(index + 1, messages.len()),
                    Message::Gap { .. } | Message::Pong(_) => panic!("{message:?}"),
                }
            }
            if is_over && reached == 7 {
                break;
            }
            // What is lost is told when it comes back.
            if let Some((first, last)) = actor.stream.resume(id, reached).unwrap().lost {
                assert_eq!(first, reached + 1);
                reached = last;
            }
            is_over = actor.stream.head() == 7;
        }
        publisher.join().unwrap();
        actor.end();
    });
}
