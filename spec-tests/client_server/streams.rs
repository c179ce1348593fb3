//! Streams that tell what changes: docs/websocket.md.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::hearth::fresh;
use crate::harness::rooms::{event_id, text};
use crate::harness::stream::{Opening, Socket, is_update};
use crate::harness::sync::Sync;
use crate::harness::{Hearth, Test, User, enc, tests};

/// Long enough for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        an_update_is_what_a_sync_would_have_answered,
        an_update_comes_as_soon_as_something_happens,
        a_stream_goes_on_from_any_token,
        a_filter_holds_for_a_stream_and_can_be_changed,
        messages_can_be_sent_and_their_ids_are_transactions,
        every_method_does_what_its_endpoint_does,
        a_request_is_refused_as_its_endpoint_would,
        what_is_no_request_is_answered_and_the_stream_goes_on,
        messages_of_the_wrong_kind_end_the_stream,
        the_first_message_may_say_who_it_is,
        a_ticket_opens_one_stream,
        a_stream_needs_a_good_token_filter_and_position,
        what_is_no_handshake_is_told_what_one_is,
        a_logout_ends_the_stream_at_once,
        an_acknowledgement_is_of_what_was_told,
        the_subprotocol_is_chosen,
    ]
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event_id"].as_str()).collect()
}

/// A message of a room in an update, by its body.
fn tells(update: &Value, room: &str, body: &str) -> bool {
    let sync = Sync { body: update.clone() };
    sync.timeline(room).iter().any(|event| event["content"]["body"] == body)
}

/// Reads updates until one tells of a message.
async fn until_told(socket: &mut Socket, room: &str, body: &str) -> Value {
    loop {
        let update = socket.update().await;
        if tells(&update, room, body) {
            return update;
        }
    }
}

async fn an_update_is_what_a_sync_would_have_answered(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.say(&room, "before").await;
    // Neither hears of the other's coming and going.
    let query = "set_presence=offline&filter=".to_owned() + &enc(r#"{"presence": {"types": []}}"#);
    let polled = bob.sync_with(&format!("{query}&timeout=0")).await;
    let mut socket = bob.stream(&query).await;
    let hello = socket.notice("hello").await;
    assert_eq!((&hello["user_id"], &hello["device_id"]), (&json!(bob.id), &json!(bob.device)));
    let first = socket.update().await;
    assert_eq!(without_age(&first), without_age(&polled.body));
    for body in ["one", "two"] {
        alice.say(&room, body).await;
        let told = until_told(&mut socket, &room, body).await;
        let sync = Sync { body: told };
        assert_eq!(sync.timeline(&room).len(), 1);
    }
}

/// Ages differ by when one asks, and tokens by what others do meanwhile.
fn without_age(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "age" | "next_batch"))
            .map(|(key, value)| (key.clone(), without_age(value)))
            .collect(),
        Value::Array(list) => list.iter().map(without_age).collect(),
        other => other.clone(),
    }
}

async fn an_update_comes_as_soon_as_something_happens(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut socket = bob.stream("").await;
    socket.update().await;
    alice.say(&room, "hello").await;
    let update = until_told(&mut socket, &room, "hello").await;
    let sync = Sync { body: update };
    assert_eq!(sync.joined(&room)["unread_notifications"]["notification_count"], 1);
    let typing = format!("/rooms/{room}/typing/{}", alice.id);
    alice.put(&typing, &json!({"typing": true, "timeout": 20_000})).await.ok();
    let update = socket.wait_for(|message| is_update(message) && !ephemeral(message, &room).is_empty()).await;
    assert_eq!(ephemeral(&update.unwrap(), &room)[0]["content"], json!({"user_ids": [alice.id]}));
    let other = alice.room_with(&[]).await;
    alice.invite(&other, &bob).await.ok();
    let invited = |message: &Value| is_update(message) && message["rooms"]["invite"].get(&other).is_some();
    assert!(socket.wait_for(invited).await.is_some());
    bob.put(&format!("/user/{}/account_data/org.example.a", bob.id), &json!({"a": 1})).await.ok();
    let told = |message: &Value| message["account_data"]["events"][0]["type"] == "org.example.a";
    assert!(socket.wait_for(told).await.is_some());
}

