//! The load of the benchmarks: many WebSocket clients in one thread, which check every event that they receive.
//!
//! It takes commands, one JSON object a line, and answers each with one. What is measured, and what the server does
//! meanwhile, is decided by whoever sends the commands (`ringcast/bench/rig.py`).
//!
//! - [`clock`]: the time, and the processor time of this process
//! - [`frame`]: WebSocket frames, read and written: pure
//! - [`message`]: messages of the protocol, as far as a load has to read them: pure
//! - [`sequence`]: whether the events of one connection are all there, once and in order: pure
//! - [`known`]: a stretch of a stream that need not be read again for every connection: pure
//! - [`group`]: what the connections of one group have in common, and what was counted of them
//! - [`client`]: one connection, over one socket after the other
//! - [`plain`]: the same to a server of another kind, to compare with
//! - [`command`]: commands and answers as they are written: pure
//! - [`load`]: the event loop, and what the commands do
//! - [`limit`]: the other side at its simplest: ready-made frames, sent to every socket
//! - [`program`]: both as programs, which the Python module runs in processes of their own
//!
//! There is no TLS and no fragmented message, and of HTTP no more than an upgrade: the server under test sends
//! neither, and a general client would be the bottleneck.

#![deny(unsafe_code)]

pub mod client;
pub mod clock;
pub mod command;
pub mod frame;
pub mod group;
pub mod known;
pub mod limit;
pub mod load;
pub mod message;
pub mod plain;
pub mod program;
pub mod sequence;
