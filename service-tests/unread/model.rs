//! Unread counts as the specification tells of them, counted one by one.

use std::collections::HashMap;

use hearth_store::unread::Unread;
use rand::RngExt;
use rand::rngs::StdRng;
use ruma::{EventId, OwnedEventId};

use super::READER;

/// What happened in a room, and what its reader did about it.
pub struct Model {
    events: Vec<Event>,
    receipts: HashMap<Thread, usize>,
    joined: usize,
    pub is_in: bool,
    pub ignored: Vec<usize>,
}

#[derive(Clone)]
pub struct Event {
    pub by: usize,
    pub id: OwnedEventId,
    pub thread: Option<OwnedEventId>,
    /// It notifies the reader.
    pub counts: bool,
    /// It is highlighted for the reader.
    pub highlights: bool,
    pub redacted: bool,
}

/// What a receipt is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Thread {
    Any,
    Main,
    Of(OwnedEventId),
}

impl Event {
    /// One that notifies nobody.
    pub const fn silent(by: usize, id: OwnedEventId, thread: Option<OwnedEventId>) -> Self {
        Self { by, id, thread, counts: false, highlights: false, redacted: false }
    }
}

impl Model {
    /// A room that the reader just joined.
    pub fn new() -> Self {
        Self { events: Vec::new(), receipts: HashMap::new(), joined: 0, is_in: true, ignored: Vec::new() }
    }

    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    pub fn redact(&mut self, id: &EventId) {
        self.events.iter_mut().filter(|event| event.id == id).for_each(|event| event.redacted = true);
    }

    pub fn come_or_go(&mut self) {
        self.is_in = !self.is_in;
        self.joined = self.events.len();
    }

    pub fn read(&mut self, id: &EventId, thread: Thread) {
        let read = self.events.iter().position(|event| event.id == id).unwrap() + 1;
        let receipt = self.receipts.entry(thread).or_default();
        *receipt = read.max(*receipt);
    }

    pub fn any(&self, random: &mut StdRng) -> Option<&Event> {
        // What happened lately, more often.
        let from = if random.random_bool(0.7) { self.events.len().saturating_sub(8) } else { 0 };
        self.events.get(random.random_range(from..self.events.len().max(from + 1)))
    }

    /// The root of a thread, which may be yet to begin.
    pub fn any_root(&self, random: &mut StdRng) -> Option<&OwnedEventId> {
        let mut roots = self.events.iter().filter(|event| event.thread.is_none());
        roots.nth(random.random_range(0..4)).map(|event| &event.id)
    }

    pub fn unread(&self) -> Unread {
        let mut unread = Unread::default();
        for (index, event) in self.events.iter().enumerate() {
            let silenced = event.by == READER || event.redacted || self.ignored.contains(&event.by);
            if !event.counts || silenced || index < self.read_upto(event.thread.as_ref()) {
                continue;
            }
            let count = match &event.thread {
                None => &mut unread.main,
                Some(root) => unread.threads.entry(root.to_string()).or_default(),
            };
            count.notifications += 1;
            count.highlights += i64::from(event.highlights);
        }
        unread
    }

    /// How many of the events are before what is unread in a thread.
    fn read_upto(&self, thread: Option<&OwnedEventId>) -> usize {
        let key = thread.map_or(Thread::Main, |root| Thread::Of(root.clone()));
        let receipt = |thread: &Thread| self.receipts.get(thread).copied().unwrap_or_default();
        let own = self.events.iter().rposition(|event| event.by == READER && event.thread.as_ref() == thread);
        self.joined.max(receipt(&Thread::Any)).max(receipt(&key)).max(own.map_or(0, |own| own + 1))
    }
}
