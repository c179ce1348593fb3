//! Presence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::sync::{Sync, list};
use crate::harness::{Call, Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        those_in_a_room_with_somebody_hear_that_they_came,
        nobody_else_hears_of_them,
        a_status_message_is_told_kept_and_taken_back,
        who_syncs_as_offline_or_unavailable_is,
        who_joins_hears_of_the_members_and_they_of_whom_joined,
        a_filter_and_a_list_of_ignored_users_leave_presence_out,
        one_sets_ones_own_presence_alone,
        a_presence_that_is_none_is_refused,
        who_is_busy_stays_busy,
        presence_alone_is_told_in_turns_and_whole,
    ]
}

impl User {
    fn presence_of(&self, other: &Self) -> Call {
        self.get(&format!("/presence/{}/status", enc(&other.id)))
    }

    fn set_presence(&self, body: &Value) -> Call {
        self.put(&format!("/presence/{}/status", enc(&self.id)), body)
    }
}

/// What a sync tells of somebody's presence.
fn presence<'a>(sync: &'a Sync, of: &User) -> Option<&'a Value> {
    let events = list(&sync.body["presence"]["events"]);
    let told = events.iter().rfind(|event| event["sender"] == of.id.as_str())?;
    assert_eq!(told["type"], "m.presence");
    Some(&told["content"])
}

fn is(sync: &Sync, of: &User, state: &str) -> bool {
    presence(sync, of).is_some_and(|told| told["presence"] == state)
}

async fn those_in_a_room_with_somebody_hear_that_they_came(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    assert_eq!(bob.presence_of(&alice).await.ok()["presence"], "offline");
    let start = bob.sync().await;
    assert!(is(&start, &bob, "online") && presence(&start, &alice).is_none());
    let (told, _) = tokio::join!(
        bob.sync_until(start.next_batch(), |sync| presence(sync, &alice).is_some()),
        alice.sync()
    );
    let content = presence(&told, &alice).expect("her presence");
    assert_eq!((&content["presence"], &content["currently_active"]), (&json!("online"), &json!(true)));
    assert!(content["last_active_ago"].as_i64().expect("milliseconds") < 60_000);
    let asked = bob.presence_of(&alice).await.ok();
    assert_eq!((&asked["presence"], &asked["currently_active"]), (&json!("online"), &json!(true)));
    // A first sync tells of everybody who is there.
    assert!(is(&alice.sync().await, &bob, "online"));
}

async fn nobody_else_hears_of_them(hearth: Hearth) {
    let (alice, eve) = (hearth.user("alice").await, hearth.user("eve").await);
    let left = alice.room_with(&[&eve]).await;
    eve.leave(&left).await.ok();
    alice.sync().await;
    let start = eve.sync().await;
    assert_eq!(presence(&start, &alice), None);
    alice.set_presence(&json!({"presence": "unavailable", "status_msg": "out"})).await.ok();
    assert_eq!(presence(&eve.sync_since(start.next_batch()).await, &alice), None);
    eve.presence_of(&alice).await.fails(403, "M_FORBIDDEN");
    eve.get(&format!("/presence/{}/status", enc("@nobody:elsewhere"))).await.fails(403, "M_FORBIDDEN");
}

async fn a_status_message_is_told_kept_and_taken_back(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let start = bob.sync().await;
    alice.set_presence(&json!({"presence": "online", "status_msg": "at lunch"})).await.ok();
    let told = bob.sync_since(start.next_batch()).await;
    assert_eq!(presence(&told, &alice).expect("her presence")["status_msg"], "at lunch");
    // Another state by syncing leaves the message as it is.
    alice.sync_with("set_presence=unavailable").await;
    let told = bob.sync_until(told.next_batch(), |sync| is(sync, &alice, "unavailable")).await;
    assert_eq!(presence(&told, &alice).expect("her presence")["status_msg"], "at lunch");
    alice.set_presence(&json!({"presence": "online"})).await.ok();
    let asked = bob.presence_of(&alice).await.ok();
    assert_eq!((&asked["presence"], &asked["status_msg"]), (&json!("online"), &Value::Null));
    for nothing in [json!(null), json!("")] {
        alice.set_presence(&json!({"presence": "online", "status_msg": "x"})).await.ok();
        alice.set_presence(&json!({"presence": "online", "status_msg": nothing})).await.ok();
        assert_eq!(alice.presence_of(&alice).await.ok()["status_msg"], Value::Null);
    }
}

