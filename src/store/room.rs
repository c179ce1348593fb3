//! Rooms: their ids, current state and order.

use std::sync::Arc;

use hearth_core::id::{EventNid, NodeId, Position, RoomNid, Root};
use hearth_core::room_version::RoomVersion;
use ruma::{OwnedRoomId, RoomId};
use sqlx::FromRow;

use crate::event::version_rules;
use crate::log::StateChange;
use crate::{Result, Store, StoreError};

/// What never changes about a room.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its integer.
    pub nid: RoomNid,
    /// Its id.
    pub id: OwnedRoomId,
    /// What holds in it.
    pub version: &'static RoomVersion,
}

/// A room as of one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHead {
    /// The position of its newest entry.
    pub pos: Position,
    /// The current state.
    pub state: StateChange,
    /// The position from which on it is.
    pub state_pos: Position,
    /// The forward extremities, in no particular order.
    pub heads: Vec<EventNid>,
}

/// The state that was current in a room at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomStateAt {
    /// The room.
    pub room: RoomNid,
    /// The position.
    pub at: Position,
    /// The state.
    pub state: StateChange,
}

#[derive(FromRow)]
struct RoomRow {
    nid: i64,
    id: String,
    version: String,
}

#[derive(FromRow)]
struct HeadRow {
    anchor: Option<i64>,
    event_nid: Option<i64>,
    heads: Option<Vec<i64>>,
    pos: i64,
    root: i64,
    joined: i64,
    invited: i64,
}

impl TryFrom<RoomRow> for Room {
    type Error = StoreError;

    fn try_from(row: RoomRow) -> Result<Self> {
        let corrupt = || StoreError::corrupt("room", row.nid);
        Ok(Self {
            nid: RoomNid::new(row.nid),
            id: RoomId::parse(&row.id).map_err(|_| corrupt())?,
            version: version_rules(&row.version).ok_or_else(corrupt)?,
        })
    }
}

