//! Requests that no well-behaved client sends: the right error, and no effect.

use serde_json::json;

use crate::harness::hearth::fresh;
use crate::harness::raw::{RawReply, RawRequest};
use crate::harness::rooms::{event_id, receipt};
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        strings_that_no_database_can_hold_are_refused,
        bodies_nested_too_deep_are_refused,
        an_oversized_body_is_refused_before_it_is_read,
        paths_that_are_no_text_are_refused,
        ids_of_bad_form_are_refused,
        odd_tokens_are_unknown,
        duplicate_keys_do_no_harm,
        a_byte_order_mark_is_no_json,
        huge_numbers_in_queries_are_refused,
        an_empty_body_is_enough_where_nothing_is_required,
        repeated_slashes_and_dots_lead_nowhere,
        a_head_too_large_is_refused,
        content_of_any_shape_breaks_nobodys_view,
    ]
}

async fn send(hearth: &Hearth, user: &User, method: &str, target: &[u8], body: &[u8]) -> RawReply {
    let request = RawRequest {
        method: method.to_owned(),
        target: target.to_vec(),
        token: Some(user.token.clone()),
        body: body.to_vec(),
        ..RawRequest::default()
    };
    request.send(hearth.base()).await
}

#[track_caller]
fn must_fail(reply: &RawReply, allowed: &[(u16, &str)], about: &str) {
    let found = (reply.status, reply.errcode());
    assert!(allowed.contains(&found), "{about}: {found:?} is none of {allowed:?}: {}", reply.text);
    assert!(reply.body["error"].as_str().is_some_and(|text| !text.is_empty()), "{about}: {}", reply.text);
}

const BAD_JSON: [(u16, &str); 3] = [(400, "M_BAD_JSON"), (400, "M_NOT_JSON"), (400, "M_INVALID_PARAM")];

