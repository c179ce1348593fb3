//! Profiles of local users.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_core::grammar::{self, GrammarError};
use hearth_core::id::UserNid;
use hearth_store::log::{Change, Proposal};
use hearth_store::{Store, StoreError};
use ruma::{OwnedServerName, UserId};
use serde_json::Value;

use crate::interned::Interned;
use crate::log::{Apply, Cache, CommitError, Log, Logged, What};

/// Profiles kept in memory, a few hundred bytes each as a rule.
const PROFILES: usize = 65_536;

/// > The total size of a user's profile MUST NOT exceed 64 KiB … as canonical JSON.
const MAX_PROFILE_BYTES: usize = 65_536;

/// > Each key MUST NOT exceed 255 bytes.
const MAX_KEY_BYTES: usize = 255;

/// The longest name of a time zone; the longest in the IANA database has 38.
const MAX_TIME_ZONE_BYTES: usize = 64;

/// The name of the display name's field.
pub const DISPLAY_NAME: &str = "displayname";

/// The name of the avatar's field.
pub const AVATAR_URL: &str = "avatar_url";

const TIME_ZONE: &str = "m.tz";

/// Why a profile was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no such user, or no such field.
    #[error("there is none")]
    Absent,
    /// The key is not a namespaced identifier.
    #[error("the key is not well formed")]
    BadKey,
    /// The key is longer than keys are.
    #[error("the key is too long")]
    KeyTooLong,
    /// The value is not what the key requires.
    #[error("the value is not what the key requires")]
    BadValue,
    /// The value of a key that others show is too long.
    #[error("the value is too long")]
    ValueTooLong,
    /// The whole profile would be too large.
    #[error("the profile would be too large")]
    TooLarge,
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The fields of a profile.
pub type Profile = BTreeMap<String, Value>;

/// A field that somebody changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub key: String,
    /// The rooms that the user is in are to show the change, if they show the field at all.
    pub spread: bool,
}

impl Field {
    /// Whether rooms show it.
    fn is_shown(&self) -> bool {
        matches!(self.key.as_str(), DISPLAY_NAME | AVATAR_URL)
    }
}

/// The profiles of local users. Cheap to clone.
#[derive(Clone)]
pub struct Profiles(Arc<Inner>);

struct Inner {
    store: Store,
    log: Log,
    interned: Interned,
    server_name: OwnedServerName,
    profiles: Cache<UserNid, Profile>,
}

impl Profiles {
    /// The profiles in `store`, kept true by `log`.
    #[must_use]
    pub fn new(store: Store, log: Log, interned: Interned, server_name: OwnedServerName) -> Self {
        let inner = Arc::new(Inner { store, log, interned, server_name, profiles: Cache::new(PROFILES) });
        inner.log.register(Arc::clone(&inner) as Arc<dyn Apply>);
        Self(inner)
    }

    /// The profile of a user of this server.
    pub async fn get(&self, user_id: &UserId) -> Result<Arc<Profile>, ProfileError> {
        if user_id.server_name() != self.0.server_name {
            return Err(ProfileError::Absent);
        }
        let user = self.0.interned.known_user(user_id).await?.ok_or(ProfileError::Absent)?;
        self.of(user).await?.ok_or(ProfileError::Absent)
    }

    /// The profile of a user known by their integer; none where they have no account in use here.
    pub async fn of(&self, user: UserNid) -> Result<Option<Arc<Profile>>, StoreError> {
        self.0.profiles.get(&user, || self.load(user)).await
    }

    /// Sets a field. An empty display name or avatar URL deletes it, as clients have always meant it.
    pub async fn set(&self, user: UserNid, field: Field, value: Value) -> Result<(), ProfileError> {
        check_key(&field.key)?;
        check_value(&field.key, &value)?;
        if field.is_shown() && value.as_str() == Some("") {
            return self.delete(user, field).await;
        }
        let mut profile = self.of(user).await?.ok_or(ProfileError::Absent)?;
        let text = value.to_string();
        Arc::make_mut(&mut profile).insert(field.key.clone(), value);
        if serde_json::to_string(&*profile).map_or(usize::MAX, |json| json.len()) > MAX_PROFILE_BYTES {
            return Err(ProfileError::TooLarge);
        }
        self.commit(user, field, Some(text)).await
    }

