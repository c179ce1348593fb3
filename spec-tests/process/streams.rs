//! Streams over time: heartbeats, limits, and what becomes of them when their server goes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::rooms::text;
use crate::harness::server::{Server, Settings};
use crate::harness::stream::{Opening, STREAM, is_update};
use crate::harness::sync::Sync;
use crate::harness::{Hearth, Test, User, enc, tests};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        both_ends_say_that_they_are_there,
        who_misses_two_heartbeats_is_let_go_and_goes_offline,
        a_stream_ends_with_its_token_unless_that_is_renewed,
        when_the_server_stops_a_stream_can_go_on_elsewhere,
        a_reader_who_takes_nothing_costs_nobody_and_gets_one_update,
        an_address_and_a_device_have_a_number_of_streams,
        only_pages_that_may_open_streams,
        a_flood_is_refused_and_then_ended,
        frames_without_end_are_let_go,
        who_never_says_who_they_are_is_let_go,
    ]
}

fn quick() -> Settings {
    Settings::new().set("HEARTH_STREAM__HEARTBEAT", "1s")
}

async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn both_ends_say_that_they_are_there(hearth: Hearth) {
    let (server, at) = hearth.start(quick()).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    let mut socket = alice.stream("").await;
    let mut events = alice.events("").await;
    assert_eq!(socket.notice("hello").await["heartbeat_ms"], 1_000);
    let first = socket.update().await["next_batch"].clone();
    // What does not concern her moves the token of her heartbeats on.
    bob.create_room(json!({})).await;
    let since = Instant::now();
    let mut last = Value::Null;
    for _ in 0..4 {
        last = socket.notice("ping").await["next_batch"].take();
    }
    assert!(since.elapsed() > Duration::from_millis(2_900), "{:?}", since.elapsed());
    let number = |token: &Value| token.as_str().unwrap()[1..].parse::<u64>().unwrap();
    assert!(number(&last) > number(&first), "{first} {last}");
    // They have been coming over the event stream all the while.
    bob.room_with(&[&alice]).await;
    while events.find("sync").await.unwrap().data["rooms"].is_null() {}
    assert!(events.beats >= 3, "{}", events.beats);
    end(server).await;
}

async fn who_misses_two_heartbeats_is_let_go_and_goes_offline(hearth: Hearth) {
    let settings = quick()
        .set("HEARTH_PRESENCE__ACTIVE_FOR", "1s")
        .set("HEARTH_PRESENCE__IDLE_AFTER", "2s")
        .set("HEARTH_PRESENCE__OFFLINE_AFTER", "1s");
    let (server, at) = hearth.start(settings).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    alice.room_with(&[&bob]).await;
    let mut watching = bob.stream("").await;
    let mut socket = alice.stream("").await;
    let became = async |watching: &mut crate::harness::stream::Socket, state: &str| {
        let shows = |message: &Value| {
            let events = message["presence"]["events"].as_array().cloned().unwrap_or_default();
            let hers = |event: &Value| event["sender"] == alice.id && event["content"]["presence"] == state;
            is_update(message) && events.iter().any(hers)
        };
        watching.wait_for(shows).await.expect("an update");
    };
    became(&mut watching, "online").await;
    // Her device answers pings, which is no activity.
    let idle = async { became(&mut watching, "unavailable").await };
    tokio::select! {
        () = idle => {}
        closed = async { while socket.next().await.is_some() {} } => panic!("{closed:?}"),
    }
    assert_eq!(socket.ask("presence", &json!({"presence": "online"})).await["result"], json!({}));
    became(&mut watching, "online").await;
    // From here on nothing of hers is read or answered, as of a telephone without a network.
    let gone = Instant::now();
    let mut stream = socket.into_inner();
    became(&mut watching, "offline").await;
    assert!(gone.elapsed() > Duration::from_millis(900), "{:?}", gone.elapsed());
    assert!(gone.elapsed() < Duration::from_secs(15), "{:?}", gone.elapsed());
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it was closed").expect("it was closed");
    // The code of the closing.
    assert!(rest.windows(2).any(|pair| pair == 4408_u16.to_be_bytes()), "{rest:?}");
    end(server).await;
}

