//! The names of local users.

use rand::RngExt;
use ruma::{OwnedUserId, ServerName, UserId};

use super::AccountError;

/// The longest user id, its sigil and server name included.
///
/// > The length of a user ID, including the `@` character and the domain, MUST NOT exceed 255 bytes.
const MAX_USER_ID_BYTES: usize = 255;

/// How many characters a made-up name has: enough that two are never equal.
const GENERATED_LENGTH: usize = 12;

/// What made-up names are made of: nothing that is easily taken for something else.
const GENERATED_FROM: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// The user id of a new account. Upper case is folded.
///
/// > `user_id_char = DIGIT / %x61-7A / "-" / "." / "=" / "_" / "/" / "+"`
pub(super) fn parse(name: &str, server: &ServerName) -> Result<OwnedUserId, AccountError> {
    let name = name.to_ascii_lowercase();
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.=_/+".contains(&c);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(AccountError::NameInvalid);
    }
    let id = format!("@{name}:{server}");
    if id.len() > MAX_USER_ID_BYTES {
        return Err(AccountError::NameTooLong);
    }
    OwnedUserId::try_from(id).map_err(|_| AccountError::NameInvalid)
}

/// A name for somebody who asked for none.
pub(super) fn generate(server: &ServerName) -> OwnedUserId {
    let mut rng = rand::rng();
    let name: String = (0..GENERATED_LENGTH)
        .filter_map(|_| GENERATED_FROM.get(rng.random_range(..GENERATED_FROM.len())))
        .map(|byte| char::from(*byte))
        .collect();
    UserId::parse_with_server_name(name, server).unwrap_or_else(|_| UserId::new(server))
}

/// Whom somebody who logs in means by a localpart or a user id; none where it cannot be a user of ours.
pub(super) fn of_login(name: &str, server: &ServerName) -> Option<OwnedUserId> {
    let localpart = match name.strip_prefix('@') {
        Some(rest) => rest.strip_suffix(server.as_str())?.strip_suffix(':')?,
        None => name,
    };
    parse(localpart, server).ok()
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};

    use super::*;

    #[test]
    fn upper_case_is_folded_and_anything_else_refused() {
        let server = server_name!("example.org:8448");
        assert_eq!(parse("Alice.B=/+-_9", server).unwrap(), user_id!("@alice.b=/+-_9:example.org:8448"));
        for name in ["", "al ice", "älice", "@alice:example.org", "a:b", "a\0b"] {
            assert!(matches!(parse(name, server), Err(AccountError::NameInvalid)), "{name:?}");
        }
        assert!(matches!(parse(&"a".repeat(255), server), Err(AccountError::NameTooLong)));
    }

    #[test]
    fn a_login_names_a_local_user_by_localpart_or_id() {
        let server = server_name!("example.org");
        let alice = Some(user_id!("@alice:example.org").to_owned());
        assert_eq!(of_login("alice", server), alice);
        assert_eq!(of_login("Alice", server), alice);
        assert_eq!(of_login("@alice:example.org", server), alice);
        assert_eq!(of_login("@alice:elsewhere.org", server), None);
        assert_eq!(of_login("@alice", server), None);
    }

    #[test]
    fn a_generated_name_is_a_valid_one() {
        let server = server_name!("example.org");
        let generated = generate(server);
        assert_eq!(parse(generated.localpart(), server).unwrap(), generated);
    }
}
