//! Local aliases of rooms, and the rooms that are listed publicly.

use hearth_core::id::{Position, RoomNid, Root, UserNid};
use hearth_core::room_version::RoomVersion;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, ServerName};
use sqlx::FromRow;

use crate::event::version_rules;
use crate::log::StateChange;
use crate::{Result, Store, StoreError};

/// A local alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Where it points.
    pub room: RoomNid,
    /// The id of that room.
    pub room_id: OwnedRoomId,
    /// Who made it.
    pub creator: UserNid,
}

/// A publicly listed room.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its integer.
    pub room: RoomNid,
    /// Its id.
    pub id: OwnedRoomId,
    /// What holds in it.
    pub version: &'static RoomVersion,
    /// Its state when the list was begun to be read.
    pub state: StateChange,
}

/// Where one is in the list of rooms: just beside a room, as the list was at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// The list is read as it was here.
    pub as_of: Position,
    /// How many were in the room then.
    pub joined: i64,
    /// The room.
    pub room: RoomNid,
}

#[derive(FromRow)]
struct ListedRow {
    nid: i64,
    id: String,
    version: String,
    root: i64,
    joined: i64,
    invited: i64,
}

impl TryFrom<ListedRow> for Listed {
    type Error = StoreError;

    fn try_from(row: ListedRow) -> Result<Self> {
        Ok(Self {
            room: RoomNid::new(row.nid),
            id: room_id(row.nid, &row.id)?,
            version: version_rules(&row.version).ok_or_else(|| StoreError::corrupt("room", row.nid))?,
            state: StateChange { root: Root::new(row.root), joined: row.joined, invited: row.invited },
        })
    }
}

impl Store {
    /// Where an alias of this server points. Served by the primary key of `alias`.
    pub async fn room_of_alias(&self, alias: &RoomAliasId) -> Result<Option<RoomNid>> {
        let nid: Option<i64> = sqlx::query_scalar("SELECT room_nid FROM alias WHERE alias = $1")
            .bind(alias.as_str())
            .fetch_optional(self.db())
            .await?;
        Ok(nid.map(RoomNid::new))
    }

    /// An alias of this server. Served by the primary keys of `alias` and `room`.
    pub async fn alias(&self, alias: &RoomAliasId) -> Result<Option<Alias>> {
        let row: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT a.room_nid, r.id, a.creator_nid
             FROM alias a JOIN room r ON r.nid = a.room_nid WHERE a.alias = $1",
        )
        .bind(alias.as_str())
        .fetch_optional(self.db())
        .await?;
        row.map(|(room, id, creator)| {
            let (room_id, creator) = (room_id(room, &id)?, UserNid::new(creator));
            Ok(Alias { room: RoomNid::new(room), room_id, creator })
        })
        .transpose()
    }

    /// The aliases that this server has for a room, in their alphabetical order. Served by `alias_room`.
    pub async fn aliases_of(&self, room: RoomNid) -> Result<Vec<OwnedRoomAliasId>> {
        let aliases: Vec<String> =
            sqlx::query_scalar("SELECT alias FROM alias WHERE room_nid = $1 ORDER BY alias")
                .bind(room.get())
                .fetch_all(self.db())
                .await?;
        aliases
            .into_iter()
            .map(|alias| RoomAliasId::parse(&alias).map_err(|_| StoreError::corrupt("alias", alias)))
            .collect()
    }

    /// At most `limit` of the servers that are in a room now, those that came first. Served by the primary key of
    /// `room_server`.
    pub async fn servers_in(&self, room: RoomNid, limit: i64) -> Result<Vec<OwnedServerName>> {
        let servers: Vec<String> = sqlx::query_scalar(
            "SELECT server FROM room_server WHERE room_nid = $1 AND to_pos IS NULL ORDER BY from_pos LIMIT $2",
        )
        .bind(room.get())
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        servers
            .into_iter()
            .map(|server| ServerName::parse(&server).map_err(|_| StoreError::corrupt("room_server", server)))
            .collect()
    }

    /// Whether a room is publicly listed. Served by the primary key of `published_room`.
    pub async fn is_published(&self, room: RoomNid) -> Result<bool> {
        let published: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM published_room WHERE room_nid = $1)")
                .bind(room.get())
                .fetch_one(self.db())
                .await?;
        Ok(published)
    }

    /// How many rooms are publicly listed.
    pub async fn published_count(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM published_room").fetch_one(self.db()).await?)
    }

    /// At most `limit` of the publicly listed rooms that come after `place`, those with most members first.
    ///
    /// The order is that of the members as of one position, so that it holds still while a client turns pages.
    /// Reads one row of `room_state`, by its primary key, for every listed room.
    pub async fn published_after(&self, place: ListPlace, limit: i64) -> Result<Vec<Listed>> {
        let rows = sqlx::query_as(
            "SELECT r.nid, r.id, r.version, s.root, s.joined, s.invited
             FROM published_room p
             JOIN room r ON r.nid = p.room_nid
             CROSS JOIN LATERAL (SELECT root, joined, invited FROM room_state
                                 WHERE room_nid = p.room_nid AND pos <= $1 ORDER BY pos DESC LIMIT 1) s
             WHERE (s.joined, r.nid) < ($2, $3)
             ORDER BY s.joined DESC, r.nid DESC LIMIT $4",
        );
        self.listed(rows, place, limit).await
    }

    /// As [`Store::published_after`], for those that come before `place`: the nearest first.
    pub async fn published_before(&self, place: ListPlace, limit: i64) -> Result<Vec<Listed>> {
        let rows = sqlx::query_as(
            "SELECT r.nid, r.id, r.version, s.root, s.joined, s.invited
             FROM published_room p
             JOIN room r ON r.nid = p.room_nid
             CROSS JOIN LATERAL (SELECT root, joined, invited FROM room_state
                                 WHERE room_nid = p.room_nid AND pos <= $1 ORDER BY pos DESC LIMIT 1) s
             WHERE (s.joined, r.nid) > ($2, $3)
             ORDER BY s.joined, r.nid LIMIT $4",
        );
        self.listed(rows, place, limit).await
    }

    async fn listed(
        &self,
        rows: sqlx::query::QueryAs<'_, sqlx::Postgres, ListedRow, sqlx::postgres::PgArguments>,
        place: ListPlace,
        limit: i64,
    ) -> Result<Vec<Listed>> {
        rows.bind(place.as_of.get())
            .bind(place.joined)
            .bind(place.room.get())
            .bind(limit)
            .fetch_all(self.db())
            .await?
            .into_iter()
            .map(Listed::try_from)
            .collect()
    }
}

fn room_id(nid: i64, id: &str) -> Result<OwnedRoomId> {
    RoomId::parse(id).map_err(|_| StoreError::corrupt("room", nid))
}