fn ephemeral<'a>(update: &'a Value, room: &str) -> &'a [Value] {
    update["rooms"]["join"][room]["ephemeral"]["events"].as_array().map_or(&[], Vec::as_slice)
}

async fn a_stream_goes_on_from_any_token(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let polled = bob.sync().await;
    alice.say(&room, "missed").await;
    let mut socket = bob.stream(&format!("since={}", polled.next_batch())).await;
    let update = until_told(&mut socket, &room, "missed").await;
    let token = update["next_batch"].as_str().unwrap().to_owned();
    drop(socket);
    alice.say(&room, "later").await;
    // A long poll goes on where the stream was, and the other way round.
    let poll = bob.sync_since(&token).await;
    assert_eq!(poll.timeline(&room).len(), 1, "{}", poll.body);
    let mut socket = bob.stream(&format!("since={}", poll.next_batch())).await;
    alice.say(&room, "last").await;
    let sync = Sync { body: until_told(&mut socket, &room, "last").await };
    assert_eq!(sync.timeline(&room).len(), 1);
}

async fn a_filter_holds_for_a_stream_and_can_be_changed(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let nothing =
        json!({"room": {"timeline": {"types": []}, "ephemeral": {"types": []}}, "presence": {"types": []}});
    let mut socket = bob.stream(&format!("filter={}", enc(&nothing.to_string()))).await;
    socket.update().await;
    alice.say(&room, "unheard").await;
    let heard = socket.update_within(SILENCE).await;
    assert!(heard.is_none_or(|update| !tells(&update, &room, "unheard")));
    let one = json!({"filter": {"room": {"timeline": {"limit": 1}}}});
    assert_eq!(socket.ask("filter", &one).await["result"], json!({}));
    alice.say(&room, "heard").await;
    until_told(&mut socket, &room, "heard").await;
    let kept = bob.post(&format!("/user/{}/filter", bob.id), &nothing).await.ok();
    assert_eq!(socket.ask("filter", &json!({"filter": kept["filter_id"]})).await["result"], json!({}));
    alice.say(&room, "unheard again").await;
    let heard = socket.update_within(SILENCE).await;
    assert!(heard.is_none_or(|update| !tells(&update, &room, "unheard again")));
    assert_eq!(socket.ask("filter", &json!({})).await["result"], json!({}));
    alice.say(&room, "everything").await;
    until_told(&mut socket, &room, "everything").await;
    for (wrong, errcode) in [(json!("9999"), "M_NOT_FOUND"), (json!({"room": 1}), "M_BAD_JSON")] {
        let answer = socket.ask("filter", &json!({"filter": wrong})).await;
        assert_eq!(answer["error"]["errcode"], errcode, "{answer}");
    }
}

async fn messages_can_be_sent_and_their_ids_are_transactions(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut socket = alice.stream("").await;
    let id = fresh("txn");
    let params = json!({"room_id": room, "event_type": "m.room.message", "content": text("once")});
    let answer = socket.ask_as(&id, "send", &params).await;
    let sent = event_id(&answer["result"]);
    let update = until_told(&mut socket, &room, "once").await;
    let sync = Sync { body: update };
    assert_eq!(sync.timeline(&room).last().unwrap()["unsigned"]["transaction_id"], id);
    // Again, over the same stream, over another, and over HTTP.
    assert_eq!(event_id(&socket.ask_as(&id, "send", &params).await["result"]), sent);
    let mut other = alice.stream(&format!("since={}", sync.next_batch())).await;
    assert_eq!(event_id(&other.ask_as(&id, "send", &params).await["result"]), sent);
    let path = format!("/rooms/{room}/send/m.room.message/{id}");
    assert_eq!(event_id(&alice.put(&path, &text("once")).await.ok()), sent);
    let said = bob.history(&room, None, 100).await;
    assert_eq!(said.iter().filter(|event| event["content"]["body"] == "once").count(), 1);
    // Many at once are sent in their order.
    for number in 0..20 {
        let params =
            json!({"room_id": room, "event_type": "m.room.message", "content": text(&number.to_string())});
        let request = json!({"id": fresh("txn"), "method": "send", "params": params});
        socket.say(&request.to_string()).await;
    }
    let mut bodies = Vec::new();
    for _ in 0..20 {
        let answer = socket.wait_for(|message| message.get("id").is_some()).await.unwrap();
        bodies.push(event_id(&answer["result"]));
    }
    let history = bob.history(&room, None, 100).await;
    let kept = ids(&history);
    assert_eq!(kept.get(kept.len() - 20..), Some(&bodies.iter().map(String::as_str).collect::<Vec<_>>()[..]));
}

