//! Reading the log: what other replicas committed.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid, Root, StateKeyNid, UserNid};
use hearth_core::membership::Membership;

use super::commit::LogKind;
use super::{Change, MemberChange, NewEvent, Redacts, SentBy, StateChange};
use crate::event::pdu;
use crate::unread::Weight;
use crate::{Result, Store, StoreError};

/// An entry of the log, complete.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its position.
    pub pos: Position,
    /// The room it happened in or is about.
    pub room: Option<RoomNid>,
    /// The user it happened to or who did it.
    pub subject: Option<UserNid>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// An event at the end of a room's timeline.
    Event(Arc<NewEvent>),
    /// Memberships changed without an event of a room we are in.
    Membership(MemberChange),
    /// A rarer change, without its secrets and without what its own table holds.
    Change(Change),
    /// A kind this release does not know: whatever is cached for its room and subject must go.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct LogRow {
    pos: i64,
    kind: i16,
    room_nid: Option<i64>,
    subject_nid: Option<i64>,
    ref_nid: Option<i64>,
    payload: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    nid: i64,
    id: String,
    room_nid: i64,
    version: String,
    state_key_nid: Option<i64>,
    sender_nid: i64,
    root_before: Option<i64>,
    auth_events: Vec<i64>,
    auth_order: i32,
    device_id: Option<String>,
    txn_id: Option<String>,
    json: String,
    heads: Option<Vec<i64>>,
    root: Option<i64>,
    joined: Option<i64>,
    invited: Option<i64>,
    redacts: Option<String>,
    redacts_nid: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    pos: i64,
    user_nid: i64,
    membership: i16,
    forgotten: bool,
    event_nid: Option<i64>,
    stripped_state: Option<String>,
}

impl Store {
    /// The newest position; zero before there is one. Served by the primary key of `log`.
    pub async fn head(&self) -> Result<Position> {
        let head: i64 =
            sqlx::query_scalar("SELECT coalesce(max(pos), 0) FROM log").fetch_one(self.db()).await?;
        Ok(Position::new(head))
    }

    /// The entries in `(after, up_to]`, at most `limit` of them, in order.
    ///
    /// Served by the primary keys of `log`, `event` and `room_state`, and by `timeline_event` and
    /// `membership_room`.
    pub async fn log_entries(&self, after: Position, up_to: Position, limit: i64) -> Result<Vec<Logged>> {
        let rows: Vec<LogRow> = sqlx::query_as(
            "SELECT pos, kind, room_nid, subject_nid, ref_nid, payload
             FROM log WHERE pos > $1 AND pos <= $2 ORDER BY pos LIMIT $3",
        )
        .bind(after.get())
        .bind(up_to.get())
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let (first, last) = (first.pos, last.pos);
        let mut events = self.logged_events(first, last).await?;
        let mut members = self.logged_members(first, last).await?;
        rows.into_iter()
            .map(|row| {
                let members = members.remove(&row.pos).unwrap_or_default();
                let event = row.ref_nid.and_then(|nid| events.remove(&nid));
                entry(&row, event, members)
            })
            .collect()
    }

