//! What filters look at in rooms' states.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid};
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;

use crate::log::{Apply, Cache, Logged, What};
use crate::sync::engine::Engine;
use crate::sync::state::text_of;

/// Rooms whose traits are in memory.
const ROOMS: usize = 200_000;

/// What is seen in a room's state.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) room_type: Option<String>,
    pub(super) encrypted: bool,
}

/// The traits of rooms, read when they are asked for. Must be registered with the log.
pub(super) struct Traits(Cache<RoomNid, Seen>);

impl Traits {
    pub(super) fn new() -> Self {
        Self(Cache::new(ROOMS))
    }
}

impl Apply for Traits {
    fn apply(&self, entry: &Logged) {
        let Some(room) = entry.room else { return };
        match &entry.what {
            What::Event(event) if event.state.is_none() && event.redacts.is_none() => {}
            What::Event(_) | What::Unknown => self.0.invalidate(&room),
            What::Membership(_) | What::Change(_) => {}
        }
    }

    fn reset(&self) {
        self.0.clear();
    }
}

impl Engine {
    /// The traits of rooms as of a position; rooms without a state are left out.
    pub(super) async fn traits(
        &self,
        rooms: &[RoomNid],
        upto: Position,
    ) -> Result<HashMap<RoomNid, Arc<Seen>>, StoreError> {
        let cache = &self.sliding.traits.0;
        let mut found: HashMap<RoomNid, Arc<Seen>> =
            rooms.iter().filter_map(|room| Some((*room, cache.peek(room)?))).collect();
        let missing: Vec<RoomNid> = rooms.iter().copied().filter(|room| !found.contains_key(room)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let reading = cache.read_many(&missing);
        let places: Vec<(RoomNid, Position)> = missing.iter().map(|room| (*room, upto)).collect();
        let states = self.states_at(&places).await?;
        let create = self.reader.interned.state_key("m.room.create", "").await?;
        let encryption = self.reader.interned.state_key("m.room.encryption", "").await?;
        let current: Vec<(RoomNid, _)> =
            places.iter().filter_map(|place| Some((place.0, states.get(place)?.root))).collect();
        let pairs: Vec<_> =
            current.iter().flat_map(|(_, root)| [(*root, create), (*root, encryption)]).collect();
        let at = self.reader.states.get_pairs(&pairs).await?;
        let events = self.events_of(at.iter().copied().flatten()).await?;
        for ((room, _), at) in current.iter().zip(at.chunks(2)) {
            let text = |at: Option<&Option<EventNid>>, field| {
                text_of(events.get(at.copied().flatten().as_ref()?)?, field)
            };
            let seen = Seen {
                room_type: text(at.first(), "type"),
                encrypted: text(at.get(1), "algorithm").is_some(),
            };
            found.insert(*room, reading.keep(room, Arc::new(seen)));
        }
        Ok(found)
    }

    /// Some events, by their integers.
    pub(super) async fn events_of(
        &self,
        nids: impl Iterator<Item = EventNid>,
    ) -> Result<HashMap<EventNid, Arc<StoredEvent>>, StoreError> {
        let nids: Vec<EventNid> = nids.collect();
        let events = self.reader.events.get_many(&nids).await?;
        Ok(nids.into_iter().zip(events).collect())
    }

    /// The rooms that are directly in some spaces, as of a position.
    pub(super) async fn children_of(
        &self,
        spaces: &[RoomNid],
        upto: Position,
    ) -> Result<HashSet<RoomNid>, StoreError> {
        let places: Vec<(RoomNid, Position)> = spaces.iter().map(|space| (*space, upto)).collect();
        let roots: Vec<_> = self.states_at(&places).await?.into_values().map(|state| state.root).collect();
        let entries = self.reader.states.entries_of(&roots).await?.concat();
        let keys: Vec<_> = entries.iter().map(|entry| entry.key).collect();
        let names = self.reader.interned.state_key_names(&keys).await?;
        let children = entries.iter().zip(&names).filter(|(_, name)| name.event_type == "m.space.child");
        let events = self.events_of(children.clone().map(|(entry, _)| entry.event)).await?;
        let ids = children
            .filter(|(entry, _)| events.get(&entry.event).is_some_and(|event| is_child(event)))
            .map(|(_, name)| name.state_key.as_str());
        Ok(self.reader.interned.known_rooms(ids).await?.into_values().collect())
    }
}

/// > If `via` is not present … the room is not a child of the space.
fn is_child(event: &StoredEvent) -> bool {
    let content: serde_json::Value = serde_json::from_str(event.pdu.content().get()).unwrap_or_default();
    event.redacted_by.is_none() && content.get("via").is_some_and(serde_json::Value::is_array)
}
