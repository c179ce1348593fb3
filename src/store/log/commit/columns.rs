//! A batch turned on its side: one array for each parameter of the commit function.

use serde_json::{Map, Value, json};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::log::{Append, Change, Claim, Entry, MemberChange, NewEvent, NewNode, Proposal, Redacts};
use crate::{Result, StoreError};
use hearth_core::id::{EventNid, RoomNid, StateKeyNid, UserNid};

/// What a log row is about. Stored as a number.
#[derive(Clone, Copy)]
pub(in crate::log) enum LogKind {
    /// The clock jumped; nothing happened.
    Clock = 0,
    /// A room event.
    Event = 1,
    /// A membership without an event of ours.
    Membership = 2,
    /// A [`Change`].
    Change = 3,
}

impl LogKind {
    pub(in crate::log) const fn number(self) -> i16 {
        self as i16
    }
}

#[derive(Default)]
pub(super) struct Columns {
    items: Items,
    log: Log,
    txns: Txns,
    events: Events,
    nodes: Nodes,
    states: States,
    members: Members,
    rare: Map<String, Value>,
}

#[derive(Default)]
struct Items {
    room: Vec<Option<i64>>,
    base: Vec<Option<i64>>,
}

#[derive(Default)]
struct Log {
    item: Vec<i32>,
    kind: Vec<i16>,
    room: Vec<Option<i64>>,
    subject: Vec<Option<i64>>,
    reference: Vec<Option<i64>>,
    payload: Vec<Option<String>>,
}

#[derive(Default)]
struct Txns {
    item: Vec<i32>,
    user: Vec<i64>,
    device: Vec<String>,
    scope: Vec<String>,
    txn: Vec<String>,
    reply: Vec<Option<i64>>,
    ts: i64,
}

#[derive(Default)]
struct Events {
    entry: Vec<i32>,
    nid: Vec<i64>,
    id: Vec<String>,
    event_type: Vec<String>,
    state_key: Vec<Option<i64>>,
    depth: Vec<i64>,
    ts: Vec<i64>,
    root_before: Vec<i64>,
    auth: Vec<String>,
    auth_order: Vec<i32>,
    device: Vec<Option<String>>,
    txn: Vec<Option<String>>,
    json: Vec<String>,
    heads: Vec<Option<String>>,
    thread: Vec<String>,
    counts: Vec<bool>,
}

#[derive(Default)]
struct Nodes {
    item: Vec<i32>,
    id: Vec<i64>,
    data: Vec<Vec<u8>>,
}

#[derive(Default)]
struct States {
    entry: Vec<i32>,
    root: Vec<i64>,
    joined: Vec<i64>,
    invited: Vec<i64>,
}

#[derive(Default)]
struct Members {
    entry: Vec<i32>,
    user: Vec<i64>,
    membership: Vec<i16>,
    forgotten: Vec<bool>,
    event: Vec<Option<i64>>,
    stripped: Vec<Option<String>>,
}

/// Who and where a log row is about.
struct About {
    kind: LogKind,
    room: Option<RoomNid>,
    subject: Option<UserNid>,
    reference: Option<EventNid>,
    payload: Option<String>,
}

impl Columns {
    pub(super) fn of(proposals: &[&Proposal]) -> Result<Self> {
        let mut columns = Self::default();
        for (proposal, item) in proposals.iter().zip(1_i32..) {
            columns.push(item, proposal)?;
        }
        Ok(columns)
    }

    fn push(&mut self, item: i32, proposal: &Proposal) -> Result<()> {
        self.push_item(proposal.append);
        if let Some(claim) = &proposal.claim {
            self.push_claim(item, claim);
        }
        for node in &proposal.nodes {
            self.push_node(item, node);
        }
        for entry in &proposal.entries {
            match entry {
                Entry::Event(event) => self.push_event(item, event),
                Entry::Membership { room, change } => self.push_membership(item, *room, change),
                Entry::Change(change) => self.push_change(item, change)?,
            }
        }
        Ok(())
    }

