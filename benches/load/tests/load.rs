//! The load against a server that does what it is told, right or wrong.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};
use ringcast_load::clock::monotonic_ns;
use ringcast_load::frame::sent_by_server;
use ringcast_load::limit::Limit;
use ringcast_load::load::{COMMANDS, Load};
use serde_json::{Value, json};

/// A load in a thread of its own.
struct Running {
    commands: Option<mpsc::Sender<String>>,
    answers: mpsc::Receiver<Value>,
    waker: Arc<Waker>,
}

impl Running {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), COMMANDS).unwrap());
        let (commands, received) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let kept = Arc::clone(&waker);
        thread::spawn(move || {
            // One that is gone wakes nobody, not even with what it did last.
            let _kept = kept;
            let answer = |answer: &_| answered.send(serde_json::to_value(answer).unwrap()).unwrap();
            Load::new(poll).run(&received, answer).unwrap();
        });
        Self { commands: Some(commands), answers, waker }
    }

    fn say(&self, command: &Value) {
        self.commands.as_ref().unwrap().send(command.to_string()).unwrap();
        self.waker.wake().unwrap();
    }

    fn ask(&self, command: &Value) -> Value {
        self.say(command);
        self.answers.recv().unwrap()
    }

    fn open(&self, server: &TcpListener, count: usize) {
        self.say(
            &json!({"do": "open", "group": "g", "count": count, "port": server.local_addr().unwrap().port(),
            "connect": {"actor": "feed", "subscriptions": ["tick"]}, "whole": true, "next": [1],
            "max_opening": 1, "timeout_s": 30}),
        );
    }

    fn receive(&self, counter: u64) -> Value {
        self.ask(&json!({"do": "receive", "group": "g", "name": "tick", "counter": counter, "timeout_s": 30}))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.commands = None;
        self.waker.wake().unwrap();
    }
}

/// Accept a client; returns its socket and its connect message.
fn accept(server: &TcpListener) -> (TcpStream, Value) {
    let (mut socket, _) = server.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(byte(&mut socket));
    }
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(byte(&mut socket), 0x81);
    let length = match byte(&mut socket) & 0x7f {
        126 => usize::from(u16::from_be_bytes([byte(&mut socket), byte(&mut socket)])),
        short => usize::from(short),
    };
    let mut rest = vec![0; 4 + length];
    socket.read_exact(&mut rest).unwrap();
    let message: Value = serde_json::from_slice(&rest[4..]).unwrap();
    (socket, message[1].clone())
}

fn byte(socket: &mut TcpStream) -> u8 {
    let mut byte = [0];
    socket.read_exact(&mut byte).unwrap();
    byte[0]
}

fn send(socket: &mut TcpStream, message: &Value) {
    let payload = message.to_string();
    let mut frame = vec![0x81];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(payload.as_bytes());
    socket.write_all(&frame).unwrap();
}

fn connected(socket: &mut TcpStream, offset: u64, more: &Value) {
    let mut fields = json!({"stream": 1, "epoch": "E", "offset": offset, "session": "token"});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    send(socket, &json!(["connected", fields]));
}

/// Accept a client that has missed nothing, and tell it that it is connected.
fn newcomer(server: &TcpListener) -> TcpStream {
    let (mut socket, _) = accept(server);
    connected(&mut socket, 0, &json!({}));
    socket
}

fn events(socket: &mut TcpStream, offsets: impl IntoIterator<Item = u64>) {
    for offset in offsets {
        send(socket, &json!(["event", 1, offset, "tick", [offset, 0, "x"]]));
    }
}

fn serve(work: impl FnOnce(TcpListener) + Send + 'static) -> (TcpListener, JoinHandle<()>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = server.try_clone().unwrap();
    (server, thread::spawn(move || work(ours)))
}

