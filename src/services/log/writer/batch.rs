//! The proposals of one commit.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_store::StoreError;
use hearth_store::log::{Claim, Dropped, Entry, Logged, Outcome, Proposal, Reason, What};

use super::Submission;
use crate::log::chain::Chain;
use crate::log::outcome::{CommitError, Committed};

/// Submissions in order, at least one.
pub(super) struct Batch {
    items: Vec<Submission>,
    /// Items of a recovered batch that were dropped for reasons lost with the connection.
    undecided: HashSet<usize>,
}

/// A name that no batch holds twice: which of two gets it is decided from one batch to the next.
#[derive(PartialEq, Eq, Hash)]
enum Name {
    Claim(Claim),
    Change(String),
}

impl Batch {
    /// Draws what fits from the front of `waiting`. One that asks for a name already in the batch stays, and so does
    /// one built on another view of its room than what the batch has of that room: only when this is committed can
    /// the database tell that it was built without it. Those of their rooms stay too, whose order must not change.
    pub(super) fn draw(waiting: &mut VecDeque<Submission>, most: usize, most_bytes: usize) -> Self {
        let (mut items, mut names, mut held_rooms) = (Vec::new(), HashSet::new(), HashSet::new());
        let mut chains: HashMap<RoomNid, Option<*const Chain>> = HashMap::new();
        let (mut held, mut bytes) = (VecDeque::new(), 0);
        while items.len() < most && bytes < most_bytes {
            let Some(submission) = waiting.pop_front() else { break };
            let asked = names_of(&submission.proposal);
            let room = submission.proposal.append.map(|append| append.room);
            let chain = submission.chain.as_ref().map(Arc::as_ptr);
            let is_other = |room| chains.get(&room).is_some_and(|first| *first != chain);
            if room.is_some_and(|room| held_rooms.contains(&room) || is_other(room))
                || asked.iter().any(|name| names.contains(name))
            {
                held_rooms.extend(room);
                held.push_back(submission);
                continue;
            }
            chains.extend(room.map(|room| (room, chain)));
            names.extend(asked);
            bytes += size(&submission.proposal);
            items.push(submission);
        }
        held.append(waiting);
        *waiting = held;
        Self { items, undecided: HashSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn proposals(&self) -> Vec<&Proposal> {
        self.items.iter().map(|item| &item.proposal).collect()
    }

    /// How many entries each item has.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.items.iter().map(|item| item.proposal.entries.len()).collect()
    }

    /// Answers, and leaves out, whatever builds on a proposal that had no effect.
    pub(super) fn fail_broken_chains(&mut self) {
        let (broken, whole) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(|item| item.chain.as_ref().is_some_and(|chain| chain.failed()));
        self.items = whole;
        for item in broken {
            reply(item, Err(CommitError::RoomMoved));
        }
    }

    /// Gives every item of a chain the position its chain has come to.
    pub(super) fn take_bases(&mut self) {
        for item in &mut self.items {
            if let (Some(chain), Some(append)) = (&item.chain, &mut item.proposal.append) {
                append.base = append.base.max(chain.base());
            }
        }
    }

    /// Keeps the first half, and returns the second.
    pub(super) fn split_half(&mut self) -> Vec<Submission> {
        self.items.split_off(self.items.len() / 2)
    }

    /// Tells everybody that nothing was committed.
    pub(super) fn fail(self, error: StoreError) {
        let mut error = Some(error);
        for item in self.items {
            if let Some(chain) = &item.chain {
                chain.fail();
            }
            let told = error.take().map_or_else(unavailable, CommitError::Store);
            reply(item, Err(told));
        }
    }

    /// What a batch of which only the traces were found came to.
    pub(super) fn outcome_of(&mut self, head: Position, present: &[usize]) -> Outcome {
        self.undecided = (0..self.items.len()).filter(|item| present.binary_search(item).is_err()).collect();
        let mut dropped: Vec<_> = self
            .undecided
            .iter()
            .map(|&item| Dropped { item, reason: Reason::Predecessor, reply: None })
            .collect();
        dropped.sort_unstable_by_key(|dropped| dropped.item);
        Outcome { head, dropped }
    }

    /// The log rows of the items that took effect, as every other process will read them.
    pub(super) fn entries(&self, outcome: &Outcome) -> Vec<Logged> {
        let mut entries = Vec::new();
        let mut pos = outcome.head;
        for (place, item) in self.items.iter().enumerate() {
            let dropped = find(outcome, place).is_some();
            for entry in &item.proposal.entries {
                pos = pos.next();
                if !dropped {
                    entries.push(logged(pos, entry));
                }
            }
        }
        entries
    }

    /// Answers everybody; returns those of whom it is not known why they were dropped, to be sent again.
    pub(super) fn answer(self, outcome: &Outcome) -> Vec<Submission> {
        let mut again = Vec::new();
        let mut pos = outcome.head;
        for (place, item) in self.items.into_iter().enumerate() {
            let first = pos.next();
            // Bounded as above.
            pos = pos.plus(i64::try_from(item.proposal.entries.len()).unwrap_or(i64::MAX));
            match find(outcome, place) {
                None => {
                    if let Some(chain) = &item.chain {
                        chain.advance(pos);
                    }
                    reply(item, Ok(Committed { pos: first }));
                }
                Some(_) if self.undecided.contains(&place) => again.push(item),
                Some(dropped) => {
                    if let Some(chain) = &item.chain {
                        chain.fail();
                    }
                    reply(item, Err(why(dropped)));
                }
            }
        }
        again
    }
}

fn find(outcome: &Outcome, place: usize) -> Option<Dropped> {
    let found = outcome.dropped.binary_search_by_key(&place, |dropped| dropped.item).ok()?;
    outcome.dropped.get(found).copied()
}

const fn why(dropped: Dropped) -> CommitError {
    match dropped.reason {
        Reason::RoomMoved | Reason::Predecessor => CommitError::RoomMoved,
        Reason::Repeated => CommitError::Repeated(dropped.reply),
        Reason::Taken => CommitError::Taken,
        Reason::Absent => CommitError::Absent,
    }
}

/// The error itself went to the first who asked; the others learn that much.
fn unavailable() -> CommitError {
    CommitError::Unavailable
}

fn reply(item: Submission, result: Result<Committed, CommitError>) {
    // Who asked may have gone; what is committed stays committed.
    let _ = item.answer.send(result);
}

fn logged(pos: Position, entry: &Entry) -> Logged {
    match entry {
        Entry::Event(event) => Logged {
            pos,
            room: Some(event.room),
            subject: Some(event.sender),
            what: What::Event(event.clone()),
        },
        Entry::Membership { room, change } => Logged {
            pos,
            room: Some(*room),
            subject: Some(change.user),
            what: What::Membership(change.clone()),
        },
        Entry::Change(change) => Logged {
            pos,
            room: change.room(),
            subject: change.subject(),
            what: What::Change(change.announced()),
        },
    }
}

fn names_of(proposal: &Proposal) -> Vec<Name> {
    let claim = proposal.claim.iter().map(|claim| Name::Claim(Claim { reply: None, ts: 0, ..claim.clone() }));
    let changes = proposal.entries.iter().filter_map(|entry| match entry {
        Entry::Change(change) => change.claims().map(Name::Change),
        Entry::Event(_) | Entry::Membership { .. } => None,
    });
    claim.chain(changes).collect()
}

fn size(proposal: &Proposal) -> usize {
    let entries: usize = proposal
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Event(event) => event.pdu.json().len(),
            // Bounded by the largest body a client may send, and rare.
            Entry::Membership { .. } | Entry::Change(_) => 1024,
        })
        .sum();
    let nodes: usize = proposal.nodes.iter().map(|node| node.data.len()).sum();
    entries + nodes
}