    /// Deletes a field; nothing happens where it is not there.
    pub async fn delete(&self, user: UserNid, field: Field) -> Result<(), ProfileError> {
        check_key(&field.key)?;
        let profile = self.of(user).await?.ok_or(ProfileError::Absent)?;
        if !profile.contains_key(&field.key) {
            return Ok(());
        }
        self.commit(user, field, None).await
    }

    async fn commit(&self, user: UserNid, field: Field, value: Option<String>) -> Result<(), ProfileError> {
        let spread = field.spread && field.is_shown();
        let change = Change::SetProfileField { user, key: field.key, value, spread };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    async fn load(&self, user: UserNid) -> Result<Option<Profile>, StoreError> {
        let Some(fields) = self.0.store.profile(user).await? else { return Ok(None) };
        let corrupt = |_| StoreError::corrupt("profile_field", user);
        fields
            .into_iter()
            .map(|(key, value)| Ok((key, serde_json::from_str(&value).map_err(corrupt)?)))
            .collect::<Result<Profile, StoreError>>()
            .map(Some)
    }
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(Change::SetProfileField { user, .. } | Change::DeactivateAccount { user, .. }) => {
                self.profiles.invalidate(user);
            }
            What::Unknown => {
                if let Some(user) = entry.subject {
                    self.profiles.invalidate(&user);
                }
            }
            _ => {}
        }
    }

    fn reset(&self) {
        self.profiles.clear();
    }
}

/// > The name of the profile field … MUST be either `avatar_url`, `displayname`, or a custom field following
/// > the Common Namespaced Identifier Grammar.
fn check_key(key: &str) -> Result<(), ProfileError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(ProfileError::KeyTooLong);
    }
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    let named = matches!(key, DISPLAY_NAME | AVATAR_URL) || key.contains('.');
    if !named || !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.bytes().all(allowed) {
        return Err(ProfileError::BadKey);
    }
    Ok(())
}

fn refused(error: &GrammarError) -> ProfileError {
    if let GrammarError::TooLong(..) = error { ProfileError::ValueTooLong } else { ProfileError::BadValue }
}

fn check_value(key: &str, value: &Value) -> Result<(), ProfileError> {
    match key {
        DISPLAY_NAME => {
            let name = value.as_str().ok_or(ProfileError::BadValue)?;
            grammar::display_name(name).map_err(|error| refused(&error))
        }
        AVATAR_URL => {
            let url = value.as_str().ok_or(ProfileError::BadValue)?;
            grammar::avatar_url(url).map_err(|error| refused(&error))
        }
        TIME_ZONE => {
            let zone = value.as_str().ok_or(ProfileError::BadValue)?;
            let allowed = |c: u8| c.is_ascii_alphanumeric() || b"+-_/".contains(&c);
            let valid = !zone.is_empty() && zone.len() <= MAX_TIME_ZONE_BYTES && zone.bytes().all(allowed);
            if valid { Ok(()) } else { Err(ProfileError::BadValue) }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_namespaced_identifiers() {
        for good in ["displayname", "m.tz", "org.example.my-key_2"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", "plain", "Up.per", "1st.", ".dot", "spa. ce", "ü.x"] {
            assert!(matches!(check_key(bad), Err(ProfileError::BadKey)), "{bad}");
        }
        assert!(matches!(check_key(&"a".repeat(256)), Err(ProfileError::KeyTooLong)));
    }

    #[test]
    fn the_specified_fields_have_their_types() {
        let good = [
            ("displayname", json!("Alice")),
            ("avatar_url", json!("mxc://example.org/abc")),
            ("avatar_url", json!("")),
            ("m.tz", json!("Europe/Berlin")),
            ("org.example.anything", json!(null)),
        ];
        for (key, value) in good {
            assert!(check_value(key, &value).is_ok(), "{key} {value}");
        }
        let bad = [
            ("displayname", json!(null)),
            ("displayname", json!(7)),
            ("avatar_url", json!("https://example.org/a.png")),
            ("m.tz", json!("no such zone!")),
        ];
        for (key, value) in bad {
            assert!(matches!(check_value(key, &value), Err(ProfileError::BadValue)), "{key} {value}");
        }
    }
}
