//! Who may read which part of a room's history.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::rooms::{bodies, ids};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        what_one_reads_depends_on_the_visibility_when_it_was_sent,
        a_single_event_is_hidden_like_in_the_history,
        an_unknown_visibility_is_shared,
        a_stranger_reads_what_the_world_may_read_and_nothing_else,
        one_who_left_reads_up_to_the_leave_and_no_further,
        the_visibility_event_itself_is_seen_when_either_side_allows_it,
        visibility_that_changed_counts_for_later_events_only,
        what_was_sent_while_we_were_gone_is_there_when_we_are_back,
        events_tell_the_membership_of_who_reads_them,
    ]
}

async fn room(alice: &User, visibility: &str) -> String {
    let state = json!({"type": "m.room.history_visibility", "content": {"history_visibility": visibility}});
    alice.create_room(json!({"preset": "public_chat", "initial_state": [state]})).await
}

/// The phases of a stay in a room, in their order: alice says each when it begins.
const PHASES: [&str; 5] = ["before", "invited", "joined", "gone", "back"];

/// Lets bob live through the phases.
async fn stay(alice: &User, bob: &User, room: &str) {
    alice.say(room, PHASES[0]).await;
    alice.invite(room, bob).await.ok();
    alice.say(room, PHASES[1]).await;
    bob.join(room).await.ok();
    alice.say(room, PHASES[2]).await;
    bob.leave(room).await.ok();
    alice.say(room, PHASES[3]).await;
    bob.join(room).await.ok();
    alice.say(room, PHASES[4]).await;
}

/// The phases that each visibility lets bob read at the end.
fn readable(visibility: &str) -> Vec<&'static str> {
    match visibility {
        "world_readable" | "shared" => PHASES.to_vec(),
        "invited" => vec!["invited", "joined", "back"],
        _ => vec!["joined", "back"],
    }
}

async fn what_one_reads_depends_on_the_visibility_when_it_was_sent(hearth: Hearth) {
    for visibility in ["world_readable", "shared", "invited", "joined"] {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let room = room(&alice, visibility).await;
        stay(&alice, &bob, &room).await;
        for page in [1, 4, 50] {
            let history = bob.history(&room, None, page).await;
            assert_eq!(bodies(&history), readable(visibility), "{visibility}, in pages of {page}");
        }
        let sync = bob.sync_filtered(&json!({"room": {"timeline": {"limit": 50}}}), "timeout=0").await;
        assert_eq!(bodies(sync.timeline(&room)), readable(visibility), "{visibility}, by sync");
    }
}

async fn a_single_event_is_hidden_like_in_the_history(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "joined").await;
    stay(&alice, &bob, &room).await;
    let all = alice.history(&room, None, 50).await;
    for event in all.iter().filter(|event| event["type"] == "m.room.message") {
        let id = event["event_id"].as_str().unwrap();
        let phase = event["content"]["body"].as_str().unwrap();
        let (one, around) =
            (bob.event(&room, id).await, bob.get(&format!("/rooms/{room}/context/{id}")).await);
        if readable("joined").contains(&phase) {
            assert_eq!(one.ok()["event_id"], id, "{phase}");
            let around = around.ok();
            let near = [list(&around["events_before"]), list(&around["events_after"])].concat();
            assert!(bodies(&near).iter().all(|body| readable("joined").contains(body)), "{around}");
        } else {
            one.fails(404, "M_NOT_FOUND");
            around.fails_with_one_of(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
        }
    }
}

async fn an_unknown_visibility_is_shared(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "shared").await;
    let strange = json!({"history_visibility": "org.example.strange"});
    alice.set(&room, "m.room.history_visibility", "", &strange).unchecked().await.ok();
    stay(&alice, &bob, &room).await;
    assert_eq!(bodies(&bob.history(&room, None, 50).await), PHASES);
}

async fn a_stranger_reads_what_the_world_may_read_and_nothing_else(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "world_readable").await;
    let id = alice.say(&room, "for all the world").await;
    assert_eq!(bodies(&bob.history(&room, None, 50).await), ["for all the world"]);
    bob.event(&room, &id).await.ok();
    bob.state(&room, "m.room.create", "").await.ok();
    let shared = json!({"history_visibility": "shared"});
    alice.set(&room, "m.room.history_visibility", "", &shared).await.ok();
    alice.say(&room, "among us").await;
    let reply = bob.messages(&room, "dir=b&limit=50").await;
    if reply.status == 200 {
        assert_eq!(bodies(list(&reply.body["chunk"])), ["for all the world"]);
    } else {
        reply.fails(403, "M_FORBIDDEN");
    }
    bob.state(&room, "m.room.create", "").await.fails(403, "M_FORBIDDEN");
}

