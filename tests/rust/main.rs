//! Tests of the core, one module per concept. They need no Python.
//!
//! `client` is what the tests read sockets with, and `actor` a stream with its writer; the others mirror the modules.

mod actor;
mod client;

mod connection;
mod containment;
mod deflate;
mod fanout;
mod frame;
mod model;
mod outbox;
mod relay;
mod replay;
mod ring;
mod sink;
mod subscription;
mod sweep;
