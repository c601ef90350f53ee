//! The core of Ringcast: rings, connection tables, and the sweep that writes events to sockets.
//!
//! The one idea: a connection is a position in its actor's ring. Live delivery, a slow reader and a client that
//! comes back are the same operation, *move this connection's position towards the head, writing what it may see*.
//!
//! | module | what it is | pure |
//! | --- | --- | --- |
//! | [`frame`] | bytes of WebSocket frames and event messages, encoded once | yes |
//! | [`event_stream`] | messages as server-sent events | yes |
//! | [`deflate`] | payloads compressed, each by itself | yes |
//! | [`audience`] | whom one event is for | yes |
//! | [`filter`] | filters over the attributes of connections, in their compiled form | yes |
//! | [`attributes`] | the attributes of connections, indexed by value, and who of them matches a filter | yes |
//! | [`subscription`] | who listens to what, and since which offset | yes |
//! | [`ring`] | a bounded, in-order buffer of events, and what it remembers of those it let go | yes |
//! | [`fanout`] | a batch of events cut out of a ring, and what of it one connection may see | yes |
//! | [`replay`] | a resume answered | yes |
//! | [`outbox`] | what waits for one socket, and where a write stopped inside it | yes |
//! | [`connection`] | connections, and the table of them with generation-checked ids | yes |
//! | [`sink`] | where one client's frames go, and who may write them | no |
//! | `outlet` | what takes them: a socket, or a relay | no |
//! | `socket` | a descriptor, and its place in a poller | no |
//! | [`relay`] | what the event loop writes for the core | no |
//! | [`messages`] | frames back to messages, where somebody else makes the frames | yes |
//! | [`stream`] | one running actor: its ring, its connections, and the sweep over them | no |
//! | [`writer`] | the writer threads: which streams to sweep, which sockets are writable again | no |
//! | [`system`] | what the core asks of the operating system; `simulated` takes its place under the model checker | no |
//! | [`tally`] | what is counted of all that, read only when somebody asks | yes |
//! | [`sync`] | locks, atomics and threads, of the system or of the model checker | no |
//! | [`descriptor`] | what the type system cannot know about descriptors | no |
//! | `prefetch` | memory asked for before it is read; this and `descriptor` alone have `unsafe` | no |
//! | `python` | the Python module, behind the `python` feature; it alone knows PyO3 | no |
//!
//! Locks are taken in the order sink, stream, subscriptions; none is held over a system call. Those of relays and of
//! writers' inboxes are leaves.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod attributes;
pub mod audience;
pub mod connection;
pub mod deflate;
pub mod descriptor;
pub mod event_stream;
pub mod fanout;
pub mod filter;
pub mod frame;
pub mod messages;
pub mod outbox;
mod outlet;
mod prefetch;
pub mod relay;
pub mod replay;
pub mod ring;
pub mod sink;
mod socket;
pub mod stream;
pub mod subscription;
pub mod sync;
#[cfg(not(feature = "shuttle"))]
pub mod system;
pub mod tally;
pub mod writer;

#[cfg(feature = "shuttle")]
pub mod simulated;
#[cfg(feature = "shuttle")]
use simulated as system;

#[cfg(all(feature = "python", feature = "shuttle"))]
compile_error!(
    "the features `python` and `shuttle` exclude each other: the Python module needs real sockets"
);

#[cfg(feature = "python")]
mod python;
