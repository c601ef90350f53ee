//! Commands and answers, each one line of JSON. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plain::Plain;
use crate::sequence::Faults;

/// What the load is told to do. Times are in seconds; a command that takes longer than `timeout_s` fails.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Open connections as a new group; done when all of them are connected.
    Open(Open),
    /// Lose the sockets of a group without a close frame.
    Drop {
        /// Which group.
        group: String,
    },
    /// Come back with all of a group, all at once; done when each has got what it missed.
    Return {
        /// Which group.
        group: String,
        /// Most sockets that may wait to be accepted and upgraded: less than the server's backlog.
        max_opening: usize,
        /// At most.
        timeout_s: f64,
    },
    /// Make every so-manieth connection of a group a group of its own.
    Split {
        /// Which group.
        group: String,
        /// Its first, and every one so many further on.
        every: usize,
        /// The name of the new group.
        into: String,
    },
    /// Stop reading from the sockets of a group.
    Sleep {
        /// Which group.
        group: String,
    },
    /// Read from them again.
    Wake {
        /// Which group.
        group: String,
    },
    /// Count from now on.
    Measure {
        /// Which group.
        group: String,
    },
    /// Done when each connection of a group has the event with this counter, or has been closed.
    Receive {
        /// Which group.
        group: String,
        /// The name of the event, one of those subscribed to.
        name: String,
        /// Its counter.
        counter: u64,
        /// A connection that is closed counts as one that has got there.
        #[serde(default)]
        or_closed: bool,
        /// At most.
        timeout_s: f64,
    },
    /// Tell what was counted since the last `measure`.
    Report {
        /// Which group.
        group: String,
        /// Others, to be counted as one with it: percentiles are those of all their values.
        #[serde(default)]
        with: Vec<String>,
    },
    /// Call an action from each connection of a group, so many calls at a time.
    Call(Call),
    /// Close the sockets of a group for good; done when the server has closed them as well.
    Close {
        /// Which group.
        group: String,
        /// At most.
        timeout_s: f64,
    },
}

/// See [`Command::Open`].
#[derive(Debug, Deserialize)]
pub struct Open {
    /// The name of the new group.
    pub group: String,
    /// How many connections.
    pub count: usize,
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// The connect message's object, with `subscriptions`.
    pub connect: Map<String, Value>,
    /// The server is of another kind, and of the connect message only `subscriptions` is used.
    #[serde(default)]
    pub plain: Option<Plain>,
    /// Every event of the stream is for these connections: offsets may have no holes.
    #[serde(default)]
    pub whole: bool,
    /// By subscription: the counters that the first events shall have.
    #[serde(default)]
    pub next: Vec<u64>,
    /// The latency of every so many events is recorded.
    #[serde(default = "one")]
    pub latency_every: u64,
    /// Most sockets that may wait to be accepted and upgraded.
    pub max_opening: usize,
    /// At most.
    pub timeout_s: f64,
}

/// See [`Command::Call`].
#[derive(Debug, Deserialize)]
pub struct Call {
    /// Which group.
    pub group: String,
    /// The action.
    pub action: String,
    /// Its arguments.
    pub args: Value,
    /// What every reply has to be; any value without it.
    #[serde(default)]
    pub reply: Option<Value>,
    /// No call is begun after so many of the group,
    pub total: u64,
    /// nor after this time.
    pub seconds: f64,
    /// How many calls of each connection may wait for their replies at a time.
    #[serde(default = "one_call")]
    pub pipeline: usize,
    /// At most, the last replies included.
    pub timeout_s: f64,
}

fn one() -> u64 {
    1
}

fn one_call() -> usize {
    1
}

/// What the load answers.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// Why the command failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// How a command went that takes time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What was counted of the group since the last `measure`, or since a command that counts by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

/// How a command went that takes time.
#[derive(Debug, Serialize)]
pub struct Progress {
    /// Connections that it was about.
    pub of: usize,
    /// Connections that got there.
    pub reached: u64,
    /// Connections that never will.
    pub failed: u64,
    /// From the beginning to the last one that got there.
    pub seconds: f64,
    /// From the beginning until each one got there.
    pub reached_ms: Option<Percentiles>,
}

/// What was counted.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// When the first event was read, in nanoseconds of the monotonic clock; 0 for none.
    pub first_ns: u64,
    /// When the last one was.
    pub last_ns: u64,
    /// From the first event to the last.
    pub seconds: f64,
    /// Events, of all connections.
    pub events: u64,
    /// The same a second.
    pub events_per_s: f64,
    /// Bytes read.
    pub bytes: u64,
    /// Processor time of this process, all groups, since the last `measure`.
    pub cpu_s: f64,
    /// The same as a share of the time that has passed since then.
    pub cpu_share: f64,
    /// From the sending of an event to its being read.
    pub latency_ms: Option<Percentiles>,
    /// From a call to its reply.
    pub call_ms: Option<Percentiles>,
    /// Events that came as part of a replay.
    pub replayed: u64,
    /// How many of those the server announced.
    pub announced: u64,
    /// Sessions that were taken up again.
    pub resumed: u64,
    /// Sessions that were begun anew although the client came back with an earlier one.
    pub renewed: u64,
    /// Gaps that the server told of.
    pub gaps: u64,
    /// Offsets in those gaps.
    pub lost: u64,
    /// Sockets that the server closed, by close code; 1006 without a close frame.
    pub closed: BTreeMap<u16, u64>,
    /// What was wrong: a figure counts only if all of this is zero.
    pub faults: Faults,
    /// One of the errors.
    pub error: Option<String>,
}

/// What a histogram says, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Percentiles {
    /// How many values it has.
    pub count: u64,
    /// Half of them are at most this.
    pub p50: f64,
    /// All but one of a hundred are.
    pub p99: f64,
    /// All are.
    pub max: f64,
}
