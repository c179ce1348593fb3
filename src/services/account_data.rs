//! Account data, tags among it: what a user's clients keep for each other.

mod ignored;

use std::sync::Arc;

use hearth_core::grammar::{self, GrammarError};
use hearth_core::id::{RoomNid, UserNid};
use hearth_store::account_data::GLOBAL;
use hearth_store::log::{Change, Proposal};
use hearth_store::{Store, StoreError};
use ruma::events::fully_read::FullyReadEventContent;
use ruma::events::tag::TagEventContent;
use ruma::{OwnedEventId, RoomId};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use self::ignored::IgnoredUsers;

use crate::interned::Interned;
use crate::log::{Apply, Cache, CommitError, Log, Logged, What};

/// Pieces kept in memory; ignored users and tags are asked for often, the rest seldom.
const PIECES: usize = 65_536;

/// Where the tags of a room are kept.
const TAGS: &str = "m.tag";

/// Where the marker of what was read in full is kept.
const FULLY_READ: &str = "m.fully_read";

/// What the server itself computes or keeps elsewhere.
const MANAGED: [&str; 2] = [FULLY_READ, "m.push_rules"];

/// Why account data was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccountDataError {
    /// The type is not one that clients may set.
    #[error("the server manages this type itself")]
    Managed,
    /// There is none of that type.
    #[error("there is none")]
    Absent,
    /// The room is not known.
    #[error("the room is not known")]
    UnknownRoom,
    /// The type or the tag is not what names are.
    #[error(transparent)]
    Name(#[from] GrammarError),
    /// The content is not what its type requires.
    #[error("the content is not what its type requires")]
    BadContent,
    /// Nobody can ignore themselves.
    #[error("you cannot ignore yourself")]
    IgnoresSelf,
    /// The order of a tag is not a number from 0 to 1.
    #[error("the order of a tag is a number from 0 to 1")]
    BadOrder,
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What account data is about.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// The whole account.
    Global,
    /// One room.
    Room(&'a RoomId),
}

type Key = (UserNid, RoomNid, String);

/// The account data of local users. Cheap to clone.
#[derive(Clone)]
pub struct AccountData(Arc<Inner>);

struct Inner {
    store: Store,
    log: Log,
    interned: Interned,
    pieces: Cache<Key, String>,
}

impl AccountData {
    /// The account data in `store`, kept true by `log`.
    #[must_use]
    pub fn new(store: Store, log: Log, interned: Interned) -> Self {
        let inner = Arc::new(Inner { store, log, interned, pieces: Cache::new(PIECES) });
        inner.log.register(Arc::clone(&inner) as Arc<dyn Apply>);
        Self(inner)
    }

    /// One piece.
    pub async fn get(
        &self,
        user: UserNid,
        scope: Scope<'_>,
        data_type: &str,
    ) -> Result<Arc<String>, AccountDataError> {
        let room = self.room(scope).await?;
        self.piece(user, room, data_type).await?.ok_or(AccountDataError::Absent)
    }

    /// One piece of a room known by its integer, or of the whole account, if there is one.
    pub async fn piece(
        &self,
        user: UserNid,
        room: RoomNid,
        data_type: &str,
    ) -> Result<Option<Arc<String>>, StoreError> {
        let key = (user, room, data_type.to_owned());
        self.0.pieces.get(&key, || self.0.store.account_data(user, room, data_type)).await
    }

    /// Deletes one piece, if there is one; clients hear of it as of an empty object (MSC3391).
    pub async fn delete(
        &self,
        user: UserNid,
        scope: Scope<'_>,
        data_type: String,
    ) -> Result<(), AccountDataError> {
        if MANAGED.contains(&data_type.as_str()) {
            return Err(AccountDataError::Managed);
        }
        grammar::event_type(&data_type)?;
        let room = self.room(scope).await?;
        if self.piece(user, room, &data_type).await?.is_none() {
            return Ok(());
        }
        let change = Change::SetAccountData { user, room, r#type: data_type, content: None };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// Sets one piece. `content` is a JSON object; an empty one deletes.
    pub async fn set(
        &self,
        user: UserNid,
        scope: Scope<'_>,
        data_type: String,
        content: &RawValue,
    ) -> Result<(), AccountDataError> {
        if MANAGED.contains(&data_type.as_str()) {
            return Err(AccountDataError::Managed);
        }
        if is_empty(content) {
            return self.delete(user, scope, data_type).await;
        }
        grammar::event_type(&data_type)?;
        if data_type == TAGS && serde_json::from_str::<TagEventContent>(content.get()).is_err() {
            return Err(AccountDataError::BadContent);
        }
        if data_type == ignored::TYPE && ignored::names(content.get(), &self.0.interned.user_id(user).await?)
        {
            return Err(AccountDataError::IgnoresSelf);
        }
        let room = self.room(scope).await?;
        let content = Some(content.get().to_owned());
        let change = Change::SetAccountData { user, room, r#type: data_type, content };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// The event up to which a user has read a room in full, as far as they say.
    pub async fn fully_read(
        &self,
        user: UserNid,
        room: RoomNid,
    ) -> Result<Option<OwnedEventId>, AccountDataError> {
        let Some(content) = self.piece(user, room, FULLY_READ).await? else { return Ok(None) };
        let content: FullyReadEventContent =
            serde_json::from_str(&content).map_err(|_| StoreError::corrupt("account_data", user))?;
        Ok(Some(content.event_id))
    }

    /// Sets that event.
    pub async fn set_fully_read(
        &self,
        user: UserNid,
        room: RoomNid,
        event_id: OwnedEventId,
    ) -> Result<(), AccountDataError> {
        let content = serde_json::to_string(&FullyReadEventContent::new(event_id))
            .map_err(|_| AccountDataError::BadContent)?;
        let change =
            Change::SetAccountData { user, room, r#type: FULLY_READ.to_owned(), content: Some(content) };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// The tags of a room, as the value of `tags`.
    pub async fn tags(&self, user: UserNid, room: &RoomId) -> Result<Map<String, Value>, AccountDataError> {
        // A room that is not known has no tags.
        let Some(room) = self.0.interned.known_room(room).await? else { return Ok(Map::new()) };
        let Some(content) = self.piece(user, room, TAGS).await? else { return Ok(Map::new()) };
        let mut content: Map<String, Value> =
            serde_json::from_str(&content).map_err(|_| StoreError::corrupt("account_data", user))?;
        match content.remove("tags") {
            Some(Value::Object(tags)) => Ok(tags),
            _ => Ok(Map::new()),
        }
    }

    /// Sets a tag of a room.
    pub async fn put_tag(
        &self,
        user: UserNid,
        room: &RoomId,
        tag: String,
        info: &Map<String, Value>,
    ) -> Result<(), AccountDataError> {
        grammar::tag(&tag)?;
        let in_order = |order: &Value| order.as_f64().is_some_and(|order| (0.0..=1.0).contains(&order));
        if !info.get("order").is_none_or(in_order) {
            return Err(AccountDataError::BadOrder);
        }
        let info = serde_json::value::to_raw_value(info).map_err(|_| AccountDataError::BadContent)?;
        let room = self.room(Scope::Room(room)).await?;
        self.change_tag(Change::SetTag { user, room, tag, info: Some(info) }).await
    }

    /// Removes a tag of a room; nothing happens where it is not there.
    pub async fn remove_tag(
        &self,
        user: UserNid,
        room: &RoomId,
        tag: String,
    ) -> Result<(), AccountDataError> {
        if !self.tags(user, room).await?.contains_key(&tag) {
            return Ok(());
        }
        let room = self.room(Scope::Room(room)).await?;
        self.change_tag(Change::SetTag { user, room, tag, info: None }).await
    }

    async fn change_tag(&self, change: Change) -> Result<(), AccountDataError> {
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    async fn room(&self, scope: Scope<'_>) -> Result<RoomNid, AccountDataError> {
        match scope {
            Scope::Global => Ok(GLOBAL),
            Scope::Room(id) => self.0.interned.known_room(id).await?.ok_or(AccountDataError::UnknownRoom),
        }
    }
}

/// Whether a JSON object has nothing in it.
fn is_empty(object: &RawValue) -> bool {
    object.get().chars().all(|c| matches!(c, '{' | '}') || c.is_ascii_whitespace())
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(Change::SetAccountData { user, room, r#type, .. }) => {
                self.pieces.invalidate(&(*user, *room, r#type.clone()));
            }
            What::Change(Change::SetTag { user, room, .. }) => {
                self.pieces.invalidate(&(*user, *room, TAGS.to_owned()));
            }
            // The types that an unknown change touched are not known either.
            What::Unknown => self.pieces.clear(),
            _ => {}
        }
    }

    fn reset(&self) {
        self.pieces.clear();
    }
}
