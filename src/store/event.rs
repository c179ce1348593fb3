//! Events, as they are kept.

use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid, Root, StateKeyNid, UserNid};
use hearth_core::pdu::Pdu;
use hearth_core::room_version::{self, RoomVersion};
use hearth_core::token::{Place, Point};
use ruma::{EventId, OwnedEventId, RoomVersionId};
use sqlx::FromRow;

use crate::log::{NewEvent, SentBy};
use crate::{Result, Store, StoreError};

/// An event with what the server knows of it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its integer.
    pub nid: EventNid,
    /// Its room.
    pub room: RoomNid,
    /// Its sender.
    pub sender: UserNid,
    /// For a state event its interned `(type, state_key)`.
    pub state_key: Option<StateKeyNid>,
    /// One more than the greatest of its auth events'; orders auth chains.
    pub auth_order: i32,
    /// The event itself, as it was sent: never the redacted form.
    pub pdu: Arc<Pdu>,
    /// The state before it; none for outliers, and where it was not computed.
    pub root_before: Option<Root>,
    /// Its place in the room's history; none for outliers.
    pub place: Option<Place>,
    /// What sent it.
    pub sent_by: Option<SentBy>,
    /// The redaction in effect.
    pub redacted_by: Option<EventNid>,
    /// It failed the auth rules.
    pub rejected: bool,
    /// It passed them, but not by the state that was current when it came.
    pub soft_failed: bool,
}

impl StoredEvent {
    /// An event that was just appended at `pos`.
    #[must_use]
    pub fn appended(event: &NewEvent, pos: Position) -> Self {
        Self {
            nid: event.nid,
            room: event.room,
            sender: event.sender,
            state_key: event.state_key,
            auth_order: event.auth_order,
            pdu: Arc::clone(&event.pdu),
            root_before: Some(event.root_before),
            place: Some(Place::live(pos)),
            sent_by: event.sent_by.clone(),
            redacted_by: None,
            rejected: false,
            soft_failed: false,
        }
    }
}

/// Which way to read a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    Forward,
    /// From new to old.
    Backward,
}

#[derive(FromRow)]
pub(crate) struct EventRow {
    nid: i64,
    id: String,
    room_nid: i64,
    version: String,
    sender_nid: i64,
    state_key_nid: Option<i64>,
    auth_order: i32,
    root_before: Option<i64>,
    anchor: Option<i64>,
    sub: Option<i64>,
    device_id: Option<String>,
    txn_id: Option<String>,
    redacted_by: Option<i64>,
    rejected: bool,
    soft_failed: bool,
    json: String,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self> {
        let pdu = pdu(row.nid, &row.id, &row.version, row.json)?.with_rejected(row.rejected);
        let place = row.anchor.zip(row.sub);
        Ok(Self {
            nid: EventNid::new(row.nid),
            room: RoomNid::new(row.room_nid),
            sender: UserNid::new(row.sender_nid),
            state_key: row.state_key_nid.map(StateKeyNid::new),
            auth_order: row.auth_order,
            pdu: Arc::new(pdu),
            root_before: row.root_before.map(Root::new),
            place: place.map(|(anchor, sub)| Place { anchor: Position::new(anchor), sub }),
            sent_by: row.device_id.zip(row.txn_id).map(|(device_id, txn_id)| SentBy { device_id, txn_id }),
            redacted_by: row.redacted_by.map(EventNid::new),
            rejected: row.rejected,
            soft_failed: row.soft_failed,
        })
    }
}

/// Reads a stored event's JSON.
pub(crate) fn pdu(nid: i64, id: &str, version: &str, json: String) -> Result<Pdu> {
    let corrupt = || StoreError::corrupt("event", nid);
    let id: OwnedEventId = EventId::parse(id).map_err(|_| corrupt())?;
    Pdu::from_stored(json.into(), id, version_rules(version).ok_or_else(corrupt)?).map_err(|_| corrupt())
}

/// The rules of a stored room version.
pub(crate) fn version_rules(version: &str) -> Option<&'static RoomVersion> {
    room_version::rules(&RoomVersionId::try_from(version).ok()?)
}

/// The columns of [`EventRow`] over `event e`, `room r` and `timeline t`.
macro_rules! event_columns {
    () => {
        "SELECT e.nid, e.id, e.room_nid, r.version, e.sender_nid, e.state_key_nid, e.auth_order, e.root_before,
                t.anchor, t.sub, e.device_id, e.txn_id, e.redacted_by, e.rejected, e.soft_failed, e.json "
    };
}

impl Store {
    /// The events of these integers, in no particular order; those not found are left out.
    ///
    /// Served by the primary key of `event` and by `timeline_event`.
    pub async fn events(&self, nids: &[EventNid]) -> Result<Vec<StoredEvent>> {
        let nids: Vec<i64> = nids.iter().map(|nid| nid.get()).collect();
        let rows: Vec<EventRow> = sqlx::query_as(concat!(
            event_columns!(),
            "FROM event e
             JOIN room r ON r.nid = e.room_nid
             LEFT JOIN timeline t ON t.event_nid = e.nid
             WHERE e.nid = ANY ($1)"
        ))
        .bind(nids)
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }

