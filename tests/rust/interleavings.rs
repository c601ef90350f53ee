//! The protocol between threads under a model checker (shuttle): a publisher, a writer thread that sweeps, and an event
//! loop that attaches, detaches, resumes, closes and stops, in many orders.
//!
//! Everything shared is a point at which another thread may go on, so a test runs the same short history in thousands
//! of orders. Each must lose nothing, send nothing twice or out of order, and let go of all who wait: a thread that
//! waits for ever is found as a deadlock. A failure prints its schedule, which `shuttle::replay` runs again.
//!
//! What shuttle does not show: it lets atomics be seen in one order, whatever `Ordering` says.

#[path = "interleavings/actor.rs"]
mod actor;
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod client;
#[path = "interleavings/deflate.rs"]
mod deflate;
#[path = "interleavings/delivery.rs"]
mod delivery;
#[path = "interleavings/ending.rs"]
mod ending;
#[path = "interleavings/relay.rs"]
mod relay;
#[path = "interleavings/waiting.rs"]
mod waiting;
