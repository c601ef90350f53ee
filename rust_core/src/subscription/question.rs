//! What a connection may listen for while that is being decided anew: nothing after that moment is delivered, and
//! nothing is lost. Its answer holds from that moment on.

use smallvec::SmallVec;

use super::{Interval, NameId, Names, OPEN, Subscriptions, Topics};

/// What only those have who have been asked about while they were subscribed.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// What is being decided, if anything is.
    question: Option<Question>,
    /// Offsets of events that a filter chose this connection for while it was being decided whether it may listen, and
    /// that it may have: sorted. What the ring lets go moves on to `Subscriptions::forgotten`.
    chosen: Vec<u64>,
}

/// A question that has no answer yet.
#[derive(Debug)]
struct Question {
    /// Nothing after this offset goes out.
    held: u64,
    /// Where it was asked again meanwhile: an answer holds up to there, and the next one from there on.
    again: Option<u64>,
    /// What it is about.
    names: SmallVec<[Asked; 2]>,
    /// Events that a filter chose this connection for, should it be allowed their names; by offset.
    matched: Vec<(NameId, u64)>,
}

/// One name that a question is about.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// The event name. In use, so that it is not forgotten.
    name: NameId,
    /// The offset after which it is being decided.
    after: u64,
    /// Once it was asked again: the newest event up to there that would be for this connection; else 0.
    newest: u64,
}

impl Subscriptions {
    /// Do not listen for `asked` from the next event on, until [`Self::answer`] says what is to be of that time; those
    /// that are not subscribed are passed over. Returns the offset after which nothing may go out.
    ///
    /// The others are as for [`Self::remove`].
    pub fn hold(
        &mut self,
        names: &mut Names,
        asked: &[NameId],
        head: u64,
        first: u64,
        newest: impl Fn(NameId, u64) -> u64,
    ) -> u64 {
        if self.is_held_before(head) {
            // Seen from here: later it could not be told from what came after.
            let question = self.question(head);
            if question.again.is_none() {
                question.again = Some(head);
                for asked in &mut question.names {
                    asked.newest = newest(asked.name, names.newest(asked.name));
                }
            }
        }
        for &name in asked {
            names.add_use(name);
            if self.remove_id(names, name, head, first, &newest) {
                // Which events match is found out all the same: it may turn out to have listened.
                names.begin_listening(name);
                self.question(head).names.push(Asked { name, after: head, newest: 0 });
            } else {
                names.remove_use(name);
            }
        }
        self.question(head).held
    }

    fn is_held_before(&self, head: u64) -> bool {
        self.aside.as_ref().and_then(|aside| aside.question.as_ref()).is_some_and(|asked| asked.held < head)
    }

    fn question(&mut self, head: u64) -> &mut Question {
        let aside = self.aside.get_or_insert_default();
        aside.question.get_or_insert_with(|| Question {
            held: head,
            again: None,
            names: SmallVec::new(),
            matched: Vec::new(),
        })
    }

