//! The programs: commands from standard input, answers to standard output, each one line of JSON.

use std::io::{self, Write};
use std::sync::{Arc, mpsc};
use std::thread;

use mio::{Poll, Waker};
use serde::Serialize;

use crate::limit::Limit;
use crate::load::{COMMANDS, Load};

const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Receive: the commands are those of [`crate::command`]. Returns when there can be no more.
///
/// # Errors
/// If the system does not tell which sockets are ready.
pub fn run_load() -> io::Result<()> {
    let poll = Poll::new()?;
    say(&serde_json::json!({"profile": PROFILE}));
    // Kept here as well: one that is gone wakes nobody, not even with what it did last.
    let waker = Arc::new(Waker::new(poll.registry(), COMMANDS)?);
    let (commands, received) = mpsc::channel();
    let ours = Arc::clone(&waker);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            // Whether anybody still listens or can be woken makes no difference to this thread.
            let _ = commands.send(line);
            let _ = ours.wake();
        }
        drop(commands);
        let _ = ours.wake();
    });
    Load::new(poll).run(&received, say)
}

/// Send: the commands are those of [`crate::limit`]. Returns when there can be no more.
///
/// # Errors
/// If a port cannot be had.
pub fn run_limit() -> io::Result<()> {
    let mut limit = Limit::listen()?;
    say(&serde_json::json!({"profile": PROFILE, "port": limit.port()}));
    for line in io::stdin().lines().map_while(Result::ok) {
        match limit.obey(&line) {
            Ok(sent) => say(&sent),
            Err(failed) => say(&serde_json::json!({"failed": failed})),
        }
    }
    Ok(())
}

fn say(answer: &impl Serialize) {
    let line = serde_json::to_string(answer).expect("an answer has string keys and finite numbers");
    let mut output = io::stdout().lock();
    // Without a reader there is nobody to tell.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
