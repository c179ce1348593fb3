//! What createRoom sets up: presets and the first power levels.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, api::client::room::create_room::v3::RoomPreset, int,
};

use crate::room_version::RoomVersion;

/// The level of creators where they are not above all levels.
const CREATOR: i64 = 100;

/// What a preset decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresetState {
    /// `join_rule` of `m.room.join_rules`.
    pub join_rule: &'static str,
    /// `history_visibility` of `m.room.history_visibility`.
    pub history_visibility: &'static str,
    /// `guest_access` of `m.room.guest_access`.
    pub guest_access: &'static str,
    /// Whoever is invited at once is the creator's equal.
    pub trusts_invitees: bool,
    /// The level to invite others: in rooms among friends anyone may.
    pub invite: i64,
}

/// The state that a preset sets; `None` for a preset this server does not know.
#[must_use]
pub fn preset(preset: &RoomPreset) -> Option<PresetState> {
    let private = PresetState {
        join_rule: "invite",
        history_visibility: "shared",
        guest_access: "can_join",
        trusts_invitees: false,
        invite: 0,
    };
    match preset {
        RoomPreset::PrivateChat => Some(private),
        RoomPreset::TrustedPrivateChat => Some(PresetState { trusts_invitees: true, ..private }),
        RoomPreset::PublicChat => {
            Some(PresetState { join_rule: "public", guest_access: "forbidden", invite: 50, ..private })
        }
        _ => None,
    }
}

/// The content of a new room's power levels event.
///
/// `equals` are the creator and, where the preset trusts them, the invitees; in the versions whose
/// creators are above all levels they must not be named. The client's override replaces whole entries
/// of the content.
#[must_use]
pub fn power_levels(
    version: &RoomVersion,
    preset: PresetState,
    equals: &[OwnedUserId],
    overrides: Option<&CanonicalJsonObject>,
) -> CanonicalJsonObject {
    let levels = |entries: &[(&str, i64)]| -> CanonicalJsonObject {
        entries.iter().map(|(key, level)| ((*key).to_owned(), integer(*level))).collect()
    };
    let users = if version.initial_power.lists_creators {
        equals.iter().map(|user| (user.to_string(), integer(CREATOR))).collect()
    } else {
        CanonicalJsonObject::new()
    };
    let events = levels(&[
        ("m.room.avatar", 50),
        ("m.room.canonical_alias", 50),
        ("m.room.encryption", 100),
        ("m.room.history_visibility", 100),
        ("m.room.name", 50),
        ("m.room.power_levels", 100),
        ("m.room.server_acl", 100),
        ("m.room.tombstone", version.initial_power.tombstone),
    ]);
    let mut content = levels(&[
        ("ban", 50),
        ("events_default", 0),
        ("historical", 100),
        ("invite", preset.invite),
        ("kick", 50),
        ("redact", 50),
        ("state_default", 50),
        ("users_default", 0),
    ]);
    content.insert("events".to_owned(), CanonicalJsonValue::Object(events));
    content.insert("users".to_owned(), CanonicalJsonValue::Object(users));
    for (key, value) in overrides.into_iter().flatten() {
        content.insert(key.clone(), value.clone());
    }
    content
}

fn integer(level: i64) -> CanonicalJsonValue {
    // The levels above are small.
    CanonicalJsonValue::Integer(level.try_into().unwrap_or(int!(0)))
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;
    use serde_json::{Value, json};

    use super::*;
    use crate::{canonical_json, room_version, spec_vectors::vectors};

    const PRESETS: [RoomPreset; 3] =
        [RoomPreset::PrivateChat, RoomPreset::TrustedPrivateChat, RoomPreset::PublicChat];

    fn content(preset_named: &RoomPreset, version: &RoomVersion, overrides: Option<&str>) -> Value {
        let overrides = overrides.map(|json| canonical_json::parse_object(json).unwrap());
        let preset = preset(preset_named).unwrap();
        let equals = [owned_user_id!("@u:domain")];
        let content = power_levels(version, preset, &equals, overrides.as_ref());
        serde_json::from_str(&canonical_json::to_string(&content).unwrap()).unwrap()
    }

    #[test]
    fn presets_set_the_state_the_specification_names() {
        for preset_named in PRESETS {
            let state = preset(&preset_named).unwrap();
            let spec = vectors("create_room_presets")[preset_named.as_str()].clone();
            assert_eq!(Some(state.join_rule), spec["join_rules"].as_str());
            assert_eq!(Some(state.history_visibility), spec["history_visibility"].as_str());
            assert_eq!(Some(state.guest_access), spec["guest_access"].as_str());
            assert_eq!(state.trusts_invitees, spec.get("also").is_some());
        }
        assert_eq!(preset(&RoomPreset::from("other")), None);
    }

    #[test]
    fn a_public_room_begins_with_the_levels_other_servers_send() {
        for version in room_version::all() {
            let mut expected = vectors("power_level_defaults")["common_initial_event"].clone();
            expected.as_object_mut().unwrap().remove("note");
            expected["users"] = json!({ "@u:domain": 100 });
            if version.creators_are_privileged() {
                expected["users"] = json!({});
                expected["events"]["m.room.tombstone"] = json!(150);
            }
            assert_eq!(content(&RoomPreset::PublicChat, version, None), expected, "version {}", version.id);
        }
    }

    #[test]
    fn anyone_may_invite_in_a_private_room() {
        let version = room_version::rules(&room_version::DEFAULT).unwrap();
        assert_eq!(content(&RoomPreset::PrivateChat, version, None)["invite"], json!(0));
    }

    #[test]
    fn an_override_replaces_whole_entries() {
        let version = room_version::rules(&room_version::DEFAULT).unwrap();
        let changed =
            content(&RoomPreset::PublicChat, version, Some(r#"{"events":{"m.x":1},"kick":60,"extra":"y"}"#));
        assert_eq!(changed["events"], json!({ "m.x": 1 }));
        assert_eq!((&changed["kick"], &changed["ban"]), (&json!(60), &json!(50)));
        assert_eq!(changed["extra"], json!("y"));
    }
}
