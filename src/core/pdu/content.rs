//! The content of an event that is about to be built.

use ruma::CanonicalJsonObject;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::slices::Slices;
use crate::{
    canonical_json::{self, Allow, JsonError},
    room_version::RoomVersion,
};

/// An object in canonical form that may stand in an event.
#[derive(Clone, Debug)]
pub struct Content(Box<RawValue>);

impl Content {
    /// Reads what a user sent; what is allowed depends on the room's version.
    pub fn from_client(json: impl AsRef<[u8]>, version: &RoomVersion) -> Result<Self, JsonError> {
        Self::new(canonical_json::canonicalise(json, Allow::from_client(version))?)
    }

    /// Takes an object over.
    pub fn from_object(object: &CanonicalJsonObject) -> Result<Self, JsonError> {
        Self::new(canonical_json::to_string(object)?)
    }

    /// Serialises what this server itself says.
    pub fn from_serialize(content: &impl Serialize) -> Result<Self, JsonError> {
        let json = serde_json::to_vec(content).map_err(|error| JsonError::Syntax(error.to_string()))?;
        Self::new(canonical_json::canonicalise(json, Allow::NOTHING)?)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text as a JSON value.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The text itself.
    #[must_use]
    pub fn into_raw(self) -> Box<RawValue> {
        self.0
    }

    /// The same content with one string entry set.
    pub(super) fn with_string(&self, key: &str, value: &str) -> Result<Self, JsonError> {
        let syntax = |error: &dyn std::fmt::Display| JsonError::Syntax(error.to_string());
        let value = to_raw_value(value).map_err(|error| syntax(&error))?;
        let mut entries = Slices::parse(self.as_str()).map_err(|error| syntax(&error))?;
        entries.0.insert(key.into(), &value);
        Self::new(entries.to_json())
    }

    fn new(canonical: String) -> Result<Self, JsonError> {
        RawValue::from_string(canonical).map(Self).map_err(|error| JsonError::Syntax(error.to_string()))
    }
}