#[test]
fn a_client_that_comes_back_says_where_it_was_and_counts_what_it_missed() {
    let (server, served) = serve(|server| {
        let (mut socket, connect) = accept(&server);
        assert_eq!(connect.get("resume"), None);
        connected(&mut socket, 0, &json!({}));
        events(&mut socket, 1..=3);
        let (mut again, connect) = accept(&server);
        assert_eq!(connect["resume"], json!({"session": "token", "epoch": "E", "offset": 3}));
        connected(&mut again, 3, &json!({"replayed": 2}));
        events(&mut again, 4..=6);
        // The client is lost with a reset, and holds this one until the test is over.
        let _ = again.read(&mut [0]);
    });
    let load = Running::new();
    load.open(&server, 1);
    assert_eq!(load.answers.recv().unwrap()["progress"]["reached"], 1);
    assert_eq!(load.receive(3)["progress"]["reached"], 1);
    assert_eq!(load.ask(&json!({"do": "drop", "group": "g"})), json!({}));
    let back = load.ask(&json!({"do": "return", "group": "g", "max_opening": 1, "timeout_s": 30}));
    assert_eq!(back["failed"], Value::Null);
    let figures = &load.receive(6)["figures"];
    assert_eq!(
        (&figures["announced"], &figures["replayed"], &figures["events"]),
        (&json!(2), &json!(2), &json!(3))
    );
    assert_eq!(
        (&figures["resumed"], &figures["renewed"], &figures["gaps"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert!(figures["faults"].as_object().unwrap().values().all(|count| count == 0), "{figures}");
    drop(load);
    served.join().unwrap();
}

#[test]
fn a_missing_event_is_a_fault_and_an_announced_one_is_not() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        events(&mut socket, [1, 2]);
        send(&mut socket, &json!(["gap", {"reason": "ring_overflow", "first": 3, "last": 5}]));
        events(&mut socket, [6, 8]);
        let _ = socket.read(&mut [0]);
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let figures = &load.receive(8)["figures"];
    assert_eq!((&figures["faults"]["missing"], &figures["faults"]["holes"]), (&json!(1), &json!(1)));
    assert_eq!((&figures["gaps"], &figures["lost"]), (&json!(1), &json!(3)));
    drop(load);
    served.join().unwrap();
}

#[test]
fn percentiles_over_several_groups_are_those_of_all_their_events() {
    let (server, served) = serve(|server| {
        let mut first = newcomer(&server);
        let mut second = newcomer(&server);
        // Any byte: they are two groups.
        assert_eq!(byte(&mut second), 0x81);
        // As late as can be: these were sent when the machine was started.
        events(&mut first, 1..=3);
        let begin = monotonic_ns() + 3_600_000_000_000;
        // And these will be sent in an hour, so that they are not late at all.
        for offset in 1..=997 {
            send(&mut second, &json!(["event", 1, offset, "tick", [offset, begin, "x"]]));
        }
        send(&mut second, &json!(["error", 7, {"code": "internal"}]));
        events(&mut second, [998, 1000]);
        let _ = first.read(&mut [0]);
    });
    let load = Running::new();
    load.open(&server, 2);
    load.answers.recv().unwrap();
    load.ask(&json!({"do": "split", "group": "g", "every": 2, "into": "first"}));
    load.ask(&json!({"do": "call", "group": "g", "action": "say", "args": [], "total": 1, "seconds": 1, "timeout_s": 0}));
    load.ask(&json!({"do": "receive", "group": "first", "name": "tick", "counter": 3, "timeout_s": 30}));
    load.receive(1000);
    let report = |group: &str, with: &Value| {
        load.ask(&json!({"do": "report", "group": group, "with": with}))["figures"].clone()
    };
    let (first, second) = (report("first", &json!([])), report("g", &json!([])));
    let both = report("first", &json!(["g"]));
    assert_eq!((&first["latency_ms"]["count"], &both["latency_ms"]["count"]), (&json!(3), &json!(1002)));
    // Neither the larger of the two, nor their middle.
    let (late, on_time) = (first["latency_ms"]["p99"].as_f64(), second["latency_ms"]["p99"].as_f64());
    assert!(late > on_time && both["latency_ms"]["p99"].as_f64() == on_time, "{both}");
    assert_eq!(both["latency_ms"]["max"], first["latency_ms"]["max"]);
    assert_eq!((&both["events"], &both["faults"]), (&json!(1002), &second["faults"]));
    assert_eq!((&both["faults"]["missing"], &both["faults"]["malformed"]), (&json!(1), &json!(1)));
    let of = |name: &str| [&first, &second].map(|figures| figures[name].as_u64().unwrap());
    let span = (json!(of("first_ns").iter().min()), json!(of("last_ns").iter().max()));
    assert_eq!((&both["first_ns"], &both["last_ns"]), (&span.0, &span.1));
    assert_eq!(
        load.ask(&json!({"do": "report", "group": "g", "with": ["h"]}))["failed"],
        "there is no group h"
    );
    drop(load);
    served.join().unwrap();
}

#[test]
fn a_sleeper_reads_nothing_until_it_is_woken() {
    let (server, served) = serve(|server| {
        let mut first = newcomer(&server);
        let mut second = newcomer(&server);
        // Any byte: `first` has gone to sleep.
        assert_eq!(byte(&mut second), 0x81);
        events(&mut first, [1]);
        events(&mut second, [1]);
        let _ = first.read(&mut [0]);
    });
    let load = Running::new();
    load.open(&server, 2);
    load.answers.recv().unwrap();
    load.ask(&json!({"do": "split", "group": "g", "every": 2, "into": "sleepers"}));
    load.ask(&json!({"do": "sleep", "group": "sleepers"}));
    load.say(&json!({"do": "call", "group": "g", "action": "say", "args": [], "total": 1, "seconds": 1, "timeout_s": 0}));
    load.answers.recv().unwrap();
    assert_eq!(load.receive(1)["figures"]["events"], 1);
    assert_eq!(load.ask(&json!({"do": "report", "group": "sleepers"}))["figures"]["events"], 0);
    load.ask(&json!({"do": "wake", "group": "sleepers"}));
    let woken = load
        .ask(&json!({"do": "receive", "group": "sleepers", "name": "tick", "counter": 1, "timeout_s": 30}));
    assert_eq!(woken["figures"]["events"], 1);
    drop(load);
    served.join().unwrap();
}

#[test]
fn a_client_that_is_closed_fails_what_waits_for_it() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        socket.write_all(b"\x88\x02\x11\x96").unwrap();
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let answer = load.receive(1);
    assert_eq!(
        (&answer["progress"]["failed"], &answer["figures"]["closed"]),
        (&json!(1), &json!({"4502": 1}))
    );
    assert!(answer["failed"].is_string());
    served.join().unwrap();
}

#[test]
fn calls_follow_one_another_until_there_are_as_many_as_wanted() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        for id in 1..=3 {
            let message = format!("[\"call\",{id},\"say\",[5]]");
            let mut call = vec![0; 6 + message.len()];
            socket.read_exact(&mut call).unwrap();
            assert_eq!(&call[6..], message.as_bytes());
            send(&mut socket, &json!(["reply", id, null]));
        }
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "there was a fourth");
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let call = json!({"do": "call", "group": "g", "action": "say", "args": [5], "total": 3, "seconds": 30,
        "timeout_s": 30});
    assert_eq!(load.ask(&call)["figures"]["call_ms"]["count"], 3);
    drop(load);
    served.join().unwrap();
}

