//! Power levels: reading them once, and what a new room begins with.

use std::collections::BTreeMap;

use ruma::{
    Int, OwnedUserId, UserId,
    events::TimelineEventType,
    int,
    serde::{JsonObject, btreemap_deserialize_v1_powerlevel_values, deserialize_v1_powerlevel},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use crate::room_version::RoomVersion;

pub mod initial;

/// The level it takes to notify everyone where none is stated.
pub const TO_NOTIFY: i32 = 50;

/// A level that a power levels event states by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of users not named.
    UsersDefault,
    /// To send messages of types not named.
    EventsDefault,
    /// To send state of types not named.
    StateDefault,
    /// To ban, and to lift a ban.
    Ban,
    /// To remove others.
    Kick,
    /// To redact what others sent.
    Redact,
    /// To invite.
    Invite,
}

/// A part of the content is not what the room version wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the room's power levels are malformed: {0}")]
pub struct Malformed(pub String);

/// The content of a power levels event, read once.
///
/// A malformed part is an error only for who asks for that part, which is what the authorisation rules
/// amount to.
#[derive(Clone, Debug)]
pub struct PowerLevels {
    levels: [Result<Option<Int>, Malformed>; Level::ALL.len()],
    users: Result<BTreeMap<OwnedUserId, Int>, Malformed>,
    events: Result<BTreeMap<TimelineEventType, Int>, Malformed>,
    notifications: Result<BTreeMap<String, Int>, Malformed>,
}

impl Level {
    pub(crate) const ALL: [Self; 7] = [
        Self::UsersDefault,
        Self::EventsDefault,
        Self::StateDefault,
        Self::Ban,
        Self::Kick,
        Self::Redact,
        Self::Invite,
    ];

    /// Its key in the content.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsersDefault => "users_default",
            Self::EventsDefault => "events_default",
            Self::StateDefault => "state_default",
            Self::Ban => "ban",
            Self::Kick => "kick",
            Self::Redact => "redact",
            Self::Invite => "invite",
        }
    }

    /// What holds where the content does not say.
    #[must_use]
    pub fn default_value(self) -> Int {
        match self {
            Self::UsersDefault | Self::EventsDefault | Self::Invite => int!(0),
            Self::StateDefault | Self::Ban | Self::Kick | Self::Redact => int!(50),
        }
    }
}

impl PowerLevels {
    /// Reads the content of a power levels event.
    pub fn parse(content: &RawValue, version: &RoomVersion) -> Result<Self, Malformed> {
        let content: JsonObject =
            serde_json::from_str(content.get()).map_err(|error| Malformed(error.to_string()))?;
        Ok(Self {
            levels: Level::ALL.map(|level| level_of(&content, level.name(), version)),
            users: map_of(&content, "users", version),
            events: map_of(&content, "events", version),
            notifications: map_of(&content, "notifications", version),
        })
    }

    /// A level stated by name, if it is.
    pub fn stated(&self, level: Level) -> Result<Option<Int>, Malformed> {
        self.levels.get(level as usize).cloned().unwrap_or(Ok(None))
    }

    /// A level stated by name, or its default.
    pub fn level(&self, level: Level) -> Result<Int, Malformed> {
        Ok(self.stated(level)?.unwrap_or(level.default_value()))
    }

    /// The level of a user who is not privileged otherwise.
    pub fn user(&self, user: &UserId) -> Result<Int, Malformed> {
        match self.users.as_ref().map_err(Clone::clone)?.get(user) {
            Some(level) => Ok(*level),
            None => self.level(Level::UsersDefault),
        }
    }

    /// The level it takes to send an event of a type.
    pub fn to_send(&self, event_type: &TimelineEventType, is_state: bool) -> Result<Int, Malformed> {
        match self.events.as_ref().map_err(Clone::clone)?.get(event_type) {
            Some(level) => Ok(*level),
            None if is_state => self.level(Level::StateDefault),
            None => self.level(Level::EventsDefault),
        }
    }

    /// The level it takes to notify everyone in a named way, such as `room`.
    pub fn to_notify(&self, key: &str) -> Result<Int, Malformed> {
        let notifications = self.notifications.as_ref().map_err(Clone::clone)?;
        Ok(notifications.get(key).copied().unwrap_or(TO_NOTIFY.into()))
    }

    /// The users named with a level of their own.
    pub fn named_users(&self) -> Result<&BTreeMap<OwnedUserId, Int>, Malformed> {
        self.users.as_ref().map_err(Clone::clone)
    }
}

/// One level, in the shapes the version allows.
fn level_of(content: &JsonObject, key: &str, version: &RoomVersion) -> Result<Option<Int>, Malformed> {
    let Some(value) = content.get(key) else { return Ok(None) };
    let read = if version.string_power_levels() {
        deserialize_v1_powerlevel(value)
    } else {
        serde_json::from_value(value.clone())
    };
    read.map(Some).map_err(|error| malformed(key, &error))
}

/// A map to levels, in the shapes the version allows; empty where it is absent.
fn map_of<K: Ord + DeserializeOwned>(
    content: &JsonObject,
    key: &str,
    version: &RoomVersion,
) -> Result<BTreeMap<K, Int>, Malformed> {
    let Some(value) = content.get(key) else { return Ok(BTreeMap::new()) };
    let read = if version.string_power_levels() {
        btreemap_deserialize_v1_powerlevel_values::<&Value, K>(value)
    } else {
        serde_json::from_value(value.clone())
    };
    read.map_err(|error| malformed(key, &error))
}

fn malformed(key: &str, error: &serde_json::Error) -> Malformed {
    Malformed(format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, user_id};

    use super::*;
    use crate::{room_version, spec_vectors::vectors};

    fn parse(json: &str, version: &RoomVersionId) -> PowerLevels {
        let content = RawValue::from_string(json.to_owned()).unwrap();
        PowerLevels::parse(&content, room_version::rules(version).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_said_has_the_specifications_defaults() {
        let levels = parse("{}", &RoomVersionId::V12);
        let spec = vectors("power_level_defaults")["when_field_missing"].clone();
        for level in Level::ALL {
            assert_eq!(Some(i64::from(levels.level(level).unwrap())), spec[level.name()].as_i64());
        }
        assert_eq!(Some(i64::from(levels.to_notify("room").unwrap())), spec["notifications.room"].as_i64());
    }

    #[test]
    fn strings_count_as_levels_in_the_versions_that_had_them() {
        let json = r#"{"ban":" +70 ","users":{"@u:domain":"9"},"events":{"m.x":"8"}}"#;
        let old = parse(json, &RoomVersionId::V9);
        assert_eq!(old.level(Level::Ban), Ok(int!(70)));
        assert_eq!(old.user(user_id!("@u:domain")), Ok(int!(9)));
        assert_eq!(old.to_send(&"m.x".into(), true), Ok(int!(8)));
        let new = parse(json, &RoomVersionId::V10);
        assert!(new.level(Level::Ban).is_err());
        assert!(new.user(user_id!("@u:domain")).is_err());
        assert_eq!(new.level(Level::Kick), Ok(int!(50)));
    }
}
