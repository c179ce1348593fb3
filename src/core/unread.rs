//! What an event counts for in the unread counts of those whose push rules are the default ones.
//!
//! The defaults ask little about the user: whether the event mentions them. So they are tried at most twice, once
//! as everybody's and once as those of whoever is mentioned, and never for each member.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::FutureExt;
use ruma::events::TimelineEventType;
use ruma::power_levels::NotificationPowerLevels;
use ruma::push::{
    Action, AnyPushRuleRef, PredefinedOverrideRuleId, PushConditionPowerLevelsCtx, PushConditionRoomCtx,
    Ruleset,
};
use ruma::room_version_rules::{AuthorizationRules, RoomPowerLevelsRules};
use ruma::serde::Raw;
use ruma::{Int, OwnedRoomId, OwnedUserId, UserId, room_id, uint, user_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pdu::Pdu;
use crate::push_rules;

/// The most users of one event that are taken for mentioned: each is looked for among the members. Who greets more
/// of them has `room` for it.
const MAX_MENTIONED: usize = 100;

/// Who the rules are tried as. Nothing in them depends on it.
static SOMEBODY: LazyLock<OwnedUserId> = LazyLock::new(|| user_id!("@somebody:invalid").to_owned());

/// The same for the room.
static SOMEWHERE: LazyLock<OwnedRoomId> = LazyLock::new(|| room_id!("!somewhere:invalid").to_owned());

/// The rules of a member whom an event does not name.
static EVERYBODYS: LazyLock<Ruleset> = LazyLock::new(|| {
    let mut rules = push_rules::defaults(&SOMEBODY);
    rules.override_.retain(|rule| !is(rule.rule_id.as_str(), &PredefinedOverrideRuleId::IsUserMention));
    // An invited user is no member.
    rules.override_.retain(|rule| !is(rule.rule_id.as_str(), &PredefinedOverrideRuleId::InviteForMe));
    rules
});

/// The rules of a member whom an event mentions.
static MENTIONED: LazyLock<Ruleset> = LazyLock::new(|| {
    let rules = push_rules::defaults(&SOMEBODY);
    let mut mentioned = EVERYBODYS.clone();
    mentioned.override_.clear();
    for mut rule in rules.override_ {
        if is(&rule.rule_id, &PredefinedOverrideRuleId::InviteForMe) {
            continue;
        }
        if is(&rule.rule_id, &PredefinedOverrideRuleId::IsUserMention) {
            rule.conditions.clear();
        }
        mentioned.override_.insert(rule);
    }
    mentioned
});

/// What the default rules look for in a message's content, as it stands in canonical JSON.
const LOOKED_FOR: [&str; 3] = ["\"m.mentions\"", "\"m.relates_to\"", "\"m.notice\""];

/// What a message counts for that has none of it: nearly every one.
static PLAIN: LazyLock<Countability> = LazyLock::new(|| {
    let content = RawValue::from_string(r#"{"body":"","msgtype":"m.text"}"#.to_owned());
    content.map_or_else(
        |_| Countability::default(),
        |content| {
            let event = Judged {
                r#type: &TimelineEventType::RoomMessage,
                // Nobody hears of their own.
                sender: user_id!("@sender:invalid"),
                state_key: None,
                content: &content,
            };
            Countability::judge(&event, false, Vec::new)
        },
    )
});

/// What an event counts for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countability {
    /// It notifies every member but its sender.
    pub counts: bool,
    /// It is highlighted for every member but its sender.
    pub highlights: bool,
    /// Those, its sender aside, for whom it is highlighted where it is not for everybody. They may not be members.
    pub mentioned: Vec<OwnedUserId>,
}

impl Countability {
    /// Of an event; `may_notify_room` if its sender has the power to notify everybody, which matters only where it
    /// [`mentions_room`].
    #[must_use]
    pub fn of(pdu: &Pdu, may_notify_room: bool) -> Self {
        if is_plain(pdu) {
            return PLAIN.clone();
        }
        Self::judge(&Judged::of(pdu), may_notify_room, || mentioned(pdu))
    }

    fn judge(
        event: &Judged<'_>,
        may_notify_room: bool,
        mentioned: impl FnOnce() -> Vec<OwnedUserId>,
    ) -> Self {
        let Ok(event) = Raw::new(event) else { return Self::default() };
        let context = context(may_notify_room);
        let (counts, highlights) = outcome(&EVERYBODYS, &event, &context);
        let mut mentioned = if highlights { Vec::new() } else { mentioned() };
        if !mentioned.is_empty() && !outcome(&MENTIONED, &event, &context).1 {
            mentioned.clear();
        }
        Self { counts, highlights, mentioned }
    }
}

/// Whether an event is meant for everybody in its room.
#[must_use]
pub fn mentions_room(pdu: &Pdu) -> bool {
    mentions(pdu).is_some_and(|mentions| mentions.room == Some(Value::Bool(true)))
}

/// The parts of an event that the default rules look at.
#[derive(Serialize)]
struct Judged<'a> {
    r#type: &'a TimelineEventType,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    content: &'a RawValue,
}

