//! The `ephemeral` section of a room.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::json::Json;
use crate::ephemeral::receipts::Receipt;
use crate::sync::SyncError;
use crate::sync::ephemeral::Ephemeral;

/// The content of `m.receipt`: what whom was read up to which event.
type Content<'a> = BTreeMap<&'a str, BTreeMap<&'static str, Map<String, Value>>>;

/// Writes what passed in a room.
pub(super) fn ephemeral(json: &mut Json, passed: &Ephemeral) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("events").array(|json| {
            if let Some(typing) = &passed.typing {
                event(json, "m.typing", &json!({ "user_ids": typing }));
            }
            for content in contents(passed.receipts.iter().map(AsRef::as_ref)) {
                event(json, "m.receipt", &json!(content));
            }
            Ok(())
        })
    })
}

fn event(json: &mut Json, event_type: &str, content: &Value) {
    json.raw(&json!({ "type": event_type, "content": content }).to_string());
}

/// The contents that tell of receipts: one, or more where somebody has receipts for several threads on one event,
/// which one content has no place for.
fn contents<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Vec<Content<'a>> {
    let mut contents: Vec<Content<'a>> = Vec::new();
    for receipt in receipts {
        let (event, kind, user) = (receipt.event_id.as_str(), receipt.kind.name(), receipt.user_id.as_str());
        let mut told = json!({ "ts": receipt.ts });
        if !receipt.thread.is_empty() {
            told["thread_id"] = receipt.thread.as_str().into();
        }
        let taken = |content: &Content<'_>| {
            content.get(event).and_then(|kinds| kinds.get(kind)).is_some_and(|users| users.contains_key(user))
        };
        if !contents.iter().any(|content| !taken(content)) {
            contents.push(Content::new());
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
        let told = json!(contents(receipts.iter()));
        assert_eq!(
            told,
            json!([
                {"$e": {"m.read": {"@u:d": {"ts": 5}}}},
                {"$e": {"m.read": {"@u:d": {"ts": 5, "thread_id": "main"}}}},
            ])
        );
    }
}
