//! A room as the next event will find it, events on their way to the log included.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::auth::context::RoomRules;
use hearth_core::id::{EventNid, Position, Root, StateKeyNid};
use hearth_core::pdu::{Depth, Reference};
use hearth_core::room_version::RoomVersion;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::log::{NewEvent, NewNode, StateChange};
use hearth_store::room::RoomHead;
use ruma::events::{StateEventType, TimelineEventType};

use super::{RoomError, RoomReader};
use crate::log::Chain;

/// State events remembered without asking the tree; a busy room's senders fit, a huge room's members do not.
const REMEMBERED: usize = 2_000;

/// The most forward extremities that one event ties together.
const TIED: usize = 10;

/// A forward extremity.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) nid: EventNid,
    pub(super) reference: Reference,
    pub(super) depth: Depth,
}

pub(super) struct View {
    /// The proposals that this view led to so far.
    pub(super) chain: Arc<Chain>,
    pub(super) state: StateChange,
    pub(super) heads: Vec<Head>,
    /// How many events were built on it.
    pub(super) built: u64,
    /// State events that may not be committed yet, so that only this view can have them.
    pending: HashMap<EventNid, Arc<StoredEvent>>,
    /// What state keys stand at, as far as anybody asked.
    known: HashMap<StateKeyNid, Option<Arc<StoredEvent>>>,
    /// State keys that have no integer, as far as anybody asked: nothing stands there.
    absent: HashSet<(StateEventType, String)>,
    /// What the room's create, power levels and join rules events say.
    rules: Option<Arc<RoomRules>>,
    /// The whole state of a room that is only tried.
    tried: Option<HashMap<(StateEventType, String), Arc<StoredEvent>>>,
}

impl View {
    /// A room of which nothing exists.
    pub(super) fn empty() -> Self {
        let state = StateChange { root: Root::EMPTY, joined: 0, invited: 0 };
        Self::new(Position::ZERO, state, Vec::new())
    }

    /// A room of which nothing exists, to see whether its events are allowed: nothing gets a row by that.
    pub(super) fn trial() -> Self {
        Self { tried: Some(HashMap::new()), ..Self::empty() }
    }

    /// Whether the room is only tried.
    pub(super) const fn is_trial(&self) -> bool {
        self.tried.is_some()
    }

    /// A room as it is committed.
    pub(super) async fn committed(
        reader: &RoomReader,
        version: &RoomVersion,
        head: RoomHead,
    ) -> Result<Self, StoreError> {
        let mut heads = Vec::with_capacity(head.heads.len());
        for event in reader.events.get_many(&head.heads).await? {
            heads.push(self::head(&event, version)?);
        }
        Ok(Self::new(head.pos, head.state, heads))
    }

    fn new(base: Position, state: StateChange, heads: Vec<Head>) -> Self {
        Self {
            chain: Arc::new(Chain::new(base)),
            state,
            heads,
            built: 0,
            pending: HashMap::new(),
            known: HashMap::new(),
            absent: HashSet::new(),
            rules: None,
            tried: None,
        }
    }