impl<'a> Judged<'a> {
    fn of(pdu: &'a Pdu) -> Self {
        Self {
            r#type: pdu.event_type(),
            sender: pdu.sender(),
            state_key: pdu.state_key(),
            content: pdu.content(),
        }
    }
}

/// Whether an event is a message with nothing in its content that the default rules look for.
fn is_plain(pdu: &Pdu) -> bool {
    *pdu.event_type() == TimelineEventType::RoomMessage
        && pdu.state_key().is_none()
        && !LOOKED_FOR.iter().any(|words| pdu.content().get().contains(words))
}

/// Whether an event notifies, and whether it is highlighted.
fn outcome(rules: &Ruleset, event: &Raw<Judged<'_>>, context: &PushConditionRoomCtx) -> (bool, bool) {
    // Nothing in the default rules is waited for.
    let rule = rules.get_match(event, context).now_or_never().flatten();
    let actions = rule.map(AnyPushRuleRef::actions).unwrap_or_default();
    let notifies = actions.iter().any(Action::should_notify);
    (notifies, notifies && actions.iter().any(Action::is_highlight))
}

/// The circumstances of an event. How many are in the room decides only which sound is made.
fn context(may_notify_room: bool) -> PushConditionRoomCtx {
    let context = PushConditionRoomCtx::new(SOMEWHERE.clone(), uint!(3), SOMEBODY.clone(), String::new());
    if !may_notify_room {
        return context;
    }
    context.with_power_levels(PushConditionPowerLevelsCtx::new(
        BTreeMap::new(),
        Int::MAX,
        NotificationPowerLevels::new(),
        RoomPowerLevelsRules::new(&AuthorizationRules::V1, None),
    ))
}

fn is(rule_id: &str, predefined: &PredefinedOverrideRuleId) -> bool {
    rule_id == predefined.as_str()
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "m.mentions", default)]
    mentions: Option<Mentions>,
}

#[derive(Deserialize)]
struct Mentions {
    #[serde(default)]
    user_ids: Vec<Value>,
    #[serde(default)]
    room: Option<Value>,
}

/// Whom an event says it mentions. What is malformed mentions nobody.
fn mentions(pdu: &Pdu) -> Option<Mentions> {
    if !pdu.content().get().contains("\"m.mentions\"") {
        return None;
    }
    serde_json::from_str::<Content>(pdu.content().get()).ok()?.mentions
}

/// The users that an event mentions, each once.
fn mentioned(pdu: &Pdu) -> Vec<OwnedUserId> {
    let listed = mentions(pdu).map(|mentions| mentions.user_ids).unwrap_or_default();
    let mut users: Vec<OwnedUserId> = listed
        .iter()
        .filter_map(|id| UserId::parse(id.as_str()?).ok())
        .filter(|id| id != pdu.sender())
        .collect();
    users.sort_unstable();
    users.dedup();
    users.truncate(MAX_MENTIONED);
    users
}

#[cfg(test)]
mod tests {
    use ruma::{EventId, RoomVersionId};
    use serde_json::json;

    use super::*;
    use crate::room_version;

    fn pdu(event_type: &str, content: &Value, state_key: Option<&str>) -> Pdu {
        let mut event = json!({
            "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1, "prev_events": [],
            "room_id": "!r:d", "sender": "@alice:d", "type": event_type,
        });
        if let Some(key) = state_key {
            event["state_key"] = key.into();
        }
        let version = room_version::rules(&RoomVersionId::V11).unwrap();
        let id = EventId::parse("$event").unwrap();
        Pdu::from_stored(event.to_string().into(), id, version).unwrap()
    }

    fn weigh(event_type: &str, content: &Value, state_key: Option<&str>) -> Countability {
        Countability::of(&pdu(event_type, content, state_key), false)
    }