    fn push_item(&mut self, append: Option<Append>) {
        self.items.room.push(append.map(|append| append.room.get()));
        self.items.base.push(append.map(|append| append.base.get()));
    }

    fn push_claim(&mut self, item: i32, claim: &Claim) {
        self.txns.item.push(item);
        self.txns.user.push(claim.user.get());
        self.txns.device.push(claim.device_id.clone());
        self.txns.scope.push(claim.scope.clone());
        self.txns.txn.push(claim.txn_id.clone());
        self.txns.reply.push(claim.reply.map(EventNid::get));
        self.txns.ts = self.txns.ts.max(claim.ts);
    }

    fn push_node(&mut self, item: i32, node: &NewNode) {
        self.nodes.item.push(item);
        self.nodes.id.push(node.id.get());
        self.nodes.data.push(node.data.to_vec());
    }

    /// Adds a log row, and returns its entry number.
    fn push_log(&mut self, item: i32, about: About) -> i32 {
        self.log.item.push(item);
        self.log.kind.push(about.kind.number());
        self.log.room.push(about.room.map(RoomNid::get));
        self.log.subject.push(about.subject.map(UserNid::get));
        self.log.reference.push(about.reference.map(EventNid::get));
        self.log.payload.push(about.payload);
        // A batch is bounded far below what an i32 counts.
        i32::try_from(self.log.item.len()).unwrap_or(i32::MAX)
    }

    fn push_event(&mut self, item: i32, event: &NewEvent) {
        let entry = self.push_log(
            item,
            About {
                kind: LogKind::Event,
                room: Some(event.room),
                subject: Some(event.sender),
                reference: Some(event.nid),
                payload: event.weight.told(),
            },
        );
        let events = &mut self.events;
        events.entry.push(entry);
        events.nid.push(event.nid.get());
        events.id.push(event.pdu.event_id().to_string());
        events.event_type.push(event.pdu.event_type().to_string());
        events.state_key.push(event.state_key.map(StateKeyNid::get));
        events.depth.push(event.pdu.depth().get());
        events.ts.push(i64::from(event.pdu.origin_server_ts().0));
        events.root_before.push(event.root_before.get());
        events.auth.push(array_literal(&event.auth_events));
        events.auth_order.push(event.auth_order);
        events.device.push(event.sent_by.as_ref().map(|by| by.device_id.clone()));
        events.txn.push(event.sent_by.as_ref().map(|by| by.txn_id.clone()));
        events.json.push(event.pdu.json().to_string());
        events.heads.push(event.heads.as_deref().map(array_literal));
        events.thread.push(event.weight.thread.clone().unwrap_or_default());
        events.counts.push(event.weight.counts);
        self.push_highlights(item, entry, event);
        if let Some(state) = event.state {
            self.states.entry.push(entry);
            self.states.root.push(state.root.get());
            self.states.joined.push(state.joined);
            self.states.invited.push(state.invited);
        }
        for member in &event.members {
            self.push_member(entry, member);
        }
        if let Some(Redacts { target, applies_to }) = &event.redacts {
            self.push_rare(
                "redact",
                json!({ "i": item, "n": entry, "target": target, "redaction": event.nid, "applies_to": applies_to }),
            );
        }
    }

    fn push_highlights(&mut self, item: i32, entry: i32, event: &NewEvent) {
        let weight = &event.weight;
        for user in weight.highlighted() {
            self.push_rare(
                "highlight",
                json!({
                    "i": item, "n": entry, "room": event.room, "user": user, "event": event.nid,
                    "sender": event.sender, "thread": weight.thread.as_deref().unwrap_or_default(),
                    "beyond": !weight.counts,
                }),
            );
        }
    }

