//! The writer threads: which streams to sweep, which sockets are writable again, and which closes are overdue.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sink::Sink;
use crate::stream::Sweep;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{Builder, JoinHandle};
use crate::system::{Poller, Ready};

/// Sockets that one look at the poller can report.
const MAX_READY: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// What other threads hand to a writer thread.
#[derive(Debug, Default)]
struct Inbox {
    /// Sweeps to begin, or to go on with.
    sweeps: VecDeque<Sweep>,
    /// Sinks with more to write than one turn allows.
    sinks: VecDeque<Arc<Sink>>,
    /// When to give up waiting for a close frame to go out. All waits are of one length, so these are in order.
    closes: VecDeque<(Instant, Weak<Sink>)>,
    /// Sinks that wait to be writable, by key.
    blocked: HashMap<usize, Weak<Sink>>,
    /// The key of the next registration.
    next_key: usize,
    /// Stop when nothing is left to do.
    stop: bool,
    /// The thread has ended: nobody looks in here again.
    over: bool,
}

/// One writer thread, seen from outside.
#[derive(Debug)]
pub struct Writer {
    /// Tells which of the blocked sockets are writable.
    poller: Poller,
    /// What is to be done. Held shortly, never during a sweep or a write.
    inbox: Mutex<Inbox>,
    /// Whether the thread will look into the inbox before it waits; saves a system call per broadcast.
    awake: AtomicBool,
    /// How long a socket may delay a close.
    close_timeout: Duration,
}

impl Writer {
    /// A writer whose thread is not running yet.
    ///
    /// # Errors
    /// If the system gives no poller.
    pub fn new(close_timeout: Duration) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            poller: Poller::new()?,
            inbox: Mutex::default(),
            awake: AtomicBool::new(false),
            close_timeout,
        }))
    }

    /// Start the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self: &Arc<Self>, name: String) -> io::Result<JoinHandle<()>> {
        let writer = Arc::clone(self);
        Builder::new().name(name).spawn(move || writer.run())
    }

    /// Sweep soon. False if the thread has ended and nobody will.
    #[must_use]
    pub(crate) fn sweep(&self, sweep: Sweep) -> bool {
        self.hand_over(|inbox| inbox.sweeps.push_back(sweep))
    }

    /// Go on with this sink soon. False if the thread has ended and nobody will.
    #[must_use]
    pub fn resume(&self, sink: Arc<Sink>) -> bool {
        self.hand_over(|inbox| inbox.sinks.push_back(sink))
    }

    /// Shut this sink down if its close frame is not out in time. False if the thread has ended and nobody will.
    #[must_use]
    pub fn watch_close(&self, sink: &Arc<Sink>) -> bool {
        let when = Instant::now() + self.close_timeout;
        self.hand_over(|inbox| inbox.closes.push_back((when, Arc::downgrade(sink))))
    }

    /// Ask the thread to end once its inbox is empty.
    pub fn stop(&self) {
        self.hand_over(|inbox| inbox.stop = true);
    }

    /// Tells which of the blocked sockets are writable.
    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Give a key for the poller to a sink.
    pub(crate) fn register(&self, sink: &Arc<Sink>) -> usize {
        let mut inbox = self.inbox.lock();
        inbox.next_key += 1;
        let key = inbox.next_key;
        inbox.blocked.insert(key, Arc::downgrade(sink));
        key
    }

    /// Take the key back.
    pub(crate) fn unregister(&self, key: usize) {
        // Not dropped under the lock.
        let _sink = self.inbox.lock().blocked.remove(&key);
    }

    fn hand_over(&self, put: impl FnOnce(&mut Inbox)) -> bool {
        {
            let mut inbox = self.inbox.lock();
            if inbox.over {
                return false;
            }
            put(&mut inbox);
        }
        self.wake();
        true
    }

    fn wake(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            self.poller.notify();
        }
    }

    fn run(&self) {
        let _ending = Ending(self);
        let mut ready = Ready::with_capacity(MAX_READY);
        loop {
            self.awake.store(true, Ordering::SeqCst);
            while self.turn() {
                self.unblock(&mut ready, Some(Duration::ZERO));
                // Here too: under load the inbox may never be empty.
                self.expire_closes();
            }
            // Whoever hands something over from here on sees `false` and notifies; what came before is seen here.
            self.awake.store(false, Ordering::SeqCst);
            let timeout = {
                let mut inbox = self.inbox.lock();
                if !inbox.sweeps.is_empty() || !inbox.sinks.is_empty() {
                    continue;
                }
                if inbox.stop {
                    inbox.over = true;
                    return;
                }
                inbox.closes.front().map(|(when, _)| when.saturating_duration_since(Instant::now()))
            };
            self.unblock(&mut ready, timeout);
            self.expire_closes();
        }
    }

    /// Do a piece of one sweep, and one resumed sink, so that none waits for all of another. False if there was neither.
    /// The thread does nothing else; tests take its turns themselves.
    pub fn turn(&self) -> bool {
        let (sweep, sink) = {
            let mut inbox = self.inbox.lock();
            (inbox.sweeps.pop_front(), inbox.sinks.pop_front())
        };
        let worked = sweep.is_some() || sink.is_some();
        if let Some(mut sweep) = sweep {
            let mut done = true;
            guarded(|| done = sweep.go_on());
            if !done {
                self.inbox.lock().sweeps.push_back(sweep);
            }
        }
        if let Some(sink) = sink {
            guarded(|| sink.drive(None));
        }
        worked
    }

    fn unblock(&self, ready: &mut Ready, timeout: Option<Duration>) {
        if self.poller.wait(ready, timeout).is_err() {
            // Interrupted by a signal: the caller looks again.
            return;
        }
        for key in ready.keys() {
            let sink = self.inbox.lock().blocked.get(&key).and_then(Weak::upgrade);
            if let Some(sink) = sink {
                guarded(|| sink.writable());
            }
        }
    }

    fn expire_closes(&self) {
        let now = Instant::now();
        loop {
            let sink = {
                let mut inbox = self.inbox.lock();
                match inbox.closes.front() {
                    Some((when, _)) if *when <= now => inbox.closes.pop_front().map(|(_, sink)| sink),
                    _ => return,
                }
            };
            if let Some(sink) = sink.and_then(|sink| sink.upgrade()) {
                guarded(|| sink.close_timed_out());
            }
        }
    }
}

/// Keep the thread alive over a panic: a bug met by one connection must not stop all others. Returns whether there was
/// none. The panic hook has printed it by then.
pub(crate) fn guarded(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok()
}

/// Lets go of all who would wait for a thread that ends, whatever it ends by.
struct Ending<'a>(&'a Writer);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let left = {
            let mut inbox = self.0.inbox.lock();
            std::mem::replace(&mut *inbox, Inbox { over: true, ..Inbox::default() })
        };
        left.sweeps.iter().for_each(|sweep| sweep.stream().abandon());
        left.sinks.iter().for_each(|sink| sink.drive(None));
        let closes = left.closes.iter().filter_map(|(_, sink)| sink.upgrade());
        closes.for_each(|sink| sink.close_timed_out());
    }
}
