//! What a room is called and how open it is, for those who are not in it.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, RoomNid, Root, StateKeyNid};
use hearth_core::room_version::RoomVersion;
use hearth_core::visibility::HistoryVisibility;
use hearth_store::StoreError;
use hearth_store::log::NewEvent;
use ruma::OwnedRoomId;
use serde::Serialize;
use serde_json::Value;

use super::RoomReader;
use crate::log::{Apply, Cache, Logged, What};

/// Rooms whose summary is kept; one has at most some kilobytes.
const KEPT: usize = 10_000;

/// The state that a summary tells of.
const TOLD: [&str; 9] = [
    "m.room.create",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.encryption",
];

/// What is told of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) canonical_alias: Option<String>,
    pub(super) join_rule: String,
    pub(super) world_readable: bool,
    guest_can_join: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room_type: Option<String>,
    /// For the summary of a single room only.
    #[serde(skip)]
    pub(super) encryption: Option<String>,
    /// Rooms whose members may join.
    #[serde(skip)]
    pub(super) allowed_rooms: Vec<OwnedRoomId>,
}

/// Summaries of rooms in some state.
#[derive(Clone)]
pub(super) struct Summaries(Arc<Cache<RoomNid, (Root, Summary)>>);

impl Summaries {
    pub(super) fn new() -> Self {
        Self(Arc::new(Cache::new(KEPT)))
    }

