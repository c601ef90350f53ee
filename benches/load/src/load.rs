//! The event loop, and what the commands do.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use serde_json::{Value, json};

use crate::client::{Client, Phase};
use crate::clock::monotonic_ns;
use crate::command::{Answer, Call, Command, Open, Progress};
use crate::group::{Counts, Group, Settings, histogram, percentiles, seconds};
use crate::sequence::MAX_NAMES;

/// The token of the one who brings commands.
pub const COMMANDS: Token = Token(usize::MAX);

/// Takes a few batches of the server at once and stays in the processor's cache; grows with a frame that is larger.
const BUFFER_BYTES: usize = 256 << 10;

/// Sockets that are looked at between two looks at the time and at commands.
const EVENTS: usize = 256;

/// Sockets that are opened between two looks at those that are ready.
const OPEN_AT_ONCE: usize = 64;

/// What a command waits for, of each connection of its group.
#[derive(Debug)]
enum Goal {
    /// It is connected, and has got what it missed.
    Connected,
    /// It has the event with this counter of this name.
    Received { name: usize, counter: u64, or_closed: bool },
    /// It has no call to wait for, and need not begin another.
    Called { action_and_args: String, left: u64, until_ns: u64, pipeline: usize },
    /// It is closed.
    Closed,
}

/// A command that takes time.
#[derive(Debug)]
struct Task {
    group: usize,
    goal: Goal,
    /// Connections that are not there yet.
    waiting: usize,
    failed: u64,
    /// Connections whose sockets are still to be opened,
    queue: VecDeque<usize>,
    /// and how many may be on their way at a time.
    max_opening: usize,
    opening: usize,
    started_ns: u64,
    deadline_ns: u64,
    last_ns: u64,
    reached: Histogram<u64>,
}

/// All connections.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    clients: Vec<Client>,
    groups: Vec<Group>,
    /// Their indices by name.
    names: HashMap<String, usize>,
    task: Option<Task>,
    buffer: Vec<u8>,
}

