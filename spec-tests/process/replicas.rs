//! Two processes on one database: any of them serves anyone, and either may go.

mod storm;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::harness::rooms::ids;
use crate::harness::server::{Server, Settings};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, enc, tests};

/// How soon a logout counts everywhere.
const LOGOUT: Duration = Duration::from_secs(1);
/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let here = tests![own_server:
        a_token_made_by_one_replica_is_good_at_the_other_at_once,
        what_one_replica_acknowledged_the_other_shows_at_once,
        a_logout_at_one_replica_counts_at_the_other_within_a_second,
        senders_and_readers_of_both_replicas_share_a_room,
        when_one_replica_stops_or_dies_the_other_goes_on,
        a_repeated_transaction_is_one_event_at_whichever_replica,
    ];
    [here, storm::tests()].concat()
}

/// Two replicas, and a door to each.
struct Pair {
    first: Server,
    second: Server,
    at_first: Hearth,
    at_second: Hearth,
}

impl Pair {
    async fn start(hearth: &Hearth) -> Self {
        let (first, at_first) = hearth.start(Settings::new()).await;
        let second = first.start_replica().await.expect("a second replica starts");
        let at_second = hearth.other(second.base());
        Self { first, second, at_first, at_second }
    }

    async fn stop(self) {
        Self::end([self.first, self.second]).await;
    }

    async fn end(servers: impl IntoIterator<Item = Server>) {
        for server in servers {
            assert_eq!(server.errors(), Vec::<String>::new());
            server.stop().await;
        }
    }
}

async fn a_token_made_by_one_replica_is_good_at_the_other_at_once(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    for _ in 0..10 {
        let alice = pair.at_first.user("alice").await;
        let there = alice.at(&pair.at_second);
        assert_eq!(there.get("/account/whoami").await.ok()["user_id"], alice.id);
        let phone = pair.at_second.login(&alice).await;
        phone.at(&pair.at_first).get("/account/whoami").await.ok();
    }
    pair.stop().await;
}

async fn what_one_replica_acknowledged_the_other_shows_at_once(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    let alice = pair.at_first.user("alice").await;
    let there = alice.at(&pair.at_second);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let mut since = there.sync().await.next_batch().to_owned();
    for number in 0..10 {
        let id = alice.say(&room, &format!("message {number}")).await;
        there.event(&room, &id).await.ok();
        let page = there.messages(&room, "dir=b&limit=1").await.ok();
        assert_eq!(page["chunk"][0]["event_id"], id);
        let own = alice.sync_since(&since).await;
        assert_eq!(ids(own.timeline(&room)), std::slice::from_ref(&id));
        // A token of one replica is good at the other.
        let sync = there.sync_since(own.next_batch()).await;
        assert!(sync.joined(&room).is_null());
        own.next_batch().clone_into(&mut since);
        alice.set(&room, "m.room.topic", "", &json!({"topic": id})).await.ok();
        assert_eq!(there.state(&room, "m.room.topic", "").await.ok()["topic"], id);
        there.sync_since(&since).await.next_batch().clone_into(&mut since);
        let data = format!("/user/{}/account_data/org.example.n", alice.id);
        there.put(&data, &json!({"n": number})).await.ok();
        assert_eq!(alice.get(&data).await.ok(), json!({"n": number}));
    }
    let bob = pair.at_second.user("bob").await;
    bob.join(&room).await.ok();
    bob.at(&pair.at_first).say(&room, "hello").await;
    pair.stop().await;
}

async fn a_logout_at_one_replica_counts_at_the_other_within_a_second(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    let alice = pair.at_first.user("alice").await;
    let there = alice.at(&pair.at_second);
    there.get("/account/whoami").await.ok();
    alice.post("/logout", &json!({})).await.ok();
    let since = Instant::now();
    while there.get("/account/whoami").await.status != 401 {
        assert!(since.elapsed() < LOGOUT, "the token is still good");
        sleep(Duration::from_millis(10)).await;
    }
    there.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    pair.stop().await;
}

