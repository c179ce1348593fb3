//! What names may look like, and how long what people write may be.
//!
//! New names follow the specification's narrow grammar; names that exist elsewhere are accepted in the
//! wide one, which is the library's own.

use ruma::{OwnedMxcUri, OwnedRoomAliasId, OwnedUserId, RoomAliasId, ServerName, UserId};

/// The most bytes of a user id, room alias, event type, state key, tag and of most opaque ids.
pub const MAX_ID_BYTES: usize = 255;

/// The most bytes of a device id. The specification names none; other servers stop here.
pub const MAX_DEVICE_ID_BYTES: usize = 512;

/// The most characters of a device's display name, as on other servers.
pub const MAX_DEVICE_NAME_CHARS: usize = 100;

/// The most characters of a status message: a sentence or two, shown beside a name.
pub const MAX_STATUS_CHARS: usize = 512;

/// The most characters of a user's display name, as on other servers: it is copied into every room.
pub const MAX_DISPLAY_NAME_CHARS: usize = 256;

/// The most bytes of an avatar's address, as on other servers: it is copied into every room.
pub const MAX_AVATAR_URL_BYTES: usize = 1000;

/// Why a name is refused. Its text is a sentence for whoever chose it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// There is nothing.
    #[error("The {0} must not be empty.")]
    Empty(&'static str),
    /// There is too much.
    #[error("The {0} is too long: at most {1} are allowed.")]
    TooLong(&'static str, Bound),
    /// Some character may not occur.
    #[error("The {0} has a character that is not allowed there.")]
    Character(&'static str),
    /// It is something else altogether.
    #[error("This is not a {0}.")]
    Malformed(&'static str),
}

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many bytes of UTF-8.
    Bytes(usize),
    /// So many characters.
    Chars(usize),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Chars(chars) => write!(f, "{chars} characters"),
        }
    }
}

/// The user id of a new account: `a-z`, `0-9` and `._=-/+` before the colon, 255 bytes in all.
pub fn new_user_id(localpart: &str, server: &ServerName) -> Result<OwnedUserId, GrammarError> {
    const WHAT: &str = "user name";
    if localpart.is_empty() {
        return Err(GrammarError::Empty(WHAT));
    }
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+');
    if !localpart.bytes().all(allowed) {
        return Err(GrammarError::Character(WHAT));
    }
    let id = format!("@{localpart}:{server}");
    if id.len() > MAX_ID_BYTES {
        return Err(GrammarError::TooLong(
            WHAT,
            Bound::Bytes(MAX_ID_BYTES.saturating_sub(server.as_str().len() + 2)),
        ));
    }
    UserId::parse(id).map_err(|_| GrammarError::Malformed(WHAT))
}

/// A new room alias, `#name:server`; the name holds no whitespace, colon or U+0000.
pub fn new_room_alias(localpart: &str, server: &ServerName) -> Result<OwnedRoomAliasId, GrammarError> {
    const WHAT: &str = "room alias";
    if localpart.is_empty() {
        return Err(GrammarError::Empty(WHAT));
    }
    if localpart.chars().any(|c| c.is_whitespace() || c == ':' || c == '\0') {
        return Err(GrammarError::Character(WHAT));
    }
    let alias = format!("#{localpart}:{server}");
    bytes(WHAT, &alias, MAX_ID_BYTES)?;
    RoomAliasId::parse(alias).map_err(|_| GrammarError::Malformed(WHAT))
}

/// A room alias as a whole, held to the grammar of new ones.
pub fn room_alias(alias: &str) -> Result<OwnedRoomAliasId, GrammarError> {
    let malformed = || GrammarError::Malformed("room alias");
    let (localpart, server) =
        alias.strip_prefix('#').and_then(|rest| rest.split_once(':')).ok_or_else(malformed)?;
    new_room_alias(localpart, <&ServerName>::try_from(server).map_err(|_| malformed())?)
}

/// An event type.
pub fn event_type(value: &str) -> Result<(), GrammarError> {
    storable("event type", value, MAX_ID_BYTES)?;
    if value.is_empty() { Err(GrammarError::Empty("event type")) } else { Ok(()) }
}

/// A state key, which may be empty.
pub fn state_key(value: &str) -> Result<(), GrammarError> {
    storable("state key", value, MAX_ID_BYTES)
}

/// A device id.
pub fn device_id(value: &str) -> Result<(), GrammarError> {
    filled("device id", value, MAX_DEVICE_ID_BYTES)
}

/// A transaction id, chosen by a client.
pub fn transaction_id(value: &str) -> Result<(), GrammarError> {
    filled("transaction id", value, MAX_ID_BYTES)
}

/// A room tag.
pub fn tag(value: &str) -> Result<(), GrammarError> {
    filled("tag", value, MAX_ID_BYTES)
}

/// A user's display name, which may be empty.
pub fn display_name(value: &str) -> Result<(), GrammarError> {
    characters("display name", value, MAX_DISPLAY_NAME_CHARS)
}

/// A device's display name, which may be empty.
pub fn device_name(value: &str) -> Result<(), GrammarError> {
    characters("device name", value, MAX_DEVICE_NAME_CHARS)
}

/// What a user says of their presence.
pub fn status_message(value: &str) -> Result<(), GrammarError> {
    characters("status message", value, MAX_STATUS_CHARS)
}

/// The address of an avatar: media on some server, or nothing.
pub fn avatar_url(value: &str) -> Result<(), GrammarError> {
    const WHAT: &str = "avatar address";
    bytes(WHAT, value, MAX_AVATAR_URL_BYTES)?;
    if value.is_empty() { Ok(()) } else { mxc_uri(value).map(drop) }
}

