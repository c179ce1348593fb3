//! Taking back what was said.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::rooms::{event_id, find, text};
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_redacted_message_has_lost_its_content_and_says_why,
        a_redaction_is_seen_by_all_who_read,
        others_messages_are_redacted_with_power_only,
        a_redaction_comes_by_sync,
        what_holds_a_room_together_survives_redaction,
        a_redacted_member_stays_one,
        an_unknown_event_can_be_redacted_before_it_is_known,
        a_redaction_can_be_sent_as_an_event,
        a_redaction_sent_as_an_event_takes_the_same_power,
        a_redaction_can_be_redacted,
        the_redacted_event_is_named_in_both_places,
    ]
}

async fn a_redacted_message_has_lost_its_content_and_says_why(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in 1..=12 {
        let room = alice.create_room(json!({"room_version": version.to_string()})).await;
        let id = alice.say(&room, "a secret").await;
        let path = format!("/rooms/{room}/redact/{}/{}", enc(&id), fresh("txn"));
        let redaction = event_id(&alice.put(&path, &json!({"reason": "slipped"})).await.ok());
        let event = alice.event(&room, &id).await.ok();
        assert_eq!(event["content"], json!({}), "version {version}");
        assert_eq!((&event["sender"], &event["type"]), (&json!(alice.id), &json!("m.room.message")));
        let because = &event["unsigned"]["redacted_because"];
        assert_eq!(because["event_id"], redaction, "version {version}: {event}");
        assert_eq!(because["content"]["reason"], "slipped");
        assert_eq!((&because["type"], &because["sender"]), (&json!("m.room.redaction"), &json!(alice.id)));
    }
}

async fn a_redaction_is_seen_by_all_who_read(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let id = alice.say(&room, "a secret").await;
    bob.sync().await;
    alice.redact(&room, &id).await.ok();
    let everything = [
        bob.event(&room, &id).await.text,
        bob.messages(&room, "dir=b&limit=50").await.text,
        bob.get(&format!("/rooms/{room}/context/{}", enc(&id))).await.text,
        bob.sync().await.body.to_string(),
    ];
    for text in everything {
        assert!(text.contains(&id) && !text.contains("a secret"), "{text}");
    }
}

async fn others_messages_are_redacted_with_power_only(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let of_alice = alice.say(&room, "one").await;
    let of_bob = bob.say(&room, "two").await;
    carol.redact(&room, &of_alice).await.fails(403, "M_FORBIDDEN");
    carol.redact(&room, &of_bob).await.fails(403, "M_FORBIDDEN");
    assert_eq!(carol.event(&room, &of_bob).await.ok()["content"]["body"], "two");
    bob.redact(&room, &of_bob).await.ok();
    alice.redact(&room, &bob.say(&room, "three").await).await.ok();
    let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    levels["events"]["m.room.redaction"] = json!(20);
    alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
    let own = bob.say(&room, "four").await;
    bob.redact(&room, &own).await.fails(403, "M_FORBIDDEN");
}

async fn a_redaction_comes_by_sync(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let id = alice.say(&room, "a secret").await;
    let since = bob.sync().await.next_batch().to_owned();
    let redaction = event_id(&alice.redact(&room, &id).await.ok());
    let sync = bob.sync_until(&since, |sync| !sync.timeline(&room).is_empty()).await;
    let event = &sync.timeline(&room)[0];
    assert_eq!((&event["event_id"], &event["type"]), (&json!(redaction), &json!("m.room.redaction")));
    let named = event["redacts"].as_str().or(event["content"]["redacts"].as_str());
    assert_eq!(named, Some(id.as_str()));
}

async fn what_holds_a_room_together_survives_redaction(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in ["1", "6", "10", "11", "12"] {
        let options = json!({"room_version": version, "preset": "public_chat", "name": "Named"});
        let room = alice.create_room(options).await;
        let before = alice.full_state(&room).await;
        for kind in ["m.room.power_levels", "m.room.join_rules", "m.room.history_visibility", "m.room.name"] {
            let event = before.iter().find(|event| event["type"] == kind).unwrap();
            alice.redact(&room, &event_id(event)).await.ok();
        }
        let levels = alice.state(&room, "m.room.power_levels", "").await.ok();
        let users = &before.iter().find(|event| event["type"] == "m.room.power_levels").unwrap()["content"];
        assert_eq!(levels["users"], users["users"], "version {version}");
        let rules = alice.state(&room, "m.room.join_rules", "").await.ok();
        assert_eq!(rules["join_rule"], "public", "version {version}");
        let visibility = alice.state(&room, "m.room.history_visibility", "").await.ok();
        assert_eq!(visibility["history_visibility"], "shared", "version {version}");
        assert_eq!(alice.state(&room, "m.room.name", "").await.ok(), json!({}), "version {version}");
        alice.say(&room, "the room goes on").await;
    }
}

