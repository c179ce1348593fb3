//! What differs between room versions, as one table.
//!
//! Nothing else in the server compares version numbers: it asks a [`RoomVersion`] what holds there.

use ruma::{
    RoomVersionId,
    canonical_json::CanonicalJsonValue,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
};

/// The version of new rooms unless their creator asks for another.
pub const DEFAULT: RoomVersionId = RoomVersionId::V12;

/// The greatest integer that canonical JSON holds, 2^53 - 1.
pub const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// Which algorithm resolves forked state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateResolution {
    /// By depth and the hash of event ids.
    V1,
    /// By power and mainline.
    V2,
    /// As version 2, from an empty state and with the conflicted state's subgraph.
    V2_1,
}

/// How `m.room.power_levels` of a new room differs between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitialPower {
    /// Creators are named in `users`; where they outrank everyone they must not be.
    pub lists_creators: bool,
    /// The level to upgrade the room by `m.room.tombstone`.
    pub tombstone: i64,
}

/// What holds in the rooms of one version.
#[derive(Debug)]
pub struct RoomVersion {
    /// Its name.
    pub id: RoomVersionId,
    /// What the libraries for signatures, redaction and authorisation ask.
    pub rules: RoomVersionRules,
    /// The algorithm for forked state.
    pub state_resolution: StateResolution,
    /// The greatest depth; an event on top of one at the limit repeats it.
    pub max_depth: i64,
    /// The power levels that a new room begins with.
    pub initial_power: InitialPower,
}

const NAMED_CREATORS: InitialPower = InitialPower { lists_creators: true, tombstone: 100 };

const INFINITE_CREATORS: InitialPower = InitialPower { lists_creators: false, tombstone: 150 };

/// Versions 1 to 12, in order.
static TABLE: [RoomVersion; 12] = [
    RoomVersion {
        id: RoomVersionId::V1,
        rules: RoomVersionRules::V1,
        state_resolution: StateResolution::V1,
        max_depth: i64::MAX,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V2,
        rules: RoomVersionRules::V2,
        state_resolution: StateResolution::V2,
        max_depth: i64::MAX,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V3,
        rules: RoomVersionRules::V3,
        state_resolution: StateResolution::V2,
        max_depth: i64::MAX,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V4,
        rules: RoomVersionRules::V4,
        state_resolution: StateResolution::V2,
        max_depth: i64::MAX,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V5,
        rules: RoomVersionRules::V5,
        state_resolution: StateResolution::V2,
        max_depth: i64::MAX,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V6,
        rules: RoomVersionRules::V6,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V7,
        rules: RoomVersionRules::V7,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V8,
        rules: RoomVersionRules::V8,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V9,
        rules: RoomVersionRules::V9,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V10,
        rules: RoomVersionRules::V10,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V11,
        rules: RoomVersionRules::V11,
        state_resolution: StateResolution::V2,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: NAMED_CREATORS,
    },
    RoomVersion {
        id: RoomVersionId::V12,
        rules: RoomVersionRules::V12,
        state_resolution: StateResolution::V2_1,
        max_depth: MAX_SAFE_INTEGER,
        initial_power: INFINITE_CREATORS,
    },
];

/// What holds in rooms of this version; `None` for one that this server does not know.
#[must_use]
pub fn rules(version: &RoomVersionId) -> Option<&'static RoomVersion> {
    TABLE.iter().find(|row| row.id == *version)
}

/// Every version this server knows, for the capabilities; all of them are stable.
#[must_use]
pub fn all() -> &'static [RoomVersion] {
    &TABLE
}

/// The version that a create event's content names: version 1 when it names none.
///
/// `None` when it names something that is not a string, or a version this server does not know.
#[must_use]
pub fn of_create_content(content: &ruma::CanonicalJsonObject) -> Option<&'static RoomVersion> {
    match content.get("room_version") {
        None => rules(&RoomVersionId::V1),
        Some(CanonicalJsonValue::String(name)) => {
            RoomVersionId::try_from(name.as_str()).ok().as_ref().and_then(rules)
        }
        Some(_) => None,
    }
}

impl RoomVersion {
    /// Event ids are `$opaque:server`, chosen by the sender and part of the event.
    #[must_use]
    pub fn event_ids_are_chosen(&self) -> bool {
        self.rules.event_id_format == EventIdFormatVersion::V1
    }

    /// `prev_events` and `auth_events` hold pairs of an id and hashes instead of plain ids.
    #[must_use]
    pub fn references_carry_hashes(&self) -> bool {
        self.rules.events_reference_format == EventsReferenceFormatVersion::V1
    }

    /// Only integers within ±(2^53 - 1) may appear in an event.
    #[must_use]
    pub fn strict_numbers(&self) -> bool {
        self.rules.authorization.strict_canonical_json
    }