async fn one_who_left_reads_up_to_the_leave_and_no_further(hearth: Hearth) {
    for removal in ["leave", "kick", "ban"] {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let room = room(&alice, "shared").await;
        bob.join(&room).await.ok();
        alice.say(&room, "together").await;
        match removal {
            "leave" => bob.leave(&room),
            "kick" => alice.kick(&room, &bob),
            _ => alice.ban(&room, &bob),
        }
        .await
        .ok();
        let after = alice.say(&room, "without him").await;
        alice.set(&room, "m.room.topic", "", &json!({"topic": "without him"})).await.ok();
        bob.event(&room, &after).await.fails_with_one_of(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
        if removal == "ban" && bob.messages(&room, "dir=b").await.status == 403 {
            continue;
        }
        let history = bob.history(&room, None, 5).await;
        assert_eq!(bodies(&history), ["together"], "{removal}");
        let last = history.last().unwrap();
        assert_eq!((&last["type"], &last["state_key"]), (&json!("m.room.member"), &json!(bob.id)));
    }
}

async fn the_visibility_event_itself_is_seen_when_either_side_allows_it(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "joined").await;
    alice.say(&room, "hidden").await;
    let shared = json!({"history_visibility": "shared"});
    alice.set(&room, "m.room.history_visibility", "", &shared).await.ok();
    alice.say(&room, "shown").await;
    let joined = json!({"history_visibility": "joined"});
    alice.set(&room, "m.room.history_visibility", "", &joined).await.ok();
    alice.say(&room, "hidden again").await;
    bob.join(&room).await.ok();
    let history = bob.history(&room, None, 50).await;
    assert_eq!(bodies(&history), ["shown"]);
    let changes: Vec<_> = history
        .iter()
        .filter(|event| event["type"] == "m.room.history_visibility")
        .map(|event| event["content"]["history_visibility"].as_str().unwrap())
        .collect();
    // The first one too: before it, the history was shared.
    assert_eq!(changes, ["joined", "shared", "joined"]);
}

async fn visibility_that_changed_counts_for_later_events_only(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "joined").await;
    alice.say(&room, "one").await;
    let world = json!({"history_visibility": "world_readable"});
    alice.set(&room, "m.room.history_visibility", "", &world).await.ok();
    alice.say(&room, "two").await;
    assert_eq!(bodies(&bob.history(&room, None, 50).await), ["two"]);
    bob.join(&room).await.ok();
    assert_eq!(bodies(&bob.history(&room, None, 50).await), ["two"]);
}

async fn what_was_sent_while_we_were_gone_is_there_when_we_are_back(hearth: Hearth) {
    for visibility in ["world_readable", "shared", "invited", "joined"] {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let room = room(&alice, visibility).await;
        bob.join(&room).await.ok();
        let before = alice.chatter(&room, "before", 5).await;
        let since = bob.sync().await.next_batch().to_owned();
        bob.leave(&room).await.ok();
        let away = alice.chatter(&room, "away", 50).await;
        bob.join(&room).await.ok();
        let after = alice.chatter(&room, "after", 5).await;

        let allowed = if matches!(visibility, "world_readable" | "shared") { away } else { Vec::new() };
        let wanted = [before, allowed, after].concat();
        let sync = bob.sync_since(&since).await;
        let timeline = &sync.joined(&room)["timeline"];
        let mut found = bob.history(&room, timeline["prev_batch"].as_str(), 7).await;
        found.extend(list(&timeline["events"]).iter().cloned());
        let all = ids(&found);
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "none twice, {visibility}");
        found.retain(|event| event["type"] == "m.room.message");
        assert_eq!(ids(&found), wanted, "in place, {visibility}");
    }
}

async fn events_tell_the_membership_of_who_reads_them(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = room(&alice, "shared").await;
    stay(&alice, &bob, &room).await;
    let history = bob.history(&room, None, 50).await;
    let told: Vec<_> = history
        .iter()
        .filter(|event| event["type"] == "m.room.message")
        .map(|event| event["unsigned"]["membership"].as_str().unwrap_or("not told"))
        .collect();
    assert_eq!(told, ["leave", "invite", "join", "leave", "join"]);
}
