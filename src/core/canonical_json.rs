//! JSON in its one canonical form, read from people who may send anything.
//!
//! Everything that is hashed, signed or stored passes here first. What this server refuses is named by
//! [`JsonError`]; [`JsonError::is_syntax`] tells `M_NOT_JSON` from `M_BAD_JSON`.

use ruma::{CanonicalJsonObject, CanonicalJsonValue, canonical_json::RedactingSerializer};

use crate::room_version::RoomVersion;

mod check;
mod read;
mod tree;

use tree::Tree;
pub(crate) use tree::write_string;

/// How deep objects and arrays may lie in each other.
///
/// Many clients' parsers stop at 128, and a reply wraps an event's content in a dozen levels.
pub const MAX_DEPTH: usize = 100;

/// Why this server refuses a piece of JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON: NaN, half a surrogate pair and bytes that are not UTF-8 are such cases.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// It is JSON, but not an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// Objects and arrays lie too deep in each other.
    #[error("objects and arrays lie more than {MAX_DEPTH} deep in each other")]
    TooDeep,
    /// A number with a fraction or an exponent.
    #[error("only whole numbers written without a fraction or an exponent are allowed")]
    Fraction,
    /// An integer that not every client can hold.
    #[error("integers must lie between -(2^53 - 1) and 2^53 - 1")]
    OutOfRange,
    /// A string holds the character U+0000, which the database cannot hold.
    #[error("strings must not hold the character U+0000")]
    Nul,
}

/// What is let through beyond the canonical form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Fractions, exponents and integers beyond ±(2^53 - 1).
    pub any_number: bool,
    /// U+0000 inside strings.
    pub nul: bool,
}

impl JsonError {
    /// It is not JSON at all, as against JSON of the wrong shape.
    #[must_use]
    pub fn is_syntax(&self) -> bool {
        matches!(self, Self::Syntax(_))
    }
}

impl Allow {
    /// Only the canonical form.
    pub const NOTHING: Self = Self { any_number: false, nul: false };

    /// What a local user may put into an event: fractions are events' business in the room versions
    /// that do not forbid them, as they are on other servers.
    #[must_use]
    pub fn from_client(version: &RoomVersion) -> Self {
        Self { any_number: !version.strict_numbers(), nul: false }
    }

    /// What an event of another server may hold. U+0000 occurs in old messages, whose text is stored
    /// escaped; refusing them would cut the room's history.
    #[must_use]
    pub fn from_server(version: &RoomVersion) -> Self {
        Self { any_number: !version.strict_numbers(), nul: true }
    }
}

/// Reads one strictly canonicalisable value.
///
/// Of an object's equal keys the last counts.
pub fn parse(json: impl AsRef<[u8]>) -> Result<CanonicalJsonValue, JsonError> {
    read::tree(json.as_ref(), Allow::NOTHING)?.into_canonical()
}

/// Reads one strictly canonicalisable object.
///
/// ```
/// use hearth_core::canonical_json::{JsonError, parse_object};
///
/// assert!(parse_object(r#"{"a": 1}"#).is_ok());
/// assert_eq!(parse_object("[]"), Err(JsonError::NotAnObject));
/// assert_eq!(parse_object(r#"{"a": 1.5}"#), Err(JsonError::Fraction));
/// ```
pub fn parse_object(json: impl AsRef<[u8]>) -> Result<CanonicalJsonObject, JsonError> {
    match parse(json)? {
        CanonicalJsonValue::Object(object) => Ok(object),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Refuses bytes that are not an object, lie too deep or hold U+0000, and keeps nothing of them. Numbers are
/// left alone.
pub fn check_object(json: impl AsRef<[u8]>) -> Result<(), JsonError> {
    check::object(json.as_ref())
}

/// The canonical form of an object that may hold a little more than canonical JSON does.
///
/// Numbers that canonical JSON forbids are written as Python writes them, since that is how the server
/// that let them into rooms hashes and signs them. Integers beyond 64 bits lose their last digits.
pub fn canonicalise(json: impl AsRef<[u8]>, allow: Allow) -> Result<String, JsonError> {
    match read::tree(json.as_ref(), allow)? {
        tree @ Tree::Object(_) => Ok(tree.to_canonical_string()),
        _ => Err(JsonError::NotAnObject),
    }
}

/// The canonical form of an object.
pub fn to_string(object: &CanonicalJsonObject) -> Result<String, JsonError> {
    RedactingSerializer::new().serialize(object).map_err(|error| JsonError::Syntax(error.to_string()))
}

#[cfg(test)]
mod tests;
