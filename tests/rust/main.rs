//! Tests of the core, one module per concept. They need no Python.
//!
//! `client` is what the tests read sockets with, `actor` a stream with its writer, `history` what happens to one
//! at random, and `naive` filters evaluated the slow way; the others mirror the modules.

mod actor;
mod client;
mod history;
mod naive;

mod attributes;
mod audience;
mod connection;
mod containment;
mod deflate;
mod event_stream;
mod fanout;
mod filter;
mod frame;
mod messages;
mod model;
mod outbox;
mod relay;
mod replay;
mod ring;
mod sink;
mod sink_closing;
mod sink_slow;
mod subscription;
mod sweep;
mod topic;
