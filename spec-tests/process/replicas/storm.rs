//! Both replicas under load at the same time, in the same rooms.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Pair, read};
use crate::harness::client::enc;
use crate::harness::rooms::{event_id, find, ids};
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Test, User, tests};
use crate::process::crash::crowd::{Crowd, Verdict};

/// Users who write at the same time, all but one in ten of them at the first replica: the few must not crowd out
/// the many, nor the many the few.
const WRITERS: usize = 20;
/// How many times each of them writes one of each: a message, state of their own, and state that all share.
const TURNS: usize = 6;
/// What must be acknowledged between two blows, and be under way at each.
const LOAD: (usize, usize) = (200, 10);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_storm_on_one_room_from_both_replicas_is_acknowledged_whole_and_comes_to_one_state,
        a_crowd_goes_on_while_either_replica_stops_or_is_killed,
    ]
}

/// Writes in turn a message, state of one's own and state that all share; returns the ids of all of it.
async fn write(user: User, room: String) -> Vec<String> {
    let mut written = Vec::new();
    for turn in 0..TURNS {
        written.push(user.say(&room, &format!("{} {turn}", user.id)).await);
        let own = user.set(&room, "org.example.own", &user.id, &json!({"turn": turn}));
        written.push(event_id(&own.await.ok()));
        let shared = json!({"turn": turn, "by": user.id});
        written.push(event_id(&user.set(&room, "org.example.shared", "", &shared).await.ok()));
    }
    written
}

async fn a_storm_on_one_room_from_both_replicas_is_acknowledged_whole_and_comes_to_one_state(hearth: Hearth) {
    let pair = Pair::start(&hearth).await;
    let doors = [&pair.at_first, &pair.at_second];
    let alice = pair.at_first.user("alice").await;
    let levels = json!({"state_default": 0});
    let room =
        alice.create_room(json!({"preset": "public_chat", "power_level_content_override": levels})).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let user = doors[usize::from(number % 10 == 9)].user("writer").await;
        user.join(&room).await.ok();
        writers.push(user);
    }
    let count = WRITERS * TURNS * 3;
    let mut readers = Vec::new();
    for door in doors {
        let reader = alice.at(door);
        let since = reader.sync().await.next_batch().to_owned();
        readers.push(tokio::spawn(read(reader, room.clone(), since, count)));
    }
    let storm: Vec<_> = writers.iter().map(|user| tokio::spawn(write(user.clone(), room.clone()))).collect();
    let mut written = BTreeSet::new();
    for writer in storm {
        written.extend(writer.await.unwrap());
    }
    assert_eq!(written.len(), count, "every write is an event of its own");

    let history = alice.history(&room, None, 100).await;
    let order = &history[history.len() - count..];
    assert_eq!(ids(order).into_iter().collect::<BTreeSet<_>>(), written);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), ids(order), "every reader sees all of it in the room's order");
    }
    let last = |kind: &str, key: &str| find_last(order, kind, key)["content"].clone();
    for door in doors {
        let state = alice.at(door).full_state(&room).await;
        let content = |kind: &str, key: &str| find(&state, kind, key).map(|event| event["content"].clone());
        assert_eq!(content("org.example.shared", ""), Some(last("org.example.shared", "")));
        for user in &writers {
            assert_eq!(content("org.example.own", &user.id), Some(json!({"turn": TURNS - 1})));
        }
        let members = alice.at(door).get(&format!("/rooms/{}/joined_members", enc(&room))).await.ok();
        assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(WRITERS + 1));
    }
    pair.stop().await;
}

/// The last event of a type and state key.
fn find_last<'a>(events: &'a [Value], kind: &str, key: &str) -> &'a Value {
    let mut found = events.iter().rev();
    found.find(|event| event["type"] == kind && event["state_key"] == key).expect("it was set")
}

async fn a_crowd_goes_on_while_either_replica_stops_or_is_killed(hearth: Hearth) {
    let (first, at_first) = hearth.start(Settings::new()).await;
    let second = first.start_replica().await.expect("a second replica starts");
    let at_second = hearth.other(second.base());
    let crowd = Arc::new(Crowd::gather(vec![at_first, at_second]).await);
    let (senders, readers) = crowd.start();
    let mut servers = VecDeque::from([first, second]);
    for kill in [false, false, true, true] {
        crowd.wait_for_load(LOAD.0, LOAD.1).await;
        let server = servers.pop_front().expect("two servers");
        let address = server.base().trim_start_matches("http://").to_owned();
        let (settings, folder) = server.estate();
        if kill {
            server.kill().await;
        } else {
            assert!(server.stop().await.0.success());
        }
        // The other one serves alone.
        crowd.wait_for_load(LOAD.0, 0).await;
        let settings = settings.set("HEARTH_LISTEN", &address);
        servers.push_back(Server::start_in(settings, folder).await);
    }
    crowd.wait_for_load(LOAD.0, 0).await;
    let sent = crowd.stop_senders(senders).await;
    let seen = crowd.stop_readers(readers).await;
    let verdict = crowd.judge(&sent, &seen).await;
    println!("replicas: two stopped, two killed: {}", crowd.summary(&verdict));
    assert_eq!(verdict, Verdict::default());
    Pair::end(servers).await;
}