    /// The events of these ids, in no particular order; those not found are left out.
    ///
    /// Served by the unique index on `event.id`.
    pub async fn events_by_id(&self, ids: &[&EventId]) -> Result<Vec<StoredEvent>> {
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let rows: Vec<EventRow> = sqlx::query_as(concat!(
            event_columns!(),
            "FROM event e
             JOIN room r ON r.nid = e.room_nid
             LEFT JOIN timeline t ON t.event_nid = e.nid
             WHERE e.id = ANY ($1)"
        ))
        .bind(ids)
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }

    /// At most `limit` events of a room's history on one side of `from`, nearest first, none beyond `to`.
    ///
    /// Soft-failed and rejected events have no place in the history. Served by the primary key of `timeline`.
    pub async fn history(&self, room: RoomNid, from: Point, page: Page) -> Result<Vec<StoredEvent>> {
        let forward = concat!(
            event_columns!(),
            "FROM (SELECT * FROM timeline
                   WHERE room_nid = $1 AND (anchor, sub) >= ($2, $3) AND (anchor, sub) < ($4, $5)
                   ORDER BY anchor, sub LIMIT $6) t
             JOIN event e ON e.nid = t.event_nid
             JOIN room r ON r.nid = e.room_nid
             ORDER BY t.anchor, t.sub"
        );
        let backward = concat!(
            event_columns!(),
            "FROM (SELECT * FROM timeline
                   WHERE room_nid = $1 AND (anchor, sub) < ($2, $3) AND (anchor, sub) >= ($4, $5)
                   ORDER BY anchor DESC, sub DESC LIMIT $6) t
             JOIN event e ON e.nid = t.event_nid
             JOIN room r ON r.nid = e.room_nid
             ORDER BY t.anchor DESC, t.sub DESC"
        );
        let (sql, end) = match page.direction {
            Direction::Forward => (forward, END),
            Direction::Backward => (backward, Point::START),
        };
        let (from, to) = (from.place(), page.to.unwrap_or(end).place());
        let rows: Vec<EventRow> = sqlx::query_as(sql)
            .bind(room.get())
            .bind(from.anchor.get())
            .bind(from.sub)
            .bind(to.anchor.get())
            .bind(to.sub)
            .bind(page.limit)
            .fetch_all(self.db())
            .await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }

    /// The newest events of several rooms' histories, each before its own point, at most `limit` of each room:
    /// as [`Store::history`] backward. Newest first within a room.
    pub async fn histories(&self, pieces: &[Piece], limit: i64) -> Result<Vec<StoredEvent>> {
        let (mut rooms, mut anchors, mut subs, mut afters) = (vec![], vec![], vec![], vec![]);
        for piece in pieces {
            let before = piece.before.place();
            rooms.push(piece.room.get());
            anchors.push(before.anchor.get());
            subs.push(before.sub);
            afters.push(piece.after.get());
        }
        let rows: Vec<EventRow> = sqlx::query_as(concat!(
            event_columns!(),
            "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS p (room, anchor, sub, after)
             CROSS JOIN LATERAL (SELECT * FROM timeline
                   WHERE room_nid = p.room AND (anchor, sub) < (p.anchor, p.sub) AND anchor > p.after
                   ORDER BY anchor DESC, sub DESC LIMIT $5) t
             JOIN event e ON e.nid = t.event_nid
             JOIN room r ON r.nid = e.room_nid
             ORDER BY e.room_nid, t.anchor DESC, t.sub DESC"
        ))
        .bind(rooms)
        .bind(anchors)
        .bind(subs)
        .bind(afters)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }

    /// The `limit` events of a room's history whose times are nearest to `ts` (milliseconds since the epoch), none
    /// before it (forward) or none after it (backward), the nearest first.
    ///
    /// Served by `event_time`.
    pub async fn events_near(
        &self,
        room: RoomNid,
        (ts, direction): (i64, Direction),
        limit: i64,
    ) -> Result<Vec<StoredEvent>> {
        let forward = concat!(
            event_columns!(),
            "FROM event e
             JOIN room r ON r.nid = e.room_nid
             JOIN timeline t ON t.event_nid = e.nid
             WHERE e.room_nid = $1 AND e.origin_server_ts >= $2
             ORDER BY e.origin_server_ts, t.anchor, t.sub LIMIT $3"
        );
        let backward = concat!(
            event_columns!(),
            "FROM event e
             JOIN room r ON r.nid = e.room_nid
             JOIN timeline t ON t.event_nid = e.nid
             WHERE e.room_nid = $1 AND e.origin_server_ts <= $2
             ORDER BY e.origin_server_ts DESC, t.anchor DESC, t.sub DESC LIMIT $3"
        );
        let sql = if direction == Direction::Forward { forward } else { backward };
        let rows: Vec<EventRow> =
            sqlx::query_as(sql).bind(room.get()).bind(ts).bind(limit).fetch_all(self.db()).await?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }
}

/// How much of a room's history to read.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Which way.
    pub direction: Direction,
    /// Where to stop; none for the end of the history.
    pub to: Option<Point>,
    /// How many events at the most.
    pub limit: i64,
}

/// A piece of a room's history.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The room.
    pub room: RoomNid,
    /// It ends before this point.
    pub before: Point,
    /// It begins after this position.
    pub after: Position,
}

/// After every event.
const END: Point = Point::before(Place { anchor: Position::new(i64::MAX), sub: i64::MAX });