async fn strings_that_no_database_can_hold_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let before = alice.history(&room, None, 100).await.len();
    for text in [r"a\u0000b", r"\ud800", r"\udc00\ud800", r"x\ud83d"] {
        let message = format!(r#"{{"msgtype": "m.text", "body": "{text}"}}"#);
        let key = format!(r#"{{"msgtype": "m.text", "body": "b", "{text}": 1}}"#);
        for body in [message, key] {
            let send_path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", fresh("t"));
            let state_path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
            for path in [send_path, state_path] {
                let reply = send(&hearth, &alice, "PUT", path.as_bytes(), body.as_bytes()).await;
                must_fail(&reply, &BAD_JSON, &body);
            }
            let path = format!("/_matrix/client/v3/user/{}/account_data/org.example.bad", alice.id);
            let reply = send(&hearth, &alice, "PUT", path.as_bytes(), body.as_bytes()).await;
            must_fail(&reply, &BAD_JSON, &body);
        }
        let path = format!("/_matrix/client/v3/profile/{}/displayname", alice.id);
        let name = format!(r#"{{"displayname": "{text}"}}"#);
        must_fail(&send(&hearth, &alice, "PUT", path.as_bytes(), name.as_bytes()).await, &BAD_JSON, &name);
        let room_name = format!(r#"{{"name": "{text}"}}"#);
        let path = b"/_matrix/client/v3/createRoom";
        must_fail(&send(&hearth, &alice, "POST", path, room_name.as_bytes()).await, &BAD_JSON, &room_name);
    }
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
    assert_eq!(alice.get("/joined_rooms").await.ok(), json!({"joined_rooms": [room]}));
}

async fn bodies_nested_too_deep_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = format!("/_matrix/client/v3/user/{}/account_data/org.example.deep", alice.id);
    for depth in [10_000, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let body = format!(r#"{{"d":{}{inner}{}}}"#, open.repeat(depth), close.repeat(depth));
            let reply = send(&hearth, &alice, "PUT", path.as_bytes(), body.as_bytes()).await;
            let mut allowed = BAD_JSON.to_vec();
            allowed.push((413, "M_TOO_LARGE"));
            must_fail(&reply, &allowed, &format!("{depth} times {open}"));
        }
    }
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
}

async fn an_oversized_body_is_refused_before_it_is_read(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let body = format!(r#"{{"body": "{}"}}"#, "x".repeat(20_000_000));
    for (method, path) in [
        ("POST", "/_matrix/client/v3/createRoom".to_owned()),
        ("POST", "/_matrix/client/v3/login".to_owned()),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", fresh("t"))),
        ("PUT", format!("/_matrix/client/v3/user/{}/account_data/org.example.big", alice.id)),
    ] {
        let reply = send(&hearth, &alice, method, path.as_bytes(), body.as_bytes()).await;
        must_fail(&reply, &[(413, "M_TOO_LARGE")], &path);
    }
}

async fn paths_that_are_no_text_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for bad in ["%FF", "%C3%28", "%ED%A0%80"] {
        for (method, path) in [
            ("GET", format!("/_matrix/client/v3/rooms/{bad}/state")),
            ("GET", format!("/_matrix/client/v3/profile/{bad}")),
            ("PUT", format!("/_matrix/client/v3/rooms/{room}/send/{bad}/{}", fresh("t"))),
            ("PUT", format!("/_matrix/client/v3/rooms/{room}/state/org.example.s/{bad}")),
            ("PUT", format!("/_matrix/client/v3/user/{}/account_data/{bad}", alice.id)),
        ] {
            let reply = send(&hearth, &alice, method, path.as_bytes(), b"{}").await;
            assert_eq!(reply.status, 400, "{method} {path}: {}", reply.text);
            assert!(!reply.errcode().is_empty(), "{method} {path}: {}", reply.text);
        }
    }
}

async fn ids_of_bad_form_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let long = "x".repeat(300);
    for id in
        ["", "nonsense", "@", "@a", "#a:b", &format!("@{long}:hearth.test"), "@a:bad server", "@a:b:c:d"]
    {
        for verb in ["invite", "kick", "ban", "unban"] {
            let path = format!("/rooms/{room}/{verb}");
            let reply = alice.post(&path, &json!({"user_id": id})).unchecked().await;
            reply.fails_with_one_of(&[(400, "M_INVALID_PARAM"), (400, "M_BAD_JSON")]);
        }
    }
    for id in ["nonsense", "@user:hearth.test", "$event", &format!("!{long}:hearth.test")] {
        let reply = alice.get(&format!("/rooms/{}/state", enc(id))).unchecked().await;
        reply.fails(400, "M_INVALID_PARAM");
        let reply = alice.post(&format!("/rooms/{}/join", enc(id)), &json!({})).unchecked().await;
        reply.fails(400, "M_INVALID_PARAM");
    }
    for id in ["nonsense", "!room:hearth.test", &format!("${long}")] {
        let reply = alice.event(&room, id).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_INVALID_PARAM"), (404, "M_NOT_FOUND")]);
    }
    for id in ["nonsense", "!room:hearth.test", "#", "#a", &format!("#{long}:hearth.test")] {
        let reply = alice.get(&format!("/directory/room/{}", enc(id))).unchecked().await;
        reply.fails(400, "M_INVALID_PARAM");
    }
}

async fn odd_tokens_are_unknown(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut tokens = vec![" ".to_owned(), "x".repeat(5_000), "ÿ".to_owned(), format!("{}x", alice.token)];
    tokens.push(alice.token.to_lowercase() + "~");
    tokens.push(alice.token[..alice.token.len() - 1].to_owned());
    for token in tokens {
        let request = RawRequest {
            method: "GET".to_owned(),
            target: b"/_matrix/client/v3/account/whoami".to_vec(),
            token: Some(token.clone()),
            ..RawRequest::default()
        };
        let reply = request.send(hearth.base()).await;
        must_fail(&reply, &[(401, "M_UNKNOWN_TOKEN"), (401, "M_MISSING_TOKEN")], &token);
    }
    for header in ["Basic YTpi", "Bearer", "bearer-less", ""] {
        let call = hearth.get("/account/whoami").header("authorization", header);
        call.await.fails_with_one_of(&[(401, "M_UNKNOWN_TOKEN"), (401, "M_MISSING_TOKEN")]);
    }
}

async fn duplicate_keys_do_no_harm(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", fresh("t"));
    let body = br#"{"msgtype": "m.text", "body": "one", "body": "two"}"#;
    let reply = send(&hearth, &alice, "PUT", path.as_bytes(), body).await;
    if reply.status == 200 {
        let history = alice.history(&room, None, 5).await;
        let said = history.last().unwrap()["content"]["body"].as_str();
        assert!(matches!(said, Some("one" | "two")), "{said:?}");
    } else {
        must_fail(&reply, &BAD_JSON, "duplicate keys");
    }
}

async fn a_byte_order_mark_is_no_json(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let reply = send(&hearth, &alice, "POST", b"/_matrix/client/v3/createRoom", b"\xef\xbb\xbf{}").await;
    must_fail(&reply, &[(400, "M_NOT_JSON")], "a byte order mark");
}

async fn huge_numbers_in_queries_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for number in ["99999999999999999999", "-1", "1.5", "1e3", "0x10", "NaN", "%20", "٣"] {
        for path in [
            format!("/sync?timeout={number}"),
            format!("/rooms/{room}/messages?dir=b&limit={number}"),
            format!("/rooms/{room}/context/$event?limit={number}"),
            format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?dir=b&ts={number}"),
            format!("/publicRooms?limit={number}"),
        ] {
            // Times before 1970 are times.
            if number == "-1" && path.contains("ts=") {
                continue;
            }
            alice.get(&path).unchecked().await.fails(400, "M_INVALID_PARAM");
        }
    }
}

