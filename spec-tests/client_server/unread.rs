//! Unread counts.

use serde_json::{Value, json};

use crate::harness::rooms::{receipt, text};
use crate::harness::server::{Server, Settings};
use crate::harness::sync::Sync;
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let here = tests![
        counts_go_up_with_messages_and_down_with_a_receipt,
        what_one_sends_oneself_is_read_and_so_is_what_was_before,
        what_the_push_rules_do_not_notify_of_does_not_count,
        mentions_are_highlighted_for_those_they_name,
        a_mention_of_the_room_takes_power,
        another_device_hears_of_what_was_read,
        a_device_that_wants_no_receipts_hears_of_what_was_read_too,
        a_private_receipt_reads_as_well_as_a_public_one,
        a_receipt_further_back_leaves_what_came_after_it,
        threads_are_counted_by_themselves_where_that_is_wanted,
        a_receipt_for_a_thread_reads_that_thread_alone,
        who_writes_in_a_thread_has_read_that_thread_alone,
        what_ignored_users_say_does_not_count,
        a_redacted_message_counts_no_longer,
        who_joins_has_read_what_was_before,
        only_joined_rooms_have_counts,
    ];
    let alone = tests![own_server: counts_are_the_same_at_another_replica_and_after_a_crash];
    [here, alone].concat()
}

/// The room's notifications and highlights in a sync.
fn counts(sync: &Sync, room: &str) -> (u64, u64) {
    pair(&sync.joined(room)["unread_notifications"])
}

fn pair(counts: &Value) -> (u64, u64) {
    let count = |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("no {name} in {counts}"));
    (count("notification_count"), count("highlight_count"))
}

/// The filter of clients that show threads.
fn by_thread() -> Value {
    json!({"room": {"timeline": {"unread_thread_notifications": true}}})
}

impl User {
    /// What is unread in a room, by a first sync.
    async fn unread(&self, room: &str) -> (u64, u64) {
        counts(&self.sync().await, room)
    }

    /// What is unread in a room outside threads, and in one.
    async fn unread_by_thread(&self, room: &str, thread: &str) -> ((u64, u64), Option<(u64, u64)>) {
        let sync = self.sync_filtered(&by_thread(), "timeout=0").await;
        let of_thread = sync.joined(room)["unread_thread_notifications"].get(thread).map(pair);
        (counts(&sync, room), of_thread)
    }

    /// A message that mentions users.
    async fn mention(&self, room: &str, kind: &str, mentions: &Value) {
        let content = json!({"msgtype": "m.text", "body": "psst", "m.mentions": mentions});
        self.send(room, kind, &content).await.ok();
    }
}

async fn counts_go_up_with_messages_and_down_with_a_receipt(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut since = alice.sync().await;
    assert_eq!(counts(&since, &room), (0, 0));
    let mut last = String::new();
    for number in 1..=3 {
        last = bob.say(&room, "hello").await;
        since = alice.sync_since(since.next_batch()).await;
        assert_eq!(counts(&since, &room), (number, 0));
    }
    alice.read(&room, "m.read", &last).await;
    let read = alice.sync_since(since.next_batch()).await;
    assert_eq!(counts(&read, &room), (0, 0));
    assert_eq!(alice.unread(&room).await, (0, 0));
    bob.say(&room, "one more").await;
    assert_eq!(alice.unread(&room).await, (1, 0));
    assert_eq!(counts(&alice.sync_since(read.next_batch()).await, &room), (1, 0));
}

async fn what_one_sends_oneself_is_read_and_so_is_what_was_before(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    bob.say(&room, "hello").await;
    let since = alice.sync().await;
    assert_eq!(counts(&since, &room), (1, 0));
    alice.say(&room, "hello yourself").await;
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (0, 0));
    bob.say(&room, "well").await;
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (1, 0));
    assert_eq!(alice.unread(&room).await, (1, 0));
    assert_eq!(bob.unread(&room).await, (0, 0));
}

