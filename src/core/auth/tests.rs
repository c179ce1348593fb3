use std::collections::HashMap;

use proptest::prelude::*;
use ruma::event_id;
use serde_json::{Value, json};

use super::{
    context::{Member, RoomRules},
    *,
};
use crate::{membership::Membership, pdu::testing::unchecked, room_version};

const USERS: [&str; 4] = ["@creator:domain", "@second:domain", "@member:domain", "@other:elsewhere"];
const TYPES: [&str; 5] =
    ["m.room.message", "m.room.name", "m.room.encryption", "org.example.custom", "m.room.topic"];

/// A room small enough to be written down whole.
#[derive(Debug)]
struct Room {
    version: &'static RoomVersion,
    state: HashMap<(String, String), Pdu>,
}

impl Room {
    fn new(version: &'static RoomVersion, create: &Value, levels: Option<Value>) -> Self {
        let mut room = Self { version, state: HashMap::new() };
        let mut content = json!({ "creator": USERS[0], "room_version": version.id });
        content.as_object_mut().unwrap().extend(create.as_object().unwrap().clone());
        room.put("m.room.create", "", &content);
        if let Some(levels) = levels {
            room.put("m.room.power_levels", "", &levels);
        }
        room.put("m.room.join_rules", "", &json!({ "join_rule": "invite" }));
        room
    }

    fn put(&mut self, event_type: &str, state_key: &str, content: &Value) {
        let event = self.event(USERS[0], event_type, Some(state_key), content);
        self.state.insert((event_type.to_owned(), state_key.to_owned()), event);
    }

    fn event(&self, sender: &str, event_type: &str, state_key: Option<&str>, content: &Value) -> Pdu {
        let mut json = json!({ "type": event_type, "sender": sender, "content": content });
        if let Some(state_key) = state_key {
            json["state_key"] = json!(state_key);
        }
        // Not the one event on top of the create event, which may do more.
        json["prev_events"] = json!(["$before:domain"]);
        unchecked(
            self.version,
            &format!("${event_type}{}:domain", state_key.unwrap_or("-").replace(':', ".")),
            json,
        )
    }

    fn get(&self, event_type: &str, state_key: &str) -> Option<&Pdu> {
        self.state.get(&(event_type.to_owned(), state_key.to_owned()))
    }

    fn full_check(&self, event: &Pdu) -> Result<(), Denied> {
        check_by_state(self.version, event, |event_type, key| self.get(&event_type.to_string(), key))
    }

    fn rules(&self) -> Result<RoomRules, Denied> {
        RoomRules::new(
            self.version,
            self.get("m.room.create", "").unwrap(),
            self.get("m.room.power_levels", ""),
            self.get("m.room.join_rules", ""),
        )
    }

    fn member<'a>(&self, user: &'a str) -> Member<'a> {
        let membership = self.get("m.room.member", user).and_then(|event| {
            let content: Value = serde_json::from_str(event.content().get()).unwrap();
            Membership::from_name(content["membership"].as_str().unwrap())
        });
        Member { user: <&UserId>::try_from(user).unwrap(), membership }
    }
}

/// A level as rooms hold it: mostly a number, at times a string or nonsense.
fn level() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (-10_i64..110).prop_map(|level| json!(level)),
        2 => (-10_i64..110).prop_map(|level| json!(format!(" {level} "))),
        1 => Just(json!("many")),
        1 => Just(json!(null)),
        1 => Just(json!(12.0)),
        1 => Just(json!({})),
    ]
}

fn levels_of(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        12 => prop::collection::hash_map(prop::sample::select(names), level_mostly_sane(), 0..4)
            .prop_map(|map| json!(map)),
        1 => Just(json!([])),
        1 => Just(json!({ "not an id": 5 })),
    ]
}

fn level_mostly_sane() -> impl Strategy<Value = Value> {
    prop_oneof![20 => (-10_i64..110).prop_map(|level| json!(level)), 1 => level()]
}

fn power_levels() -> impl Strategy<Value = Option<Value>> {
    const LEVELS: &[&str] =
        &["users_default", "events_default", "state_default", "ban", "kick", "redact", "invite"];
    let named = prop::collection::hash_map(prop::sample::select(LEVELS), level(), 0..4);
    let content = (named, prop::option::of(levels_of(&USERS)), prop::option::of(levels_of(&TYPES))).prop_map(
        |(named, users, events)| {
            let mut content = json!(named);
            if let Some(users) = users {
                content["users"] = users;
            }
            if let Some(events) = events {
                content["events"] = events;
            }
            content
        },
    );
    prop_oneof![9 => content.prop_map(Some), 1 => Just(None)]
}

fn create() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(json!({})),
        2 => Just(json!({ "m.federate": false })),
        2 => Just(json!({ "additional_creators": [USERS[1]] })),
        1 => Just(json!({ "m.federate": "no" })),
    ]
}

fn memberships() -> impl Strategy<Value = [Option<&'static str>; 4]> {
    prop::array::uniform4(prop_oneof![
        6 => Just(Some("join")),
        1 => Just(Some("leave")),
        1 => Just(Some("ban")),
        1 => Just(Some("invite")),
        1 => Just(None),
    ])
}

fn room() -> impl Strategy<Value = Room> {
    (0_usize..12, create(), power_levels(), memberships()).prop_map(
        |(version, create, levels, memberships)| {
            let mut room = Room::new(&room_version::all()[version], &create, levels);
            for (user, membership) in USERS.into_iter().zip(memberships) {
                if let Some(membership) = membership {
                    room.put("m.room.member", user, &json!({ "membership": membership }));
                }
            }
            room
        },
    )
}