    /// The summaries of rooms in the given states, in their order: those that are not kept in as many statements
    /// as the deepest state tree has levels, and one.
    pub(super) async fn of(
        &self,
        reader: &RoomReader,
        rooms: &[(RoomNid, Root, &'static RoomVersion)],
    ) -> Result<Vec<Summary>, StoreError> {
        let mut found: HashMap<RoomNid, Summary> = HashMap::with_capacity(rooms.len());
        let mut missing = Vec::new();
        for (room, root, version) in rooms {
            match self.0.peek(room).filter(|kept| kept.0 == *root) {
                Some(kept) => drop(found.insert(*room, kept.1.clone())),
                None => missing.push((*room, *root, *version)),
            }
        }
        if !missing.is_empty() {
            let nids: Vec<RoomNid> = missing.iter().map(|(room, ..)| *room).collect();
            let reading = self.0.read_many(&nids);
            for ((room, root, _), summary) in missing.iter().zip(reader.read_summaries(&missing).await?) {
                reading.keep(room, Arc::new((*root, summary.clone())));
                found.insert(*room, summary);
            }
        }
        rooms
            .iter()
            .map(|(room, ..)| found.get(room).cloned().ok_or_else(|| StoreError::corrupt("room", room)))
            .collect()
    }
}

impl Apply for Summaries {
    fn apply(&self, entry: &Logged) {
        let touches = |event: &NewEvent| event.state.is_some() || event.redacts.is_some();
        match (&entry.what, entry.room) {
            (What::Event(event), Some(room)) if touches(event) => self.0.invalidate(&room),
            (What::Unknown, Some(room)) => self.0.invalidate(&room),
            _ => {}
        }
    }

    fn reset(&self) {
        self.0.clear();
    }
}

impl RoomReader {
    async fn read_summaries(
        &self,
        rooms: &[(RoomNid, Root, &'static RoomVersion)],
    ) -> Result<Vec<Summary>, StoreError> {
        let mut keys: Vec<Option<StateKeyNid>> = Vec::with_capacity(TOLD.len());
        for told in TOLD {
            keys.push(self.interned.known_state_key(told, "").await?);
        }
        let pairs: Vec<(Root, StateKeyNid)> =
            rooms.iter().flat_map(|(_, root, _)| keys.iter().flatten().map(|key| (*root, *key))).collect();
        let stand = self.states.get_pairs(&pairs).await?;
        let nids: Vec<EventNid> = stand.iter().flatten().copied().collect();
        let mut contents: HashMap<EventNid, Value> = HashMap::with_capacity(nids.len());
        for event in self.events.get_many(&nids).await? {
            let content = self.content(&event).await?;
            // Whatever a room says badly is as if it said nothing.
            contents.insert(event.nid, serde_json::from_str(content.get()).unwrap_or_default());
        }
        let per_room = keys.iter().flatten().count();
        let mut stand = stand.into_iter();
        Ok(rooms
            .iter()
            .map(|_| {
                let of_room: Vec<Option<EventNid>> = stand.by_ref().take(per_room).collect();
                let mut of_known = of_room.into_iter();
                let said = keys.iter().map(|key| {
                    let nid = key.and_then(|_| of_known.next()).flatten()?;
                    contents.get(&nid)
                });
                summary(&TOLD.into_iter().zip(said).collect())
            })
            .collect())
    }
}

/// A summary of what the state events of each type say.
fn summary(said: &HashMap<&str, Option<&Value>>) -> Summary {
    let field =
        |event: &str, key: &str| said.get(event).copied().flatten().and_then(|content| content.get(key));
    // Names of nothing are none: clients would show an empty line.
    let text = |event: &str, key: &str| {
        field(event, key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let visibility = text("m.room.history_visibility", "history_visibility");
    Summary {
        name: text("m.room.name", "name"),
        topic: text("m.room.topic", "topic"),
        avatar_url: text("m.room.avatar", "url"),
        canonical_alias: text("m.room.canonical_alias", "alias"),
        // > If there is no join rule, `invite` is assumed.
        join_rule: text("m.room.join_rules", "join_rule").unwrap_or_else(|| "invite".to_owned()),
        world_readable: visibility
            .is_some_and(|name| HistoryVisibility::from_name(&name) == HistoryVisibility::WorldReadable),
        guest_can_join: text("m.room.guest_access", "guest_access").as_deref() == Some("can_join"),
        room_type: text("m.room.create", "type"),
        encryption: text("m.room.encryption", "algorithm"),
        allowed_rooms: field("m.room.join_rules", "allow").map(allowed_rooms).unwrap_or_default(),
    }
}

/// The rooms that a restricted join rule names.
fn allowed_rooms(allow: &Value) -> Vec<OwnedRoomId> {
    let conditions = allow.as_array().map(Vec::as_slice).unwrap_or_default();
    conditions
        .iter()
        .filter(|condition| condition["type"] == "m.room_membership")
        .filter_map(|condition| OwnedRoomId::try_from(condition["room_id"].as_str()?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_takes_what_it_understands_and_leaves_the_rest() {
        let said = [
            ("m.room.create", json!({ "type": "m.space", "room_version": "12" })),
            ("m.room.name", json!({ "name": "" })),
            ("m.room.topic", json!({ "topic": 5 })),
            ("m.room.canonical_alias", json!({ "alias": "#a:b" })),
            (
                "m.room.join_rules",
                json!({ "join_rule": "restricted", "allow": [
                    { "type": "m.room_membership", "room_id": "!a:b" },
                    { "type": "other", "room_id": "!c:d" },
                    5,
                ] }),
            ),
            ("m.room.history_visibility", json!({ "history_visibility": "world_readable" })),
            ("m.room.guest_access", json!({ "guest_access": "can_join" })),
            ("m.room.encryption", json!(null)),
        ];
        let said = said.iter().map(|(event, content)| (*event, Some(content))).collect();
        let expected = Summary {
            name: None,
            topic: None,
            avatar_url: None,
            canonical_alias: Some("#a:b".to_owned()),
            join_rule: "restricted".to_owned(),
            world_readable: true,
            guest_can_join: true,
            room_type: Some("m.space".to_owned()),
            encryption: None,
            allowed_rooms: vec![OwnedRoomId::try_from("!a:b").unwrap()],
        };
        assert_eq!(summary(&said), expected);
    }
}