    /// The state event at a key, committed or on its way.
    pub(super) async fn state_event(
        &mut self,
        reader: &RoomReader,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let name = (event_type.clone(), state_key.to_owned());
        if let Some(tried) = &self.tried {
            return Ok(tried.get(&name).cloned());
        }
        if self.absent.contains(&name) {
            return Ok(None);
        }
        let found = reader.interned.known_state_key(&event_type.to_string(), state_key).await?;
        let Some(key) = found else {
            if self.absent.len() >= REMEMBERED {
                self.absent.clear();
            }
            self.absent.insert(name);
            return Ok(None);
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let event = match reader.states.get(self.state.root, key).await? {
            None => None,
            Some(nid) => Some(match self.pending.get(&nid) {
                Some(event) => Arc::clone(event),
                None => reader.events.get(nid).await?,
            }),
        };
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(key, event.clone());
        Ok(event)
    }

    /// The room's rules, read once for as long as they stay.
    pub(super) async fn rules(
        &mut self,
        reader: &RoomReader,
        version: &'static RoomVersion,
    ) -> Result<Arc<RoomRules>, RoomError> {
        if let Some(rules) = &self.rules {
            return Ok(Arc::clone(rules));
        }
        let create = self.state_event(reader, &StateEventType::RoomCreate, "").await?;
        let create = create.ok_or_else(|| StoreError::corrupt("room_state", "a room without a beginning"))?;
        let power = self.state_event(reader, &StateEventType::RoomPowerLevels, "").await?;
        let join_rules = self.state_event(reader, &StateEventType::RoomJoinRules, "").await?;
        let pdu = |event: Option<Arc<StoredEvent>>| event.map(|event| Arc::clone(&event.pdu));
        let (power, join_rules) = (pdu(power), pdu(join_rules));
        let rules = RoomRules::new(version, &create.pdu, power.as_deref(), join_rules.as_deref())?;
        Ok(Arc::clone(self.rules.insert(Arc::new(rules))))
    }

    /// The extremities that the next event ties, the deepest first.
    pub(super) fn tie(&self) -> Vec<&Head> {
        let mut heads: Vec<&Head> = self.heads.iter().collect();
        heads.sort_unstable_by_key(|head| std::cmp::Reverse((head.depth, head.nid)));
        heads.truncate(TIED);
        heads
    }

    /// Moves on to the room after `event`, which was built on this view.
    pub(super) fn push(&mut self, event: &NewEvent, version: &RoomVersion) -> Result<(), StoreError> {
        let stored = Arc::new(StoredEvent::appended(event, self.chain.base()));
        let tied: HashSet<EventNid> = self.tie().into_iter().map(|head| head.nid).collect();
        self.heads.retain(|head| !tied.contains(&head.nid));
        self.heads.push(head(&stored, version)?);
        self.built += 1;
        if let Some(state) = event.state {
            self.state = state;
        }
        if bears_on_rules(event) {
            self.rules = None;
        }
        if let Some(key) = event.pdu.state_key() {
            let name = (StateEventType::from(event.pdu.event_type().to_string()), key.to_owned());
            self.absent.remove(&name);
            if let Some(tried) = &mut self.tried {
                tried.insert(name, Arc::clone(&stored));
            }
        }
        if let Some(key) = event.state_key {
            self.pending.insert(event.nid, Arc::clone(&stored));
            self.known.insert(key, Some(stored));
        }
        Ok(())
    }

    /// Adds an event that was built on an earlier view as one more extremity.
    pub(super) fn fork(&mut self, event: &NewEvent, version: &RoomVersion) -> Result<(), StoreError> {
        let stored = StoredEvent::appended(event, self.chain.base());
        self.heads.push(head(&stored, version)?);
        self.built += 1;
        Ok(())
    }

    /// The extremities after the next event, where it will not be the only one.
    pub(super) fn heads_beside(&self, nid: EventNid) -> Option<Vec<EventNid>> {
        let tied: HashSet<EventNid> = self.tie().into_iter().map(|head| head.nid).collect();
        let mut heads: Vec<EventNid> =
            self.heads.iter().map(|head| head.nid).filter(|head| !tied.contains(head)).collect();
        if heads.is_empty() {
            return None;
        }
        heads.push(nid);
        Some(heads)
    }

    /// Lets go of events that are committed: all but those on their way.
    pub(super) fn settle(&mut self, on_their_way: &HashSet<EventNid>) {
        self.pending.retain(|nid, _| on_their_way.contains(nid));
    }
}

fn bears_on_rules(event: &NewEvent) -> bool {
    matches!(
        event.pdu.event_type(),
        TimelineEventType::RoomCreate | TimelineEventType::RoomPowerLevels | TimelineEventType::RoomJoinRules
    )
}

fn head(event: &StoredEvent, version: &RoomVersion) -> Result<Head, StoreError> {
    let reference =
        Reference::to(&event.pdu, version).map_err(|_| StoreError::corrupt("event", event.nid))?;
    Ok(Head { nid: event.nid, reference, depth: event.pdu.depth() })
}

/// A built event, and the tree nodes made for it.
pub(super) struct Built {
    pub(super) event: NewEvent,
    pub(super) nodes: Vec<NewNode>,
}
