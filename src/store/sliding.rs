//! Sliding sync: its connections, and the order of rooms.

use hearth_core::id::{Position, RoomNid, UserNid};
use sqlx::FromRow;

use crate::{Result, Store};

/// Whose connection, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// The user.
    pub user: UserNid,
    /// The device; empty where there is none.
    pub device: String,
    /// The client's name for the connection.
    pub conn_id: String,
}

/// What the client of a connection knows, and by which hash its position names that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRow {
    /// The hash.
    pub hash: u64,
    /// What it knows.
    pub known: Vec<u8>,
}

/// Where a room has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
struct NewestRow {
    room: i64,
    anchor: Option<i64>,
}

impl Store {
    /// What the client of a connection knows by a hash, and when that was last used, where it was after
    /// `used_after`, milliseconds since the epoch. Served by the primary key.
    pub async fn sliding_known(
        &self,
        key: &ConnectionKey,
        hash: u64,
        used_after: i64,
    ) -> Result<Option<(Vec<u8>, i64)>> {
        let row: Option<(Option<Vec<u8>>, i64)> = sqlx::query_as(
            "SELECT CASE $4 WHEN newest_hash THEN newest WHEN previous_hash THEN previous END, used_ts
             FROM sliding_connection
             WHERE user_nid = $1 AND device_id = $2 AND conn_id = $3 AND used_ts > $5",
        )
        .bind(key.user.get())
        .bind(&key.device)
        .bind(&key.conn_id)
        .bind(hash.cast_signed())
        .bind(used_after)
        .fetch_optional(self.db())
        .await?;
        Ok(row.and_then(|(known, used_ts)| Some((known?, used_ts))))
    }

    /// Keeps what the client of a connection knows if it gets the response that is about to be sent, and what it
    /// knows if it does not; nothing else of the connection.
    pub async fn keep_sliding_known(
        &self,
        key: &ConnectionKey,
        newest: &KnownRow,
        previous: Option<&KnownRow>,
        now: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO sliding_connection (user_nid, device_id, conn_id, newest_hash, newest, previous_hash, previous,
                                             used_ts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (user_nid, device_id, conn_id) DO UPDATE
             SET newest_hash = excluded.newest_hash, newest = excluded.newest,
                 previous_hash = excluded.previous_hash, previous = excluded.previous, used_ts = excluded.used_ts",
        )
        .bind(key.user.get())
        .bind(&key.device)
        .bind(&key.conn_id)
        .bind(newest.hash.cast_signed())
        .bind(&newest.known)
        .bind(previous.map(|row| row.hash.cast_signed()))
        .bind(previous.map(|row| &row.known))
        .bind(now)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Takes note that a connection is in use.
    pub async fn touch_sliding_connection(&self, key: &ConnectionKey, now: i64) -> Result<()> {
        sqlx::query(
            "UPDATE sliding_connection SET used_ts = $4
             WHERE user_nid = $1 AND device_id = $2 AND conn_id = $3 AND used_ts < $4",
        )
        .bind(key.user.get())
        .bind(&key.device)
        .bind(&key.conn_id)
        .bind(now)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Deletes the connections of a device but for the `most` that were used last. Served by the primary key.
    pub async fn delete_sliding_connections_beyond(&self, key: &ConnectionKey, most: i64) -> Result<()> {
        sqlx::query(
            "DELETE FROM sliding_connection c
             WHERE user_nid = $1 AND device_id = $2 AND conn_id <> $3 AND conn_id NOT IN (
                 SELECT conn_id FROM sliding_connection
                 WHERE user_nid = $1 AND device_id = $2 AND conn_id <> $3 ORDER BY used_ts DESC LIMIT $4)",
        )
        .bind(key.user.get())
        .bind(&key.device)
        .bind(&key.conn_id)
        .bind(most - 1)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Deletes connections that were last used before a time, milliseconds since the epoch, and those of devices
    /// that are gone. Served by `sliding_connection_used` and `device_pkey`.
    pub async fn delete_sliding_connections_before(&self, ts: i64) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM sliding_connection c
             WHERE used_ts < $1
                OR NOT EXISTS (SELECT FROM device d WHERE d.user_nid = c.user_nid AND d.id = c.device_id)",
        )
        .bind(ts)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }

    /// Where the newest events of rooms stand; what has none is left out. Served by the primary key of `timeline`.
    pub async fn newest_events(&self, rooms: &[RoomNid]) -> Result<Vec<(RoomNid, Position)>> {
        let rows: Vec<NewestRow> = sqlx::query_as(
            "SELECT r.room, (SELECT t.anchor FROM timeline t WHERE t.room_nid = r.room
                             ORDER BY t.anchor DESC, t.sub DESC LIMIT 1) AS anchor
             FROM unnest($1::bigint[]) AS r (room)",
        )
        .bind(nids(rooms))
        .fetch_all(self.db())
        .await?;
        Ok(positions(rows))
    }

    /// Where the newest events of some types stand in rooms; what has none is left out. It looks at everything
    /// newer. Served by the primary key of `timeline`.
    pub async fn newest_events_of(
        &self,
        rooms: &[RoomNid],
        types: &[&str],
    ) -> Result<Vec<(RoomNid, Position)>> {
        let rows: Vec<NewestRow> = sqlx::query_as(
            "SELECT r.room, (SELECT t.anchor FROM timeline t JOIN event e ON e.nid = t.event_nid
                             WHERE t.room_nid = r.room AND e.type = ANY ($2)
                             ORDER BY t.anchor DESC, t.sub DESC LIMIT 1) AS anchor
             FROM unnest($1::bigint[]) AS r (room)",
        )
        .bind(nids(rooms))
        .bind(types)
        .fetch_all(self.db())
        .await?;
        Ok(positions(rows))
    }

    /// Of the rooms that a user is out of, those that they were in and that another put them out of.
    ///
    /// Served by the primary key of `membership`.
    pub async fn removed_from(&self, user: UserNid) -> Result<Vec<RoomNid>> {
        let rooms: Vec<i64> = sqlx::query_scalar(
            "SELECT m.room_nid
             FROM (SELECT DISTINCT ON (room_nid) room_nid, membership, forgotten, event_nid
                   FROM membership WHERE user_nid = $1 ORDER BY room_nid, pos DESC) m
             JOIN event e ON e.nid = m.event_nid
             WHERE m.membership = ANY ($2) AND NOT m.forgotten AND e.sender_nid <> $1
               AND EXISTS (SELECT FROM membership j
                           WHERE j.user_nid = $1 AND j.room_nid = m.room_nid AND j.membership = $3)",
        )
        .bind(user.get())
        .bind(&OUT[..])
        .bind(IN)
        .fetch_all(self.db())
        .await?;
        Ok(rooms.into_iter().map(RoomNid::new).collect())
    }
}

const IN: i16 = hearth_core::membership::Membership::Join.number();
const OUT: [i16; 2] =
    [hearth_core::membership::Membership::Leave.number(), hearth_core::membership::Membership::Ban.number()];

fn nids(rooms: &[RoomNid]) -> Vec<i64> {
    rooms.iter().map(|room| room.get()).collect()
}

fn positions(rows: Vec<NewestRow>) -> Vec<(RoomNid, Position)> {
    rows.into_iter().filter_map(|row| Some((RoomNid::new(row.room), Position::new(row.anchor?)))).collect()
}
