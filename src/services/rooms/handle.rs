//! Adding events to one room, in this process one after the other.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hearth_core::id::EventNid;
use hearth_store::interned::StateKeyName;
use hearth_store::log::{Append, Claim, Entry, NewEvent, Proposal, SentBy};
use hearth_store::room::Room;
use tokio::sync::Mutex as AsyncMutex;

use super::build::Place;
use super::turns::{Turn, Turns};
use super::view::{Built, View};
use super::{Added, Addition, RoomError, Rooms};
use crate::clock;
use crate::log::{Chain, CommitError, Logged, Pending, What};

/// How often an addition is built anew because others were quicker.
const ATTEMPTS: usize = 24;

pub(super) struct Handle {
    pub(super) room: Room,
    /// Held while an event is built and handed to the log, never while its commit is waited for.
    view: AsyncMutex<Option<View>>,
    /// Events handed to the log and not yet heard of.
    on_their_way: Mutex<HashSet<EventNid>>,
    /// Another process added something.
    moved: AtomicBool,
    turns: Turns,
}

/// An addition on its way to the log.
pub(super) struct Submitted {
    pending: Pending,
    added: Vec<Added>,
    nids: Vec<EventNid>,
    /// A single event that is no state event: it can stand beside what others added meanwhile.
    loose: Option<Arc<NewEvent>>,
}

impl Submitted {
    /// Waits for a commit that nothing can overtake.
    pub(super) async fn commit(self) -> Result<Vec<Added>, RoomError> {
        self.pending.wait().await?;
        Ok(self.added)
    }
}

/// What became of an attempt.
enum Attempt {
    Submitted(Submitted),
    /// There is nothing to send: the state says it already, once everything on its way is committed.
    Same(Arc<Chain>, Added),
    /// It is built again when this has its integer.
    NewStateKey(StateKeyName),
    /// The rules deny it, by a view that rests on events not yet committed.
    DeniedFor(Arc<Chain>, RoomError),
}