    /// Answer what was asked: of its names, those that `is_allowed` are as if they had been subscribed all the time, up
    /// to where it was asked again, and the others as if they had not. Returns the offset after which nothing may go out,
    /// if something is still to be decided.
    ///
    /// `chosen` are events of the allowed names that a filter has chosen this connection for, besides those that
    /// [`Self::note_matched`] knows; `first` is the oldest offset that the ring retains.
    pub fn answer(
        &mut self,
        names: &mut Names,
        is_allowed: impl Fn(NameId) -> bool,
        chosen: &[u64],
        first: u64,
    ) -> Option<u64> {
        let mut question = self.aside.as_mut()?.question.take()?;
        let again = question.again.take();
        let boundary = again.unwrap_or(OPEN);
        let mut chosen = chosen.to_vec();
        for asked in std::mem::take(&mut question.names) {
            let Asked { name, after, newest } = asked;
            if after >= boundary {
                // It came with the next question.
                question.names.push(asked);
                continue;
            }
            if !is_allowed(name) {
                question.matched.retain(|&(matched, _)| matched != name);
                names.end_listening(name);
                names.remove_use(name);
                continue;
            }
            let matched = question.matched.iter().filter(|&&(matched, _)| matched == name);
            chosen.extend(matched.map(|&(_, offset)| offset).filter(|&offset| offset <= boundary));
            if again.is_none() {
                self.cover(names, Interval { name, since: after + 1, until: OPEN, newest: 0 });
                names.end_listening(name);
                names.remove_use(name);
                continue;
            }
            if newest > after {
                self.cover(names, Interval { name, since: after + 1, until: boundary, newest });
            }
            question.names.push(Asked { name, after: boundary, newest: 0 });
        }
        self.choose(&chosen, first);
        if again.is_some() {
            question.matched.retain(|&(_, offset)| offset > boundary);
            question.held = boundary;
            self.aside.get_or_insert_default().question = Some(question);
        }
        again
    }

    /// Be subscribed for that long as well, which is after everything else of its name; unless it has begun again since.
    fn cover(&mut self, names: &mut Names, interval: Interval) {
        let end = self.end_of(interval.name);
        match self.last_before(end, interval.name) {
            Some(last) if last.until == OPEN => return,
            Some(last) if last.until + 1 == interval.since => {
                let last = &mut self.intervals[end - 1];
                (last.until, last.newest) = (interval.until, interval.newest);
            }
            _ => {
                names.add_use(interval.name);
                self.intervals.insert(end, interval);
            }
        }
        if interval.until == OPEN {
            names.begin_listening(interval.name);
            names.add_listener(interval.name, self.slot);
        }
    }

    fn choose(&mut self, offsets: &[u64], first: u64) {
        if offsets.is_empty() {
            return;
        }
        let aside = self.aside.get_or_insert_default();
        aside.chosen.extend(offsets);
        aside.chosen.sort_unstable();
        aside.chosen.dedup();
        let gone = aside.chosen.partition_point(|&offset| offset < first);
        if let Some(newest) = aside.chosen.drain(..gone).next_back() {
            self.forgotten = self.forgotten.max(newest);
        }
    }

    /// Forget what is being decided: none of it is for this connection.
    pub(super) fn give_up(&mut self, names: &mut Names) {
        if let Some(question) = self.aside.as_mut().and_then(|aside| aside.question.take()) {
            for asked in question.names {
                names.end_listening(asked.name);
                names.remove_use(asked.name);
            }
        }
    }

    /// Whether it is being decided if it may listen for this name.
    #[must_use]
    pub fn is_asked(&self, name: NameId) -> bool {
        let question = self.aside.as_ref().and_then(|aside| aside.question.as_ref());
        question.is_some_and(|question| question.names.iter().any(|asked| asked.name == name))
    }

    /// A filter has chosen this connection for an event of topics some of which are being decided.
    pub fn note_matched(&mut self, topics: &Topics, offset: u64) {
        if let Some(question) = self.aside.as_mut().and_then(|aside| aside.question.as_mut()) {
            let asked = question.names.iter().map(|asked| asked.name).filter(|&name| topics.contains(name));
            question.matched.extend(asked.map(|name| (name, offset)));
        }
    }

    /// Whether it was decided late that a filter's event is for this connection as well.
    #[must_use]
    pub fn is_chosen(&self, offset: u64) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.chosen.binary_search(&offset).is_ok())
    }

    /// Whether there is such an event.
    #[must_use]
    pub fn has_chosen(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.chosen.is_empty())
    }

    /// The newest such event before `first`; 0 if there is none.
    #[must_use]
    pub fn newest_chosen_before(&self, first: u64) -> u64 {
        let Some(aside) = &self.aside else {
            return 0;
        };
        let gone = aside.chosen.partition_point(|&offset| offset < first);
        aside.chosen[..gone].last().copied().unwrap_or(0)
    }
}