impl Load {
    /// A load without connections.
    #[must_use]
    pub fn new(poll: Poll) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { poll, clients: Vec::new(), groups: Vec::new(), names: HashMap::new(), task: None, buffer }
    }

    /// Do what comes as commands, one after the other, until no more can come. `answer` is called for each.
    ///
    /// # Errors
    /// If the system does not tell which sockets are ready.
    pub fn run(&mut self, commands: &Receiver<String>, mut answer: impl FnMut(&Answer)) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Some(done) = self.look_after_task() {
                answer(&done);
            }
            while self.task.is_none() {
                match commands.try_recv() {
                    Ok(line) => {
                        if let Some(done) = self.begin(&line).unwrap_or_else(|error| Some(failed(error))) {
                            answer(&done);
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() != COMMANDS {
                    self.ready(event.token().0);
                }
            }
        }
    }

    /// How long to wait for a socket.
    fn patience(&self) -> Option<Duration> {
        let task = self.task.as_ref()?;
        if task.waiting == 0 || (!task.queue.is_empty() && task.opening < task.max_opening) {
            return Some(Duration::ZERO);
        }
        let until_ns = match task.goal {
            // Nobody is ready when the time for new calls is up, and nobody needs to be.
            Goal::Called { until_ns, .. } => until_ns.max(monotonic_ns() + 1_000_000).min(task.deadline_ns),
            _ => task.deadline_ns,
        };
        Some(Duration::from_nanos(until_ns.saturating_sub(monotonic_ns()) + 1_000_000))
    }

    fn ready(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let group = &mut self.groups[client.group];
        let before = client.phase;
        client.ready(group, &mut self.buffer);
        if let Some(task) = &mut self.task
            && task.group == client.group
        {
            task.note(client, before, &mut group.counts);
        }
    }

    // Commands.

    /// Begin a command; its answer, if it is done already.
    fn begin(&mut self, line: &str) -> Result<Option<Answer>, String> {
        match serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))? {
            Command::Open(open) => self.open(open)?,
            Command::Drop { group } => return self.each(&group, |client, _, _| client.lose()),
            Command::Return { group, max_opening, timeout_s } => {
                let group = self.find(&group)?;
                self.dial(group, max_opening, timeout_s);
            }
            Command::Split { group, every, into } => self.split(&group, every, into)?,
            Command::Sleep { group } => {
                return self.each(&group, |client, _, registry| client.set_asleep(true, registry));
            }
            Command::Wake { group } => {
                return self.each(&group, |client, _, registry| client.set_asleep(false, registry));
            }
            Command::Measure { group } => {
                let group = self.find(&group)?;
                self.groups[group].counts = Counts::default();
                return Ok(Some(Answer::default()));
            }
            Command::Receive { group, name, counter, or_closed, timeout_s } => {
                let group = self.find(&group)?;
                let names = &self.groups[group].settings.names;
                let name =
                    names.iter().position(|each| each == name.as_bytes()).ok_or("no such subscription")?;
                self.start(group, Goal::Received { name, counter, or_closed }, timeout_s);
            }
            Command::Report { group, with } => {
                let mut counts = self.groups[self.find(&group)?].counts.clone();
                for other in &with {
                    counts.add(&self.groups[self.find(other)?].counts);
                }
                return Ok(Some(Answer { figures: Some(counts.figures()), ..Answer::default() }));
            }
            Command::Call(call) => self.call(&call)?,
            Command::Close { group, timeout_s } => {
                let index = self.find(&group)?;
                self.start(index, Goal::Closed, timeout_s);
                self.each(&group, |client, counts, _| {
                    client.close(counts);
                    Ok(())
                })?;
                self.look_at_all(index);
            }
        }
        Ok(self.task.is_none().then(Answer::default))
    }

    fn find(&self, group: &str) -> Result<usize, String> {
        self.names.get(group).copied().ok_or_else(|| format!("there is no group {group}"))
    }

    fn each(
        &mut self,
        group: &str,
        mut act: impl FnMut(&mut Client, &mut Counts, &mio::Registry) -> io::Result<()>,
    ) -> Result<Option<Answer>, String> {
        let index = self.find(group)?;
        let Group { members, counts, .. } = &mut self.groups[index];
        for &place in &*members {
            act(&mut self.clients[place], counts, self.poll.registry()).map_err(|error| error.to_string())?;
        }
        Ok(Some(Answer::default()))
    }

    fn open(&mut self, open: Open) -> Result<(), String> {
        let subscriptions = open.connect.get("subscriptions").and_then(Value::as_array);
        let names: Vec<_> = subscriptions
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|name| name.as_bytes().to_vec())
            .collect();
        if names.len() > MAX_NAMES || open.latency_every == 0 {
            return Err(format!("at most {MAX_NAMES} subscriptions, and latency_every is at least 1"));
        }
        let settings = Settings {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, open.port)),
            connect: open.connect,
            plain: open.plain,
            names,
            whole: open.whole,
            next: open.next,
            latency_every: open.latency_every,
        };
        let index = self.groups.len();
        let first = self.clients.len();
        self.clients.extend((first..first + open.count).map(|place| Client::new(place, index, &settings)));
        let members = (first..first + open.count).collect();
        self.groups.push(Group::new(settings, members));
        self.names.insert(open.group, index);
        self.dial(index, open.max_opening, open.timeout_s);
        Ok(())
    }

    fn dial(&mut self, group: usize, max_opening: usize, timeout_s: f64) {
        self.groups[group].counts = Counts::default();
        let queue = self.groups[group].members.iter().copied().collect();
        let task = self.start(group, Goal::Connected, timeout_s);
        task.queue = queue;
        task.max_opening = max_opening.max(1);
    }

    fn split(&mut self, group: &str, every: usize, into: String) -> Result<(), String> {
        let from = self.find(group)?;
        if every == 0 {
            return Err("every is at least 1".into());
        }
        let index = self.groups.len();
        let members = std::mem::take(&mut self.groups[from].members);
        let (taken, left): (Vec<_>, Vec<_>) =
            members.into_iter().enumerate().partition(|(at, _)| at % every == 0);
        let members: Vec<_> = taken.into_iter().map(|(_, place)| place).collect();
        for &place in &members {
            self.clients[place].group = index;
        }
        self.groups[from].members = left.into_iter().map(|(_, place)| place).collect();
        let settings = self.groups[from].settings.clone();
        self.groups.push(Group::new(settings, members));
        self.names.insert(into, index);
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let group = self.find(&call.group)?;
        self.groups[group].counts = Counts::default();
        self.groups[group].reply = call.reply.as_ref().map(Value::to_string);
        let action_and_args = format!("{},{}", json!(call.action), call.args);
        let until_ns = monotonic_ns() + nanoseconds(call.seconds);
        let pipeline = call.pipeline.max(1);
        let goal = Goal::Called { action_and_args, left: call.total, until_ns, pipeline };
        self.start(group, goal, call.timeout_s);
        self.look_at_all(group);
        Ok(())
    }

    // Commands that take time.

    fn start(&mut self, group: usize, goal: Goal, timeout_s: f64) -> &mut Task {
        let members = &self.groups[group].members;
        let now = monotonic_ns();
        for &place in members {
            self.clients[place].reached = false;
        }
        let is_of_the_present = matches!(goal, Goal::Received { .. });
        self.task = Some(Task {
            group,
            goal,
            waiting: members.len(),
            failed: 0,
            queue: VecDeque::new(),
            max_opening: 0,
            opening: 0,
            started_ns: now,
            deadline_ns: now + nanoseconds(timeout_s),
            last_ns: now,
            reached: histogram(),
        });
        if is_of_the_present {
            self.look_at_all(group);
        }
        self.task.as_mut().expect("it was put there")
    }

    /// Some may be there already, or be able to go on without their socket.
    fn look_at_all(&mut self, group: usize) {
        let Group { members, counts, .. } = &mut self.groups[group];
        if let Some(task) = &mut self.task {
            for &place in &*members {
                let client = &mut self.clients[place];
                task.note(client, client.phase, counts);
            }
        }
    }

    /// Open the next sockets; the answer, once everybody is there or the time is up.
    fn look_after_task(&mut self) -> Option<Answer> {
        let task = self.task.as_mut()?;
        let group = &mut self.groups[task.group];
        for _ in 0..OPEN_AT_ONCE.min(task.max_opening.saturating_sub(task.opening)) {
            let Some(place) = task.queue.pop_front() else {
                break;
            };
            let client = &mut self.clients[place];
            match client.dial(self.poll.registry(), &group.settings) {
                Ok(()) => task.opening += 1,
                Err(error) => {
                    group.counts.note_error(error);
                    task.note(client, Phase::Closed, &mut group.counts);
                }
            }
        }
        let late = monotonic_ns() > task.deadline_ns;
        if task.waiting > 0 && !late {
            return None;
        }
        let task = self.task.take()?;
        let progress = Progress {
            of: group.members.len(),
            reached: task.reached.len(),
            failed: task.failed,
            seconds: seconds(task.last_ns - task.started_ns),
            reached_ms: percentiles(&task.reached),
        };
        let failed = if task.waiting > 0 {
            Some(format!("the time is up, and {} connections are not there", task.waiting))
        } else {
            (task.failed > 0).then(|| format!("{} connections will never be there", task.failed))
        };
        Some(Answer { failed, progress: Some(progress), figures: Some(group.counts.figures()) })
    }
}