#[test]
fn so_many_calls_are_on_their_way_at_a_time_and_replies_may_change_places() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        let read = |socket: &mut TcpStream, id: u64| {
            let message = format!("[\"call\",{id},\"say\",[5]]");
            let mut call = vec![0; 6 + message.len()];
            socket.read_exact(&mut call).unwrap();
            assert_eq!(&call[6..], message.as_bytes());
        };
        for id in 1..=3 {
            read(&mut socket, id);
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.read(&mut [0]).is_err(), "there was a fourth before a reply");
        socket.set_nonblocking(false).unwrap();
        send(&mut socket, &json!(["reply", 2, null]));
        read(&mut socket, 4);
        for id in [4, 1, 3] {
            send(&mut socket, &json!(["reply", id, null]));
        }
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "there was a fifth");
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let call = json!({"do": "call", "group": "g", "action": "say", "args": [5], "total": 4, "seconds": 30,
        "pipeline": 3, "timeout_s": 30});
    let figures = &load.ask(&call)["figures"];
    assert_eq!((&figures["call_ms"]["count"], &figures["faults"]["malformed"]), (&json!(4), &json!(0)));
    drop(load);
    served.join().unwrap();
}

#[test]
fn a_reply_with_another_value_is_a_fault() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        send(&mut socket, &json!(["reply", 1, "five"]));
        send(&mut socket, &json!(["reply", 2, "four"]));
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let call = json!({"do": "call", "group": "g", "action": "say", "args": [], "reply": "five", "total": 2,
        "seconds": 30, "pipeline": 2, "timeout_s": 30});
    let figures = &load.ask(&call)["figures"];
    assert_eq!((&figures["call_ms"]["count"], &figures["faults"]["malformed"]), (&json!(1), &json!(1)));
    assert_eq!(figures["error"], "a reply with another value");
    drop(load);
    served.join().unwrap();
}