impl Store {
    /// The room of this id.
    pub async fn room_by_id(&self, id: &RoomId) -> Result<Option<Room>> {
        let row: Option<RoomRow> = sqlx::query_as("SELECT nid, id, version FROM room WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.db())
            .await?;
        row.map(Room::try_from).transpose()
    }

    /// The rooms of these integers, in no particular order.
    pub async fn rooms(&self, nids: &[RoomNid]) -> Result<Vec<Room>> {
        let nids: Vec<i64> = nids.iter().map(|nid| nid.get()).collect();
        let rows: Vec<RoomRow> = sqlx::query_as("SELECT nid, id, version FROM room WHERE nid = ANY ($1)")
            .bind(nids)
            .fetch_all(self.db())
            .await?;
        rows.into_iter().map(Room::try_from).collect()
    }

    /// Gives a room its integer, in a transaction of its own: it is not a room anyone can see before an event
    /// of it is committed. A room known already keeps its integer and version.
    pub async fn intern_room(&self, id: &RoomId, version: &RoomVersion) -> Result<RoomNid> {
        sqlx::query("INSERT INTO room (id, version) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(id.as_str())
            .bind(version.id.as_str())
            .execute(self.db())
            .await?;
        let nid: i64 = sqlx::query_scalar("SELECT nid FROM room WHERE id = $1")
            .bind(id.as_str())
            .fetch_one(self.db())
            .await?;
        Ok(RoomNid::new(nid))
    }

    /// A room's current state and order, in one snapshot; none where nothing of it is committed.
    ///
    /// Served by the primary keys of `timeline` and `room_state`.
    pub async fn room_head(&self, room: RoomNid) -> Result<Option<RoomHead>> {
        let row: Option<HeadRow> = sqlx::query_as(
            "SELECT t.anchor, t.event_nid, t.heads, s.pos, s.root, s.joined, s.invited
             FROM (SELECT pos, root, joined, invited FROM room_state
                   WHERE room_nid = $1 ORDER BY pos DESC LIMIT 1) s
             LEFT JOIN (SELECT anchor, event_nid, heads FROM timeline
                        WHERE room_nid = $1 ORDER BY anchor DESC, sub DESC LIMIT 1) t ON true",
        )
        .bind(room.get())
        .fetch_optional(self.db())
        .await?;
        Ok(row.map(|row| RoomHead {
            pos: Position::new(row.anchor.map_or(row.pos, |anchor| anchor.max(row.pos))),
            state: StateChange { root: Root::new(row.root), joined: row.joined, invited: row.invited },
            state_pos: Position::new(row.pos),
            heads: row
                .heads
                .unwrap_or_else(|| row.event_nid.into_iter().collect())
                .into_iter()
                .map(EventNid::new)
                .collect(),
        }))
    }

    /// The state that was current in a room at `pos`; none before its first event.
    ///
    /// Served by the primary key of `room_state`.
    pub async fn room_state_at(&self, room: RoomNid, pos: Position) -> Result<Option<StateChange>> {
        let row: Option<(i64, i64, i64)> = sqlx::query_as(
            "SELECT root, joined, invited FROM room_state
             WHERE room_nid = $1 AND pos <= $2 ORDER BY pos DESC LIMIT 1",
        )
        .bind(room.get())
        .bind(pos.get())
        .fetch_optional(self.db())
        .await?;
        Ok(row.map(|(root, joined, invited)| StateChange { root: Root::new(root), joined, invited }))
    }

    /// The states that were current in rooms at positions: as [`Store::room_state_at`] for many at once; what is
    /// not found is left out.
    ///
    /// Served by the primary key of `room_state`.
    pub async fn room_states_at(&self, at: &[(RoomNid, Position)]) -> Result<Vec<RoomStateAt>> {
        let (rooms, positions): (Vec<i64>, Vec<i64>) =
            at.iter().map(|(room, pos)| (room.get(), pos.get())).unzip();
        let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT a.room, a.pos, s.root, s.joined, s.invited
             FROM unnest($1::bigint[], $2::bigint[]) AS a (room, pos)
             CROSS JOIN LATERAL (SELECT root, joined, invited FROM room_state
                                 WHERE room_nid = a.room AND pos <= a.pos ORDER BY pos DESC LIMIT 1) s",
        )
        .bind(rooms)
        .bind(positions)
        .fetch_all(self.db())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(room, at, root, joined, invited)| RoomStateAt {
                room: RoomNid::new(room),
                at: Position::new(at),
                state: StateChange { root: Root::new(root), joined, invited },
            })
            .collect())
    }

    /// Those of `rooms` in which something happened in `(after, upto]`: an event, a change of state, a receipt.
    ///
    /// Served by the primary keys of `timeline` and `room_state`, and by `receipt_room`.
    pub async fn changed_rooms(
        &self,
        rooms: &[RoomNid],
        after: Position,
        upto: Position,
    ) -> Result<Vec<RoomNid>> {
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let changed: Vec<i64> = sqlx::query_scalar(
            "SELECT r.room FROM unnest($1::bigint[]) AS r (room)
             WHERE EXISTS (SELECT FROM timeline t WHERE t.room_nid = r.room AND t.anchor > $2 AND t.anchor <= $3)
                OR EXISTS (SELECT FROM room_state s WHERE s.room_nid = r.room AND s.pos > $2 AND s.pos <= $3)
                OR EXISTS (SELECT FROM receipt c WHERE c.room_nid = r.room AND c.pos > $2)",
        )
        .bind(rooms)
        .bind(after.get())
        .bind(upto.get())
        .fetch_all(self.db())
        .await?;
        Ok(changed.into_iter().map(RoomNid::new).collect())
    }

    /// State tree nodes, in no particular order. One that is missing was lost: the caller must not take the
    /// state for empty.
    pub async fn state_nodes(&self, ids: &[NodeId]) -> Result<Vec<(NodeId, Arc<[u8]>)>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT id, data FROM state_node WHERE id = ANY ($1)")
            .bind(ids)
            .fetch_all(self.db())
            .await?;
        Ok(rows.into_iter().map(|(id, data)| (NodeId::new(id), data.into())).collect())
    }
}
