//! The push rules every user begins with.

use ruma::{UserId, push::Ruleset, serde::JsonObject};
use serde_json::Value;

/// The kinds of rules, in the order in which they are tried.
const KINDS: [&str; 5] = ["override", "content", "room", "sender", "underride"];

/// The default rules of a user, in their order, with the user's id in the conditions about them.
///
/// This is the `global` ruleset of `/pushrules/` and of `m.push_rules` for whoever changed nothing.
#[must_use]
pub fn defaults(user: &UserId) -> Ruleset {
    Ruleset::server_default(user)
}

/// A ruleset as clients read it: every kind is there, also one without rules, since some clients look
/// into each.
#[must_use]
pub fn client_json(rules: &Ruleset) -> JsonObject {
    // Rules are strings, truth values and lists of them: there is nothing that JSON does not have.
    let mut json: JsonObject = match serde_json::to_value(rules) {
        Ok(Value::Object(json)) => json,
        _ => JsonObject::new(),
    };
    for kind in KINDS {
        json.entry(kind).or_insert_with(|| Value::Array(vec![]));
    }
    json
}

/// The content of `m.push_rules`, which `/pushrules/` answers too, for whoever changed nothing.
#[must_use]
pub fn content(user: &UserId) -> JsonObject {
    JsonObject::from_iter([("global".to_owned(), client_json(&defaults(user)).into())])
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;
    use crate::spec_vectors::vectors;

    #[test]
    fn the_defaults_are_the_specifications_rule_by_rule() {
        let expected = vectors("default_push_rules").to_string();
        let expected = expected.replace("[the user's Matrix ID]", "@u:domain");
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let rules = client_json(&defaults(user_id!("@u:domain")));
        assert_eq!(Value::Object(rules), expected);
    }
}