impl Handle {
    /// A room that is committed, or about to be.
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            view: AsyncMutex::new(None),
            on_their_way: Mutex::default(),
            moved: AtomicBool::new(false),
            turns: Turns::default(),
        }
    }

    /// Adds events, all or none; returns when they are committed.
    pub(super) async fn add(&self, rooms: &Rooms, addition: &Addition) -> Result<Vec<Added>, RoomError> {
        let (mut loose, mut turn) = (None, None);
        for _ in 0..ATTEMPTS {
            if turn.is_none() {
                turn = self.take_turn(rooms).await;
            }
            let submitted = match self.attempt(rooms, addition, loose.take()).await? {
                Attempt::Submitted(submitted) => submitted,
                Attempt::Same(chain, added) => {
                    if self.settled(rooms, chain).await? {
                        return Ok(vec![added]);
                    }
                    continue;
                }
                Attempt::NewStateKey(name) => {
                    rooms.number(&name).await?;
                    continue;
                }
                Attempt::DeniedFor(chain, denial) => {
                    if self.settled(rooms, chain).await? {
                        return Err(denial);
                    }
                    continue;
                }
            };
            let outcome = submitted.pending.wait().await;
            if outcome.is_err() {
                let mut on_their_way = self.lock_on_their_way();
                on_their_way.retain(|nid| !submitted.nids.contains(nid));
            }
            match outcome {
                Ok(_) => return Ok(submitted.added),
                Err(CommitError::RoomMoved) => loose = submitted.loose,
                Err(CommitError::Repeated(Some(nid))) => {
                    let event = rooms.reader.events.get(nid).await?;
                    return Ok(vec![Added { event_id: event.pdu.event_id().clone() }]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RoomError::Contended)
    }

    /// Waits for the turn at this room where others write to it too. Kept until the addition is committed.
    async fn take_turn(&self, rooms: &Rooms) -> Option<Arc<Turn>> {
        let (turn, begins) = self.turns.take(&rooms.reader.store, &rooms.turn_slots, self.room.nid).await?;
        if begins {
            // What others committed in their turns may not have been heard of yet.
            self.moved.store(true, Ordering::Release);
        }
        Some(turn)
    }

    async fn attempt(
        &self,
        rooms: &Rooms,
        addition: &Addition,
        loose: Option<Arc<NewEvent>>,
    ) -> Result<Attempt, RoomError> {
        let mut slot = self.view.lock().await;
        self.freshen(rooms, &mut slot).await?;
        let Some(view) = slot.as_mut() else { return Err(RoomError::UnknownRoom) };
        let (chain, built) = (Arc::clone(&view.chain), view.built);
        if addition.unless_same
            && let Some(added) = self.same(rooms, view, addition).await?
        {
            return Ok(Attempt::Same(chain, added));
        }
        let outcome = match loose.filter(|event| event.root_before == view.state.root) {
            Some(event) => self.submit_beside(rooms, view, addition, &event),
            None => self.build_and_submit(rooms, view, addition).await,
        };
        match outcome {
            Ok(submitted) => Ok(Attempt::Submitted(submitted)),
            Err(error) => {
                if view.built != built {
                    // It moved on to events that were never handed over.
                    *slot = None;
                }
                match error {
                    RoomError::Denied(_) => Ok(Attempt::DeniedFor(chain, error)),
                    RoomError::NewStateKey(name) => Ok(Attempt::NewStateKey(name)),
                    error => Err(error),
                }
            }
        }
    }

    /// Reads the room anew where it is not known, or others changed it.
    async fn freshen(&self, rooms: &Rooms, slot: &mut Option<View>) -> Result<(), RoomError> {
        let moved = self.moved.swap(false, Ordering::AcqRel);
        if let Some(view) = slot.as_mut().filter(|view| !moved && !view.chain.failed()) {
            view.settle(&self.lock_on_their_way());
            return Ok(());
        }
        *slot = None;
        let Some(head) = rooms.reader.store.room_head(self.room.nid).await? else {
            return Err(RoomError::UnknownRoom);
        };
        *slot = Some(View::committed(&rooms.reader, self.room.version, head).await?);
        Ok(())
    }

    /// The event that says already what the addition's only event would say.
    async fn same(
        &self,
        rooms: &Rooms,
        view: &mut View,
        addition: &Addition,
    ) -> Result<Option<Added>, RoomError> {
        let [draft] = addition.drafts.as_slice() else { return Ok(None) };
        let Some(state_key) = &draft.state_key else { return Ok(None) };
        let event_type = draft.event_type.to_string().into();
        let current = view.state_event(&rooms.reader, &event_type, state_key).await?;
        Ok(current
            .filter(|event| {
                event.sender == addition.author.nid && event.pdu.content().get() == draft.content.as_str()
            })
            .map(|event| Added { event_id: event.pdu.event_id().clone() }))
    }

    async fn build_and_submit(
        &self,
        rooms: &Rooms,
        view: &mut View,
        addition: &Addition,
    ) -> Result<Submitted, RoomError> {
        let place = Place { room: self.room.nid, id: Some(&self.room.id), version: self.room.version };
        let mut built = Vec::with_capacity(addition.drafts.len());
        for draft in &addition.drafts {
            let next = rooms.build(&place, view, &addition.author, draft).await?;
            view.push(&next.event, self.room.version)?;
            built.push(next);
        }
        self.submit_built(rooms, addition, &view.chain, built)
    }

    /// Hands over events that were built one on the other.
    pub(super) fn submit_built(
        &self,
        rooms: &Rooms,
        addition: &Addition,
        chain: &Arc<Chain>,
        built: Vec<Built>,
    ) -> Result<Submitted, RoomError> {
        let mut nodes = Vec::new();
        let mut events = Vec::with_capacity(built.len());
        for mut next in built {
            next.event.sent_by = addition.transaction.as_ref().map(|transaction| SentBy {
                device_id: transaction.device_id.clone(),
                txn_id: transaction.txn_id.clone(),
            });
            nodes.append(&mut next.nodes);
            events.push(Arc::new(next.event));
        }
        let proposal = Proposal { nodes, ..self.proposal(addition, &events, chain) };
        self.submit(rooms, proposal, Arc::clone(chain), events)
    }

    /// Hands over an event again that another process's addition overtook: nothing it was checked against
    /// changed, so it stands beside it, and the next event ties the two.
    fn submit_beside(
        &self,
        rooms: &Rooms,
        view: &mut View,
        addition: &Addition,
        event: &Arc<NewEvent>,
    ) -> Result<Submitted, RoomError> {
        let mut event = NewEvent::clone(event);
        view.fork(&event, self.room.version)?;
        event.heads = Some(view.heads.iter().map(|head| head.nid).collect());
        let events = vec![Arc::new(event)];
        let chain = Arc::clone(&view.chain);
        self.submit(rooms, self.proposal(addition, &events, &chain), chain, events)
    }

    fn proposal(&self, addition: &Addition, events: &[Arc<NewEvent>], chain: &Chain) -> Proposal {
        let claim = addition.transaction.as_ref().map(|transaction| Claim {
            user: addition.author.nid,
            device_id: transaction.device_id.clone(),
            scope: transaction.scope.clone(),
            txn_id: transaction.txn_id.clone(),
            reply: events.first().map(|event| event.nid),
            ts: clock::now_ms(),
        });
        let entries = events.iter().map(|event| Entry::Event(Arc::clone(event)));
        Proposal {
            claim,
            append: Some(Append { room: self.room.nid, base: chain.base() }),
            entries: entries.chain(addition.with.iter().cloned()).collect(),
            nodes: Vec::new(),
        }
    }

    fn submit(
        &self,
        rooms: &Rooms,
        proposal: Proposal,
        chain: Arc<Chain>,
        events: Vec<Arc<NewEvent>>,
    ) -> Result<Submitted, RoomError> {
        let added = events.iter().map(|event| Added { event_id: event.pdu.event_id().clone() }).collect();
        let nids: Vec<EventNid> = events.iter().map(|event| event.nid).collect();
        self.lock_on_their_way().extend(&nids);
        let pending = rooms.log.submit(proposal, Some(chain))?;
        let mut events = events;
        let single = if events.len() == 1 { events.pop() } else { None };
        Ok(Submitted { pending, added, nids, loose: single.filter(|event| event.state_key.is_none()) })
    }

    /// Waits until everything handed over on `chain` is decided. False where some of it had no effect.
    async fn settled(&self, rooms: &Rooms, chain: Arc<Chain>) -> Result<bool, RoomError> {
        if self.lock_on_their_way().is_empty() {
            return Ok(!chain.failed());
        }
        let nothing = Proposal {
            append: Some(Append { room: self.room.nid, base: chain.base() }),
            ..Proposal::default()
        };
        match rooms.log.submit(nothing, Some(chain))?.wait().await {
            Ok(_) => Ok(true),
            Err(CommitError::RoomMoved) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Hears an entry of this room's log.
    pub(super) fn hear(&self, entry: &Logged) {
        let own = match &entry.what {
            What::Event(event) => self.lock_on_their_way().remove(&event.nid),
            What::Membership(_) | What::Change(_) => true,
            What::Unknown => false,
        };
        if !own {
            self.moved.store(true, Ordering::Release);
            self.turns.others_wrote();
        }
    }

    fn lock_on_their_way(&self) -> std::sync::MutexGuard<'_, HashSet<EventNid>> {
        // A set of numbers is whole even where a holder panicked.
        self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
