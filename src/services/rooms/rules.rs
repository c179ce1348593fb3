//! A room's rules and current state, for questions asked before an event is built.

use std::sync::Arc;

use hearth_core::auth::Denied;
use hearth_core::auth::context::RoomRules;
use hearth_core::pdu::Content;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::room::Room;
use ruma::events::{StateEventType, TimelineEventType};
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, RoomOrAliasId, UserId};
use serde_json::Value;

use super::{Author, RoomError, Rooms};
use hearth_core::id::{Root, UserNid};

impl Rooms {
    /// A room that this server is or was in.
    pub(super) async fn known(&self, id: &RoomId) -> Result<Arc<Room>, RoomError> {
        self.reader.room(id).await?.ok_or(RoomError::UnknownRoom)
    }

    /// The room that an id or an alias stands for.
    pub async fn resolve(&self, name: &RoomOrAliasId) -> Result<OwnedRoomId, RoomError> {
        match <&RoomAliasId>::try_from(name) {
            Err(room) => Ok(room.to_owned()),
            Ok(alias) => {
                let nid = self.reader.store.room_of_alias(alias).await?.ok_or(RoomError::UnknownAlias)?;
                let room = self.reader.store.rooms(&[nid]).await?.pop();
                Ok(room.ok_or_else(|| StoreError::corrupt("alias", alias))?.id)
            }
        }
    }

    /// The committed state event at a key.
    pub async fn current_state(
        &self,
        room: &Room,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        match self.reader.store.room_head(room.nid).await? {
            None => Ok(None),
            Some(head) => self.state_at(head.state.root, event_type, state_key).await,
        }
    }

    /// The state event at a key of a state.
    async fn state_at(
        &self,
        root: Root,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        let key = self.reader.interned.known_state_key(&event_type.to_string(), state_key).await?;
        let Some(key) = key else { return Ok(None) };
        match self.reader.states.get(root, key).await? {
            None => Ok(None),
            Some(nid) => Ok(Some(self.reader.events.get(nid).await?)),
        }
    }

    /// The rules in force, by the committed state.
    pub(super) async fn rules(&self, room: &Room) -> Result<RoomRules, RoomError> {
        let head = self.reader.store.room_head(room.nid).await?.ok_or(RoomError::UnknownRoom)?;
        let state = head.state.root;
        let create = self.state_at(state, &StateEventType::RoomCreate, "").await?;
        let create = create.ok_or_else(|| StoreError::corrupt("room_state", room.nid))?;
        let power = self.state_at(state, &StateEventType::RoomPowerLevels, "").await?;
        let join_rules = self.state_at(state, &StateEventType::RoomJoinRules, "").await?;
        let pdu = |event: &Option<Arc<StoredEvent>>| event.as_ref().map(|event| Arc::clone(&event.pdu));
        Ok(RoomRules::new(room.version, &create.pdu, pdu(&power).as_deref(), pdu(&join_rules).as_deref())?)
    }

    /// Whether a user may redact an event. One that is unknown may be redacted by whoever may redact all.
    pub(super) async fn check_redaction(
        &self,
        room: &Room,
        author: &Author,
        target: &EventId,
    ) -> Result<(), RoomError> {
        let rules = self.rules(room).await?;
        let target = self.reader.events.by_id(target).await?.filter(|target| target.room == room.nid);
        let Some(target) = target else {
            return Ok(rules.may_redact_all(&author.id)?);
        };
        // Without either's content no server could take part in the room any more.
        if matches!(target.pdu.event_type(), TimelineEventType::RoomCreate | TimelineEventType::RoomServerAcl)
        {
            return Err(RoomError::Denied("An event that a room rests on cannot be redacted.".to_owned()));
        }
        Ok(rules.may_redact(&author.id, target.pdu.sender())?)
    }

    /// Users of other servers are out of reach.
    pub(super) fn check_local(&self, users: &[OwnedUserId]) -> Result<(), RoomError> {
        match users.iter().find(|user| user.server_name() != self.key.server_name()) {
            None => Ok(()),
            Some(remote) => Err(RoomError::Remote(remote.to_string())),
        }
    }

    /// The integer of a user of this server, if there is one of that id.
    pub(super) async fn local_user(&self, user: &UserId) -> Result<Option<UserNid>, RoomError> {
        if user.server_name() != self.key.server_name() {
            return Ok(None);
        }
        Ok(self.reader.interned.known_user(user).await?)
    }

    /// New entries of a canonical alias must be aliases that point here.
    pub(super) async fn check_canonical_alias(
        &self,
        room: &Room,
        content: &Content,
    ) -> Result<(), RoomError> {
        let current = self.current_state(room, &StateEventType::RoomCanonicalAlias, "").await?;
        let before = current.map(|event| aliases(event.pdu.content().get())).transpose()?.unwrap_or_default();
        for alias in aliases(content.as_str())?.into_iter().filter(|alias| !before.contains(alias)) {
            let named = <&RoomAliasId>::try_from(alias.as_str())
                .map_err(|_| RoomError::InvalidParameter("An alias has the form #name:server."))?;
            let points_to = self.reader.store.room_of_alias(named).await?;
            if points_to != Some(room.nid) {
                return Err(RoomError::BadAlias(alias));
            }
        }
        Ok(())
    }
}

/// The aliases that a canonical alias event names.
fn aliases(content: &str) -> Result<Vec<String>, RoomError> {
    let malformed = || RoomError::InvalidParameter("Aliases are strings.");
    let content: Value = serde_json::from_str(content).map_err(|_| malformed())?;
    let mut named = Vec::new();
    match content.get("alias") {
        None | Some(Value::Null) => {}
        Some(Value::String(alias)) => named.push(alias.clone()),
        Some(_) => return Err(malformed()),
    }
    match content.get("alt_aliases") {
        None | Some(Value::Null) => {}
        Some(Value::Array(alternatives)) => {
            for alias in alternatives {
                named.push(alias.as_str().ok_or_else(malformed)?.to_owned());
            }
        }
        Some(_) => return Err(malformed()),
    }
    Ok(named)
}

impl From<Denied> for RoomError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied.to_string())
    }
}