    /// One may ask to be let in.
    #[must_use]
    pub fn knocking(&self) -> bool {
        self.rules.authorization.knocking
    }

    /// Members of another room may be let in.
    #[must_use]
    pub fn restricted_joins(&self) -> bool {
        self.rules.authorization.restricted_join_rule
    }

    /// One may ask to be let in where members of another room are let in.
    #[must_use]
    pub fn knock_restricted_joins(&self) -> bool {
        self.rules.authorization.knock_restricted_join_rule
    }

    /// A redaction names its target in `content.redacts` instead of beside it.
    #[must_use]
    pub fn redacts_in_content(&self) -> bool {
        self.rules.redaction.content_field_redacts
    }

    /// Whoever created the room outranks every level.
    #[must_use]
    pub fn creators_are_privileged(&self) -> bool {
        self.rules.authorization.explicitly_privilege_room_creators
    }

    /// The sender of the create event is the creator, whatever `content.creator` says.
    #[must_use]
    pub fn creator_is_sender(&self) -> bool {
        self.rules.authorization.use_room_create_sender
    }

    /// The room id is the hash of the create event, which therefore does not hold it.
    #[must_use]
    pub fn room_id_is_create_hash(&self) -> bool {
        self.rules.authorization.room_create_event_id_as_room_id
    }

    /// Power levels may be strings that hold integers.
    #[must_use]
    pub fn string_power_levels(&self) -> bool {
        !self.rules.authorization.integer_power_levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec_vectors::vectors;

    #[test]
    fn the_table_says_what_the_specification_says_of_every_version() {
        let spec = vectors("room_versions");
        assert_eq!(spec.as_object().unwrap().len(), all().len());
        for version in all() {
            let row = &spec[version.id.as_str()];
            let state_resolution = match row["state_res"].as_str().unwrap() {
                "v1" => StateResolution::V1,
                "v2" => StateResolution::V2,
                _ => StateResolution::V2_1,
            };
            let says = |field: &str, text: &str| row[field].as_str().unwrap().contains(text);
            let expected = (
                state_resolution,
                says("event_id", "chosen by sender"),
                says("event_refs", "pairs"),
                says("canonical_json", "strict"),
                row["knock"].as_bool().unwrap(),
                row["restricted"].as_bool().unwrap(),
                row["knock_restricted"].as_bool().unwrap(),
                says("power_levels", "strings"),
                says("create_field", "creator = sender") || row.get("creators").is_some(),
                says("room_id", "event id of the create event"),
                if says("depth_max", "63") { i64::MAX } else { MAX_SAFE_INTEGER },
            );
            let table = (
                version.state_resolution,
                version.event_ids_are_chosen(),
                version.references_carry_hashes(),
                version.strict_numbers(),
                version.knocking(),
                version.restricted_joins(),
                version.knock_restricted_joins(),
                version.string_power_levels(),
                version.creator_is_sender(),
                version.room_id_is_create_hash(),
                version.max_depth,
            );
            assert_eq!(table, expected, "version {}", version.id);
            assert_eq!(version.redacts_in_content(), row.get("redacts").is_some());
            assert_eq!(version.creators_are_privileged(), row.get("creators").is_some());
            assert_eq!(version.rules.enforce_key_validity, row["signing_key_validity"].as_bool().unwrap());
            assert_eq!(
                version.rules.authorization.special_case_room_aliases,
                row["aliases_auth_rule"].as_bool().unwrap()
            );
            assert_eq!(
                version.rules.authorization.special_case_room_redaction,
                row["redaction_auth_rule"].as_bool().unwrap()
            );
            assert_eq!(
                version.rules.authorization.limit_notifications_power_levels,
                row["notifications_pl_check"].as_bool().unwrap()
            );
        }
    }

    #[test]
    fn the_default_is_known_and_unknown_versions_are_none() {
        assert_eq!(rules(&DEFAULT).map(|version| &version.id), Some(&RoomVersionId::V12));
        assert!(rules(&RoomVersionId::try_from("org.example.x").unwrap()).is_none());
    }

    #[test]
    fn a_create_event_without_a_version_makes_a_room_of_version_1() {
        let of = |json: &str| {
            let content = crate::canonical_json::parse_object(json).unwrap();
            of_create_content(&content).map(|version| version.id.clone())
        };
        assert_eq!(of("{}"), Some(RoomVersionId::V1));
        assert_eq!(of(r#"{"room_version":"11"}"#), Some(RoomVersionId::V11));
        assert_eq!(of(r#"{"room_version":11}"#), None);
        assert_eq!(of(r#"{"room_version":"13"}"#), None);
    }
}