async fn a_stream_ends_with_its_token_unless_that_is_renewed(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_SESSION__ACCESS_TOKEN_LIFETIME", "1500ms");
    let (server, at) = hearth.start(settings).await;
    let alice = at.user("alice").await;
    let login = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.id},
        "password": alice.password, "refresh_token": true});
    let session = at.post("/login", &login).await.ok();
    let first = User::new(at.client(), &session, &alice.password);
    let mut ending = first.stream("").await;
    let mut renewed = first.stream("").await;
    let refreshed = at.post("/refresh", &json!({"refresh_token": session["refresh_token"]})).await.ok();
    let since = Instant::now();
    let answer = renewed.ask("auth", &json!({"access_token": refreshed["access_token"]})).await;
    assert_eq!(answer["result"], json!({}));
    // The first use of the new token ended the old one.
    let (bye, code, reason) = ending.farewell().await;
    assert_eq!((code, &*reason), (1008, "M_UNKNOWN_TOKEN"), "{bye}");
    let (bye, code, _) = renewed.farewell().await;
    assert_eq!((code, &bye["reason"]["soft_logout"]), (1008, &json!(true)), "{bye}");
    assert!(since.elapsed() > Duration::from_secs(1), "{:?}", since.elapsed());
    end(server).await;
}

async fn when_the_server_stops_a_stream_can_go_on_elsewhere(hearth: Hearth) {
    let (server, at) = hearth.start(Settings::new()).await;
    let other = server.start_replica().await.expect("a second server");
    let there = hearth.other(other.base());
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut socket = bob.stream("").await;
    let mut events = bob.events("").await;
    socket.update().await;
    events.find("sync").await.unwrap();
    let alice = alice.at(&there);
    server.stop().await;
    let (bye, code, _) = socket.farewell().await;
    assert_eq!(code, 1001, "{bye}");
    let last = events.find("bye").await.expect("a goodbye").data;
    alice.say(&room, "meanwhile").await;
    for token in [&bye["next_batch"], &last["next_batch"]] {
        let mut socket = bob.at(&there).stream(&format!("since={}", token.as_str().unwrap())).await;
        loop {
            let sync = Sync { body: socket.update().await };
            if sync.timeline(&room).iter().any(|event| event["content"]["body"] == "meanwhile") {
                break;
            }
        }
    }
    end(other).await;
}