    /// Who began and who ceased to type in `(after, up_to]`, in order. Served by the primary key of `log`.
    pub async fn typing_entries(&self, after: Position, up_to: Position) -> Result<Vec<(Position, Change)>> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT pos, payload FROM log
             WHERE pos > $1 AND pos <= $2 AND kind = $3 AND payload LIKE '{\"set_typing\"%' ORDER BY pos",
        )
        .bind(after.get())
        .bind(up_to.get())
        .bind(LogKind::Change.number())
        .fetch_all(self.db())
        .await?;
        rows.into_iter()
            .map(|(pos, payload)| {
                let change = serde_json::from_str(&payload).map_err(|_| StoreError::corrupt("log", pos))?;
                Ok((Position::new(pos), change))
            })
            .collect()
    }

    async fn logged_events(&self, first: i64, last: i64) -> Result<HashMap<i64, EventRow>> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT e.nid, e.id, e.room_nid, v.version, e.state_key_nid, e.sender_nid, e.root_before,
                    e.auth_events, e.auth_order, e.device_id, e.txn_id, e.json, t.heads, s.root, s.joined, s.invited,
                    r.target AS redacts,
                    (SELECT x.nid FROM event x WHERE x.id = r.target AND x.redacted_by = e.nid) AS redacts_nid
             FROM log l
             JOIN event e ON e.nid = l.ref_nid
             JOIN room v ON v.nid = e.room_nid
             JOIN timeline t ON t.event_nid = e.nid
             LEFT JOIN room_state s ON s.room_nid = l.room_nid AND s.pos = l.pos
             LEFT JOIN redaction r ON r.redaction_nid = e.nid
             WHERE l.pos >= $1 AND l.pos <= $2 AND l.kind = $3",
        )
        .bind(first)
        .bind(last)
        .bind(LogKind::Event.number())
        .fetch_all(self.db())
        .await?;
        Ok(rows.into_iter().map(|row| (row.nid, row)).collect())
    }

    async fn logged_members(&self, first: i64, last: i64) -> Result<HashMap<i64, Vec<MemberRow>>> {
        let rows: Vec<MemberRow> = sqlx::query_as(
            "SELECT m.pos, m.user_nid, m.membership, m.forgotten, m.event_nid, m.stripped_state
             FROM log l JOIN membership m ON m.room_nid = l.room_nid AND m.pos = l.pos
             WHERE l.pos >= $1 AND l.pos <= $2",
        )
        .bind(first)
        .bind(last)
        .fetch_all(self.db())
        .await?;
        let mut by_pos: HashMap<i64, Vec<MemberRow>> = HashMap::new();
        for row in rows {
            by_pos.entry(row.pos).or_default().push(row);
        }
        Ok(by_pos)
    }
}

fn entry(row: &LogRow, event: Option<EventRow>, members: Vec<MemberRow>) -> Result<Logged> {
    let what = match row.kind {
        kind if kind == LogKind::Event.number() => match event {
            Some(event) => {
                let weight = Weight::read(row.payload.as_deref())
                    .ok_or_else(|| StoreError::corrupt("log", row.pos))?;
                What::Event(Arc::new(new_event(event, members, weight)?))
            }
            // Deleted since, with its room.
            None => What::Unknown,
        },
        kind if kind == LogKind::Membership.number() => match members.into_iter().next() {
            Some(member) => What::Membership(member_change(member)?),
            None => What::Unknown,
        },
        kind if kind == LogKind::Change.number() => {
            let payload = row.payload.as_deref().unwrap_or_default();
            // A change that a newer release knows is unknown to this one, not damaged.
            serde_json::from_str(payload).map_or(What::Unknown, What::Change)
        }
        _ => What::Unknown,
    };
    Ok(Logged {
        pos: Position::new(row.pos),
        room: row.room_nid.map(RoomNid::new),
        subject: row.subject_nid.map(UserNid::new),
        what,
    })
}

fn new_event(row: EventRow, members: Vec<MemberRow>, weight: Weight) -> Result<NewEvent> {
    let state = match (row.root, row.joined, row.invited) {
        (Some(root), Some(joined), Some(invited)) => {
            Some(StateChange { root: Root::new(root), joined, invited })
        }
        _ => None,
    };
    let root_before = row.root_before.ok_or_else(|| StoreError::corrupt("event", row.nid))?;
    Ok(NewEvent {
        nid: EventNid::new(row.nid),
        room: RoomNid::new(row.room_nid),
        sender: UserNid::new(row.sender_nid),
        state_key: row.state_key_nid.map(StateKeyNid::new),
        pdu: Arc::new(pdu(row.nid, &row.id, &row.version, row.json)?),
        root_before: Root::new(root_before),
        auth_events: row.auth_events.into_iter().map(EventNid::new).collect(),
        auth_order: row.auth_order,
        sent_by: row.device_id.zip(row.txn_id).map(|(device_id, txn_id)| SentBy { device_id, txn_id }),
        heads: row.heads.map(|heads| heads.into_iter().map(EventNid::new).collect()),
        state,
        members: members.into_iter().map(member_change).collect::<Result<_>>()?,
        redacts: row.redacts.map(|target| Redacts { target, applies_to: row.redacts_nid.map(EventNid::new) }),
        weight,
    })
}

fn member_change(row: MemberRow) -> Result<MemberChange> {
    let membership = Membership::from_number(row.membership)
        .ok_or_else(|| StoreError::corrupt("membership", format!("{} at {}", row.user_nid, row.pos)))?;
    Ok(MemberChange {
        user: UserNid::new(row.user_nid),
        membership,
        forgotten: row.forgotten,
        event: row.event_nid.map(EventNid::new),
        stripped_state: row.stripped_state,
    })
}
