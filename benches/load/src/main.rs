//! The program: commands from standard input, answers to standard output, each one line of JSON.

use std::io::{self, Write};
use std::sync::{Arc, mpsc};
use std::thread;

use mio::{Poll, Waker};
use ringcast_load::load::{COMMANDS, Load};

fn main() -> io::Result<()> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    say(&format!("{{\"profile\":\"{profile}\"}}"));
    let poll = Poll::new()?;
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
    Load::new(poll).run(&received, |answer| {
        say(&serde_json::to_string(answer).expect("an answer has string keys and finite numbers"));
    })
}

fn say(line: &str) {
    let mut output = io::stdout().lock();
    // Without a reader there is nobody to tell.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