async fn a_reader_who_takes_nothing_costs_nobody_and_gets_one_update(hearth: Hearth) {
    const SAID: usize = 400;
    let (server, at) = hearth.start(Settings::new()).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut slow = bob.stream("").await;
    slow.update().await;
    let before = server.memory_kib();
    // More than the buffers of the connection hold.
    let long = "x".repeat(30_000);
    for number in 0..SAID {
        alice.send(&room, "m.room.message", &text(&format!("{number} {long}"))).await.ok();
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
    let (mut updates, mut last) = (0, 0);
    while last + 1 < SAID {
        let sync = Sync { body: slow.update().await };
        let timeline = sync.timeline(&room);
        let numbers = timeline
            .iter()
            .filter_map(|event| event["content"]["body"].as_str()?.split(' ').next()?.parse::<usize>().ok());
        for number in numbers {
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
        updates += 1;
    }
    assert!(updates < SAID, "nothing was merged");
    end(server).await;
}

async fn an_address_and_a_device_have_a_number_of_streams(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", "12")
        .set("HEARTH_LIMITS__SYNCS_PER_DEVICE", "3");
    let (server, at) = hearth.start(settings).await;
    let alice = at.user("alice").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(alice.stream("").await);
    }
    let refused = alice.opening("").open().await.unwrap().unwrap_err();
    assert_eq!((refused.status, &refused.body["errcode"]), (429, &json!("M_LIMIT_EXCEEDED")));
    open.pop();
    let since = Instant::now();
    while let Err(refused) = alice.opening("").open().await.unwrap() {
        assert!(refused.status == 429 && since.elapsed() < PATIENCE, "{refused:?}");
        sleep(Duration::from_millis(20)).await;
    }
    // Streams that wait for who it is are connections of their address as well.
    let mut strangers = Vec::new();
    let refused = loop {
        match Opening::new(at.base(), "").open().await {
            Ok(Ok(stranger)) => strangers.push(stranger),
            Ok(Err(refused)) => break refused.status,
            // It was not even accepted.
            Err(_) => break 429,
        }
        assert!(strangers.len() < 12);
    };
    assert_eq!(refused, 429);
    drop((strangers, open));
    end(server).await;
}

async fn only_pages_that_may_open_streams(hearth: Hearth) {
    let settings =
        Settings::new().set("HEARTH_STREAM__ORIGINS", "https://chat.example.org,http://localhost:3000");
    let (server, at) = hearth.start(settings).await;
    let alice = at.user("alice").await;
    for allowed in ["https://chat.example.org", "http://localhost:3000"] {
        alice.opening("").with("origin", allowed).open().await.unwrap().expect("an allowed page");
    }
    for other in ["https://example.org", "https://chat.example.org.evil.example", "null"] {
        let refused = alice.opening("").with("origin", other).open().await.unwrap().unwrap_err();
        assert_eq!((refused.status, &refused.body["errcode"]), (403, &json!("M_FORBIDDEN")), "{other}");
        let reply = alice.get(STREAM).header("accept", "text/event-stream").header("origin", other).await;
        reply.fails(403, "M_FORBIDDEN");
    }
    // What is no browser says no origin.
    alice.stream("").await;
    end(server).await;
}

async fn a_flood_is_refused_and_then_ended(hearth: Hearth) {
    let (server, at) = hearth.start(Settings::new()).await;
    let alice = at.user("alice").await;
    let mut socket = alice.stream("").await;
    let mut refused = 0;
    let since = Instant::now();
    'ended: while since.elapsed() < PATIENCE {
        // Fewer at a time than the connection's buffers hold.
        for _ in 0..200 {
            socket.say(r#"{"id": "flood", "method": "ping"}"#).await;
        }
        for _ in 0..200 {
            let answer =
                socket.wait_for(|message| message.get("id").is_some() || message["method"] == "bye").await;
            let Some(answer) = answer.filter(|answer| answer["method"].is_null()) else { break 'ended };
            if answer["error"]["errcode"] == "M_LIMIT_EXCEEDED" {
                assert!(answer["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{answer}");
                refused += 1;
            }
        }
    }
    assert_eq!(socket.wait_for(|_| false).await, None);
    assert_eq!(socket.closed.as_ref().map(|(code, _)| *code), Some(4429));
    assert!(refused >= 1_000, "{refused}");
    let mut other = alice.stream("").await;
    assert_eq!(other.ask("ping", &json!({})).await["result"], json!({}));
    end(server).await;
}

/// A WebSocket as bytes: nobody answers pings or masks anything that was not masked by hand.
async fn by_hand(user: &User) -> TcpStream {
    let mut stream = TcpStream::connect(user.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "GET {STREAM} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        user.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn frames_without_end_are_let_go(hearth: Hearth) {
    let (server, at) = hearth.start(quick()).await;
    let alice = at.user("alice").await;
    // Text that never ends: a first fragment, and then more of them.
    let mut endless = by_hand(&alice).await;
    endless.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
    let fragment = [&[0x00, 0xfe, 0x10, 0x00, 0, 0, 0, 0][..], &[b'x'; 4096]].concat();
    let since = Instant::now();
    while endless.write_all(&fragment).await.is_ok() {
        assert!(since.elapsed() < PATIENCE, "it takes fragments for ever");
        sleep(Duration::from_millis(1)).await;
    }
    // Half of a frame, and then nothing.
    let mut half = by_hand(&alice).await;
    half.write_all(&[0x81, 0xfe, 0x10]).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, half.read_to_end(&mut rest)).await.expect("it was let go").unwrap_or_default();
    // A frame that is not masked, and one of an operation that there is not.
    for wrong in [[0x81, 0x01, b'x'], [0x8f, 0x80, 0x00]] {
        let mut stream = by_hand(&alice).await;
        stream.write_all(&wrong).await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it was closed").unwrap_or_default();
    }
    let mut socket = alice.stream("").await;
    socket.send(Message::Ping(vec![1].into())).await;
    assert_eq!(socket.ask("ping", &json!({})).await["result"], json!({}));
    end(server).await;
}

async fn who_never_says_who_they_are_is_let_go(hearth: Hearth) {
    let (server, at) = hearth.start(Settings::new()).await;
    let alice = at.user("alice").await;
    let mut silent = Opening::new(at.base(), "").open().await.unwrap().unwrap();
    let (_, code, reason) = silent.farewell().await;
    assert_eq!((code, &*reason), (1008, "M_MISSING_TOKEN"));
    alice.get(&format!("/profile/{}", enc(&alice.id))).await.ok();
    end(server).await;
}