#[test]
fn a_reply_that_comes_again_is_a_fault() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        for id in [1, 1, 2] {
            send(&mut socket, &json!(["reply", id, null]));
        }
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let call = json!({"do": "call", "group": "g", "action": "say", "args": [], "total": 2, "seconds": 30,
        "pipeline": 2, "timeout_s": 30});
    load.ask(&call);
    let report = load.ask(&json!({"do": "report", "group": "g"}));
    assert_ne!(report["figures"]["faults"]["malformed"], json!(0));
    drop(load);
    served.join().unwrap();
}

#[test]
fn the_limit_sends_what_the_load_takes_for_an_actors_events() {
    let mut limit = Limit::listen().unwrap();
    let load = Running::new();
    let open = json!({"do": "open", "group": "g", "count": 3, "port": limit.port(),
        "connect": {"actor": "feed", "subscriptions": ["tick"]}, "whole": true, "next": [1000],
        "max_opening": 3, "timeout_s": 30});
    assert_eq!(load.ask(&open)["progress"]["reached"], 3);
    let flood =
        |first: u64| json!({"first": first, "messages": 25, "burst": 10, "payload": 128, "seconds": 30});
    assert_eq!(limit.obey(&flood(1000).to_string()).unwrap().last, 1024);
    assert_eq!(limit.obey(&flood(1025).to_string()).unwrap().last, 1049);
    let receive = json!({"do": "receive", "group": "g", "name": "tick", "counter": 1049, "timeout_s": 30});
    let figures = &load.ask(&receive)["figures"];
    assert_eq!(figures["events"], 150);
    assert_eq!(figures["latency_ms"]["count"], 150);
    assert!(figures["faults"].as_object().unwrap().values().all(|count| count == 0), "{figures}");
}

#[test]
fn the_limit_stops_when_its_time_is_over_and_says_how_far_it_came() {
    let mut limit = Limit::listen().unwrap();
    let flood = json!({"first": 1, "messages": 100, "burst": 10, "payload": 128, "seconds": 0});
    assert_eq!(limit.obey(&flood.to_string()).unwrap().last, 10);
    assert!(limit.obey("{}").is_err());
}

#[test]
fn an_event_larger_than_the_buffer_is_read_and_one_beyond_the_bound_is_refused() {
    let (server, served) = serve(|server| {
        let mut socket = newcomer(&server);
        for offset in 1..=2 {
            let padding = "x".repeat(3_000_000);
            let message = json!(["event", 1, offset, "tick", [offset, 0, padding]]).to_string();
            socket.write_all(&sent_by_server(message.as_bytes())).unwrap();
        }
        // Any byte: both are read.
        byte(&mut socket);
        socket.write_all(&[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 1]).unwrap();
        let _ = socket.read(&mut [0]);
    });
    let load = Running::new();
    load.open(&server, 1);
    load.answers.recv().unwrap();
    let figures = &load.receive(2)["figures"];
    assert_eq!(
        (&figures["events"], &figures["closed"], &figures["error"]),
        (&json!(2), &json!({}), &Value::Null)
    );
    load.ask(&json!({"do": "call", "group": "g", "action": "say", "args": [], "total": 1, "seconds": 1, "timeout_s": 0}));
    let refused = load.receive(3);
    let error = refused["figures"]["error"].as_str().unwrap();
    assert!(error.contains("more than 16 MiB"), "{refused}");
    drop(load);
    served.join().unwrap();
}
