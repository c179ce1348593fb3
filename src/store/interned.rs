//! Users and state keys as integers, and the numbers that events and tree nodes get.
//!
//! Interning commits by itself, before anything refers to what it made: an id that nothing comes to refer
//! to costs a row and harms nobody.

use hearth_core::id::{EventNid, NodeId, RoomNid, StateKeyNid, UserNid};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{Result, Store, StoreError};

/// What the sequences `event_nid` and `state_node_id` grow by: one fetch is good for so many numbers.
pub const BLOCK: u16 = 256;

/// A `(type, state_key)` pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKeyName {
    /// The event type.
    pub event_type: String,
    /// The state key.
    pub state_key: String,
}

impl StateKeyName {
    /// The pair of a type and a state key.
    pub fn new(event_type: impl Into<String>, state_key: impl Into<String>) -> Self {
        Self { event_type: event_type.into(), state_key: state_key.into() }
    }
}

impl Store {
    /// The integers of those of `ids` that were seen before. Served by `interned_user_id_key`.
    pub async fn find_users(&self, ids: &[&UserId]) -> Result<Vec<(OwnedUserId, UserNid)>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        sqlx::query!("SELECT nid, id FROM interned_user WHERE id = ANY ($1)", &ids)
            .fetch_all(self.db())
            .await?
            .into_iter()
            .map(|row| Ok((user_id(row.id)?, UserNid::new(row.nid))))
            .collect()
    }

    /// Gives an integer to each of `ids` that has none, and returns those it gave: an id that another
    /// process interned at the same moment is left out, and is there to be found afterwards.
    pub async fn add_users(&self, ids: &[&UserId]) -> Result<Vec<(OwnedUserId, UserNid)>> {
        // In one order everywhere, so that two of these cannot wait for each other.
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        sqlx::query!(
            "INSERT INTO interned_user (id) SELECT unnest($1::text[]) ON CONFLICT (id) DO NOTHING
             RETURNING nid, id",
            &ids
        )
        .fetch_all(self.db())
        .await?
        .into_iter()
        .map(|row| Ok((user_id(row.id)?, UserNid::new(row.nid))))
        .collect()
    }

    /// The user ids that `nids` stand for. Served by `interned_user_pkey`.
    pub async fn user_ids(&self, nids: &[UserNid]) -> Result<Vec<(UserNid, OwnedUserId)>> {
        let nids: Vec<i64> = nids.iter().map(|nid| nid.get()).collect();
        sqlx::query!("SELECT nid, id FROM interned_user WHERE nid = ANY ($1)", &nids)
            .fetch_all(self.db())
            .await?
            .into_iter()
            .map(|row| Ok((UserNid::new(row.nid), user_id(row.id)?)))
            .collect()
    }

    /// The integers of those of `names` that were seen before. Served by `state_key_type_key_key`.
    pub async fn find_state_keys(&self, names: &[&StateKeyName]) -> Result<Vec<(StateKeyName, StateKeyNid)>> {
        let (types, keys) = columns(names);
        let rows = sqlx::query!(
            "SELECT s.nid, s.type, s.key FROM unnest($1::text[], $2::text[]) AS u (type, key)
             JOIN state_key s ON s.type = u.type AND s.key = u.key",
            &types,
            &keys
        )
        .fetch_all(self.db())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (StateKeyName::new(row.r#type, row.key), StateKeyNid::new(row.nid)))
            .collect())
    }

    /// Gives an integer to each of `names` that has none; as [`Store::add_users`].
    pub async fn add_state_keys(&self, names: &[&StateKeyName]) -> Result<Vec<(StateKeyName, StateKeyNid)>> {
        let mut names = names.to_vec();
        names.sort_unstable();
        let (types, keys) = columns(&names);
        let rows = sqlx::query!(
            "INSERT INTO state_key (type, key) SELECT * FROM unnest($1::text[], $2::text[])
             ON CONFLICT (type, key) DO NOTHING
             RETURNING nid, type, key",
            &types,
            &keys
        )
        .fetch_all(self.db())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (StateKeyName::new(row.r#type, row.key), StateKeyNid::new(row.nid)))
            .collect())
    }

    /// The pairs that `nids` stand for. Served by `state_key_pkey`.
    pub async fn state_key_names(&self, nids: &[StateKeyNid]) -> Result<Vec<(StateKeyNid, StateKeyName)>> {
        let nids: Vec<i64> = nids.iter().map(|nid| nid.get()).collect();
        let rows = sqlx::query!("SELECT nid, type, key FROM state_key WHERE nid = ANY ($1)", &nids)
            .fetch_all(self.db())
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (StateKeyNid::new(row.nid), StateKeyName::new(row.r#type, row.key)))
            .collect())
    }

    /// The integers of those of some rooms that were seen before, by their ids. Served by `room_id_key`.
    pub async fn find_rooms(&self, ids: &[&RoomId]) -> Result<Vec<(OwnedRoomId, RoomNid)>> {
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT id, nid FROM room WHERE id = ANY ($1)")
            .bind(ids)
            .fetch_all(self.db())
            .await?;
        rows.into_iter()
            .map(|(id, nid)| {
                let id = RoomId::parse(&id).map_err(|_| StoreError::corrupt("room", nid))?;
                Ok((id, RoomNid::new(nid)))
            })
            .collect()
    }

    /// The integer of a room that was seen before. Served by `room_id_key`.
    pub async fn find_room(&self, id: &RoomId) -> Result<Option<RoomNid>> {
        let nid = sqlx::query_scalar!("SELECT nid FROM room WHERE id = $1", id.as_str())
            .fetch_optional(self.db())
            .await?;
        Ok(nid.map(RoomNid::new))
    }

    /// The room id that an integer stands for. Served by `room_pkey`.
    pub async fn room_id(&self, nid: RoomNid) -> Result<Option<OwnedRoomId>> {
        let id = sqlx::query_scalar!("SELECT id FROM room WHERE nid = $1", nid.get())
            .fetch_optional(self.db())
            .await?;
        id.map(|id| OwnedRoomId::try_from(id.as_str()).map_err(|_| StoreError::corrupt("room", id)))
            .transpose()
    }

    /// The first of [`BLOCK`] numbers for events that nobody else gets.
    pub async fn event_nid_block(&self) -> Result<EventNid> {
        let first =
            sqlx::query_scalar!(r#"SELECT nextval('event_nid') AS "first!""#).fetch_one(self.db()).await?;
        Ok(EventNid::new(first))
    }

    /// The firsts of `blocks` blocks of [`BLOCK`] numbers for tree nodes that nobody else gets.
    pub async fn node_id_blocks(&self, blocks: i32) -> Result<Vec<NodeId>> {
        let firsts = sqlx::query_scalar!(
            r#"SELECT nextval('state_node_id') AS "first!" FROM generate_series(1, $1)"#,
            blocks
        )
        .fetch_all(self.db())
        .await?;
        Ok(firsts.into_iter().map(NodeId::new).collect())
    }
}

fn user_id(id: String) -> Result<OwnedUserId> {
    OwnedUserId::try_from(id.as_str()).map_err(|_| StoreError::corrupt("interned_user", id))
}

fn columns(names: &[&StateKeyName]) -> (Vec<String>, Vec<String>) {
    names.iter().map(|name| (name.event_type.clone(), name.state_key.clone())).unzip()
}