async fn who_syncs_as_offline_or_unavailable_is(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let start = bob.sync_with("set_presence=offline").await;
    alice.sync_with("set_presence=offline").await;
    assert_eq!(bob.presence_of(&alice).await.ok()["presence"], "offline");
    alice.sync_with("set_presence=unavailable").await;
    let told = bob.sync_until(start.next_batch(), |sync| presence(sync, &alice).is_some()).await;
    assert!(is(&told, &alice, "unavailable"));
    assert_eq!(presence(&told, &alice).expect("her presence").get("currently_active"), None);
    // Of two devices, the one where there is more of her counts.
    let phone = hearth.login(&alice).await;
    phone.sync_with("set_presence=online").await;
    alice.sync_with("set_presence=unavailable").await;
    assert_eq!(bob.presence_of(&alice).await.ok()["presence"], "online");
}

async fn who_joins_hears_of_the_members_and_they_of_whom_joined(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let hers = alice.sync().await;
    let his = bob.sync().await;
    assert!(presence(&his, &alice).is_none());
    bob.join(&room).await.ok();
    assert!(is(&bob.sync_since(his.next_batch()).await, &alice, "online"));
    assert!(is(&alice.sync_since(hers.next_batch()).await, &bob, "online"));
}

async fn a_filter_and_a_list_of_ignored_users_leave_presence_out(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    alice.sync().await;
    for filter in [
        json!({"presence": {"types": []}}),
        json!({"presence": {"not_types": ["m.presence"]}}),
        json!({"presence": {"not_senders": [alice.id]}}),
    ] {
        assert_eq!(presence(&bob.sync_filtered(&filter, "").await, &alice), None, "{filter}");
    }
    assert!(presence(&bob.sync().await, &alice).is_some());
    let list = json!({"ignored_users": {&alice.id: {}}});
    bob.put(&format!("/user/{}/account_data/m.ignored_user_list", enc(&bob.id)), &list).await.ok();
    assert_eq!(presence(&bob.sync().await, &alice), None);
}

async fn one_sets_ones_own_presence_alone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let path = format!("/presence/{}/status", enc(&bob.id));
    alice.put(&path, &json!({"presence": "online"})).await.fails(403, "M_FORBIDDEN");
    assert_eq!(alice.presence_of(&bob).await.ok()["presence"], "offline");
}

async fn a_presence_that_is_none_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.set_presence(&json!({"presence": "online", "status_msg": "here"})).await.ok();
    for (body, errcode) in [
        (json!({}), "M_BAD_JSON"),
        (json!({"presence": "asleep"}), "M_BAD_JSON"),
        (json!({"presence": 1}), "M_BAD_JSON"),
        (json!({"presence": "offline", "status_msg": 7}), "M_BAD_JSON"),
        (json!({"presence": "offline", "status_msg": "x".repeat(513)}), "M_INVALID_PARAM"),
    ] {
        alice.set_presence(&body).await.fails(400, errcode);
    }
    let huge = json!({"presence": "offline", "status_msg": "\u{202e}".repeat(100_000)});
    alice.set_presence(&huge).await.fails(413, "M_TOO_LARGE");
    alice.call("GET", "/sync?set_presence=asleep").await.fails(400, "M_INVALID_PARAM");
    let kept = alice.presence_of(&alice).await.ok();
    assert_eq!((&kept["presence"], &kept["status_msg"]), (&json!("online"), &json!("here")));
}

async fn who_is_busy_stays_busy(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let busy = "org.matrix.msc3026.busy";
    for name in [busy, "busy"] {
        alice.set_presence(&json!({"presence": name})).await.ok();
        // Clients go on to sync as online.
        alice.sync_with("set_presence=online&timeout=0").await;
        // The specification does not know it yet.
        assert_eq!(bob.presence_of(&alice).unchecked().await.ok()["presence"], busy);
        assert!(is(&bob.sync().await, &alice, busy));
        alice.set_presence(&json!({"presence": "online"})).await.ok();
        assert_eq!(bob.presence_of(&alice).await.ok()["presence"], "online");
    }
    alice.sync_with("set_presence=busy&timeout=0").await;
    assert!(is(&bob.sync_until("s0", |sync| is(sync, &alice, busy)).await, &alice, busy));
}

async fn presence_alone_is_told_in_turns_and_whole(hearth: Hearth) {
    const CHANGES: usize = 40;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let mut since = bob.sync().await.next_batch().to_owned();
    let begun = Instant::now();
    let change = async {
        for number in 0..CHANGES {
            let status = json!({"presence": "online", "status_msg": number.to_string()});
            alice.set_presence(&status).await.ok();
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    let last = (CHANGES - 1).to_string();
    let listen = async {
        for answers in 1.. {
            let told = bob.sync_with(&format!("timeout=10000&since={since}")).await;
            if presence(&told, &alice).is_some_and(|told| told["status_msg"] == *last) {
                return answers;
            }
            told.next_batch().clone_into(&mut since);
        }
        0
    };
    let ((), answers) = tokio::join!(change, listen);
    assert!(answers <= begun.elapsed().as_secs() + 3, "{answers} answers in {:?}", begun.elapsed());
}