async fn an_empty_body_is_enough_where_nothing_is_required(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    for path in ["join", "leave", "forget"] {
        bob.call("POST", &format!("/rooms/{room}/{path}")).await.ok();
    }
    bob.call("POST", &format!("/join/{}", enc(&room))).await.ok();
    let event = bob.say(&room, "hello").await;
    bob.call("POST", &receipt(&room, "m.read", &event)).await.ok();
    bob.call("POST", &format!("/rooms/{room}/read_markers")).await.ok();
    bob.leave(&room).await.ok();
    alice.set(&room, "m.room.join_rules", "", &json!({"join_rule": "knock"})).await.ok();
    bob.call("POST", &format!("/knock/{}", enc(&room))).await.ok();
}

async fn repeated_slashes_and_dots_lead_nowhere(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for target in [
        "//_matrix/client/versions",
        "/_matrix//client/versions",
        "/_matrix/client/../client/versions",
        "/_matrix/client/%2e%2e/client/versions",
        "/_matrix/client/v3/account/whoami/",
        "/_matrix/client/v3/account%2Fwhoami",
        "/_matrix/client/v3/rooms//state",
    ] {
        let reply = send(&hearth, &alice, "GET", target.as_bytes(), b"").await;
        assert!(matches!(reply.status, 400 | 404), "{target}: {} {}", reply.status, reply.text);
        assert!(!reply.errcode().is_empty(), "{target}: {}", reply.text);
    }
}

async fn a_head_too_large_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let target = format!("/_matrix/client/v3/sync?timeout=0&since={}", "x".repeat(300_000));
    let reply = send(&hearth, &alice, "GET", target.as_bytes(), b"").await;
    assert!(matches!(reply.status, 400 | 414 | 431), "{} {}", reply.status, reply.text);
}

async fn content_of_any_shape_breaks_nobodys_view(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"visibility": "public"})).await;
    bob.join(&room).await.ok();
    let shapes = [json!(7), json!([]), json!({"a": [null]}), json!(null), json!("text")];
    for (number, odd) in shapes.iter().enumerate() {
        for (kind, key) in [
            ("m.room.name", "name"),
            ("m.room.topic", "topic"),
            ("m.room.topic", "m.topic"),
            ("m.room.avatar", "url"),
            ("m.room.guest_access", "guest_access"),
            ("m.room.history_visibility", "history_visibility"),
            ("m.room.encryption", "algorithm"),
            ("m.room.tombstone", "replacement_room"),
            ("m.space.child", "via"),
            ("m.room.pinned_events", "pinned"),
            ("m.room.server_acl", "deny"),
        ] {
            alice.set(&room, kind, "", &json!({key: odd})).await.ok();
        }
        let member = json!({"membership": "join", "displayname": odd, "avatar_url": odd, "reason": number});
        bob.set(&room, "m.room.member", &bob.id, &member).await.ok();
        let message =
            json!({"body": odd, "msgtype": odd, "m.relates_to": odd, "m.mentions": odd, "url": odd});
        let said = event_id(&bob.send(&room, "m.room.message", &message).await.ok());
        let lazy = enc(r#"{"room": {"state": {"lazy_load_members": true}}}"#);
        for path in [
            "/sync?timeout=0".to_owned(),
            format!("/sync?timeout=0&filter={lazy}"),
            format!("/rooms/{room}/messages?dir=b&limit=50"),
            format!("/rooms/{room}/context/{}", enc(&said)),
            format!("/rooms/{room}/state"),
            format!("/rooms/{room}/members"),
            format!("/rooms/{room}/joined_members"),
            format!("/_matrix/client/v1/room_summary/{}", enc(&room)),
            "/publicRooms?limit=500".to_owned(),
        ] {
            let reply = alice.get(&path).unchecked().await;
            assert_eq!(reply.status, 200, "{odd} by {path}: {}", reply.text);
        }
    }
}
