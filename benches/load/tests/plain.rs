//! The load against servers of another kind, right and wrong: bare messages, and those of Socket.IO.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};
use ringcast_load::load::{COMMANDS, Load};
use serde_json::{Value, json};

/// What the first event counts.
const FIRST: u64 = 1_000_000;

/// Give a load these commands; return its answers.
fn ask(commands: &[Value]) -> Vec<Value> {
    let poll = Poll::new().unwrap();
    let _waker = Arc::new(Waker::new(poll.registry(), COMMANDS).unwrap());
    let (sender, received) = mpsc::channel();
    for command in commands {
        sender.send(command.to_string()).unwrap();
    }
    drop(sender);
    let mut answers = Vec::new();
    Load::new(poll).run(&received, |answer| answers.push(serde_json::to_value(answer).unwrap())).unwrap();
    answers
}

fn open(server: &TcpListener, plain: &Value, count: usize) -> Value {
    json!({"do": "open", "group": "g", "count": count, "port": server.local_addr().unwrap().port(),
        "connect": {"subscriptions": ["tick"]}, "plain": plain, "whole": true, "next": [FIRST],
        "max_opening": 1, "timeout_s": 30})
}

fn receive(counter: u64) -> Value {
    json!({"do": "receive", "group": "g", "name": "tick", "counter": counter, "timeout_s": 30})
}

fn serve(work: impl FnOnce(TcpListener) + Send + 'static) -> (TcpListener, JoinHandle<()>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = server.try_clone().unwrap();
    (server, thread::spawn(move || work(ours)))
}

/// Accept a client; returns its socket and its request.
fn accept(server: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = server.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n").unwrap();
    (socket, String::from_utf8(request).unwrap())
}

fn text(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81, u8::try_from(payload.len()).unwrap()];
    frame.extend(payload.as_bytes());
    frame
}

/// Events with these counters behind the first one, all in one write.
fn events(counters: &[u64], begin: &str) -> Vec<u8> {
    counters.iter().flat_map(|counter| text(&format!("{begin}{},5,\"xx\"]", FIRST + counter))).collect()
}

/// Expect a message of the client.
fn expect(socket: &mut TcpStream, message: &str) {
    let mut frame = vec![0; 6 + message.len()];
    socket.read_exact(&mut frame).unwrap();
    assert_eq!(
        (&frame[1], &frame[6..]),
        (&(0x80 | u8::try_from(message.len()).unwrap()), message.as_bytes())
    );
}

/// What the load counts of one connection that gets these events, the last of which has the highest counter.
fn figures_of(counters: &'static [u64]) -> Value {
    let (server, served) = serve(move |server| {
        let (mut socket, _) = accept(&server);
        socket.write_all(&events(counters, "[")).unwrap();
        let _ = socket.read(&mut [0]);
    });
    let last = FIRST + counters.last().unwrap();
    let answers = ask(&[open(&server, &json!({"path": "/"}), 1), receive(last), report()]);
    served.join().unwrap();
    answers[2]["figures"].clone()
}

fn report() -> Value {
    json!({"do": "report", "group": "g"})
}

