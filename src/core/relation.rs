//! What an event says of another: `m.relates_to`.

use ruma::{EventId, OwnedEventId};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The thread of everything that is in none.
pub const MAIN: &str = "main";

/// The type of the relation that puts an event into a thread.
const THREAD: &str = "m.thread";

/// A relation to another event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// How it relates.
    pub rel_type: String,
    /// To what.
    pub event_id: OwnedEventId,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "m.relates_to", borrow)]
    relates_to: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RelatesTo {
    rel_type: String,
    event_id: String,
}

impl Relation {
    /// The relation that an event's content names. One that is malformed is none.
    ///
    /// > If the `m.relates_to` is malformed … clients and servers should ignore it.
    #[must_use]
    pub fn of(content: &RawValue) -> Option<Self> {
        let content: Content<'_> = serde_json::from_str(content.get()).ok()?;
        let relates: RelatesTo = serde_json::from_str(content.relates_to?.get()).ok()?;
        let event_id = EventId::parse(relates.event_id).ok()?;
        Some(Self { rel_type: relates.rel_type, event_id })
    }

    /// The event that the thread begins with which this relation puts its event into.
    #[must_use]
    pub fn thread_root(&self) -> Option<&EventId> {
        (self.rel_type == THREAD).then_some(&*self.event_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    fn relation(content: &Value) -> Option<Relation> {
        Relation::of(&to_raw_value(content).unwrap())
    }

    #[test]
    fn a_relation_has_a_type_and_an_event() {
        let thread = json!({"m.relates_to": {"rel_type": "m.thread", "event_id": "$root", "key": 1}});
        let found = relation(&thread).unwrap();
        assert_eq!(found.thread_root().map(EventId::as_str), Some("$root"));
        let edit = json!({"m.relates_to": {"rel_type": "m.replace", "event_id": "$root"}});
        assert_eq!(relation(&edit).unwrap().thread_root(), None);
    }

    #[test]
    fn what_is_malformed_is_no_relation() {
        for content in [
            json!({}),
            json!({"m.relates_to": null}),
            json!({"m.relates_to": {"event_id": "$root"}}),
            json!({"m.relates_to": {"rel_type": 1, "event_id": "$root"}}),
            json!({"m.relates_to": {"rel_type": "m.thread", "event_id": "root"}}),
            json!({"m.relates_to": {"m.in_reply_to": {"event_id": "$root"}}}),
        ] {
            assert_eq!(relation(&content), None, "{content}");
        }
    }
}