/// An address of media, `mxc://server/id`.
pub fn mxc_uri(value: &str) -> Result<OwnedMxcUri, GrammarError> {
    const WHAT: &str = "media address (mxc://server/id)";
    let uri = OwnedMxcUri::from(value);
    match uri.parts() {
        Ok((_, media_id)) if !media_id.is_empty() && media_id.len() <= MAX_ID_BYTES => Ok(uri),
        _ => Err(GrammarError::Malformed(WHAT)),
    }
}

/// The secret a client chooses for a validation session: letters, digits and `.=_-`.
pub fn client_secret(value: &str) -> Result<(), GrammarError> {
    const WHAT: &str = "client secret";
    filled(WHAT, value, MAX_ID_BYTES)?;
    if value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'=' | b'_' | b'-')) {
        Ok(())
    } else {
        Err(GrammarError::Character(WHAT))
    }
}

fn bytes(what: &'static str, value: &str, max: usize) -> Result<(), GrammarError> {
    if value.len() > max { Err(GrammarError::TooLong(what, Bound::Bytes(max))) } else { Ok(()) }
}

/// Short enough, and free of what the database cannot hold.
fn storable(what: &'static str, value: &str, max: usize) -> Result<(), GrammarError> {
    bytes(what, value, max)?;
    if value.contains('\0') { Err(GrammarError::Character(what)) } else { Ok(()) }
}

fn filled(what: &'static str, value: &str, max: usize) -> Result<(), GrammarError> {
    if value.is_empty() { Err(GrammarError::Empty(what)) } else { storable(what, value, max) }
}

fn characters(what: &'static str, value: &str, max: usize) -> Result<(), GrammarError> {
    if value.chars().count() > max {
        return Err(GrammarError::TooLong(what, Bound::Chars(max)));
    }
    if value.contains('\0') { Err(GrammarError::Character(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;
    use crate::spec_vectors::vectors;

    fn listed(key: &str) -> Vec<String> {
        serde_json::from_value(vectors("id_vectors")[key].clone()).unwrap()
    }

    /// The checks for a whole user id of a new account.
    fn new_id(id: &str) -> Option<OwnedUserId> {
        let (localpart, server) = id.strip_prefix('@')?.split_once(':')?;
        new_user_id(localpart, <&ServerName>::try_from(server).ok()?).ok()
    }

    #[test]
    fn new_user_names_are_narrow_and_old_ones_wide() {
        for id in listed("user_id_valid") {
            assert_eq!(new_id(&id).as_deref(), Some(<&UserId>::try_from(id.as_str()).unwrap()));
        }
        for id in listed("user_id_new_invalid") {
            assert_eq!(new_id(&id), None, "{id}");
        }
        for id in listed("user_id_historical_ok") {
            assert!(UserId::parse(&id).is_ok(), "{id}");
        }
    }

    #[test]
    fn server_names_are_as_in_the_specification() {
        for name in listed("server_name_valid") {
            assert!(ServerName::parse(&name).is_ok(), "{name}");
        }
        for name in listed("server_name_invalid") {
            assert!(ServerName::parse(&name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_user_id_has_at_most_255_bytes_as_a_whole() {
        let server = server_name!("example.org");
        let longest = 255 - "@:example.org".len();
        assert_eq!(new_user_id(&"a".repeat(longest), server).unwrap().as_str().len(), 255);
        assert_eq!(
            new_user_id(&"a".repeat(longest + 1), server).unwrap_err(),
            GrammarError::TooLong("user name", Bound::Bytes(longest))
        );
    }

    #[test]
    fn room_aliases_hold_no_whitespace_colon_or_nul() {
        let server = server_name!("example.org");
        assert_eq!(new_room_alias("Café/1", server).unwrap(), "#Café/1:example.org");
        for bad in ["", "a b", "a\tb", "a:b", "a\0b", "a\u{a0}b"] {
            assert!(new_room_alias(bad, server).is_err(), "{bad:?}");
        }
        assert!(new_room_alias(&"é".repeat(122), server).is_err());
        assert!(room_alias("#a:example.org:8448").is_ok());
        for bad in ["a:example.org", "#a", "#a:", "#a b:example.org", "#:example.org", "#a:ex ample"] {
            assert!(room_alias(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn media_addresses_name_a_server_and_an_id() {
        assert!(mxc_uri("mxc://example.org:8448/aZ09_-").is_ok());
        for bad in ["", "mxc://example.org", "mxc://example.org/", "mxc:///id", "http://x/y", "mxc://x/a/b"] {
            assert!(mxc_uri(bad).is_err(), "{bad}");
        }
        assert_eq!(avatar_url(""), Ok(()));
        assert!(avatar_url(&format!("mxc://example.org/{}", "a".repeat(1000))).is_err());
    }

    #[test]
    fn what_people_write_is_bounded_and_free_of_nul() {
        assert_eq!(display_name(&"é".repeat(256)), Ok(()));
        let error = display_name(&"é".repeat(257)).unwrap_err();
        assert_eq!(error.to_string(), "The display name is too long: at most 256 characters are allowed.");
        assert_eq!(state_key(""), Ok(()));
        assert_eq!(event_type(""), Err(GrammarError::Empty("event type")));
        assert_eq!(device_id("a\0"), Err(GrammarError::Character("device id")));
        assert_eq!(client_secret("a.=_-Z9"), Ok(()));
        assert_eq!(client_secret("a b"), Err(GrammarError::Character("client secret")));
        assert!(tag(&"t".repeat(256)).is_err());
        assert!(transaction_id("").is_err());
        assert!(device_name(&"d".repeat(101)).is_err());
    }
}