    #[test]
    fn messages_count_and_what_the_rules_suppress_does_not() {
        let relates = |kind: &str| json!({"m.relates_to": {"rel_type": kind, "event_id": "$other"}});
        let text = json!({"msgtype": "m.text", "body": "hello"});
        for (event_type, content, state_key, counts) in [
            ("m.room.message", text.clone(), None, true),
            ("m.room.message", json!({"msgtype": "m.emote", "body": "waves"}), None, true),
            ("m.room.encrypted", json!({"algorithm": "x"}), None, true),
            ("m.call.invite", json!({}), None, true),
            ("m.room.message", json!({"msgtype": "m.notice", "body": "hello"}), None, false),
            ("m.room.message", relates("m.replace"), None, false),
            ("m.reaction", relates("m.annotation"), None, false),
            ("m.room.redaction", json!({}), None, false),
            ("org.example.other", text, None, false),
            ("m.room.member", json!({"membership": "join"}), Some("@alice:d"), false),
            ("m.room.member", json!({"membership": "invite"}), Some("@bob:d"), false),
            ("m.room.topic", json!({"topic": "t"}), Some(""), false),
            ("m.room.server_acl", json!({}), Some(""), false),
            ("m.room.tombstone", json!({}), Some(""), true),
        ] {
            let weighed = weigh(event_type, &content, state_key);
            assert_eq!(weighed.counts, counts, "{event_type} {content}");
            assert_eq!(weighed.highlights, event_type == "m.room.tombstone", "{event_type} {content}");
        }
    }

    #[test]
    fn a_plain_message_counts_for_what_the_rules_make_of_it() {
        for content in [
            json!({"body": "hello", "msgtype": "m.text"}),
            json!({"body": "says m.notice", "msgtype": "m.text", "format": "x", "formatted_body": "<b>m.mentions</b>"}),
            json!({"body": "waves", "msgtype": "m.emote", "m.relates": {}, "state_key": "", "type": "m.reaction"}),
            json!({"membership": "invite", "url": "mxc://d/e"}),
            json!({}),
        ] {
            let plain = pdu("m.room.message", &content, None);
            assert!(is_plain(&plain), "{content}");
            let judged = Countability::judge(&Judged::of(&plain), false, || mentioned(&plain));
            assert_eq!(Countability::of(&plain, false), judged, "{content}");
            assert_eq!(Countability::of(&plain, true), judged, "{content}");
        }
        for (event_type, content, state_key) in [
            ("m.room.message", json!({"msgtype": "m.notice"}), None),
            ("m.room.message", json!({"m.relates_to": {}}), None),
            ("m.room.message", json!({"m.mentions": {}}), None),
            ("m.room.message", json!({}), Some("")),
            ("m.room.encrypted", json!({}), None),
        ] {
            assert!(!is_plain(&pdu(event_type, &content, state_key)), "{event_type} {content}");
        }
    }

    /// What else they looked for would have to be looked for in messages.
    #[test]
    fn the_default_rules_look_for_nothing_else_in_messages() {
        let rules = serde_json::to_value(push_rules::client_json(&EVERYBODYS)).unwrap();
        let conditions = rules.as_object().unwrap().values().flat_map(|kind| kind.as_array().unwrap());
        let conditions =
            conditions.flat_map(|rule| rule["conditions"].as_array().cloned().unwrap_or_default());
        let mut keys: Vec<String> =
            conditions.filter_map(|condition| Some(condition["key"].as_str()?.to_owned())).collect();
        keys.sort_unstable();
        keys.dedup();
        let expected = [
            "content.m\\.mentions.room",
            "content.m\\.relates_to.rel_type",
            "content.msgtype",
            "room",
            "state_key",
            "type",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn who_is_mentioned_is_told_even_of_what_counts_for_nobody() {
        let mentions = json!({"user_ids": ["@bob:d", "@bob:d", "@alice:d", 1, "nobody"]});
        let bob = vec![user_id!("@bob:d").to_owned()];
        for event_type in ["m.room.message", "org.example.other"] {
            let weighed = weigh(event_type, &json!({"body": "b", "m.mentions": mentions}), None);
            assert_eq!(weighed.mentioned, bob, "{event_type}");
        }
        let notice = json!({"msgtype": "m.notice", "body": "b", "m.mentions": mentions});
        assert_eq!(weigh("m.room.message", &notice, None), Countability::default());
        let malformed = json!({"body": "b", "m.mentions": {"user_ids": "@bob:d"}});
        assert!(weigh("m.room.message", &malformed, None).mentioned.is_empty());
        // The rules are tried as nobody's.
        let marker = json!({"body": "b", "m.mentions": {"user_ids": [SOMEBODY.as_str()]}});
        assert!(!weigh("m.room.message", &marker, None).highlights);
    }

    #[test]
    fn only_who_may_notify_the_room_mentions_everybody() {
        let pdu = pdu("m.room.message", &json!({"body": "b", "m.mentions": {"room": true}}), None);
        assert!(mentions_room(&pdu));
        assert!(!Countability::of(&pdu, false).highlights);
        assert!(Countability::of(&pdu, false).counts);
        assert!(Countability::of(&pdu, true).highlights);
    }
}