impl Task {
    /// A connection of the group has moved.
    fn note(&mut self, client: &mut Client, before: Phase, counts: &mut Counts) {
        let is_opening = |phase| matches!(phase, Phase::Dialling | Phase::Upgrading);
        if is_opening(before) && !is_opening(client.phase) {
            self.opening = self.opening.saturating_sub(1);
        }
        if client.reached {
            return;
        }
        let closed = client.phase == Phase::Closed;
        let reached = match &mut self.goal {
            Goal::Connected => client.phase == Phase::Connected && client.replay_left == 0,
            Goal::Received { name, counter, or_closed } => {
                client.sequence.newest(*name) >= *counter || (*or_closed && closed)
            }
            Goal::Closed => closed,
            Goal::Called { action_and_args, left, until_ns, pipeline } => {
                let room = pipeline.saturating_sub(client.calling());
                let times = room.min(usize::try_from(*left).unwrap_or(usize::MAX));
                if times > 0 && !closed && monotonic_ns() < *until_ns {
                    *left -= times as u64;
                    client.call(times, action_and_args, counts);
                }
                client.calling() == 0 && !closed
            }
        };
        if reached {
            self.last_ns = monotonic_ns();
            self.reached.saturating_record(self.last_ns - self.started_ns);
        } else if closed {
            self.failed += 1;
        } else {
            return;
        }
        client.reached = true;
        self.waiting -= 1;
    }
}

fn failed(error: String) -> Answer {
    Answer { failed: Some(error), ..Answer::default() }
}

fn nanoseconds(seconds: f64) -> u64 {
    // A command's time is a small number of seconds; one that is not is the longest there is.
    u64::try_from(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600)).as_nanos())
        .unwrap_or(0)
}