async fn a_redacted_member_stays_one(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let member = alice.get(&format!("/rooms/{room}/state/m.room.member/{}?format=event", bob.id));
    let id = event_id(&member.unchecked().await.ok());
    alice.redact(&room, &id).await.ok();
    assert_eq!(alice.state(&room, "m.room.member", &bob.id).await.ok(), json!({"membership": "join"}));
    bob.say(&room, "still here").await;
}

async fn an_unknown_event_can_be_redacted_before_it_is_known(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let unknown = "$0000000000000000000000000000000000000000000";
    let content = json!({ "redacts": unknown });
    alice.redact(&room, unknown).await.ok();
    alice.send(&room, "m.room.redaction", &content).await.ok();
    // Whose it is is not known either, so it takes the power to redact all.
    bob.redact(&room, unknown).await.fails(403, "M_FORBIDDEN");
    bob.send(&room, "m.room.redaction", &content).await.fails(403, "M_FORBIDDEN");
}

async fn a_redaction_can_be_sent_as_an_event(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in ["10", "11"] {
        let room = alice.create_room(json!({"room_version": version})).await;
        let id = alice.say(&room, "a secret").await;
        alice.send(&room, "m.room.redaction", &json!({"redacts": id})).await.ok();
        assert_eq!(alice.event(&room, &id).await.ok()["content"], json!({}), "version {version}");
        let reply = alice.send(&room, "m.room.redaction", &text("of nothing")).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
    }
}

async fn the_redacted_event_is_named_in_both_places(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in ["10", "11", "12"] {
        let room = alice.create_room(json!({"room_version": version})).await;
        let id = alice.say(&room, "a secret").await;
        let redaction = event_id(&alice.redact(&room, &id).await.ok());
        let event = alice.event(&room, &redaction).await.ok();
        assert_eq!(event["redacts"], id, "for older clients, version {version}");
        let inside = if version == "10" { Value::Null } else { json!(id) };
        if version != "10" {
            assert_eq!(event["content"]["redacts"], inside, "version {version}");
        }
    }
}

async fn a_redaction_sent_as_an_event_takes_the_same_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for version in ["1", "10", "11", "12"] {
        let room = alice.create_room(json!({"room_version": version, "preset": "public_chat"})).await;
        bob.join(&room).await.ok();
        let id = alice.say(&room, "mine").await;
        let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
        levels["events"]["m.room.redaction"] = json!(0);
        alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
        let redaction = json!({ "redacts": id });
        bob.send(&room, "m.room.redaction", &redaction).await.fails(403, "M_FORBIDDEN");
        bob.set(&room, "m.room.redaction", "", &redaction).await.fails(403, "M_FORBIDDEN");
        assert_eq!(alice.event(&room, &id).await.ok()["content"]["body"], "mine", "version {version}");
        let create = find(&alice.full_state(&room).await, "m.room.create", "").map(event_id).unwrap();
        alice.send(&room, "m.room.redaction", &json!({"redacts": create})).await.fails(403, "M_FORBIDDEN");
        alice.redact(&room, &create).await.fails(403, "M_FORBIDDEN");
        let servers = json!({"allow": ["*"], "deny": ["evil.test"]});
        let servers = event_id(&alice.set(&room, "m.room.server_acl", "", &servers).await.ok());
        alice.redact(&room, &servers).await.fails(403, "M_FORBIDDEN");
        alice.say(&room, "the room goes on").await;
    }
}

async fn a_redaction_can_be_redacted(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in ["10", "12"] {
        let room = alice.create_room(json!({"room_version": version})).await;
        let id = alice.say(&room, "a secret").await;
        let path = format!("/rooms/{room}/redact/{}/{}", enc(&id), fresh("txn"));
        let redaction = event_id(&alice.put(&path, &json!({"reason": "also a secret"})).await.ok());
        alice.redact(&room, &redaction).await.ok();
        let text = alice.messages(&room, "dir=b&limit=50").await.text;
        assert!(!text.contains("also a secret"), "version {version}: {text}");
        // What it redacted stays so.
        assert_eq!(alice.event(&room, &id).await.ok()["content"], json!({}), "version {version}");
    }
}
