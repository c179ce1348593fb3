//! Rooms: their events, state and order, and everything that can be done to them.

mod aliases;
mod around;
mod begin;
mod build;
pub mod client_view;
mod create;
mod departures;
mod directory;
mod draft;
mod error;
pub mod events;
mod handle;
mod membership;
mod pages;
mod profile;
mod rules;
mod send;
pub mod sight;
mod state_read;
pub mod states;
mod summary;
mod turns;
mod view;
pub mod viewer;
pub mod visible;
mod weight;

use std::sync::Arc;

use hearth_core::id::RoomNid;
use hearth_core::pdu::SigningKey;
use hearth_store::interned::StateKeyName;
use hearth_store::room::Room;
use hearth_store::{Store, StoreError};
use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, RoomId};

pub use self::around::{Around, EventContext};
pub use self::create::{InitialState, NewRoom};
pub use self::departures::Departures;
pub use self::directory::{Directory, ListRequest, ListedRoom, RoomList, RoomSummary};
pub use self::draft::{Added, Addition, Author, Draft, Transaction};
pub use self::error::RoomError;
pub use self::membership::Removal;
pub(crate) use self::pages::wants;
pub use self::pages::{MAX_PAGE, Messages, PageRequest};
pub use self::send::{NewMessage, NewState};
pub use self::state_read::{JoinedMember, MembersRequest};
pub use hearth_store::event::Direction;

use self::events::Events;
use self::handle::Handle;
use self::states::States;
use self::turns::TurnSlots;
use crate::account_data::IgnoredUsers;
use crate::accounts::ErasedUsers;
use crate::interned::Interned;
use crate::log::{Apply, Log, Logged};
use crate::profiles::Profiles;

/// Rooms whose handle is kept; a handle is some kilobytes.
const HANDLES: usize = 10_000;

/// Rooms whose id and version are kept.
const ROOMS: usize = 100_000;

/// What reading rooms needs. Cheap to clone.
#[derive(Clone)]
pub struct RoomReader {
    /// The database.
    pub store: Store,
    /// Integers and what they stand for.
    pub interned: Interned,
    /// Events in memory.
    pub events: Events,
    /// Room states.
    pub states: States,
    /// Whom readers do not want to hear of.
    pub ignored: IgnoredUsers,
    /// Whose words are shown only to those who were there.
    pub erased: ErasedUsers,
    rooms: Arc<Cache<OwnedRoomId, Arc<Room>>>,
}

/// The rooms service. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    reader: RoomReader,
    log: Log,
    key: Arc<SigningKey>,
    profiles: Profiles,
    handles: Arc<Handles>,
    turn_slots: TurnSlots,
}

struct Handles(Cache<RoomNid, Arc<Handle>>);

impl RoomReader {
    /// Over a store, with nothing in memory. Hears of changes by the log.
    #[must_use]
    pub fn new(store: Store, interned: Interned, log: &Log) -> Self {
        let events = Events::new(store.clone());
        log.register(Arc::new(events.clone()));
        let states = States::new(store.clone(), interned.clone());
        let ignored = IgnoredUsers::new(store.clone(), log);
        let erased = ErasedUsers::new(store.clone(), log);
        Self { store, interned, events, states, ignored, erased, rooms: Arc::new(Cache::new(ROOMS)) }
    }

    /// The room of this id. What is kept of it never changes.
    pub async fn room(&self, id: &RoomId) -> Result<Option<Arc<Room>>, StoreError> {
        if let Some(room) = self.rooms.get(id) {
            return Ok(Some(room));
        }
        let Some(room) = self.store.room_by_id(id).await?.map(Arc::new) else { return Ok(None) };
        self.rooms.insert(id.to_owned(), Arc::clone(&room));
        Ok(Some(room))
    }
}

impl Rooms {
    /// Gives a state key its integer.
    async fn number(&self, name: &StateKeyName) -> Result<(), StoreError> {
        self.reader.interned.state_keys(&[name]).await.map(drop)
    }

    /// Rooms over a log, signing with this server's key.
    #[must_use]
    pub fn new(reader: RoomReader, log: Log, key: Arc<SigningKey>, profiles: Profiles) -> Self {
        let handles = Arc::new(Handles(Cache::new(HANDLES)));
        log.register(Arc::clone(&handles) as Arc<dyn Apply>);
        let turn_slots = TurnSlots::for_connections(reader.store.connections());
        Self { reader, log, key, profiles, handles, turn_slots }
    }

    /// What reading rooms needs.
    #[must_use]
    pub const fn reader(&self) -> &RoomReader {
        &self.reader
    }

    /// Adds events to a room, all or none; returns when they are committed.
    pub async fn add(&self, room: &RoomId, addition: &Addition) -> Result<Vec<Added>, RoomError> {
        let room = self.reader.room(room).await?.ok_or(RoomError::UnknownRoom)?;
        self.handle(&room).add(self, addition).await
    }

    fn keep_handle(&self, handle: &Arc<Handle>) {
        self.handles.0.insert(handle.room.nid, Arc::clone(handle));
    }

    fn handle(&self, room: &Room) -> Arc<Handle> {
        let made = self.handles.0.get_or_insert_with(&room.nid, || {
            Ok::<_, std::convert::Infallible>(Arc::new(Handle::new(room.clone())))
        });
        match made {
            Ok(handle) => handle,
            Err(never) => match never {},
        }
    }
}

impl Apply for Handles {
    fn apply(&self, entry: &Logged) {
        if let Some(handle) = entry.room.and_then(|room| self.0.get(&room)) {
            handle.hear(entry);
        }
    }

    fn reset(&self) {
        self.0.clear();
    }
}