async fn what_the_push_rules_do_not_notify_of_does_not_count(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let said = bob.say(&room, "counts").await;
    let relates = |kind: &str| json!({"rel_type": kind, "event_id": said, "key": "+"});
    let edit = json!({"body": "* c", "msgtype": "m.text", "m.new_content": text("c"), "m.relates_to": relates("m.replace")});
    let reaction = json!({"m.relates_to": relates("m.annotation")});
    bob.send(&room, "m.room.message", &json!({"msgtype": "m.notice", "body": "n"})).await.ok();
    bob.send(&room, "m.room.message", &edit).await.ok();
    bob.send(&room, "m.reaction", &reaction).await.ok();
    bob.send(&room, "org.example.unheard.of", &text("x")).await.ok();
    let carol = hearth.user("carol").await;
    carol.join(&room).await.ok();
    assert_eq!(alice.unread(&room).await, (1, 0));
    bob.send(&room, "m.room.encrypted", &json!({"algorithm": "m.x", "ciphertext": "y"})).await.ok();
    assert_eq!(alice.unread(&room).await, (2, 0));
}

async fn mentions_are_highlighted_for_those_they_name(hearth: Hearth) {
    let (alice, bob, carol) =
        (hearth.user("alice").await, hearth.user("bob").await, hearth.user("carol").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let since = alice.sync().await;
    let of_alice = json!({ "user_ids": [alice.id] });
    bob.mention(&room, "m.room.message", &of_alice).await;
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (1, 1));
    assert_eq!(carol.unread(&room).await, (1, 0));
    // Something that notifies nobody else notifies those it mentions.
    bob.mention(&room, "org.example.unheard.of", &of_alice).await;
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (2, 2));
    assert_eq!(alice.unread(&room).await, (2, 2));
    assert_eq!(carol.unread(&room).await, (1, 0));
    bob.mention(&room, "m.room.message", &json!({"user_ids": "@nobody", "room": 1})).await;
    assert_eq!(alice.unread(&room).await, (3, 2));
}

async fn a_mention_of_the_room_takes_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let all = json!({"room": true});
    bob.mention(&room, "m.room.message", &all).await;
    assert_eq!(alice.unread(&room).await, (1, 0));
    alice.mention(&room, "m.room.message", &all).await;
    assert_eq!(bob.unread(&room).await, (1, 1));
    assert_eq!(alice.unread(&room).await, (0, 0));
    let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    levels["notifications"] = json!({"room": 0});
    alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
    bob.mention(&room, "m.room.message", &all).await;
    assert_eq!(alice.unread(&room).await, (1, 1));
}

async fn another_device_hears_of_what_was_read(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let phone = hearth.login(&alice).await;
    let room = alice.room_with(&[&bob]).await;
    let said = bob.say(&room, "hello").await;
    for kind in ["m.read", "m.read.private"] {
        let said = if kind == "m.read" { said.clone() } else { bob.say(&room, "again").await };
        let since = phone.sync().await;
        assert_eq!(counts(&since, &room), (1, 0));
        let (heard, ()) = tokio::join!(
            phone.sync_until(since.next_batch(), |sync| !sync.joined(&room).is_null()),
            alice.read(&room, kind, &said),
        );
        assert_eq!(counts(&heard, &room), (0, 0), "{kind}");
        assert!(heard.timeline(&room).is_empty());
    }
}

async fn a_device_that_wants_no_receipts_hears_of_what_was_read_too(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let phone = hearth.login(&alice).await;
    let room = alice.room_with(&[&bob]).await;
    let said = bob.say(&room, "hello").await;
    let filter = json!({"room": {"ephemeral": {"types": []}}});
    let first = phone.sync_filtered(&filter, "timeout=0").await;
    bob.read(&room, "m.read", &said).await;
    let since = format!("timeout=0&since={}", first.next_batch());
    assert!(phone.sync_filtered(&filter, &since).await.joined(&room).is_null());
    alice.read(&room, "m.read", &said).await;
    let heard = phone.sync_filtered(&filter, &since).await;
    assert_eq!(counts(&heard, &room), (0, 0));
    assert_eq!(heard.joined(&room).get("ephemeral"), None);
    let since = format!("timeout=0&since={}", heard.next_batch());
    assert!(phone.sync_filtered(&filter, &since).await.joined(&room).is_null());
}

