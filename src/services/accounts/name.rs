//! The names of local users.

use hearth_core::grammar;
use rand::RngExt;
use ruma::{OwnedUserId, ServerName, UserId};

use super::AccountError;

/// How many characters a made-up name has: enough that two are never equal.
const GENERATED_LENGTH: usize = 12;

/// What made-up names are made of: nothing that is easily taken for something else.
const GENERATED_FROM: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// The user id of a new account. Upper case is folded.
pub(super) fn parse(name: &str, server: &ServerName) -> Result<OwnedUserId, AccountError> {
    grammar::new_user_id(&name.to_ascii_lowercase(), server).map_err(AccountError::Name)
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
    use hearth_core::grammar::GrammarError;
    use ruma::{server_name, user_id};

    use super::*;

    #[test]
    fn upper_case_is_folded_and_anything_else_refused() {
        let server = server_name!("example.org:8448");
        assert_eq!(parse("Alice.B=/+-_9", server).unwrap(), user_id!("@alice.b=/+-_9:example.org:8448"));
        for name in ["", "al ice", "älice", "@alice:example.org", "a:b", "a\0b"] {
            assert!(matches!(parse(name, server), Err(AccountError::Name(_))), "{name:?}");
        }
        assert!(matches!(
            parse(&"a".repeat(255), server),
            Err(AccountError::Name(GrammarError::TooLong(..)))
        ));
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