async fn every_method_does_what_its_endpoint_does(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let sent = alice.say(&room, "to be read").await;
    let mut socket = alice.stream("").await;
    let mut ask = async |method: &str, params: Value| {
        let answer = socket.ask(method, &params).await;
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer["result"].clone()
    };
    let topic = json!({"room_id": room, "event_type": "m.room.topic", "content": {"topic": "streams"}});
    ask("state", topic).await;
    assert_eq!(bob.get(&format!("/rooms/{room}/state/m.room.topic")).await.ok()["topic"], "streams");
    let keyed =
        json!({"room_id": room, "event_type": "org.example.s", "state_key": "a/b", "content": {"a": 1}});
    ask("state", keyed).await;
    assert_eq!(bob.get(&format!("/rooms/{room}/state/org.example.s/a%2Fb")).await.ok(), json!({"a": 1}));
    ask("typing", json!({"room_id": room, "typing": true, "timeout": 20_000})).await;
    ask("receipt", json!({"room_id": room, "receipt_type": "m.read", "event_id": sent})).await;
    ask("read_markers", json!({"room_id": room, "m.fully_read": sent})).await;
    let sync = bob.sync_until("s0", |sync| ephemeral(&sync.body, &room).len() == 2).await;
    let told = json!(ephemeral(&sync.body, &room));
    assert!(told.to_string().contains(&alice.id), "{told}");
    let path = format!("/user/{}/rooms/{room}/account_data/m.fully_read", alice.id);
    assert_eq!(alice.get(&path).await.ok()["event_id"], sent);
    ask("redact", json!({"room_id": room, "event_id": sent, "reason": "read"})).await;
    let redacted = bob.get(&format!("/rooms/{room}/event/{}", enc(&sent))).await.ok();
    assert_eq!(redacted["content"], json!({}));
    ask("presence", json!({"presence": "unavailable", "status_msg": "streaming"})).await;
    let presence = bob.get(&format!("/presence/{}/status", enc(&alice.id))).await.ok();
    assert_eq!(
        (&presence["presence"], &presence["status_msg"]),
        (&json!("unavailable"), &json!("streaming"))
    );
    ask("account_data", json!({"type": "org.example.b", "content": {"b": 1}})).await;
    let path = format!("/user/{}/account_data/org.example.b", alice.id);
    assert_eq!(alice.get(&path).await.ok(), json!({"b": 1}));
    ask("room_account_data", json!({"room_id": room, "type": "org.example.c", "content": {"c": 1}})).await;
    let path = format!("/user/{}/rooms/{room}/account_data/org.example.c", alice.id);
    assert_eq!(alice.get(&path).await.ok(), json!({"c": 1}));
    ask("ping", json!({})).await;
}

async fn a_request_is_refused_as_its_endpoint_would(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let mut socket = bob.stream("").await;
    let message =
        |room: &str| json!({"room_id": room, "event_type": "m.room.message", "content": text("no")});
    for (method, params, errcode) in [
        ("send", message(&room), "M_FORBIDDEN"),
        ("send", json!({"room_id": room, "event_type": "m.room.message"}), "M_MISSING_PARAM"),
        ("send", json!({"room_id": room, "content": {}}), "M_MISSING_PARAM"),
        ("send", json!({"room_id": 1, "event_type": "a", "content": {}}), "M_BAD_JSON"),
        ("send", json!({"room_id": room, "event_type": "a", "content": []}), "M_BAD_JSON"),
        ("presence", json!({"presence": "asleep"}), "M_BAD_JSON"),
        ("read_markers", json!({"room_id": room}), "M_MISSING_PARAM"),
        ("dance", json!({}), "M_UNRECOGNIZED"),
        ("ack", json!({}), "M_MISSING_PARAM"),
        ("auth", json!({"access_token": "nonsense"}), "M_UNKNOWN_TOKEN"),
        ("auth", json!({"access_token": alice.token}), "M_INVALID_PARAM"),
    ] {
        let answer = socket.ask(method, &params).await;
        assert_eq!(answer["error"]["errcode"], errcode, "{method} {params}: {answer}");
    }
    let long = "i".repeat(256);
    assert_eq!(socket.ask_as(&long, "send", &message(&room)).await["error"]["errcode"], "M_INVALID_PARAM");
    let without_id = json!({"method": "send", "params": message(&room)});
    socket.say(&without_id.to_string()).await;
    let answer = socket.wait_for(|message| message["id"].is_null() && message.get("error").is_some()).await;
    assert_eq!(answer.unwrap()["error"]["errcode"], "M_MISSING_PARAM");
    assert_eq!(socket.ask("ping", &json!({})).await["result"], json!({}));
}