async fn a_private_receipt_reads_as_well_as_a_public_one(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let (first, second) = (bob.say(&room, "1").await, bob.say(&room, "2").await);
    alice.read(&room, "m.read.private", &second).await;
    assert_eq!(alice.unread(&room).await, (0, 0));
    alice.read(&room, "m.read", &first).await;
    assert_eq!(alice.unread(&room).await, (0, 0));
    alice.read(&room, "m.fully_read", &bob.say(&room, "3").await).await;
    assert_eq!(alice.unread(&room).await, (1, 0), "a marker of what was read in full is no receipt");
}

async fn a_receipt_further_back_leaves_what_came_after_it(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let said = bob.chatter(&room, "hello", 5).await;
    alice.read(&room, "m.read", &said[1]).await;
    assert_eq!(alice.unread(&room).await, (3, 0));
    alice.read(&room, "m.read", &said[0]).await;
    assert_eq!(alice.unread(&room).await, (3, 0));
}

async fn threads_are_counted_by_themselves_where_that_is_wanted(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = alice.sync().await;
    let (thread, other) = (bob.say(&room, "a thread").await, bob.say(&room, "another").await);
    bob.reply(&room, &thread, "in the thread").await;
    bob.reply(&room, &thread, "and more").await;
    let content = json!({
        "msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [alice.id]},
        "m.relates_to": {"rel_type": "m.thread", "event_id": other},
    });
    bob.send(&room, "m.room.message", &content).await.ok();
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((2, 0), Some((2, 0))));
    assert_eq!(alice.unread_by_thread(&room, &other).await, ((2, 0), Some((1, 1))));
    assert_eq!(alice.unread(&room).await, (5, 1), "all together where threads are not asked for");
    let later = format!("timeout=0&since={}", since.next_batch());
    let later = alice.sync_filtered(&by_thread(), &later).await;
    assert_eq!(pair(&later.joined(&room)["unread_thread_notifications"][&thread]), (2, 0));
    let plain = alice.sync_since(since.next_batch()).await;
    assert_eq!(counts(&plain, &room), (5, 1));
    assert_eq!(plain.joined(&room).get("unread_thread_notifications"), None);
}

async fn a_receipt_for_a_thread_reads_that_thread_alone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let thread = bob.say(&room, "a thread").await;
    let inside = bob.reply(&room, &thread, "in the thread").await;
    let last = bob.say(&room, "outside").await;
    let read = async |event: &str, body: Value| {
        alice.post(&receipt(&room, "m.read", event), &body).await.ok();
    };
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((2, 0), Some((1, 0))));
    read(&last, json!({"thread_id": "main"})).await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((0, 0), Some((1, 0))));
    assert_eq!(alice.unread(&room).await, (1, 0));
    read(&inside, json!({ "thread_id": thread })).await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((0, 0), None));
    bob.reply(&room, &thread, "more").await;
    let last = bob.say(&room, "more outside").await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((1, 0), Some((1, 0))));
    read(&last, json!({})).await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((0, 0), None), "it is for all threads");
}

async fn who_writes_in_a_thread_has_read_that_thread_alone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let thread = bob.say(&room, "a thread").await;
    let inside = bob.reply(&room, &thread, "in the thread").await;
    let since = alice.sync_filtered(&by_thread(), "timeout=0").await;
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": inside, "key": "+"}});
    alice.send(&room, "m.reaction", &reaction).await.ok();
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((1, 0), None));
    bob.reply(&room, &thread, "more").await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((1, 0), Some((1, 0))));
    alice.say(&room, "outside").await;
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((0, 0), Some((1, 0))));
    let later = format!("timeout=0&since={}", since.next_batch());
    let later = alice.sync_filtered(&by_thread(), &later).await;
    assert_eq!(pair(&later.joined(&room)["unread_thread_notifications"][&thread]), (1, 0));
    assert_eq!(counts(&later, &room), (0, 0));
}

