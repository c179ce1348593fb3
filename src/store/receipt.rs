//! Receipts: how far everybody has read. Written by the log; this reads them.

use hearth_core::id::{Position, RoomNid, UserNid};
use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Result, Store, StoreError};

/// Who is told of a receipt. Stored as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i16", into = "i16")]
pub enum ReceiptKind {
    /// `m.read`: everybody in the room.
    Public = 1,
    /// `m.read.private`: the user alone.
    Private = 2,
}

/// A number that no kind of receipt has.
#[derive(Debug, thiserror::Error)]
#[error("no kind of receipt has the number {0}")]
pub struct UnknownReceiptKind(i16);

impl ReceiptKind {
    /// The number it is stored as.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "m.read",
            Self::Private => "m.read.private",
        }
    }
}

impl From<ReceiptKind> for i16 {
    fn from(kind: ReceiptKind) -> Self {
        kind.number()
    }
}

impl TryFrom<i16> for ReceiptKind {
    type Error = UnknownReceiptKind;

    fn try_from(number: i16) -> Result<Self, UnknownReceiptKind> {
        match number {
            1 => Ok(Self::Public),
            2 => Ok(Self::Private),
            other => Err(UnknownReceiptKind(other)),
        }
    }
}

/// A receipt as others are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who read.
    pub user: UserNid,
    /// Their id.
    pub user_id: OwnedUserId,
    /// In which room.
    pub room: RoomNid,
    /// Who is told.
    pub kind: ReceiptKind,
    /// Empty for all threads, `main`, or the id of the event that a thread begins with.
    pub thread: String,
    /// Up to this event.
    pub event_id: OwnedEventId,
    /// Milliseconds since the epoch.
    pub ts: i64,
    /// When it last moved.
    pub pos: Position,
}

#[derive(sqlx::FromRow)]
struct ReceiptRow {
    user_nid: i64,
    user_id: String,
    room_nid: i64,
    r#type: i16,
    thread: String,
    event_id: String,
    ts: i64,
    pos: i64,
}

impl TryFrom<ReceiptRow> for Receipt {
    type Error = StoreError;

    fn try_from(row: ReceiptRow) -> Result<Self> {
        let corrupt = || StoreError::corrupt("receipt", row.user_nid);
        Ok(Self {
            user: UserNid::new(row.user_nid),
            user_id: UserId::parse(&*row.user_id).map_err(|_| corrupt())?,
            room: RoomNid::new(row.room_nid),
            kind: row.r#type.try_into().map_err(|_| corrupt())?,
            event_id: EventId::parse(&*row.event_id).map_err(|_| corrupt())?,
            thread: row.thread,
            ts: row.ts,
            pos: Position::new(row.pos),
        })
    }
}

impl Store {
    /// The receipts of rooms that moved after the position given for each and that `reader` is told of, oldest
    /// first. Served by `receipt_room`.
    pub async fn receipts_since(
        &self,
        reader: UserNid,
        rooms: &[(RoomNid, Position)],
    ) -> Result<Vec<Receipt>> {
        let (rooms, since): (Vec<i64>, Vec<i64>) =
            rooms.iter().map(|(room, since)| (room.get(), since.get())).unzip();
        let rows: Vec<ReceiptRow> = sqlx::query_as(
            "SELECT r.user_nid, u.id AS user_id, r.room_nid, r.type, r.thread, e.id AS event_id, r.ts, r.pos
             FROM unnest($1::bigint[], $2::bigint[]) AS a (room, since)
             JOIN receipt r ON r.room_nid = a.room AND r.pos > a.since
             JOIN interned_user u ON u.nid = r.user_nid
             JOIN event e ON e.nid = r.event_nid
             WHERE r.type = 1 OR r.user_nid = $3
             ORDER BY r.pos",
        )
        .bind(rooms)
        .bind(since)
        .bind(reader.get())
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(Receipt::try_from).collect()
    }
}