fn agree(room: &Room, quick: &Result<(), Denied>, event: &Pdu) -> Result<(), TestCaseError> {
    let full = room.full_check(event);
    prop_assert_eq!(
        quick.is_ok(),
        full.is_ok(),
        "version {}: quick {:?}, full {:?}, levels {:?}",
        room.version.id,
        quick,
        full,
        room.get("m.room.power_levels", "").map(|event| event.content().get())
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..crate::spec_vectors::quiet() })]

    #[test]
    fn the_quick_answer_is_the_full_one_for_messages_and_state(
        room in room(),
        sender in prop::sample::select(&USERS[..]),
        event_type in prop::sample::select(&TYPES[..]),
        state_key in prop::option::of(prop::sample::select(&["", "key", USERS[0], USERS[2], "@x"][..])),
    ) {
        let event = room.event(sender, event_type, state_key, &json!({}));
        let quick = room.rules().and_then(|rules| {
            assert!(!rules.needs_full_check(event.event_type()));
            rules.may_send(room.member(sender), event.event_type(), state_key)
        });
        agree(&room, &quick, &event)?;
    }

    #[test]
    fn the_quick_answer_is_the_full_one_for_acting_on_others(
        room in room(),
        sender in prop::sample::select(&USERS[..]),
        target in prop::sample::select(&USERS[..]),
        action in prop::sample::select(&["invite", "leave", "ban"][..]),
    ) {
        prop_assume!(sender != target || action != "leave");
        let event = room.event(sender, "m.room.member", Some(target), &json!({ "membership": action }));
        let (from, to) = (room.member(sender), room.member(target));
        let quick = room.rules().and_then(|rules| match action {
            "invite" => rules.may_invite(from, to),
            "ban" => rules.may_ban(from, to),
            _ => rules.may_kick(from, to),
        });
        agree(&room, &quick, &event)?;
    }
}

fn newest() -> &'static RoomVersion {
    room_version::rules(&room_version::DEFAULT).unwrap()
}

#[test]
fn a_creator_outranks_every_number_in_the_newest_version() {
    let mut room =
        Room::new(newest(), &json!({}), Some(json!({ "users": { USERS[1]: 9_007_199_254_740_991_i64 } })));
    for user in &USERS[..2] {
        room.put("m.room.member", user, &json!({ "membership": "join" }));
    }
    let rules = room.rules().unwrap();
    let (creator, second) = (room.member(USERS[0]), room.member(USERS[1]));
    assert_eq!(rules.may_kick(creator, second), Ok(()));
    assert_eq!(rules.may_kick(second, creator), Err(Denied::EqualOrMorePower(USERS[0].to_owned())));
}

#[test]
fn one_may_redact_what_is_ones_own_and_with_power_what_is_not() {
    let room = Room::new(newest(), &json!({}), Some(json!({ "users": { USERS[1]: 50 } })));
    let rules = room.rules().unwrap();
    let [_, second, member, other] = USERS.map(|user| <&UserId>::try_from(user).unwrap());
    assert_eq!(rules.may_redact(member, member), Ok(()));
    assert_eq!(rules.may_redact(second, other), Ok(()));
    assert_eq!(rules.may_redact(member, second), Err(Denied::TooLittlePower { needed: 50 }));
    // Of users of one server, its own server has judged already.
    assert_eq!(rules.redaction_applies(member, second), Ok(()));
    assert_eq!(rules.redaction_applies(other, second), Err(Denied::TooLittlePower { needed: 50 }));
}

#[test]
fn an_event_names_the_state_that_allows_it() {
    let content = RawValue::from_string(r#"{"membership":"join"}"#.to_owned()).unwrap();
    let user = <&UserId>::try_from(USERS[2]).unwrap();
    let types = |version: &str| {
        let version = room_version::rules(&version.try_into().unwrap()).unwrap();
        let types = auth_types(version, &TimelineEventType::RoomMember, user, Some(USERS[2]), &content);
        let mut types: Vec<_> = types.unwrap().into_iter().map(|(name, _)| name.to_string()).collect();
        types.sort();
        types
    };
    assert_eq!(types("11"), ["m.room.create", "m.room.join_rules", "m.room.member", "m.room.power_levels"]);
    assert_eq!(types("12"), ["m.room.join_rules", "m.room.member", "m.room.power_levels"]);
}

#[test]
fn a_missing_auth_event_is_told_apart_from_a_rule() {
    let room = Room::new(newest(), &json!({}), None);
    let mut json = json!({ "type": "m.room.message", "sender": USERS[2], "room_id": "!hash" });
    json["auth_events"] = json!([event_id!("$unknown:domain")]);
    let event = unchecked(newest(), "$m", json);
    let unknown = check(newest(), &event, |_| None::<&Pdu>, |_, _| None);
    assert!(matches!(unknown, Err(Denied::AuthEvents(_))), "{unknown:?}");
    let outsider = room.event(USERS[2], "m.room.message", None, &json!({}));
    let denied = room.full_check(&outsider).unwrap_err();
    assert!(denied.to_string().starts_with("The room's rules do not allow this:"), "{denied}");
    assert_eq!(room.rules().unwrap().sources().create, "$m.room.create:domain");
}