/// Reads until it has seen so many messages.
async fn read(user: User, room: String, since: String, count: usize) -> Vec<String> {
    let (mut since, mut seen, started) = (since, Vec::new(), Instant::now());
    while seen.len() < count {
        assert!(started.elapsed() < PATIENCE, "{} saw {} of {count}", user.id, seen.len());
        let sync = user.sync_with(&format!("timeout=5000&since={}", enc(&since))).await;
        let timeline = &sync.joined(&room)["timeline"];
        if timeline["limited"] == true {
            let from = timeline["prev_batch"].as_str().expect("a token before the timeline");
            seen.extend(gap(&user, &room, from, &since).await);
        }
        seen.extend(ids(sync.timeline(&room)));
        sync.next_batch().clone_into(&mut since);
    }
    seen
}

/// The ids of what lies between an earlier token and a timeline that begins later.
async fn gap(user: &User, room: &str, from: &str, to: &str) -> Vec<String> {
    let (mut from, mut found) = (from.to_owned(), Vec::new());
    loop {
        let query = format!("dir=b&limit=100&from={}&to={}", enc(&from), enc(to));
        let page = user.messages(room, &query).await.ok();
        found.extend(ids(list(&page["chunk"])));
        let Some(end) = page["end"].as_str() else { break };
        end.clone_into(&mut from);
    }
    found.reverse();
    found
}

async fn senders_and_readers_of_both_replicas_share_a_room(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    let (alice, bob) = (pair.at_first.user("alice").await, pair.at_second.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    bob.join(&room).await.ok();
    let mut readers = Vec::new();
    for user in [&alice, &bob] {
        for door in [&pair.at_first, &pair.at_second] {
            let reader = user.at(door);
            let since = reader.sync().await.next_batch().to_owned();
            readers.push(tokio::spawn(read(reader, room.clone(), since, 100)));
        }
    }
    let talk = |user: User| {
        let room = room.clone();
        tokio::spawn(async move { user.chatter(&room, &user.id, 50).await })
    };
    let (first, second) = (talk(alice.clone()), talk(bob));
    let mut sent = [first.await.unwrap(), second.await.unwrap()].concat();
    let history = alice.history(&room, None, 100).await;
    let order = ids(&history[history.len() - 100..]);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), order, "every reader sees all of it in the room's order");
    }
    let mut found = order;
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
    pair.stop().await;
}

async fn when_one_replica_stops_or_dies_the_other_goes_on(hearth: Hearth) {
    for killed in [false, true] {
        let Pair { first, second, at_first, at_second } = Pair::start(&hearth).await;
        let alice = at_first.user("alice").await;
        let there = alice.at(&at_second);
        let room = alice.create_room(json!({})).await;
        let since = there.sync().await.next_batch().to_owned();
        let before = alice.chatter(&room, "before", 5).await;
        if killed {
            first.kill().await;
        } else {
            assert!(first.stop().await.0.success());
        }
        let after = there.chatter(&room, "after", 5).await;
        assert_eq!(ids(there.sync_since(&since).await.timeline(&room)), [before, after].concat());
        assert_eq!(second.errors(), Vec::<String>::new());
        second.stop().await;
    }
}

async fn a_repeated_transaction_is_one_event_at_whichever_replica(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    let alice = pair.at_first.user("alice").await;
    let there = alice.at(&pair.at_second);
    let room = alice.create_room(json!({})).await;
    for number in 0..10 {
        let path = format!("/rooms/{room}/send/m.room.message/{number}");
        let body = crate::harness::rooms::text("once");
        let (one, two) = tokio::join!(alice.put(&path, &body).send(), there.put(&path, &body).send());
        assert_eq!(one.unwrap().ok(), two.unwrap().ok());
    }
    let history = there.history(&room, None, 100).await;
    assert_eq!(history.iter().filter(|event| event["type"] == "m.room.message").count(), 10);
    pair.stop().await;
}