    fn push_membership(&mut self, item: i32, room: RoomNid, change: &MemberChange) {
        let about = About {
            kind: LogKind::Membership,
            room: Some(room),
            subject: Some(change.user),
            reference: change.event,
            payload: None,
        };
        let entry = self.push_log(item, about);
        self.push_member(entry, change);
    }

    fn push_member(&mut self, entry: i32, change: &MemberChange) {
        self.members.entry.push(entry);
        self.members.user.push(change.user.get());
        self.members.membership.push(change.membership.number());
        self.members.forgotten.push(change.forgotten);
        self.members.event.push(change.event.map(EventNid::get));
        self.members.stripped.push(change.stripped_state.clone());
    }

    fn push_change(&mut self, item: i32, change: &Change) -> Result<()> {
        let unreadable = |_| StoreError::corrupt("log", change.name());
        let payload = serde_json::to_string(&change.announced()).map_err(unreadable)?;
        let entry = self.push_log(
            item,
            About {
                kind: LogKind::Change,
                room: change.room(),
                subject: change.subject(),
                reference: None,
                payload: Some(payload),
            },
        );
        let mut value = serde_json::to_value(change).map_err(unreadable)?;
        if let Some(Value::Object(mut fields)) = value.get_mut(change.name()).map(Value::take) {
            fields.insert("i".to_owned(), item.into());
            fields.insert("n".to_owned(), entry.into());
            self.push_rare(change.name(), Value::Object(fields));
        }
        Ok(())
    }

    fn push_rare(&mut self, kind: &str, fields: Value) {
        if let Value::Array(all) = self.rare.entry(kind).or_insert_with(|| Value::Array(Vec::new())) {
            all.push(fields);
        }
    }

    /// The call, its parameters in the order of the function's signature.
    pub(super) fn bind(self, incarnation: i64, batch: i64) -> Query<'static, Postgres, PgArguments> {
        let rare = (!self.rare.is_empty()).then_some(sqlx::types::Json(Value::Object(self.rare)));
        sqlx::query(
            "SELECT head, dropped_item, dropped_why, dropped_reply FROM hearth_commit_r2(
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
                $41, $42, $43, $44, $45, $46, $47)",
        )
        .bind(incarnation)
        .bind(batch)
        .bind(self.items.room)
        .bind(self.items.base)
        .bind(self.log.item)
        .bind(self.log.kind)
        .bind(self.log.room)
        .bind(self.log.subject)
        .bind(self.log.reference)
        .bind(self.log.payload)
        .bind(self.txns.item)
        .bind(self.txns.user)
        .bind(self.txns.device)
        .bind(self.txns.scope)
        .bind(self.txns.txn)
        .bind(self.txns.reply)
        .bind(self.txns.ts)
        .bind(self.events.entry)
        .bind(self.events.nid)
        .bind(self.events.id)
        .bind(self.events.event_type)
        .bind(self.events.state_key)
        .bind(self.events.depth)
        .bind(self.events.ts)
        .bind(self.events.root_before)
        .bind(self.events.auth)
        .bind(self.events.auth_order)
        .bind(self.events.device)
        .bind(self.events.txn)
        .bind(self.events.json)
        .bind(self.events.heads)
        .bind(self.events.thread)
        .bind(self.events.counts)
        .bind(self.nodes.item)
        .bind(self.nodes.id)
        .bind(self.nodes.data)
        .bind(self.states.entry)
        .bind(self.states.root)
        .bind(self.states.joined)
        .bind(self.states.invited)
        .bind(self.members.entry)
        .bind(self.members.user)
        .bind(self.members.membership)
        .bind(self.members.forgotten)
        .bind(self.members.event)
        .bind(self.members.stripped)
        .bind(rare)
    }
}

/// `{1,2,3}`: PostgreSQL has no arrays of arrays of different lengths, so they travel as text.
fn array_literal(nids: &[EventNid]) -> String {
    let numbers: Vec<String> = nids.iter().map(ToString::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
