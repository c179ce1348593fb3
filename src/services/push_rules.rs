//! The push rules of users.

use ruma::UserId;
use ruma::push::Ruleset;

/// The rules in force for a user: the specification's, with the user put in where they speak of "the user".
#[must_use]
pub fn of(user_id: &UserId) -> Ruleset {
    Ruleset::server_default(user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_are_the_specifications_in_their_order() {
        let rules = of(ruma::user_id!("@alice:example.org"));
        let ids = |rules: Vec<&str>| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        let overrides = ids(rules.override_.iter().map(|rule| rule.rule_id.as_str()).collect());
        let underrides = ids(rules.underride.iter().map(|rule| rule.rule_id.as_str()).collect());
        assert_eq!(
            overrides,
            [
                ".m.rule.master",
                ".m.rule.suppress_notices",
                ".m.rule.invite_for_me",
                ".m.rule.member_event",
                ".m.rule.is_user_mention",
                ".m.rule.is_room_mention",
                ".m.rule.tombstone",
                ".m.rule.reaction",
                ".m.rule.room.server_acl",
                ".m.rule.suppress_edits",
            ]
        );
        assert_eq!(
            underrides,
            [
                ".m.rule.call",
                ".m.rule.encrypted_room_one_to_one",
                ".m.rule.room_one_to_one",
                ".m.rule.message",
                ".m.rule.encrypted",
            ]
        );
        assert!(rules.content.is_empty() && rules.room.is_empty() && rules.sender.is_empty());
    }
}
