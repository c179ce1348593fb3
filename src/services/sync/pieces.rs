//! Pieces of responses that every kind of sync tells in the same way.

use std::collections::BTreeMap;

use hearth_store::account_data::AccountData;
use ruma::OwnedUserId;
use serde_json::{Map, Value, json};

use super::SyncError;
use super::json::Json;
use crate::ephemeral::receipts::Receipt;

/// The content of `m.receipt`: what whom was read up to which event.
pub(super) type Receipts<'a> = BTreeMap<&'a str, BTreeMap<&'static str, Map<String, Value>>>;

/// Writes something that passed.
pub(super) fn event(json: &mut Json, event_type: &str, content: &Value) {
    json.raw(&json!({ "type": event_type, "content": content }).to_string());
}

/// The content of `m.typing`.
pub(super) fn typing(typists: &[OwnedUserId]) -> Value {
    json!({ "user_ids": typists })
}

/// Writes account data as an array; what was deleted has an empty content.
pub(super) fn account_data(json: &mut Json, pieces: &[AccountData]) -> Result<(), SyncError> {
    json.array(|json| {
        pieces.iter().try_for_each(|piece| {
            json.object(|json| {
                json.key("type").string(&piece.data_type);
                json.key("content").raw(piece.content.as_deref().unwrap_or("{}"));
                Ok(())
            })
        })
    })
}

/// The contents that tell of receipts: one, or more where somebody has receipts for several threads on one event,
/// which one content has no place for.
pub(super) fn receipts<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Vec<Receipts<'a>> {
    let mut contents: Vec<Receipts<'a>> = Vec::new();
    for receipt in receipts {
        let (event, kind, user) = (receipt.event_id.as_str(), receipt.kind.name(), receipt.user_id.as_str());
        let mut told = json!({ "ts": receipt.ts });
        if !receipt.thread.is_empty() {
            told["thread_id"] = receipt.thread.as_str().into();
        }
        let taken = |content: &Receipts<'_>| {
            content.get(event).and_then(|kinds| kinds.get(kind)).is_some_and(|users| users.contains_key(user))
        };
        if !contents.iter().any(|content| !taken(content)) {
            contents.push(Receipts::new());
        }
        if let Some(content) = contents.iter_mut().find(|content| !taken(content)) {
            content.entry(event).or_default().entry(kind).or_default().insert(user.to_owned(), told);
        }
    }
    contents
}

#[cfg(test)]
mod tests {
    use hearth_core::id::{Position, RoomNid, UserNid};
    use ruma::{owned_event_id, owned_user_id};

    use super::*;
    use crate::ephemeral::receipts::ReceiptKind;

    fn receipt(thread: &str) -> Receipt {
        Receipt {
            user: UserNid::new(1),
            user_id: owned_user_id!("@u:d"),
            room: RoomNid::new(1),
            kind: ReceiptKind::Public,
            thread: thread.to_owned(),
            event_id: owned_event_id!("$e"),
            ts: 5,
            pos: Position::new(9),
        }
    }

    #[test]
    fn receipts_for_several_threads_on_one_event_are_told_one_after_the_other() {
        let receipts = [receipt(""), receipt("main")];
        let told = json!(super::receipts(receipts.iter()));
        assert_eq!(
            told,
            json!([
                {"$e": {"m.read": {"@u:d": {"ts": 5}}}},
                {"$e": {"m.read": {"@u:d": {"ts": 5, "thread_id": "main"}}}},
            ])
        );
    }
}