async fn what_ignored_users_say_does_not_count(hearth: Hearth) {
    let (alice, bob, carol) =
        (hearth.user("alice").await, hearth.user("bob").await, hearth.user("carol").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let since = alice.sync().await;
    bob.mention(&room, "m.room.message", &json!({ "user_ids": [alice.id] })).await;
    carol.say(&room, "heard").await;
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (2, 1));
    alice.ignore(&[&bob]).await;
    bob.say(&room, "unheard").await;
    carol.say(&room, "heard").await;
    assert_eq!(alice.unread(&room).await, (2, 0));
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (2, 0));
    alice.ignore(&[]).await;
    assert_eq!(alice.unread(&room).await, (4, 1));
}

async fn a_redacted_message_counts_no_longer(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    bob.say(&room, "stays").await;
    let content = json!({"body": "goes", "m.mentions": {"user_ids": [alice.id]}});
    let goes = bob.send(&room, "m.room.message", &content).await.ok();
    let goes = goes["event_id"].as_str().expect("an event id").to_owned();
    let since = alice.sync().await;
    assert_eq!(counts(&since, &room), (2, 1));
    bob.redact(&room, &goes).await.ok();
    assert_eq!(counts(&alice.sync_since(since.next_batch()).await, &room), (1, 0));
    bob.redact(&room, &goes).await.ok();
    assert_eq!(alice.unread(&room).await, (1, 0));
}

async fn who_joins_has_read_what_was_before(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[]).await;
    alice.chatter(&room, "before", 3).await;
    bob.join(&room).await.ok();
    assert_eq!(bob.unread(&room).await, (0, 0));
    alice.say(&room, "after").await;
    let since = bob.sync().await;
    assert_eq!(counts(&since, &room), (1, 0));
    bob.leave(&room).await.ok();
    alice.say(&room, "without bob").await;
    bob.join(&room).await.ok();
    assert_eq!(counts(&bob.sync_since(since.next_batch()).await, &room), (0, 0));
    assert_eq!(bob.unread(&room).await, (0, 0));
}

async fn only_joined_rooms_have_counts(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await;
    alice.say(&room, "hello").await;
    bob.leave(&room).await.ok();
    let left = bob.sync_since(since.next_batch()).await;
    assert!(!left.left(&room).is_null());
    assert_eq!(left.left(&room).get("unread_notifications"), None);
}

async fn counts_are_the_same_at_another_replica_and_after_a_crash(hearth: Hearth) {
    let (first, here) = hearth.start(Settings::new()).await;
    let (alice, bob) = (here.user("alice").await, here.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let thread = bob.say(&room, "a thread").await;
    bob.mention(&room, "m.room.message", &json!({ "user_ids": [alice.id] })).await;
    bob.reply(&room, &thread, "in the thread").await;
    let second = first.start_replica().await.expect("a second replica starts");
    let there = alice.at(&hearth.other(second.base()));
    let expected = ((2, 1), Some((1, 0)));
    assert_eq!(there.unread_by_thread(&room, &thread).await, expected);
    // What the other replica counted it carries on with what it hears.
    let since = there.sync().await;
    bob.mention(&room, "org.example.unheard.of", &json!({ "user_ids": [alice.id] })).await;
    let later = there.sync_until(since.next_batch(), |sync| !sync.joined(&room).is_null()).await;
    assert_eq!(counts(&later, &room), (4, 2));
    assert_eq!(alice.unread(&room).await, (4, 2));
    let estate = first.estate();
    first.kill().await;
    second.kill().await;
    let again = Server::start_in(estate.0, estate.1).await;
    let alice = alice.at(&hearth.other(again.base()));
    assert_eq!(alice.unread_by_thread(&room, &thread).await, ((3, 2), Some((1, 0))));
    again.stop().await;
}