async fn what_is_no_request_is_answered_and_the_stream_goes_on(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut socket = alice.stream("").await;
    for (text, errcode) in [
        ("hello", "M_NOT_JSON"),
        ("", "M_NOT_JSON"),
        ("{", "M_NOT_JSON"),
        ("[]", "M_BAD_JSON"),
        ("{}", "M_BAD_JSON"),
        (r#"{"id": 7, "method": "ping"}"#, "M_BAD_JSON"),
        (r#"{"id": "7", "method": "ping", "params": 1}"#, "M_BAD_JSON"),
    ] {
        socket.say(text).await;
        let answer = socket.wait_for(|message| message.get("error").is_some()).await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["errcode"]), (&Value::Null, &json!(errcode)), "{text}");
    }
    let deep = format!(
        r#"{{"id":"d","method":"ping","params":{{"a":{}{}}}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    socket.say(&deep).await;
    let answer = socket.wait_for(|message| message.get("error").is_some()).await.unwrap();
    assert_eq!(answer["error"]["errcode"], "M_BAD_JSON");
    // The same id twice is two requests with two answers.
    for _ in 0..2 {
        assert_eq!(socket.ask_as("same", "ping", &json!({})).await["result"], json!({}));
    }
}

async fn messages_of_the_wrong_kind_end_the_stream(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (message, code) in
        [(Message::binary(vec![1, 2, 3]), 1003), (Message::text("x".repeat(300_000)), 1009)]
    {
        let mut socket = alice.stream("").await;
        socket.update().await;
        socket.send(message).await;
        let (bye, closed, _) = socket.farewell().await;
        assert_eq!(closed, code, "{bye}");
        assert!(bye["next_batch"].is_string(), "{bye}");
    }
}

async fn the_first_message_may_say_who_it_is(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    alice.say(&room, "missed").await;
    let open = async || Opening::new(hearth.base(), "").open().await.unwrap().unwrap();
    let mut socket = open().await;
    let auth = json!({"access_token": bob.token, "since": since, "filter": {"presence": {"types": []}}});
    let answer = socket.ask("auth", &auth).await;
    assert_eq!(answer["result"]["user_id"], bob.id);
    assert!(answer["result"]["heartbeat_ms"].as_u64().unwrap() > 0);
    until_told(&mut socket, &room, "missed").await;
    for (first, errcode) in [
        (json!({"id": "1", "method": "ping"}), "M_MISSING_TOKEN"),
        (json!({"id": "1", "method": "auth", "params": {}}), "M_MISSING_PARAM"),
        (json!({"id": "1", "method": "auth", "params": {"access_token": "nonsense"}}), "M_UNKNOWN_TOKEN"),
        (
            json!({"id": "1", "method": "auth", "params": {"access_token": bob.token, "since": "x"}}),
            "M_INVALID_PARAM",
        ),
    ] {
        let mut socket = open().await;
        socket.say(&first.to_string()).await;
        let (bye, code, reason) = socket.farewell().await;
        assert_eq!((code, &*reason, &bye["reason"]["errcode"]), (1008, errcode, &json!(errcode)), "{first}");
    }
}

async fn a_ticket_opens_one_stream(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let ticket = alice.ticket().await;
    let query = format!("ticket={ticket}");
    let mut socket = Opening::new(hearth.base(), &query).open().await.unwrap().unwrap();
    assert_eq!(socket.notice("hello").await["user_id"], alice.id);
    for query in [&*query, "ticket=nonsense", "ticket="] {
        let refused = Opening::new(hearth.base(), query).open().await.unwrap().unwrap_err();
        assert_eq!((refused.status, &refused.body["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")), "{query}");
    }
    // It is worth as much as the token that it was got with.
    let ticket = alice.ticket().await;
    alice.post("/logout", &json!({})).await.ok();
    let query = format!("ticket={ticket}");
    let refused = Opening::new(hearth.base(), &query).open().await.unwrap().unwrap_err();
    assert_eq!((refused.status, &refused.body["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    hearth
        .post("/_matrix/client/unstable/hearth/stream/ticket", &json!({}))
        .await
        .fails(401, "M_MISSING_TOKEN");
}

async fn a_stream_needs_a_good_token_filter_and_position(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let with = |token: &str| format!("Bearer {token}");
    for (token, query, status, errcode) in [
        ("nonsense", "", 401, "M_UNKNOWN_TOKEN"),
        (&*alice.token, "since=x", 400, "M_INVALID_PARAM"),
        (&alice.token, "since=s9007199254740990", 400, "M_UNKNOWN_POS"),
        (&alice.token, "filter=9999", 404, "M_NOT_FOUND"),
        (&alice.token, "filter={", 400, "M_BAD_JSON"),
        (&alice.token, "full_state=perhaps", 400, "M_INVALID_PARAM"),
    ] {
        let opening = Opening::new(hearth.base(), query).with("authorization", &with(token));
        let refused = opening.open().await.unwrap().unwrap_err();
        if errcode != "M_UNKNOWN_POS" {
            assert_eq!((refused.status, &refused.body["errcode"]), (status, &json!(errcode)), "{query}");
        }
        assert_eq!(refused.status, status, "{query}");
        // As a poll with the same token is refused.
        let poll = hearth.get(&format!("/sync?{query}")).token(token).await;
        assert_eq!(poll.errcode(), refused.body["errcode"].as_str().unwrap(), "{query}");
    }
}

async fn what_is_no_handshake_is_told_what_one_is(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for path in ["/_matrix/client/unstable/hearth/stream", "/_matrix/client/v2_alpha/stream"] {
        let reply = alice.get(path).await;
        reply.fails(426, "M_UNRECOGNIZED");
        alice.post(path, &json!({})).await.fails(405, "M_UNRECOGNIZED");
        alice.get(path).header("upgrade", "h2c").await.fails(426, "M_UNRECOGNIZED");
    }
    let old = alice.opening("").with("sec-websocket-version", "8").open().await.unwrap().unwrap_err();
    assert_eq!((old.status, &old.body["errcode"]), (426, &json!("M_UNRECOGNIZED")));
}

async fn a_logout_ends_the_stream_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let other = hearth.login(&alice).await;
    let mut socket = alice.stream("").await;
    let mut kept = other.stream("").await;
    socket.update().await;
    alice.post("/logout", &json!({})).await.ok();
    let (bye, code, reason) = socket.farewell().await;
    assert_eq!((code, &*reason), (1008, "M_UNKNOWN_TOKEN"), "{bye}");
    assert_eq!(kept.ask("ping", &json!({})).await["result"], json!({}));
}

async fn an_acknowledgement_is_of_what_was_told(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut socket = alice.stream("").await;
    let token = socket.update().await["next_batch"].clone();
    assert_eq!(socket.ask("ack", &json!({"next_batch": token})).await["result"], json!({}));
    for wrong in ["x", "s9007199254740990"] {
        let answer = socket.ask("ack", &json!({"next_batch": wrong})).await;
        assert_eq!(answer["error"]["errcode"], "M_INVALID_PARAM", "{wrong}");
    }
}

async fn the_subprotocol_is_chosen(hearth: Hearth) {
    let alice: User = hearth.user("alice").await;
    let opening = alice.opening("").with("sec-websocket-protocol", "other, m.json");
    // The client refuses an answer that chooses none of these.
    let mut socket = opening.open().await.unwrap().unwrap();
    socket.update().await;
}
