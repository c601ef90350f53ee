//! The limit: ready-made frames, sent to as many sockets as there are connections, and nothing else.
//!
//! It is the least that any server has to do which writes to each socket by itself: one `send` for each socket and batch.
//! Its frames are those of an actor of the benchmarks, so that the load checks them like any other's.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::clock::{cpu_ns, monotonic_ns};
use crate::frame;
use crate::group::seconds;

/// That of the server under test.
const BACKLOG: i32 = 4096;

/// Digits of a time in a frame, leading zeros included: 31 years after the machine was started.
const TIME_DIGITS: usize = 18;

/// Most that the frames of one flood may take, ready-made.
const MAX_READY_BYTES: usize = 512 << 20;

/// What it is told: to send so many events to every connection. Answered by [`Sent`].
#[derive(Debug, Deserialize)]
pub struct Flood {
    /// The counter of the first event.
    pub first: u64,
    /// How many events,
    pub messages: usize,
    /// how many of them with one `send`,
    pub burst: usize,
    /// and how many bytes the arguments of one take.
    pub payload: usize,
    /// No batch is begun after this time.
    pub seconds: f64,
}

/// How a flood went.
#[derive(Debug, Serialize)]
pub struct Sent {
    /// The counter of the last event.
    pub last: u64,
    /// When the first batch was begun, in nanoseconds of the monotonic clock.
    pub began_ns: u64,
    /// From then until everything was handed to the system.
    pub seconds: f64,
    /// Processor time used for that.
    pub cpu_s: f64,
}

/// The sockets.
#[derive(Debug)]
pub struct Limit {
    port: u16,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    /// The offset of the next event.
    offset: u64,
}

impl Limit {
    /// Listen, and take whoever connects.
    ///
    /// # Errors
    /// If a port cannot be had.
    pub fn listen() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let port = listener.local_addr()?.port();
        let sockets = Arc::<Mutex<Vec<_>>>::default();
        let accepted = Arc::clone(&sockets);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                // A client that is gone before it was welcomed is missed by the load, not here.
                let _ = welcome(socket, &accepted);
            }
        });
        Ok(Self { port, sockets, offset: 1 })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Do what a line of JSON says.
    ///
    /// # Errors
    /// If it says nothing that can be done, or a connection is lost.
    pub fn obey(&mut self, line: &str) -> Result<Sent, String> {
        let flood: Flood = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if flood.messages == 0 || flood.burst == 0 {
            return Err("there is nothing to send".into());
        }
        self.flood(&flood).map_err(|error| error.to_string())
    }

    fn flood(&mut self, flood: &Flood) -> io::Result<Sent> {
        let (mut ready, marks) = self.ready_made(flood);
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let (began_ns, began_cpu_ns) = (monotonic_ns(), cpu_ns());
        let mut sent = 0;
        let mut from = 0;
        for batch in marks.chunks(flood.burst) {
            let now = monotonic_ns();
            if sent > 0 && seconds(now - began_ns) > flood.seconds {
                break;
            }
            let time = format!("{now:0TIME_DIGITS$}");
            for mark in batch {
                ready[mark.time..mark.time + TIME_DIGITS].copy_from_slice(time.as_bytes());
            }
            let end = batch[batch.len() - 1].end;
            for mut socket in &*sockets {
                socket.write_all(&ready[from..end])?;
            }
            from = end;
            sent += batch.len() as u64;
        }
        self.offset += sent;
        Ok(Sent {
            last: flood.first + sent - 1,
            began_ns,
            seconds: seconds(monotonic_ns() - began_ns),
            cpu_s: seconds(cpu_ns() - began_cpu_ns),
        })
    }

    /// The frames of a flood, but for their times.
    fn ready_made(&self, flood: &Flood) -> (Vec<u8>, Vec<Mark>) {
        let mut ready = Vec::new();
        let mut marks = Vec::new();
        for (offset, counter) in (self.offset..).zip(flood.first..).take(flood.messages) {
            if ready.len() > MAX_READY_BYTES {
                break;
            }
            let before = format!("[\"event\",1,{offset},\"tick\",[{counter},");
            let args = format!("[{counter},{:0TIME_DIGITS$},\"\"]", 0).len();
            let padding = "x".repeat(flood.payload.saturating_sub(args));
            let payload = format!("{before}{:0TIME_DIGITS$},\"{padding}\"]]", 0);
            let bytes = frame::sent_by_server(payload.as_bytes());
            let time = ready.len() + bytes.len() - payload.len() + before.len();
            ready.extend(bytes);
            marks.push(Mark { time, end: ready.len() });
        }
        (ready, marks)
    }
}

/// One frame among those that are ready.
#[derive(Debug)]
struct Mark {
    /// Where its time begins.
    time: usize,
    /// Where it ends.
    end: usize,
}

/// Answer the upgrade request and the connect message, as far as the load looks at the answers.
fn welcome(mut socket: TcpStream, accepted: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\r\n\r\n") {
        filled += read_some(&mut socket, &mut buffer[filled..])?;
    }
    socket.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )?;
    // The connect message: what is in it makes no difference.
    read_some(&mut socket, &mut buffer)?;
    let connected = json!(["connected", {"stream": 1, "epoch": "limit", "offset": 0, "session": "limit"}]);
    // It counts as connected for the load once it has this: by then it has to be among those that are sent to.
    let mut all = accepted.lock().unwrap_or_else(PoisonError::into_inner);
    socket.write_all(&frame::sent_by_server(connected.to_string().as_bytes()))?;
    all.push(socket);
    Ok(())
}

fn read_some(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