fn faults(figures: &Value) -> Vec<(&str, u64)> {
    let all = figures["faults"].as_object().unwrap();
    all.iter()
        .map(|(name, count)| (name.as_str(), count.as_u64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn every_connection_gets_every_event_and_the_upgrade_asks_for_what_it_was_told() {
    let (server, served) = serve(|server| {
        let clients: Vec<_> = (0..3).map(|_| accept(&server)).collect();
        for (mut socket, request) in clients {
            assert!(request.starts_with("GET /feed?a=1 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nsec-websocket-protocol: json\r\n"), "{request}");
            socket.write_all(&events(&[0, 1, 2], "[")).unwrap();
            // The load is over, and takes its sockets with it.
            thread::spawn(move || socket.read(&mut [0]));
        }
    });
    let plain = json!({"path": "/feed?a=1", "subprotocol": "json"});
    let answers = ask(&[open(&server, &plain, 3), receive(FIRST + 2)]);
    assert_eq!((&answers[0]["failed"], &answers[0]["progress"]["reached"]), (&Value::Null, &json!(3)));
    let figures = &answers[1]["figures"];
    assert_eq!((&answers[1]["failed"], &figures["events"]), (&Value::Null, &json!(9)));
    assert_eq!(faults(figures), []);
    assert!(figures["latency_ms"]["count"].as_u64() > Some(0), "{figures}");
    served.join().unwrap();
}

#[test]
fn an_event_that_is_not_there_is_missing() {
    assert_eq!(faults(&figures_of(&[0, 1, 3])), [("holes", 1), ("missing", 1)]);
}

#[test]
fn the_first_event_is_missed_as_well() {
    assert_eq!(faults(&figures_of(&[1, 2])), [("holes", 1), ("missing", 1)]);
}

#[test]
fn an_event_that_comes_again_is_counted_as_such() {
    assert_eq!(faults(&figures_of(&[0, 1, 1, 2])), [("twice", 1)]);
}

#[test]
fn events_that_change_places_are_late() {
    let figures = figures_of(&[0, 2, 1, 3]);
    let faults = faults(&figures);
    assert!(faults.contains(&("late", 1)) && !faults.contains(&("twice", 1)), "{faults:?}");
}

#[test]
fn a_message_that_is_no_event_is_malformed() {
    let (server, served) = serve(|server| {
        let (mut socket, _) = accept(&server);
        socket.write_all(&text("hello")).unwrap();
        socket.write_all(&events(&[0], "[")).unwrap();
        let _ = socket.read(&mut [0]);
    });
    let answers = ask(&[open(&server, &json!({"path": "/"}), 1), receive(FIRST)]);
    served.join().unwrap();
    assert_eq!(faults(&answers[1]["figures"]), [("malformed", 1)]);
    assert_eq!(answers[1]["figures"]["error"], "unexpected: hello");
}

#[test]
fn socket_io_is_greeted_and_its_pings_are_answered() {
    let (server, served) = serve(|server| {
        let (mut socket, _) = accept(&server);
        socket.write_all(&text("0{\"sid\":\"a\"}")).unwrap();
        expect(&mut socket, "40");
        socket.write_all(&text("40{\"sid\":\"b\"}")).unwrap();
        socket.write_all(&events(&[0], "42[\"tick\",")).unwrap();
        socket.write_all(&text("2")).unwrap();
        expect(&mut socket, "3");
        socket.write_all(&events(&[1], "42[\"tick\",")).unwrap();
        let _ = socket.read(&mut [0]);
    });
    let plain = json!({"path": "/socket.io/?EIO=4&transport=websocket", "socket_io": true});
    let answers = ask(&[open(&server, &plain, 1), receive(FIRST + 1)]);
    served.join().unwrap();
    assert_eq!((&answers[1]["failed"], &answers[1]["figures"]["events"]), (&Value::Null, &json!(2)));
    assert_eq!(faults(&answers[1]["figures"]), []);
}

#[test]
fn nobody_is_connected_to_socket_io_before_it_says_so() {
    let (server, served) = serve(|server| {
        let (mut socket, _) = accept(&server);
        socket.write_all(&text("0{\"sid\":\"a\"}")).unwrap();
        expect(&mut socket, "40");
        socket.write_all(&text("44{\"message\":\"no\"}")).unwrap();
        socket.write_all(&[0x88, 2, 0x03, 0xe8]).unwrap();
    });
    let plain = json!({"path": "/", "socket_io": true});
    let answers = ask(&[open(&server, &plain, 1)]);
    served.join().unwrap();
    assert_eq!(
        (&answers[0]["progress"]["failed"], &answers[0]["figures"]["closed"]["1000"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(faults(&answers[0]["figures"]), [("malformed", 1)]);
}

#[test]
fn an_event_of_another_name_is_foreign() {
    let (server, served) = serve(|server| {
        let (mut socket, _) = accept(&server);
        socket.write_all(&text("0{}")).unwrap();
        expect(&mut socket, "40");
        socket.write_all(&text("40{}")).unwrap();
        socket.write_all(&events(&[0], "42[\"other\",")).unwrap();
        socket.write_all(&events(&[0], "42[\"tick\",")).unwrap();
        let _ = socket.read(&mut [0]);
    });
    let plain = json!({"path": "/", "socket_io": true});
    let answers = ask(&[open(&server, &plain, 1), receive(FIRST)]);
    served.join().unwrap();
    assert_eq!(faults(&answers[1]["figures"]), [("foreign", 1)]);
}
